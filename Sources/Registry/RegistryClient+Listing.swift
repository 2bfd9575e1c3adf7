import Model

/// How a listing went. What it gave was handed out on the way, page by page.
package struct ListingSummary: Sendable, Hashable {
  package static let rejectedExamplesMax = 10

  package struct Rejected: Sendable, Hashable {
    /// Escaped and cut for display.
    package let name: String
    package let reason: String
  }

  package internal(set) var pages = 0
  /// Names handed out; one may come twice when the registry changes between two pages.
  package internal(set) var accepted = 0
  /// Names that no reference can hold, left out.
  package internal(set) var rejected = 0
  /// The first few of them.
  package internal(set) var rejectedExamples: [Rejected] = []
  /// Why there may be more than was listed; nil when the registry came to its end.
  package internal(set) var incomplete: String?

  mutating func reject(_ name: String, _ reason: String) {
    rejected += 1
    guard rejectedExamples.count < Self.rejectedExamplesMax else { return }
    rejectedExamples.append(Rejected(name: ForeignText.escaped(name, lengthMax: 80), reason: reason))
  }
}

extension RegistryClient {
  package static let pageSizeDefault = 100

  /// Hands every repository that the credential may list to `body`, one page in memory at a time.
  package func repositories(
    pageSize: Int = pageSizeDefault, _ body: (Repository) async throws -> Void
  ) async throws -> ListingSummary {
    try await list(
      .init(path: "_catalog", scope: .catalog, pageSize: pageSize, key: "repositories"), Repository.init,
      reason: "not a repository name", body)
  }

  /// Hands every tag of a repository to `body`. A repository whose tags are all gone has none.
  package func tags(
    of repository: Repository, pageSize: Int = 1000, _ body: (Tag) async throws -> Void
  ) async throws -> ListingSummary {
    try await list(
      .init(path: "\(repository)/tags/list", scope: .pull(repository), pageSize: pageSize, key: "tags"), Tag.init,
      reason: "not a tag", body)
  }

  private struct Listing {
    let path: String
    let scope: Scope
    let pageSize: Int
    /// The field that holds the names.
    let key: String
  }

  private func list<Name: Sendable>(
    _ listing: Listing, _ make: (String) -> Name?, reason: String, _ body: (Name) async throws -> Void
  ) async throws -> ListingSummary {
    var summary = ListingSummary()
    var walk = PageWalk(pageSize: listing.pageSize)
    while let query = walk.nextQuery {
      try Task.checkCancellation()
      let url = apiURL(listing.path, query: query)
      var call = Call(.get, url, scope: listing.scope, bodyMax: Self.pageBytesMax)
      call.headers = [("Accept", "application/json")]
      call.acceptsGzip = true
      let exchange = try await perform(call)
      // Some registries cap the page size by refusing a greater one.
      if exchange.status == 400, walk.dropPageSize() { continue }
      guard exchange.status == 200 else { throw exchange.error }
      let names: [String?]
      do {
        names = try NamePage.names(in: exchange.response.body, key: listing.key, subject: exchange.subject)
      } catch {
        throw error.redacting(exchange.redactor)
      }
      guard walk.arrived(names) else {
        summary.incomplete = walk.incomplete
        break
      }
      summary.pages += 1
      for name in names {
        if let name, let made = make(name) {
          summary.accepted += 1
          try await body(made)
        } else {
          summary.reject(
            exchange.redactor.redactForeign(name ?? ""), name == nil ? "not a string" : reason)
        }
      }
      walk.advance(LinkHeader.next(in: exchange.response.headers.all("link")), from: url, last: names.last ?? nil)
      summary.incomplete = walk.incomplete.map(exchange.redactor.redact)
    }
    return summary
  }
}
