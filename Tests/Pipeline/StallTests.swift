import Model
import Posix
import Queue
import StorageMessages
import Store
import TestSupport
import Testing

@testable import Pipeline

/// Registries that take requests and answer nothing, beside one that answers.
@Suite(.timeLimit(.minutes(1)))
struct StallTests {
  private static let patience = Duration.seconds(5)

  private let plant: Plant
  private let time = ManualTime()
  private let quick: FakeRegistry
  private let other: IntegrationRecord

  init() async throws {
    plant = try await Plant()
    quick = try FakeRegistry()
    other = try await plant.integration("other", quick)
  }

  enum Place: CaseIterable { case manifest, layer }

  /// A registry that holds every connection from `place` on, and two jobs for it.
  private func stalled(_ name: String, at place: Place) async throws -> (registry: FakeRegistry, jobs: [UInt64]) {
    let registry = try FakeRegistry()
    let images = (1...2).map { FakeImage(layers: [Layers.plain("\(name) \($0)")]) }
    let configs = Set(images.map(\.configDigest))
    registry.intercept { request in
      guard request.method == "GET" else { return nil }
      let isHeld =
        place == .manifest
        ? request.path.contains("/manifests/")
        : request.path.contains("/blobs/") && !configs.contains { request.path.hasSuffix($0) }
      guard isHeld else { return nil }
      registry.events.record("held")
      return .silence()
    }
    let integration = try await plant.integration(name, registry)
    var jobs: [UInt64] = []
    for image in images {
      registry.put(image, "app")
      jobs.append(try await plant.add(image, to: integration))
    }
    return (registry, jobs)
  }

  private func addOthers(_ count: Int) async throws -> [UInt64] {
    var jobs: [UInt64] = []
    for number in 1...count {
      let image = FakeImage(layers: [Layers.plain("a \(number)"), Layers.plain("b \(number)")])
      quick.put(image, "app")
      jobs.append(try await plant.add(image, to: other))
    }
    return jobs
  }

  /// In the order in which they ended.
  private func order(_ jobs: [UInt64]) throws -> [UInt64] {
    let ended = try jobs.map { try plant.job($0) }
    #expect(ended.allSatisfy { $0.state == .finished })
    return ended.sorted { $0.finishedAt < $1.finishedAt }.map(\.id)
  }

  @Test(arguments: Place.allCases)
  func `Registries that hold every connection hold their own slots only`(place: Place) async throws {
    var held: [(registry: FakeRegistry, jobs: [UInt64])] = []
    for name in ["first", "second", "third"] { held.append(try await stalled(name, at: place)) }
    let jobs = try await addOthers(5)
    try await plant.scanning(slots: 2, workers: 2, time: time) { scanner in
      // Each may have one of two slots, and the first two have them.
      for registry in held.prefix(2).map(\.registry) { await registry.events.wait(for: "held") }
      await time.wait(forSleepOf: Self.patience)
      #expect(scanner.load == LendingSlots.Load(slots: 2, running: 2, stalled: 0))
      time.advance(Self.patience)
      // The third and the other's come next; nothing of the stalled ones is released before all of these have ended.
      await plant.events.wait(for: "scan finished", count: jobs.count)
      await held[2].registry.events.wait(for: "held")
      let ended = try order(jobs)
      #expect(ended == jobs)
      for (registry, jobs) in held {
        #expect(registry.events.count("held") == 1)
        let states = try jobs.map { try plant.job($0).state }
        #expect(states == [.inProgress, .pending])
      }
      #expect(scanner.load.running == 3)
    }
  }

  @Test func `A worker whose layer does not come is lent`() async throws {
    var held: [FakeRegistry] = []
    for name in ["first", "second"] { held.append(try await stalled(name, at: .layer).registry) }
    try await plant.scanning(slots: 8, workers: 2, time: time) { _ in
      for registry in held { await registry.events.wait(for: "held") }
      let jobs = try await addOthers(3)
      await time.wait(forSleepOf: Self.patience)
      time.advance(Self.patience)
      await plant.events.wait(for: "scan finished", count: 3)
      let states = try jobs.map { try plant.job($0).state }
      #expect(states.allSatisfy { $0 == .finished })
      #expect(held.allSatisfy { $0.events.count("held") == 1 })
    }
  }

  @Test func `An integration has as many scans at a time as its settings say`() async throws {
    let registry = try FakeRegistry()
    let narrow = try await plant.integration("narrow", registry) { $0.maxScans = 1 }
    registry.intercept { request in
      guard request.path.contains("/manifests/") else { return nil }
      registry.events.record("held")
      return .silence()
    }
    for number in 1...3 {
      let image = FakeImage(layers: [Layers.plain("\(number)")])
      registry.put(image, "app")
      try await plant.add(image, to: narrow)
    }
    let jobs = try await addOthers(2)
    try await plant.scanning(slots: 4, time: time) { scanner in
      await registry.events.wait(for: "held")
      await plant.events.wait(for: "scan finished", count: jobs.count)
      #expect(scanner.load.running == 1)
      #expect(registry.events.count("held") == 1)
    }
  }
}
