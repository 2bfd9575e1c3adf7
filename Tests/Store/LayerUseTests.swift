import Posix
import StorageMessages
import TestSupport
import Testing

@testable import Store

struct LayerUseTests {
  private let scratch: TemporaryDirectory
  private let image = ImageKey(integration: 1, repository: "app", digest: "sha256:image")

  init() throws { scratch = try TemporaryDirectory() }

  private func open() async throws -> StateStore {
    var options = Environment.Options()
    options.mapSizeBytes = 1 << 28
    options.isSynchronous = false
    return try await StateStore(
      directory: try StateDirectory(opening: scratch.path + "/state"), tables: [], options: options)
  }

  private func report(_ platform: String, _ layers: [String]) -> ReportRecord {
    var report = ReportRecord()
    report.platform = platform
    report.layers = layers.map { digest in
      var layer = ReportLayer()
      layer.digest = digest
      return layer
    }
    return report
  }

  private func put(_ reports: [ReportRecord], now: Int64, in store: StateStore) async throws {
    try await store.write { transaction in
      _ = try store.remember(image, now: now, in: transaction)
      try store.putReports(reports, of: image, now: now, in: transaction)
    }
  }

  private func uses(_ store: StateStore) throws -> [String: LayerUse] {
    try store.read { transaction in
      var found: [String: LayerUse] = [:]
      try transaction.scan(StateStore.layerUses) { digest, use in
        found[digest] = use
        return true
      }
      return found
    }
  }

  private func unused(_ store: StateStore) throws -> [UnusedLayerKey] {
    try store.read { transaction in
      var found: [UnusedLayerKey] = []
      try transaction.scan(StateStore.layersUnused) { key, _ in
        found.append(key)
        return true
      }
      return found
    }
  }

  @Test func `A report counts once for each layer that it names`() async throws {
    let store = try await open()
    defer { store.close() }
    try await put([report("a", ["1", "2", "1"]), report("b", ["1"])], now: 10, in: store)
    #expect(
      try uses(store) == [
        "1": LayerUse(reports: 2, unusedSince: 0), "2": LayerUse(reports: 1, unusedSince: 0),
      ])
    try await put([report("b", ["1", "3"])], now: 20, in: store)
    #expect(
      try uses(store) == [
        "1": LayerUse(reports: 1, unusedSince: 0), "2": LayerUse(reports: 0, unusedSince: 20),
        "3": LayerUse(reports: 1, unusedSince: 0),
      ])
    #expect(try unused(store) == [UnusedLayerKey(since: 20, digest: "2")])
    try await put([report("b", ["2"])], now: 30, in: store)
    #expect(try uses(store)["2"] == LayerUse(reports: 1, unusedSince: 0))
    let removed = try await store.write { try store.removeImage(image, now: 40, in: $0) }
    #expect(removed == 1)
    #expect(try uses(store)["2"] == LayerUse(reports: 0, unusedSince: 40))
  }

  @Test func `A store that counted nothing is counted when it is opened`() async throws {
    var store = try await open()
    let confirmed = ConfirmationKey(integration: 1, generation: 1, repository: "app", digest: "alone")
    for number in 0..<1_200 {
      let key = LayerKey(analyserVersion: 1, digest: number == 0 ? "alone" : "\(number)")
      try await store.putLayerAnalysis(LayerAnalysis(), key, confirmed: confirmed, now: 10)
    }
    try await put([report("a", (1..<1_200).map { "\($0)" })], now: 10, in: store)
    try await store.write { [store] in try store.setUntagged(image, now: 10, in: $0) }
    let before = try uses(store)
    // As a version has left it that knew nothing of this.
    try await store.write { [store] transaction in
      _ = try transaction.delete(StateStore.meta, "layer_uses")
      try transaction.clear(StateStore.layerUses)
      try transaction.clear(StateStore.layersUnused)
      try transaction.clear(StateStore.imagesUntagged)
      try store.changeImage(image, in: transaction) { $0.untaggedAt = 0 }
    }
    store.close()
    store = try await open()
    defer { store.close() }
    let after = try uses(store)
    #expect(after.count == before.count && after["1"] == before["1"])
    #expect(after["alone"]?.reports == 0 && after["alone"]?.unusedSince ?? 0 > 10)
    let untagged = try #require(try store.image(image)).untaggedAt
    #expect(untagged > 10)
    let hasRow = try store.read {
      try $0.has(StateStore.imagesUntagged, UntaggedImageKey(since: untagged, image: image))
    }
    #expect(hasRow)
  }

  @Test func `What is removed is not in use any more, though the file stays as large`() async throws {
    let store = try await open()
    defer { store.close() }
    let empty = try store.size()
    try await store.write { transaction in
      for number in 0..<2_000 {
        let key = TagKey(integration: 1, repository: "app", tag: "\(number)")
        var tag = TagRecord()
        tag.reason = String(repeating: "x", count: 1_000)
        try transaction.put(StateStore.tags, key, tag)
      }
    }
    let full = try store.size()
    #expect(full.usedBytes > empty.usedBytes + 2_000_000)
    #expect(full.limitBytes == 1 << 28 && full.fileBytes >= full.usedBytes)
    try await store.write { transaction in
      _ = try transaction.deleteAll(StateStore.tags, prefix: { _ in }, limit: 5_000)
    }
    let after = try store.size()
    #expect(after.usedBytes < empty.usedBytes + 200_000)
    #expect(after.fileBytes >= full.fileBytes)
  }

  @Test(arguments: [(79, false), (80, true), (100, true)]) func `A store is nearly full from four fifths on`(
    used: Int, isNearlyFull: Bool
  ) {
    #expect(StoreSize(usedBytes: used, limitBytes: 100, fileBytes: 100).isNearlyFull == isNearlyFull)
  }
}
