extension VendorAPI {
  /// Hands every entry of a listing to `body`, one page in memory at a time, and notes in `listing` how that went.
  func pages<Page: VendorPage>(
    of type: Page.Type, _ path: String, query: String? = nil, _ style: PageStyle, in listing: some Listing,
    _ body: (Page.Item) async throws -> Void
  ) async throws {
    try await pages(of: type, style, in: listing, request: { .get(path, style.query(query, at: $0)) }, body)
  }

  /// The same with requests of the driver's own making, for listings that are asked for by POST.
  func pages<Page: VendorPage>(
    of type: Page.Type, _ style: PageStyle, in listing: some Listing, request: (PageCursor) throws -> Request,
    _ body: (Page.Item) async throws -> Void
  ) async throws {
    var walk = VendorPageWalk()
    while let cursor = walk.cursor {
      try Task.checkCancellation()
      let request = try request(cursor)
      let answer = try await send(request)
      let page = try answer.decode(type)
      let items = page.entries.items
      let fresh = walk.arrived(
        VendorPageWalk.Page(
          identities: items.map(\.identity), malformed: page.entries.malformed,
          total: page.total ?? style.total(in: answer.headers),
          next: style.next(page, answer.headers, from: address(request.path, query: request.query))))
      listing.summary.pages += 1
      listing.redactor = answer.redactor
      for _ in 0..<page.entries.malformed { listing.reject("", "an entry that cannot be read") }
      for index in fresh { try await body(items[index]) }
      if let why = page.shortfall {
        listing.summary.setIncomplete("the registry says: " + ForeignText.escaped(answer.redactor.redactForeign(why)))
      }
      if let why = walk.incomplete { listing.summary.setIncomplete(answer.redactor.redact(why)) }
    }
  }
}

extension PageStyle {
  /// The query for the page at `cursor`; `base` is what every page's query holds.
  func query(_ base: String?, at cursor: PageCursor) -> String? {
    var parts = base.map { $0.isEmpty ? [] : [$0] } ?? []
    switch (self, cursor) {
    case (_, .query(let query)): return query
    case (.numbered(let size, let page, let sizeName, _), .first): parts += ["\(page)=1", "\(sizeName)=\(size)"]
    case (.numbered(let size, let page, let sizeName, _), .number(let number)):
      parts += ["\(page)=\(number)", "\(sizeName)=\(size)"]
    case (.token(let name), .token(let token)): parts.append("\(name)=\(WebAddress.encodedQueryValue(token))")
    default: break
    }
    return parts.isEmpty ? nil : parts.joined(separator: "&")
  }

  func total(in headers: HTTPHeaders) -> Int? {
    switch self {
    case .numbered(_, _, _, let header?), .link(_, let header?):
      headers[header].flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil }
    default: nil
    }
  }

  func next(_ page: some VendorPage, _ headers: HTTPHeaders, from url: WebAddress) -> VendorPageWalk.Next {
    switch self {
    case .numbered(let size, _, _, _):
      // A page that says whether there is another is believed; else its size and the total tell.
      page.hasMore == false ? .end : .numbered(size: page.hasMore == true ? 0 : size)
    case .link(let sameOrigin, _):
      LinkHeader.next(in: headers.all("link")).map { Self.query(of: $0, from: url, sameOrigin: sameOrigin) } ?? .end
    case .address:
      page.next.flatMap { $0.isEmpty ? nil : Self.query(of: $0, from: url) } ?? .end
    case .token:
      page.next.flatMap { $0.isEmpty ? nil : .page(.token($0)) } ?? .end
    }
  }

  /// Only the query of an address is used, on the address that was asked: paths and hosts in it are often wrong. Another
  /// origin is refused all the same, since it may mean that somebody leads us astray.
  private static func query(
    of link: String, from url: WebAddress, sameOrigin: Bool = true
  ) -> VendorPageWalk.Next {
    let target: WebAddress
    do {
      target = try WebAddress(link, relativeTo: url)
    } catch {
      return .unusable("the address of the next page cannot be read: \(error.reason)")
    }
    guard target.origin == url.origin || !sameOrigin else {
      return .unusable("the address of the next page leads to another origin, \(target.origin)")
    }
    guard let query = target.query else { return .unusable("the address of the next page has no query") }
    return .page(.query(query))
  }
}
