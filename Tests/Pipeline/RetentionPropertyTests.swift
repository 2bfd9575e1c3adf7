import Posix
import Queue
import StorageMessages
import Store
import TestSupport
import Testing

@testable import Pipeline

/// What random polls and scans have done, and what of it must still be there.
private struct History {
  private static let day: Int64 = 86_400 * 1_000_000_000

  let house: Warehouse
  var random: Seeded
  /// The layers of each report of an image that was scanned.
  var images: [ImageKey: [[String]]] = [:]
  var tags: [TagKey: ImageKey] = [:]
  var untaggedAt: [ImageKey: Int64] = [:]
  /// Of layers that were analysed: when no report named them any more, or they were last asked for since.
  var layers: [String: Int64] = [:]
  /// When jobs were queued that are begun and have not ended.
  var begun: [ImageKey: Int64] = [:]
  var goneTags: [TagKey: Int64] = [:]
  var events: [UInt64: Int64] = [:]
  /// How many rows of each kind went.
  var removed: [RetentionOutcome.Kind: UInt64] = [:]

  init(_ house: Warehouse, seed: UInt64) {
    self.house = house
    random = Seeded(seed)
  }

  private func references(_ digest: String) -> Int { images.values.joined().count { $0.contains(digest) } }

  mutating func step() async throws {
    switch Int.random(in: 0..<12, using: &random) {
    case 0...3: try await scan()
    case 4: try await attempt()
    case 5: try await drop()
    case 6, 7: try await point()
    case 8: try await end()
    case 9: try await append()
    default: house.plant.clock.advance(.seconds(Int.random(in: 1...1_500_000, using: &random)))
    }
  }

  private mutating func image() -> ImageKey {
    house.image("sha256:\(Int.random(in: 0..<40, using: &random))", "app\(Int.random(in: 0..<2, using: &random))")
  }

  private mutating func tag(_ repository: String) -> TagKey {
    house.tag("t\(Int.random(in: 0..<8, using: &random))", repository)
  }

  private mutating func someLayers() -> [String] {
    (0..<Int.random(in: 1...4, using: &random)).map { _ in "sha256:l\(Int.random(in: 0..<60, using: &random))" }
  }

  private mutating func scan() async throws {
    let image = image()
    let reports = (0..<Int.random(in: 1...2, using: &random)).map { _ in someLayers() }
    let named = Set(reports.joined()), before = Set((images[image] ?? []).joined())
    try await house.scan(image, layers: reports)
    images[image] = reports
    for digest in named.union(before) { layers[digest] = house.now }
    if untaggedAt[image] == nil { try await point(to: image) }
  }

  private mutating func point() async throws {
    if let image = images.keys.sorted(by: { ($0.repository, $0.digest) < ($1.repository, $1.digest) })
      .randomElement(using: &random)
    {
      try await point(to: image)
    }
  }

  private mutating func point(to image: ImageKey) async throws {
    let tag = tag(image.repository)
    let previous = tags.updateValue(image, forKey: tag)
    try await house.point(tag, to: image)
    goneTags[tag] = nil
    untaggedAt[image] = nil
    if let previous { leave(previous) }
  }

  private mutating func drop() async throws {
    let tag = tag("app0")
    guard let image = tags.removeValue(forKey: tag) else { return }
    try await house.drop(tag)
    goneTags[tag] = house.now
    leave(image)
  }

  private mutating func leave(_ image: ImageKey) {
    guard !tags.values.contains(image), untaggedAt[image] == nil else { return }
    untaggedAt[image] = house.now
  }

  /// One that is cut short, after some layers of the image.
  private mutating func attempt() async throws {
    let image = image()
    guard begun[image] == nil else { return }
    begun[image] = house.now
    _ = try await house.queue(image, isBegun: true)
    for digest in someLayers() {
      if try await !house.store.useLayer(house.layer(digest), now: house.now) {
        try await house.analyse(digest)
      }
      layers[digest] = house.now
    }
  }

  private mutating func end() async throws {
    guard let image = begun.keys.min(by: { ($0.repository, $0.digest) < ($1.repository, $1.digest) }) else { return }
    begun[image] = nil
    try await house.store.write { _ = try $0.delete(QueueTables.active, image) }
  }

  private mutating func append() async throws {
    try await house.append(.jobChanged)
    events[try house.store.read { try StateStore.eventRange(in: $0).newest }] = house.now
  }

  /// Collects, and says what is not as it must be.
  mutating func collect() async throws {
    let outcome = try await house.collect()
    let now = outcome.startedAt
    for one in outcome.removed { removed[one.kind, default: 0] += one.count }
    let (quarter, week) = (now - 90 * Self.day, now - 7 * Self.day)
    // Times here are taken a moment after those in the store.
    let slack: Int64 = 1_000_000_000
    for image in images.keys {
      let isThere = try house.has(StateStore.images, image)
      let isOld = untaggedAt[image].map { $0 < quarter - slack } ?? false
      if isOld && begun[image] == nil {
        #expect(!isThere)
      } else if untaggedAt[image].map({ $0 >= quarter + slack }) ?? true || begun[image] != nil {
        #expect(isThere)
      }
      if !isThere {
        for digest in Set((images[image] ?? []).joined()) { layers[digest] = house.now }
        images[image] = nil
        untaggedAt[image] = nil
      } else {
        #expect(try house.plant.reports(image).map { $0.layers.map(\.digest) } == images[image])
      }
    }
    let oldest = begun.values.min() ?? .max
    for (digest, since) in layers {
      let isThere = try house.has(StateStore.layers, house.layer(digest))
      let count = references(digest)
      if count > 0 || since >= week + slack || since >= oldest {
        #expect(isThere, "\(digest) is named by \(count) reports")
      } else if since < min(week, oldest) - slack {
        #expect(!isThere)
      }
      let use = try house.store.read { try $0.get(StateStore.layerUses, digest) }
      #expect(use?.reports ?? 0 == UInt64(count))
      if !isThere { layers[digest] = nil }
    }
    for (tag, goneAt) in goneTags {
      let isThere = try house.has(StateStore.tags, tag)
      if goneAt >= quarter + slack { #expect(isThere) } else if goneAt < quarter - slack { #expect(!isThere) }
      if !isThere { goneTags[tag] = nil }
    }
    for tag in tags.keys { #expect(try house.has(StateStore.tags, tag)) }
    for (sequence, time) in events where time >= quarter + slack {
      #expect(try house.has(StateStore.events, sequence))
    }
  }
}

struct RetentionPropertyTests {
  @Test(arguments: UInt64(1)...6) func `Whatever has happened, what is needed stays and what is old goes`(
    seed: UInt64
  ) async throws {
    var history = History(try await Warehouse(), seed: seed)
    for number in 1...600 {
      try await history.step()
      if number % 25 == 0 { try await history.collect() }
    }
    // Else it would have shown nothing.
    for kind in [RetentionOutcome.Kind.images, .reports, .layers, .events, .tagHistory, .tags] {
      #expect(history.removed[kind] ?? 0 > 0, "\(kind)")
    }
  }
}
