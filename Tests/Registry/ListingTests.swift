import Model
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(2)))
struct ListingTests {
  /// Walks the catalog that `page` serves; gives what was listed.
  private func list(
    pageSize: Int = 2, _ page: @escaping @Sendable (ScriptedServer.Request) -> ScriptedServer.Answer
  ) async throws -> (names: [String], summary: ListingSummary, requests: [ScriptedServer.Request]) {
    var names: [String] = []
    var summary = ListingSummary()
    var requests: [ScriptedServer.Request] = []
    try await withServer({ $0.path == "/v2/" ? .json("{}") : page($0) }) { server in
      let client = try client(server)
      let listing = RepositoryListing(client) { names.append($0.repository.path) }
      try await client.catalog(of: client.driver.base, pageSize: pageSize, in: listing) { try await listing.found($0) }
      summary = listing.summary
      requests = server.requests.filter { $0.path != "/v2/" }
    }
    return (names, summary, requests)
  }

  private static func page(_ names: [String], link: String? = nil) -> ScriptedServer.Answer {
    let list = names.map { "\"\($0)\"" }.joined(separator: ",")
    return .json("{\"repositories\":[\(list)]}", link.map { [("Link", $0)] } ?? [])
  }

  @Test func `links are followed by their query`() async throws {
    let (names, summary, requests) = try await list { request in
      switch request.query {
      case "n=2": Self.page(["a", "b"], link: "</v2/_catalog?last=b&n=2>; rel=\"next\"")
      case "last=b&n=2": Self.page(["c", "d"], link: "</wrong/path?last=d>; rel=next; title=\"x, y\"")
      case "last=d": Self.page(["e"])
      default: .reply(404)
      }
    }
    #expect(names == ["a", "b", "c", "d", "e"])
    #expect(summary.incomplete == nil)
    #expect(summary.pages == 3)
    #expect(requests.allSatisfy { $0.path == "/v2/_catalog" })
  }

  @Test func `a full page without a link is followed by its last name`() async throws {
    let (names, summary, _) = try await list { request in
      switch request.query {
      case "n=2": Self.page(["a", "b"])
      case "n=2&last=b": Self.page(["c"])
      default: .reply(404)
      }
    }
    #expect(names == ["a", "b", "c"])
    #expect(summary.incomplete == nil)
  }

  /// H34.
  @Test func `a server that ignores last is believed to have sent everything`() async throws {
    let (names, summary, requests) = try await list { _ in Self.page(["a", "b"]) }
    #expect(names == ["a", "b"])
    #expect(summary.incomplete == nil)
    #expect(requests.count == 2)
  }

  /// H32.
  @Test func `a link to the same page ends the listing`() async throws {
    let (names, summary, requests) = try await list { _ in
      Self.page(["a", "b"], link: "</v2/_catalog?n=2>; rel=\"next\"")
    }
    #expect(names == ["a", "b"])
    #expect(summary.incomplete?.contains("leads back") == true)
    #expect(requests.count == 1)
  }

  /// H34.
  @Test func `new links to the same names end the listing`() async throws {
    let count = Counter()
    let (_, summary, requests) = try await list { _ in
      Self.page(["a", "b"], link: "</v2/_catalog?page=\(count.add())>; rel=\"next\"")
    }
    #expect(summary.incomplete?.contains("same page") == true)
    #expect(requests.count == 2)
  }

  /// H35.
  @Test func `a link to another origin is not followed`() async throws {
    try await withServer({ _ in Self.page(["evil"]) }) { other in
      let (names, summary, _) = try await list { _ in
        Self.page(["a"], link: "<\(other.url)/v2/_catalog?last=a>; rel=\"next\"")
      }
      #expect(names == ["a"])
      #expect(summary.incomplete?.contains("another origin") == true)
      #expect(other.requests.isEmpty)
    }
  }

  /// H36: each page is asked for when all of the one before has been handed out.
  @Test func `a million names are listed with one page in hand`() async throws {
    let namesAPage = 1000
    let handedOut = Counter()
    let early = Counter()
    try await withServer({ request in
      if request.path == "/v2/" { return .json("{}") }
      // The last page is full and has no link.
      if request.query.contains("last=") { return Self.page([]) }
      let page = request.query.hasPrefix("page=") ? Int(request.query.dropFirst(5)) ?? 0 : 0
      if handedOut.count != page * namesAPage { early.add() }
      let names = (0..<namesAPage).map { "team/app-\(page)-\($0)" }
      return Self.page(names, link: page < 999 ? "</v2/_catalog?page=\(page + 1)>; rel=\"next\"" : nil)
    }) { server in
      let client = try client(server)
      let listing = RepositoryListing(client) { _ in handedOut.add() }
      try await client.catalog(of: client.driver.base, pageSize: namesAPage, in: listing) {
        try await listing.found($0)
      }
      #expect(listing.summary.incomplete == nil)
      #expect(handedOut.count == 1_000_000)
      #expect(early.count == 0)
    }
  }

  /// H33.
  @Test func `endless pages end`() throws {
    var walk = PageWalk(pageSize: 1)
    let url = try WebAddress("http://127.0.0.1/v2/_catalog")
    var pages = 0
    while walk.nextQuery != nil {
      pages += 1
      let isNew = walk.arrived(["r\(pages)"])
      #expect(isNew)
      walk.advance("/v2/_catalog?page=\(pages)", from: url, last: nil)
    }
    #expect(pages == RegistryClient.pagesMax)
    #expect(walk.incomplete?.contains("more than") == true)
  }

  /// H37.
  @Test func `bad names are left out one by one`() async throws {
    let bad = [
      "../../v2/x", "%2e%2e/", "A/B", "a//b", String(repeating: "a", count: 300), "a b", "a\\u0000", "a\\n",
      "a\\u001b[2J", "",
    ]
    let (names, summary, _) = try await list(pageSize: 100) { _ in
      let list = bad.map { "\"\($0)\"" }.joined(separator: ",")
      return .json("{\"repositories\":[\"good\",\(list),7,null,{},\"also/good\"]}")
    }
    #expect(names == ["good", "also/good"])
    #expect(summary.rejected == bad.count + 3)
    #expect(summary.rejectedExamples.count == ListingSummary.examplesMax)
    #expect(!summary.rejectedExamples.contains { $0.name.utf8.contains { $0 < 0x20 } })
  }

  /// H38.
  @Test(arguments: ["{\"tags\":null}", "{}", "{\"name\":\"a\",\"tags\":[]}"])
  func `no tags is no error`(body: String) async throws {
    try await withServer({ _ in .json(body) }) { server in
      let summary = try await client(server).tags(of: ListedRepository(repository("a"))) { _ in Issue.record("a tag") }
      #expect(summary.accepted == 0)
      #expect(summary.incomplete == nil)
    }
  }

  /// H38.
  @Test(arguments: ["{\"tags\":{}}", "{\"tags\":7}", "[]", "", "<html>"])
  func `tags of another shape are malformed`(body: String) async throws {
    try await withServer({ _ in .json(body) }) { server in
      let error = try await registryError {
        try await client(server).tags(of: ListedRepository(repository("a"))) { _ in }
      }
      #expect(error.code == .malformed)
    }
  }

  @Test func `a page size that is refused is left out`() async throws {
    let (names, _, requests) = try await list { request in
      request.query.isEmpty ? Self.page(["a"]) : .reply(400)
    }
    #expect(names == ["a"])
    #expect(requests.map(\.query) == ["n=2", ""])
  }

  @Test func `a page over its bound is refused`() async throws {
    let error = try await registryError {
      try await list { _ in .reply(200, [], [UInt8](repeating: 0x20, count: RegistryClient.pageBytesMax + 1)) }
    }
    #expect(error.code == .tooLarge)
  }

  @Test(arguments: [
    ("</v2/_catalog?last=b&n=2>; rel=\"next\"", "/v2/_catalog?last=b&n=2"),
    ("<https://host/x?page=1>; rel=\"prev\" , <https://host/x?page=3>; rel=\"next\"", "https://host/x?page=3"),
    ("/v2/_catalog?n=50&next_page=a; rel=next", "/v2/_catalog?n=50&next_page=a"),
    ("</x?a=1,2>; title=\"a, <b>\"; REL=\"last Next\"", "/x?a=1,2"),
    ("</x>; rel=\"prev\"", nil), ("</x>", nil), ("", nil), ("<", nil), (";;;,,,\"", nil), ("</x; rel=next", nil),
  ])
  func `next links in all their forms`(header: String, address: String?) {
    #expect(LinkHeader.next(in: [header]) == address)
  }
}
