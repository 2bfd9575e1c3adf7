import Model
import Posix
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(2)))
struct NexusDriverTests {
  private static let keys = """
    [{"name":"docker-hosted","format":"docker","type":"hosted"},{"name":"docker-hub","format":"docker","type":"proxy"},
     {"name":"docker-all","format":"docker","type":"group"},{"name":"maven","format":"maven2","type":"hosted"}]
    """

  private static func component(_ name: String, _ version: String, _ letter: Character = "a", path: String? = nil)
    -> String
  {
    """
    {"id":"\(name):\(version)","repository":"docker-hosted","format":"docker","group":null,"name":"\(name)",
     "version":"\(version)","assets":[{"path":"\(path ?? "v2/\(name)/manifests/\(version)")",
     "checksum":{"sha1":"x","sha256":"\(String(repeating: letter, count: 64))"},
     "contentType":"\(MediaType.dockerManifest)","lastModified":"2026-02-27T09:11:42.123+00:00",
     "blobCreated":"2026-01-31T00:00:00.000+00:00","docker":{}}]}
    """
  }

  private static func page(_ components: [String], next: String? = nil) -> ScriptedServer.Answer {
    .json(
      "{\"items\":[\(components.joined(separator: ","))],\"continuationToken\":\(next.map { "\"\($0)\"" } ?? "null")}")
  }

  /// A server at `path`; `components` answers to a query.
  private static func server(
    at path: String = "", _ components: @escaping @Sendable (String) -> ScriptedServer.Answer
  ) -> ScriptedServer.Handler {
    { request in
      guard request.headers["authorization"]?.hasPrefix("Basic ") == true else { return .reply(401) }
      switch request.path {
      case "\(path)/service/rest/v1/repositories": return .json(keys, [("Server", "Nexus/3.70.1-02 (OSS)")])
      case "\(path)/service/rest/v1/components": return components(request.query)
      case "\(path)/repository/docker-hosted/v2/": return .json("{}")
      case "\(path)/repository/docker-hosted/v2/team/app/tags/list":
        return .json("{\"name\":\"team/app\",\"tags\":null}")
      default: return .reply(404)
      }
    }
  }

  @Test func `hosted keys are listed with their tags, whatever the order`() async throws {
    try await withServer(
      Self.server { query in
        switch query {
        case "repository=docker-hosted":
          Self.page(
            [Self.component("team/app", "1.0"), Self.component("web", "x", path: "/v2/web/manifests/x")], next: "t1")
        case "repository=docker-hosted&continuationToken=t1":
          Self.page([Self.component("team/app", "2.0", "b"), Self.component("team/app", digest("c"), "c")])
        default: .reply(404)
        }
      }
    ) { server in
      let client = try client(server.url, VendorSettings(.nexus))
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["docker-hosted/team/app", "docker-hosted/web"])
      #expect(summary.passedOver == [.remote: 1, .virtual: 1])
      #expect(summary.incomplete == nil)
      #expect(summary.rejected == 0)
      let count = server.requests.count
      let (tags, _) = try await client.allTags(of: found[0])
      #expect(tags.map(\.tag.name) == ["1.0", "2.0"])
      #expect(tags[1].digest == Digest(digest("b")))
      let pushed = try time("2026-02-27T09:11:42.123Z")
      #expect(tags[1].pushedAt == pushed)
      #expect(server.requests.count == count)
    }
  }

  @Test func `cached images of a proxy are listed when they are wanted`() async throws {
    try await withServer(
      Self.server { query in
        query == "repository=docker-hub" ? Self.page([Self.component("library/alpine", "3")]) : Self.page([])
      }
    ) { server in
      let (found, summary) = try await client(server.url, VendorSettings(.nexus, includesRemote: true))
        .allRepositories()
      #expect(found.map(\.repository.path) == ["docker-hub/library/alpine"])
      #expect(found[0].kind == .remote)
      #expect(summary.passedOver == [.virtual: 1])
    }
  }

  @Test(arguments: ["", "/nexus"])
  func `an image of a key is below its path on the server`(path: String) async throws {
    try await withServer(Self.server(at: path) { _ in Self.page([]) }) { server in
      let client = try client(server.url + path, VendorSettings(.nexus))
      let route = try await client.driver.route(for: repository("docker-hosted/team/app"))
      #expect(route.base.text == "\(server.url)\(path)/repository/docker-hosted")
      #expect(route.name.path == "team/app")
      let (tags, _) = try await client.allTags(of: "docker-hosted/team/app")
      #expect(tags.isEmpty)
      let error = try await registryError { try await client.allTags(of: "app") }
      #expect(error.hint?.contains("REPOSITORY-KEY") == true)
    }
  }

  @Test func `the address of one key means that key`() async throws {
    try await withServer(
      Self.server(at: "/nexus") { query in
        query == "repository=docker-hosted" ? Self.page([Self.component("web", "1")]) : .reply(403)
      }
    ) { server in
      let url = server.url + "/nexus/repository/docker-hosted/"
      let (found, summary) = try await client(url, VendorSettings(.nexus)).allRepositories()
      #expect(found.map(\.repository.path) == ["docker-hosted/web"])
      #expect(summary.passedOver.isEmpty)
    }
  }

  @Test func `a key that may not be browsed is missed, one that is no local one is told`() async throws {
    try await withServer(Self.server { _ in Self.page([]) }) { server in
      let vendor = try VendorSettings(.nexus, scopes: ["docker-all", "vault"])
      let (_, summary) = try await client(server.url, vendor).allRepositories()
      #expect(summary.passedOver == [.virtual: 1])
      #expect(summary.incomplete?.contains("vault") == true)
    }
  }

  @Test func `a connector has its key in names alone`() async throws {
    try await withServer({ request in
      guard request.headers["authorization"]?.hasPrefix("Basic ") == true else { return .reply(401) }
      switch request.target {
      case "/v2/": return .json("{}")
      case "/v2/_catalog?n=100":
        // Its links are absolute and wrong.
        let link = "<http://\(request.headers["host"] ?? "")/repository/docker-hosted/v2/_catalog?n=100&last=web>"
        return .json("{\"repositories\":[\"web\"]}", [("Link", link + "; rel=\"next\"")])
      case "/v2/_catalog?n=100&last=web": return .json("{\"repositories\":[\"team/app\"]}")
      case "/v2/team/app/tags/list?n=1000": return .json("{\"tags\":[\"1.0\"]}")
      default: return .reply(404)
      }
    }) { server in
      let client = try client(server.url, VendorSettings(.nexus, repositoryKeys: ["docker-hosted"]))
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["docker-hosted/web", "docker-hosted/team/app"])
      #expect(summary.incomplete == nil)
      let (tags, _) = try await client.allTags(of: found[1])
      #expect(tags.map(\.tag.name) == ["1.0"])
      let error = try await registryError { try await client.allTags(of: "other/app") }
      #expect(error.message.contains("connector of docker-hosted"))
      let steps = try await client.test()
      #expect(outcomes(steps)[.api] == .ok)
      #expect(outcomes(steps)[.vendor] == .skipped)
    }
  }

  @Test func `a listing that ends in the middle is incomplete`() async throws {
    try await withServer(
      Self.server { query in
        query == "repository=docker-hosted" ? Self.page([Self.component("web", "1")], next: "stale") : .reply(406)
      }
    ) { server in
      let (found, summary) = try await client(server.url, VendorSettings(.nexus)).allRepositories()
      #expect(found.isEmpty)
      #expect(summary.incomplete?.contains("docker-hosted") == true)
    }
  }

  @Test func `the connection test goes through REST, which tells what the server has`() async throws {
    try await withServer(Self.server { _ in Self.page([Self.component("web", "1")]) }) { server in
      let steps = try await client(server.url, VendorSettings(.nexus)).test()
      for step: ConnectionStep.Name in [.connect, .api, .authentication, .vendor, .rights, .list, .kinds] {
        #expect(outcomes(steps)[step] == .ok, "\(step)")
      }
      let text = steps.map(\.detail).joined(separator: "\n")
      #expect(text.contains("Nexus/3.70.1-02"))
      #expect(text.contains("1 remote, 1 virtual"))
      #expect(!server.requests.contains { $0.path == "/v2/" })
    }
  }

  @Test func `a wrong password is tried once`() async throws {
    try await withServer({ _ in .reply(401) }) { server in
      let steps = try await client(server.url, VendorSettings(.nexus)).test()
      #expect(outcomes(steps)[.authentication] == .failed)
      #expect(outcomes(steps)[.list] == .skipped)
      #expect(server.requests.filter { $0.headers["authorization"] != nil }.count == 1)
    }
  }
}
