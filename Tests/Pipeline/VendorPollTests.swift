import Model
import Registry
import StorageMessages
import TestSupport
import Testing

@testable import Pipeline

/// Polls of a registry whose vendor tells more than the distribution API does: a Harbor, as registries.md 5.3 and 5.4
/// have it.
@Suite(.timeLimit(.minutes(1)))
struct VendorPollTests {
  private let registry: FakeRegistry
  private let plant: Plant

  init() async throws {
    registry = try FakeRegistry()
    plant = try await Plant()
  }

  private func harbor(_ change: (inout IntegrationRecord) -> Void = { _ in }) async throws -> IntegrationRecord {
    try await plant.integration("harbor", registry) { record in
      record.type = "harbor"
      change(&record)
    }
  }

  private static func days(_ count: UInt32) -> CreatedWithinRecord {
    var period = CreatedWithinRecord()
    period.days = count
    return period
  }

  private struct Artifact {
    let image: FakeImage
    let tag: String
    var type = "IMAGE"
    var pushed = "2026-02-27T09:11:42.123Z"
    var created: String?

    var json: String {
      let attributes = created.map { "{\"created\":\"\($0)\"}" } ?? "{}"
      return """
        {"id":1,"type":"\(type)","manifest_media_type":"\(FakeImage.manifestType)","digest":"\(image.digest)",
        "push_time":"\(pushed)","extra_attrs":\(attributes),"tags":[{"name":"\(tag)","push_time":"\(pushed)"}]}
        """
    }
  }

  /// A project "shop" with one repository, "shop/web", and the proxy of another registry with three.
  private func serve(_ artifacts: [Artifact]) {
    for artifact in artifacts { registry.put(artifact.image, "shop/web", tag: artifact.tag) }
    let page = "[\(artifacts.map(\.json).joined(separator: ","))]"
    registry.intercept { request in
      switch request.path {
      case "/api/v2.0/projects":
        .json(
          """
          [{"project_id":3,"name":"shop","registry_id":0,"repo_count":1},
          {"project_id":7,"name":"hub-proxy","registry_id":2,"repo_count":3}]
          """, [("X-Total-Count", "2")])
      case "/api/v2.0/projects/shop/repositories": .json("[{\"name\":\"shop/web\"}]", [("X-Total-Count", "1")])
      case "/api/v2.0/projects/shop/repositories/web/artifacts":
        .json(page, [("X-Total-Count", "\(artifacts.count)")])
      case let path where path.hasPrefix("/api/"): .reply(404)
      default: nil
      }
    }
  }

  @Test func `What the listing tells costs no further request`() async throws {
    let harbor = try await harbor()
    serve([Artifact(image: FakeImage("a"), tag: "1"), Artifact(image: FakeImage("b"), tag: "2")])
    let record = try await plant.poll(harbor)
    #expect(record.state == .finished)
    #expect((record.queued, record.errorCount) == (2, 0))
    #expect(registry.requests("HEAD /v2/shop/web/manifests/1") == 0)
    #expect(try plant.pendingJobs().map(\.repository) == ["shop/web", "shop/web"])
    #expect(registry.events.names.allSatisfy { !$0.contains("/v2/shop") })
  }

  @Test func `Remote repositories are counted with the reason and not polled`() async throws {
    let harbor = try await harbor()
    serve([Artifact(image: FakeImage("a"), tag: "1")])
    let record = try await plant.poll(harbor)
    #expect((record.repositories, record.repositoriesSkipped) == (1, 3))
    #expect(
      record.notes.contains { $0.hasPrefix("not polled: 3 remote (hub-proxy)") && $0.contains("--include-remote") })
    #expect(record.notes.contains { $0.hasPrefix("plain HTTP") })
    #expect(registry.requests("GET /api/v2.0/projects/hub-proxy/repositories") == 0)
  }

  @Test func `An area that is closed leaves the listing visibly partial`() async throws {
    let harbor = try await harbor { $0.includeRemote = true }
    serve([Artifact(image: FakeImage("a"), tag: "1")])
    let record = try await plant.poll(harbor)
    #expect(record.state == .finished)
    #expect(record.queued == 1)
    #expect(record.errors.contains { $0.hasPrefix("partial: the list of repositories: project hub-proxy: ") })
  }

  @Test func `Dates from the listing decide without a manifest or a config`() async throws {
    let harbor = try await harbor { record in
      record.condition = ConditionRecord()
      record.condition?.kind = .createdWithin(Self.days(30))
    }
    serve([
      Artifact(image: FakeImage("new"), tag: "new", created: "2026-02-20T00:00:00Z"),
      Artifact(image: FakeImage("old"), tag: "old", created: "2026-01-01T00:00:00Z"),
      // Pushed before the period: it cannot have been built within it.
      Artifact(image: FakeImage("ancient"), tag: "ancient", pushed: "2025-12-01T00:00:00Z"),
      // A placeholder: the push date counts (D11).
      Artifact(image: FakeImage("pinned"), tag: "pinned", created: "1970-01-01T00:00:00Z"),
      Artifact(image: FakeImage("chart"), tag: "chart", type: "CHART"),
    ])
    let record = try await plant.poll(harbor)
    #expect(try plant.pendingJobs().map(\.tag).sorted() == ["new", "pinned"])
    #expect((record.rejected, record.skipped, record.errorCount) == (2, 1, 0))
    #expect(registry.events.names.allSatisfy { !$0.contains("/v2/shop") })
  }

  @Test func `Where the catalog is closed, repositories that the criteria name are looked at`() async throws {
    let plain = try await plant.integration("plain", registry) { $0.criteria = ["team/app", "tools*", "gone:1"] }
    registry.put(FakeImage("a"), "team/app", tag: "1")
    registry.put(FakeImage("b"), "tools", tag: "1")
    registry.intercept { $0.path == "/v2/_catalog" ? .reply(401) : nil }
    let record = try await plant.poll(plain)
    #expect(record.state == .finished)
    #expect(try plant.pendingJobs().map(\.repository) == ["team/app"])
    #expect((record.repositories, record.repositoriesDone) == (2, 2))
    #expect(record.errors.contains { $0.hasPrefix("gone: ") })
    #expect(record.errors.contains { $0.hasPrefix("partial: only repositories that the criteria name") })
  }

  @Test func `A credential that opens nothing is not tried on every name`() async throws {
    let plain = try await plant.integration("plain", registry) { $0.criteria = ["a", "b", "c"] }
    registry.intercept { $0.path == "/v2/" ? nil : .reply(401) }
    let record = try await plant.poll(plain)
    #expect(record.state == .failed)
    #expect(record.errorCode == "UNAUTHORIZED")
    #expect(registry.requests("GET /v2/b/tags/list") == 0)
  }

  @Test func `A rescan takes what the date rejects as well`() async throws {
    let harbor = try await harbor { record in
      record.rescan = true
      record.condition = ConditionRecord()
      record.condition?.kind = .createdWithin(Self.days(90))
    }
    let image = FakeImage(layers: [Layers.plain("a")], created: "2026-01-01T00:00:00Z")
    serve([Artifact(image: image, tag: "1", created: "2026-01-01T00:00:00Z")])
    #expect(try await plant.poll(harbor).queued == 1)
    try await plant.scan([("scan finished", 1)])
    plant.clock.advance(.seconds(60 * 86_400))
    let record = try await plant.poll(harbor)
    #expect((record.rejected, record.queued) == (1, 1))
    #expect(try plant.pendingJobs().map(\.tag) == ["1"])
  }
}
