import Model
import Posix
import Queue
import Registry
import StorageMessages
import Store
import Synchronization
import TestSupport
import Testing

@testable import Pipeline

/// How long a scan may take and how large an image may be, on a clock that stands still until a test moves it.
@Suite(.timeLimit(.minutes(1)))
struct ScanLimitTests {
  private static let limit = Duration.seconds(100)

  private let time = ManualTime()
  private let registry: FakeRegistry

  init() throws { registry = try FakeRegistry() }

  private func integration(
    _ plant: Plant, _ change: (inout IntegrationRecord) -> Void = { _ in }
  ) async throws -> IntegrationRecord {
    try await plant.integration("slow", registry) { record in
      record.scanTimeoutSeconds = 100
      change(&record)
    }
  }

  private static func isLayer(_ request: ScriptedServer.Request, of image: FakeImage) -> Bool {
    request.method == "GET" && request.path.contains("/blobs/") && !request.path.hasSuffix(image.configDigest)
  }

  // MARK: - Time

  enum Place: String, CaseIterable { case manifest, config, layer }

  /// H04, its floor rate being no hindrance: the bytes come one by one.
  @Test(arguments: Place.allCases)
  func `A registry that dribbles costs three attempts, and the next image is not delayed`(place: Place) async throws {
    let plant = try await Plant()
    let slow = try await integration(plant)
    // Hours of it.
    let image = FakeImage(layers: [[UInt8](repeating: 1, count: 1 << 20)])
    registry.put(image, "app")
    let held = Array("HTTP/1.1 200 OK\r\nContent-Type: \(FakeImage.manifestType)\r\nContent-Length: 9999\r\n\r\n".utf8)
    registry.intercept { [events = registry.events] request in
      let isHeld =
        switch place {
        case .manifest: request.path.contains("/manifests/")
        case .config: request.path.hasSuffix(image.configDigest)
        case .layer: Self.isLayer(request, of: image)
        }
      guard isHeld else { return nil }
      events.record("held")
      // A layer's size is known, and an answer with another would be refused.
      let size = image.layers[0].count
      return place == .layer
        ? .drip(Array("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n".utf8), milliseconds: 20)
        : .drip(held, milliseconds: 20)
    }
    let quick = try FakeRegistry()
    let other = try await plant.integration("other", quick)
    let next = FakeImage(layers: [Layers.plain("b")])
    quick.put(next, "app")
    let job = try await plant.add(image, to: slow)
    let nextJob = try await plant.add(next, to: other)
    try await plant.scanning(time: time) { _ in
      for attempt in 1...3 {
        await registry.events.wait(for: "held", count: attempt)
        await time.wait(forSleepOf: Self.limit)
        if attempt == 1 { await plant.events.wait(for: "scan finished") }
        let running = try plant.job(job)
        #expect(running.state == .inProgress)
        #expect(running.attempt == attempt)
        time.advance(Self.limit)
        if attempt < 3 {
          await plant.events.wait(for: "scan failed and will be tried again", count: attempt)
        } else {
          await plant.events.wait(for: "scan failed")
        }
      }
    }
    let ended = try plant.job(job)
    #expect(ended.state == .error)
    #expect(ended.attempt == 3)
    #expect(ended.errorCode == "SCAN_TIMEOUT")
    #expect(ended.errorMessage.contains("100"))
    #expect(!ended.errorHint.isEmpty)
    let attempts = try plant.queue.attempts(of: job).map(\.record)
    #expect(attempts.map(\.outcome) == [.timedOut, .timedOut, .timedOut])
    #expect(attempts.map(\.errorCode) == ["SCAN_TIMEOUT", "SCAN_TIMEOUT", "SCAN_TIMEOUT"])
    #expect(attempts.map(\.attempt) == [1, 2, 3])
    let finished = try plant.job(nextJob)
    #expect(finished.state == .finished)
    #expect(finished.finishedAt < ended.finishedAt)
  }

  @Test func `The time is over at once while advisories are matched, too`() async throws {
    let (events, hold) = (Events(), Signal())
    let plant = try await Plant(
      matcherClock: WallClock {
        events.record("matching")
        hold.wait()
        return 0
      })
    let slow = try await integration(plant)
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    let job = try await plant.add(image, to: slow)
    try await plant.scanning(time: time) { _ in
      await events.wait(for: "matching")
      let state = try plant.job(job).state
      #expect(state == .parsingResults)
      time.advance(Self.limit)
      await plant.events.wait(for: "scan failed and will be tried again")
      // The layer is not fetched again.
      for _ in 2...3 {
        await time.wait(forSleepOf: Self.limit)
        time.advance(Self.limit)
      }
      await plant.events.wait(for: "scan failed")
    }
    for _ in 1...4 { hold.send() }
    #expect(try plant.job(job).errorCode == "SCAN_TIMEOUT")
    #expect(registry.requests("GET /v2/app/blobs/\(FakeRegistry.digest(image.layers[0]))") == 1)
  }

  @Test func `An attempt that does not end when it is told to is given up, and its job goes on`() async throws {
    let (events, clock) = (Events(), TestClock())
    // Waits for the registry's pace, and hears nothing meanwhile.
    let deaf = PacingClock(
      elapsed: { .nanoseconds(clock.wall.now) },
      sleep: { length in
        events.record("deaf")
        // Not cancelled with the attempt.
        await Task { await events.wait(for: "awake") }.value
        clock.advance(length)
      }, wallSeconds: { 0 }, random: { 0.5 })
    let plant = try await Plant(clock: clock, pacing: deaf)
    let slow = try await integration(plant) { $0.requestsPerSecond = 1 }
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    let job = try await plant.add(image, to: slow)
    try await plant.scanning(time: time) { scanner in
      // Whatever fails here: nothing is to wait for ever.
      defer { events.record("awake") }
      await events.wait(for: "deaf")
      await time.wait(forSleepOf: Self.limit)
      await time.wait(forSleepOf: Self.limit + .seconds(30))
      let lease = try plant.job(job).lease
      time.advance(Self.limit)
      #expect(scanner.liveLeases == [lease])
      time.advance(.seconds(30))
      await plant.events.wait(for: "a scan did not end when its time was over, and is given up")
      await plant.events.wait(for: "scan failed and will be tried again")
      events.record("awake")
      await plant.events.wait(for: "scan finished")
      await plant.events.wait(for: "the job was cancelled meanwhile")
    }
    let ended = try plant.job(job)
    #expect(ended.state == .finished)
    #expect(ended.attempt == 2)
  }

  // MARK: - What is there already

  @Test(arguments: [true, false])
  func `Layers that an earlier attempt has analysed are not fetched again`(isKilled: Bool) async throws {
    let plant = try await Plant()
    let slow = try await integration(plant)
    let image = FakeImage(layers: (1...4).map { Layers.plain("\($0)") })
    registry.put(image, "app")
    let held = Mutex<String?>(nil)
    // One at a time with two workers: the fourth is not asked for before three have come.
    registry.intercept { [events = registry.events] request in
      guard Self.isLayer(request, of: image) else { return nil }
      events.record("layer")
      guard events.count("layer") == 4 else { return nil }
      held.withLock { $0 = request.path }
      events.record("held")
      return .silence()
    }
    let job = try await plant.add(image, to: slow)
    try await plant.scanning(workers: 2, time: time) { _ in
      await registry.events.wait(for: "held")
      guard !isKilled else { return }
      await time.wait(forSleepOf: Self.limit)
      time.advance(Self.limit)
      await plant.events.wait(for: "scan finished")
    }
    if isKilled { try await plant.scanning(workers: 2) { _ in await plant.events.wait(for: "scan finished") } }
    let ended = try plant.job(job)
    #expect(ended.state == .finished)
    #expect(ended.attempt == (isKilled ? 1 : 2))
    let path = held.withLock { $0 }
    for layer in image.layers {
      let layerPath = "/v2/app/blobs/\(FakeRegistry.digest(layer))"
      #expect(registry.requests("GET \(layerPath)") == (layerPath == path ? 2 : 1))
    }
    let report = try #require(try plant.reports(plant.key(image, slow)).first)
    #expect(report.layers.count { $0.cached } == 3)
    // Of the last attempt: what it had to fetch.
    let size = UInt64(image.layers[0].count)
    #expect((ended.bytesTotal, ended.layersTotal, ended.layersKnown) == (size, 4, 3))
    let attempts = try plant.queue.attempts(of: job).map(\.record)
    #expect(attempts.map(\.outcome) == [isKilled ? .interrupted : .timedOut, .finished])
    #expect(attempts.map(\.bytesFetched) == [3 * size, size])
    #expect(attempts.map(\.layersDone) == [3, 4])
    #expect(attempts.map(\.layersKnown) == [0, 3])
  }

  // MARK: - Cancelled from outside

  @Test func `Cancelled attempts end at once, and what became of their jobs is for others to write`() async throws {
    let plant = try await Plant()
    let slow = try await integration(plant)
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    registry.intercept { $0.path.contains("/manifests/") ? .silence() : nil }
    let job = try await plant.add(image, to: slow)
    let manifest = "GET /v2/app/manifests/\(image.digest)"
    try await plant.scanning(time: time) { scanner in
      await registry.events.wait(for: manifest)
      let lease = try plant.job(job).lease
      #expect(scanner.liveLeases == [lease])
      scanner.cancel([lease, 99])
      await plant.events.wait(for: "the job was cancelled meanwhile")
    }
    // Nobody did.
    #expect(try plant.job(job).state == .inProgress)
  }

  /// The scanner hears of it before it has begun the attempt that the lease is for.
  @Test func `An attempt that was cancelled before it began asks nothing of the registry`() async throws {
    let plant = try await Plant()
    let slow = try await integration(plant)
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    let job = try await plant.add(image, to: slow)
    let lease = try #require(try await plant.queue.lease { _ in .open })
    try await plant.scanning(time: time) { scanner in
      let changes = try await plant.queue.cancel([job], actor: "uid:7")
      scanner.cancel(changes.map(\.lease))
      await scanner.begin(lease).value
      #expect(registry.requests("GET /v2/app/manifests/\(image.digest)") == 0)
      #expect(plant.events.count("the job was cancelled meanwhile") == 1)
      #expect(scanner.liveLeases.isEmpty && scanner.load.running == 0)
    }
    #expect(try plant.job(job).state == .cancelled)
  }

  @Test func `An attempt that begins after its integration was abandoned asks nothing of the registry`() async throws {
    let plant = try await Plant()
    let slow = try await integration(plant)
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    try await plant.add(image, to: slow)
    let lease = try #require(try await plant.queue.lease { _ in .open })
    try await plant.scanning(time: time) { scanner in
      _ = try await plant.store.beginRemoval(named: slow.name, now: 0) { [queue = plant.queue] id, transaction in
        try queue.cancelAll(ofRemoved: id, in: transaction)
      }
      await scanner.abandon(slow.id)
      await scanner.begin(lease).value
      #expect(registry.requests("GET /v2/app/manifests/\(image.digest)") == 0)
      #expect(plant.events.count("the job was cancelled meanwhile") == 1)
      #expect(scanner.liveLeases.isEmpty && scanner.load.running == 0)
    }
  }

  @Test func `What scans come to is told for each integration and over all`() async throws {
    let plant = try await Plant()
    let slow = try await integration(plant)
    let image = FakeImage(layers: [Layers.plain("a"), Layers.plain("b")])
    registry.put(image, "app")
    try await plant.add(image, to: slow)
    try await plant.scanning(time: time) { scanner in
      await plant.events.wait(for: "scan finished")
      // Returns when the attempt has ended.
      await scanner.abandon(slow.id)
      let (all, own) = (scanner.throughput(), scanner.throughput(of: slow.id))
      #expect(all == own)
      #expect((all.jobsEnded, all.finished) == (1, 1))
      #expect(all.bytes == UInt64(image.layers.reduce(0) { $0 + $1.count }))
      #expect(scanner.throughput(of: 99) == Throughput.Summary())
      #expect(scanner.liveLeases.isEmpty)
    }
  }

  // MARK: - Size

  private func image(of sizes: [Int64]) -> [UInt8] {
    let config = Array(
      "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}".utf8)
    let layers = sizes.enumerated().map { number, size in
      let digest = FakeRegistry.digest(Array("layer \(number)".utf8))
      return "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"\(digest)\",\"size\":\(size)}"
    }
    return Array(
      """
      {"schemaVersion":2,"mediaType":"\(FakeImage.manifestType)",
      "config":\(FakeImage.descriptor(config, "application/vnd.oci.image.config.v1+json")),
      "layers":[\(layers.joined(separator: ","))]}
      """.utf8)
  }

  @Test(arguments: [
    ([600, 500], 1000, "2 layers are declared with 1100 bytes, more than the 1000", "maximum image size"),
    ([1001], 1000, "is declared with 1001 bytes", "maximum image size"),
    ([Int64.max, Int64.max, Int64.max], 0, "is declared with", "scanner.imageBytesMaximum"),
  ])
  func `An image that is declared to be too large ends at once, before a byte of a layer is fetched`(
    sizes: [Int64], maximum: UInt64, message: String, setting: String
  ) async throws {
    let plant = try await Plant()
    let slow = try await integration(plant) { $0.maxImageBytes = maximum }
    let small = FakeImage(layers: [])
    let manifest = image(of: sizes)
    registry.put(small, "app")
    registry.put(manifest: manifest, type: FakeImage.manifestType, "app")
    let config = Array(
      "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}".utf8)
    registry.intercept { $0.path.hasSuffix(FakeRegistry.digest(config).description) ? .reply(200, [], config) : nil }
    let key = ImageKey(integration: slow.id, repository: "app", digest: FakeRegistry.digest(manifest).description)
    let job = try #require(await plant.intake.queue([Intake.Item(image: key, tag: "")], priority: .person).first).job
    try await plant.scan([("scan failed", 1)])
    let ended = try plant.job(job.id)
    #expect(ended.state == .error)
    #expect(ended.attempt == 1)
    #expect(ended.errorCode == "IMAGE_TOO_LARGE")
    #expect(ended.errorMessage.contains(message))
    #expect(ended.errorMessage.contains(setting))
    #expect(!ended.errorHint.isEmpty)
    #expect(registry.events.names.filter { $0.contains("/blobs/") }.count == 1)
  }

  @Test func `Declared sizes add up to the largest number at most`() throws {
    let digest = try #require(Digest("sha256:" + String(repeating: "a", count: 64)))
    func layer(_ size: Int64) -> Descriptor { Descriptor(mediaType: "x", digest: digest, size: size) }
    #expect(Admission.total([]) == 0)
    #expect(Admission.total([layer(1), layer(2)]) == 3)
    #expect(Admission.total(Array(repeating: layer(.max), count: 3)) == .max)
    var record = IntegrationRecord()
    record.maxImageBytes = 3
    let admission = Admission(record, daemonMaximum: 1)
    try admission.admit([layer(1), layer(2)])
    #expect(throws: ImageProblem.self) { try admission.admit([layer(1), layer(3)]) }
  }
}
