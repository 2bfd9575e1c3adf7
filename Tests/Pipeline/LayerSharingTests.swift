import Model
import Posix
import Queue
import Registry
import StorageMessages
import Store
import TestSupport
import Testing

@testable import Pipeline

/// Layers that several images have, and registries that have the same layer (D15).
@Suite(.timeLimit(.minutes(1)))
struct LayerSharingTests {
  private let registry: FakeRegistry
  private let plant: Plant
  private let hub: IntegrationRecord
  private let shared = Layers.plain("shared")

  init() async throws {
    registry = try FakeRegistry()
    plant = try await Plant()
    hub = try await plant.integration("hub", registry)
  }

  private func path(_ repository: String = "app") -> String { "/v2/\(repository)/blobs/\(FakeRegistry.digest(shared))" }

  @Test func `A layer that two scans want at once is fetched once`() async throws {
    let (first, second) = (
      FakeImage(layers: [shared, Layers.plain("1")]), FakeImage(layers: [shared, Layers.plain("2")])
    )
    registry.put(first, "app")
    registry.put(second, "app")
    try await plant.add(first, to: hub)
    try await plant.add(second, to: hub)
    try await plant.scan([("scan finished", 2)])
    #expect(registry.requests("GET \(path())") == 1)
    // The repository has confirmed it by handing it out.
    #expect(registry.requests("HEAD \(path())") == 0)
    let cached = try [first, second].flatMap { try plant.reports(plant.key($0, hub)) }.map { $0.layers[0].cached }
    #expect(cached.count { $0 } == 1)
  }

  @Test func `A layer that an image has many times is fetched and analysed once`() async throws {
    let image = FakeImage(layers: Array(repeating: shared, count: 50))
    registry.put(image, "app")
    try await plant.add(image, to: hub)
    try await plant.scan([("scan finished", 1)])
    #expect(registry.requests("GET \(path())") == 1)
    #expect(try plant.reports(plant.key(image, hub)).first?.layers.count == 50)
  }

  @Test func `A known layer is used for another repository only once that one confirms it`() async throws {
    let image = FakeImage(layers: [shared])
    registry.put(image, "app")
    registry.put(image, "other")
    try await plant.add(image, to: hub)
    try await plant.scan([("scan finished", 1)])
    try await plant.add(image, "other", to: hub)
    try await plant.scan([("scan finished", 2)])
    #expect(registry.requests("HEAD \(path("other"))") == 1)
    #expect(registry.requests("GET \(path("other"))") == 0)
    #expect(try plant.reports(plant.key(image, hub, "other")).first?.layers[0].cached == true)
  }

  @Test func `Who names a digest that the registry does not show to him learns nothing`() async throws {
    let image = FakeImage(layers: [shared])
    registry.put(image, "app")
    try await plant.add(image, to: hub)
    try await plant.scan([("scan finished", 1)])
    // The same registry with another credential, from which the blob is hidden; the manifest is the asker's own.
    let stranger = try await plant.integration("stranger", registry)
    registry.put(image, "mine")
    let hidden = path("mine")
    registry.intercept { $0.path == hidden ? .reply(404) : nil }
    let job = try await plant.add(image, "mine", to: stranger)
    try await plant.scan([("scan failed", 1)])
    #expect(registry.requests("HEAD \(hidden)") == 1)
    #expect(try plant.job(job).errorCode == "NOT_FOUND")
    #expect(try plant.reports(plant.key(image, stranger, "mine")).isEmpty)
  }

  @Test func `Where HEAD is refused one byte confirms, and where that is refused the layer is fetched again`()
    async throws
  {
    let image = FakeImage(layers: [shared])
    registry.put(image, "app")
    registry.put(image, "other")
    registry.put(image, "third")
    try await plant.add(image, to: hub)
    try await plant.scan([("scan finished", 1)])
    let (other, third) = (path("other"), path("third"))
    registry.intercept { request in
      switch request.path {
      case other where request.method == "HEAD": .reply(405)
      case third where request.method == "HEAD" || request.headers["range"] != nil: .reply(403)
      default: nil
      }
    }
    try await plant.add(image, "other", to: hub)
    try await plant.add(image, "third", to: hub)
    try await plant.scan([("scan finished", 3)])
    #expect(registry.requests("GET \(other)") == 1)
    #expect(try plant.reports(plant.key(image, hub, "other")).first?.layers[0].cached == true)
    #expect(try plant.reports(plant.key(image, hub, "third")).first?.layers[0].cached == false)
  }

  @Test func `A new credential confirms anew`() async throws {
    let image = FakeImage(layers: [shared])
    registry.put(image, "app")
    try await plant.add(image, to: hub)
    try await plant.scan([("scan finished", 1)])
    try await plant.add(image, to: hub)
    try await plant.scan([("scan finished", 2)])
    #expect(registry.requests("HEAD \(path())") == 0)
    _ = try await plant.store.updateIntegration(
      named: "hub", revision: 0, secrets: [.main: .drop], now: plant.clock.wall.now
    ) { _ in }
    try await plant.add(image, to: hub)
    try await plant.scan([("scan finished", 3)])
    #expect(registry.requests("HEAD \(path())") == 1)
  }

  @Test func `A registry that hands out nothing leaves a worker to another`() async throws {
    let stuck = FakeImage(layers: (0..<6).map { Layers.plain("stuck \($0)") })
    registry.put(stuck, "stuck")
    registry.intercept {
      $0.path.hasPrefix("/v2/stuck/blobs/") && $0.path.hasSuffix(stuck.configDigest) == false
        ? .silence(after: Self.head) : nil
    }
    let quick = try FakeRegistry()
    let image = FakeImage(layers: [Layers.plain("a"), Layers.plain("b")])
    quick.put(image, "app")
    let other = try await plant.integration("other", quick)
    try await plant.add(stuck, "stuck", to: hub)
    try await plant.scanning(slots: 2, workers: 2) { _ in
      await registry.events.wait(for: "GET /v2/stuck/blobs/\(stuck.configDigest)")
      let job = try await plant.add(image, to: other)
      await plant.events.wait(for: "queued", count: 2)
      await plant.events.wait(for: "scan finished")
      #expect(try plant.job(job).state == .finished)
    }
  }

  private static let head = Array("HTTP/1.1 200 OK\r\n".utf8)

  @Test func `Permits of a key are shared by its users, and forgotten with them`() async throws {
    let permits = KeyedPermits<String>(2)
    let running = Events()
    try await withThrowingTaskGroup(of: Void.self) { group in
      let holds = (0..<2).map { _ in Events() }
      for hold in holds {
        group.addTask {
          try await permits.withPermit(for: "a") {
            running.record("a")
            await hold.wait(for: "go")
          }
        }
      }
      await running.wait(for: "a", count: 2)
      // A third waits, and can be cancelled; another key does not wait.
      let third = Task { try await permits.withPermit(for: "a") { running.record("third") } }
      try await permits.withPermit(for: "b") { #expect(permits.keyCount == 2) }
      third.cancel()
      await #expect(throws: CancellationError.self) { try await third.value }
      for hold in holds { hold.record("go") }
      try await group.waitForAll()
    }
    #expect(running.count("third") == 0)
    #expect(permits.keyCount == 0)
  }
}

extension FakeImage {
  var configDigest: String { FakeRegistry.digest(config).description }
}
