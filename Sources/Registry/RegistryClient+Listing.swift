import Model

extension RegistryClient {
  /// Hands every repository that the credential may list and the integration wants (D6) to `body`, one page in memory at
  /// a time.
  package func repositories(_ body: @escaping (ListedRepository) async throws -> Void) async throws -> ListingSummary {
    let listing = RepositoryListing(self, body)
    try await driver.repositories(listing)
    return listing.summary
  }

  /// Hands every tag of a repository to `body`. A repository whose tags are all gone has none.
  package func tags(
    of repository: ListedRepository, _ body: @escaping (ListedTag) async throws -> Void
  ) async throws -> ListingSummary {
    let listing = TagListing(self, body)
    try await driver.tags(of: repository, listing)
    return listing.summary
  }

  /// What the vendor tells of one tag beyond its listing; nil where it tells nothing.
  package func details(of tag: Tag, in repository: ListedRepository) async throws -> ListedTag? {
    try await driver.details(of: tag, in: repository)
  }

  // MARK: the distribution API's own listings

  /// Hands every name of the catalog under `base` to `body`.
  func catalog(
    of base: WebAddress, pageSize: Int = 100, last: PageWalk.Last = .name, in listing: some Listing,
    _ body: (String) async throws -> Void
  ) async throws {
    try await names(
      Names(base: base, path: "_catalog", scope: .catalog, pageSize: pageSize, last: last, key: "repositories"),
      in: listing, body)
  }

  /// Hands every tag of a repository to `listing`.
  func tagsList(
    of repository: Repository, pageSize: Int = 1000, last: PageWalk.Last = .name, in listing: TagListing
  ) async throws {
    let route = try await driver.route(for: repository)
    try await names(
      Names(
        base: route.base, path: "\(route.name)/tags/list", scope: .pull(route.scopeName), pageSize: pageSize,
        last: last,
        key: "tags"), in: listing
    ) { try await listing.found($0) }
  }

  private struct Names {
    let base: WebAddress
    let path: String
    let scope: Scope
    let pageSize: Int
    let last: PageWalk.Last
    /// The field that holds the names.
    let key: String
  }

  private func names(
    _ names: Names, in listing: some Listing, _ body: (String) async throws -> Void
  ) async throws {
    var walk = PageWalk(pageSize: names.pageSize, last: names.last)
    while let query = walk.nextQuery {
      try Task.checkCancellation()
      var call = Call(.get, names.base, names.path, query: query, scope: names.scope, bodyMax: Self.pageBytesMax)
      call.headers = [("Accept", "application/json")]
      call.acceptsGzip = true
      let exchange = try await perform(call)
      // Some registries cap the page size by refusing a greater one.
      if exchange.status == 400, walk.dropPageSize() { continue }
      guard exchange.status == 200 else { throw exchange.error }
      let page: [String?]
      do {
        page = try NamePage.names(in: exchange.response.body, key: names.key, subject: exchange.subject)
      } catch {
        throw error.redacting(exchange.redactor)
      }
      guard walk.arrived(page) else {
        if let why = walk.incomplete { listing.summary.setIncomplete(why) }
        break
      }
      listing.summary.pages += 1
      listing.redactor = exchange.redactor
      for name in page {
        if let name {
          try await body(name)
        } else {
          listing.reject("", "not a string")
        }
      }
      walk.advance(LinkHeader.next(in: exchange.response.headers.all("link")), from: call.url, last: page.last ?? nil)
      if let why = walk.incomplete { listing.summary.setIncomplete(exchange.redactor.redact(why)) }
    }
  }
}
