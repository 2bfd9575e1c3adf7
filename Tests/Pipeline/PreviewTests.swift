import Model
import Pipeline
import Posix
import Registry
import StorageMessages
import Store
import Synchronization
import Testing

/// What a preview shows, and that it changes nothing.
@Suite struct PreviewTests {
  private let registry: FakeRegistry
  private let plant: Plant

  init() async throws {
    registry = try FakeRegistry()
    plant = try await Plant()
  }

  private final class Found: Sendable {
    let images = Mutex<[Previewer.Image]>([])
    let gone = Mutex<[String]>([])

    func take(_ finding: Previewer.Finding) {
      switch finding {
      case .images(let found): images.withLock { $0 += found }
      case .gone(let found): gone.withLock { $0 += found.map(\.key.tag) }
      case .repository: break
      }
    }
  }

  private func preview(_ integration: IntegrationRecord) async throws -> (Found, Previewer.Outcome) {
    let found = Found()
    let previewer = Previewer(store: plant.store, registries: plant.registries, clock: plant.clock.wall)
    let outcome = try await previewer.run(integration, sizes: true) { found.take($0) }
    return (found, outcome)
  }

  @Test func `It shows what a poll would queue, the bytes of layers that are not known, and queues nothing`()
    async throws
  {
    let hub = try await plant.integration("hub", registry)
    let (known, shared, new) = (Layers.plain("known"), Layers.plain("shared"), Layers.plain("new"))
    registry.put(FakeImage(layers: [known]), "app", tag: "1")
    _ = try await plant.poll(hub)
    try await plant.scan([("scan finished", 1)])
    registry.put(FakeImage(layers: [known, shared]), "app", tag: "2")
    registry.put(FakeImage(layers: [shared, new]), "app", tag: "3")
    let (found, outcome) = try await preview(hub)
    let images = found.images.withLock { $0 }
    #expect(images.filter(\.isQueued).map(\.verdict.key.tag).sorted() == ["2", "3"])
    #expect(images.compactMap(\.bytesToFetch).reduce(0, +) == UInt64(shared.count + new.count))
    #expect((outcome.isPartial, outcome.unsized, outcome.errors) == (false, 0, []))
    #expect(outcome.requests > 0)
    #expect(try plant.pendingJobs().isEmpty)
    let tag = TagKey(integration: hub.id, repository: "app", tag: "2")
    #expect(try plant.store.tag(tag) == nil)
  }

  @Test func `Other settings are tried without being stored, and the change against the last poll is told`()
    async throws
  {
    let hub = try await plant.integration("hub", registry)
    registry.put(FakeImage("a"), "app", tag: "1")
    registry.put(FakeImage("b"), "app", tag: "1-dev")
    registry.put(FakeImage("c"), "app", tag: "old")
    _ = try await plant.poll(hub)
    registry.removeTag("old", of: "app")
    registry.put(FakeImage("d"), "app", tag: "1")
    var wanted = hub
    wanted.neverPull = [":*-dev"]
    let (found, _) = try await preview(wanted)
    let images = found.images.withLock { $0 }
    let dev = try #require(images.first { $0.verdict.key.tag == "1-dev" })
    #expect((dev.verdict.decision, dev.verdict.change) == (.rejected, .unchanged))
    #expect(dev.verdict.previous?.decision == .selected)
    #expect(images.first { $0.verdict.key.tag == "1" }?.verdict.change == .moved)
    #expect(found.gone.withLock { $0 } == ["old"])
    #expect(try plant.store.integration(id: hub.id)?.neverPull == [])
  }
}
