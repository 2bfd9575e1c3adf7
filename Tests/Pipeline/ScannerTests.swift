import Model
import Posix
import Queue
import Registry
import StorageMessages
import Store
import TestSupport
import Testing

@testable import Pipeline

/// Scans from the queue to the report, against a registry in memory.
@Suite(.timeLimit(.minutes(1)))
struct ScannerTests {
  private let registry: FakeRegistry
  private let plant: Plant
  private let hub: IntegrationRecord

  init() async throws {
    registry = try FakeRegistry()
    plant = try await Plant()
    hub = try await plant.integration("hub", registry)
  }

  private func blob(_ bytes: [UInt8], _ repository: String = "app") -> String {
    "/v2/\(repository)/blobs/\(FakeImage.digest(bytes))"
  }

  @Test func `An image is scanned, and its report says what is in it and where it came from`() async throws {
    let image = FakeImage(layers: [Layers.answer(Layers.debian), Layers.plain("b")])
    registry.put(image, "app")
    let job = try await plant.add(image, to: hub)
    try await plant.scan([("scan finished", 1)])
    let ended = try plant.job(job)
    #expect(ended.state == .finished)
    #expect(ended.attempt == 1)
    #expect(ended.errorCode == "")
    let report = try #require(try plant.reports(plant.key(image, hub)).first)
    #expect(report.packages.compactMap(\.package?.name).sorted() == ["base-files", "tar"])
    #expect(report.packages.allSatisfy { $0.layer == 0 })
    #expect(report.layers.map(\.createdBy) == ["RUN step 0", "RUN step 1"])
    #expect(report.layers.map(\.cached) == [false, false])
    let record = try #require(try plant.store.image(plant.key(image, hub)))
    #expect(record.status == .scanned)
    #expect(record.createdAt == Timestamp(rfc3339: "2026-02-01T08:00:00Z")?.nanosecondsSince1970)
  }

  @Test(.enabled(if: RealWorker.path != nil, "tidewaiter-worker is not built beside the tests"))
  func `The real worker reads a layer as it is`() async throws {
    let image = FakeImage(layers: [Layers.tar(Layers.debian)])
    registry.put(image, "app")
    try await plant.add(image, to: hub)
    try await plant.scan([("scan finished", 1)], worker: try #require(RealWorker.path))
    let report = try #require(try plant.reports(plant.key(image, hub)).first)
    #expect(report.os?.id == "debian")
    #expect(report.packages.compactMap(\.package?.name).sorted() == ["base-files", "tar"])
    #expect(report.findings.map(\.id) == ["RUNS_AS_ROOT", "NO_HEALTHCHECK"])
  }

  // MARK: - What fails

  @Test func `A scan over its time is stopped and put back twice, then ends as SCAN_TIMEOUT`() async throws {
    let slow = try await plant.integration("slow", registry) { $0.scanTimeoutSeconds = 0 }
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    registry.intercept { $0.path.contains("/blobs/") || $0.path.contains("/manifests/") ? .silence() : nil }
    let job = try await plant.add(image, to: slow)
    try await plant.scan([("scan failed and will be tried again", 2), ("scan failed", 1)])
    let ended = try plant.job(job)
    #expect(ended.state == .error)
    #expect(ended.attempt == 3)
    #expect(ended.errorCode == "SCAN_TIMEOUT")
    let record = try #require(try plant.store.image(plant.key(image, slow)))
    #expect(record.status == .failed)
    #expect(record.statusReason.hasPrefix("SCAN_TIMEOUT: "))
  }

  @Test func `A transient failure is tried again after its wait, and counts as an attempt`() async throws {
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    let path = blob(image.layers[0])
    let failures = Events()
    registry.intercept { request in
      guard request.path == path, failures.count("503") < 2 else { return nil }
      failures.record("503")
      return .reply(503)
    }
    let job = try await plant.add(image, to: hub)
    try await plant.scan([("scan finished", 1)])
    let ended = try plant.job(job)
    #expect(ended.state == .finished)
    #expect(ended.attempt == 3)
    #expect(ended.errorCode == "")
  }

  @Test func `A registry that says when is not asked sooner`() async throws {
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    registry.intercept { $0.path.contains("/manifests/") ? .reply(429, [("Retry-After", "2")]) : nil }
    let job = try await plant.add(image, to: hub)
    try await plant.scanning { scanner in
      await plant.events.wait(for: "scan failed and will be tried again")
      let waiting = try plant.job(job)
      #expect(waiting.state == .pending)
      #expect(waiting.errorCode == "RATE_LIMITED")
      #expect((1_000_000_000...2_000_000_000).contains(waiting.notBefore - plant.clock.wall.now))
      registry.intercept(nil)
      plant.clock.advance(.seconds(3))
      scanner.poke()
      await plant.events.wait(for: "scan finished")
    }
    #expect(try plant.job(job).attempt == 2)
  }

  @Test(arguments: [
    (404, "NOT_FOUND"), (403, "FORBIDDEN"), (400, "REQUEST_REFUSED"),
  ])
  func `A permanent failure ends the job at once`(status: Int, code: String) async throws {
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    registry.intercept { $0.path.contains("/manifests/") ? .reply(status) : nil }
    let job = try await plant.add(image, to: hub)
    try await plant.scan([("scan failed", 1)])
    let ended = try plant.job(job)
    #expect(ended.state == .error)
    #expect(ended.attempt == 1)
    #expect(ended.errorCode == code)
    #expect(!ended.errorHint.isEmpty)
    #expect(try plant.store.image(plant.key(image, hub))?.status == .failed)
  }

  /// H43.
  @Test func `A layer whose bytes are others ends the job, and no analysis is kept under its digest`() async throws {
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    let (path, other) = (blob(image.layers[0]), image.layers[0].map { $0 ^ 1 })
    registry.intercept { $0.path == path ? .reply(200, [], other) : nil }
    let job = try await plant.add(image, to: hub)
    try await plant.scan([("scan failed", 1)])
    #expect(try plant.job(job).errorCode == "DIGEST_MISMATCH")
    #expect(try plant.store.read { try $0.count(StateStore.layers) } == 0)
    #expect(try plant.store.read { try $0.count(StateStore.confirmations) } == 0)
  }

  @Test(arguments: [
    (FakeWorker.crash, "WORKER_ENDED"), (.status, "WORKER_ENDED"), (.half, "WORKER_ANSWER"),
    (.garbage, "WORKER_ANSWER"),
    (.early, "WORKER_ANSWER"),
  ])
  func `What a worker does wrong is a finding of its layer, and is not remembered`(
    worker: FakeWorker, code: String
  ) async throws {
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    let job = try await plant.add(image, to: hub)
    try await plant.scan([("scan finished", 1)], worker: worker.path)
    #expect(try plant.job(job).state == .finished)
    let report = try #require(try plant.reports(plant.key(image, hub)).first)
    let finding = try #require(report.findings.first { $0.id == code })
    #expect(finding.kind == .error)
    #expect(finding.layer == 0)
    #expect(try plant.store.read { try $0.count(StateStore.layers) } == 0)
  }

  @Test func `A worker that cannot be started is a transient failure`() async throws {
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    let job = try await plant.add(image, to: hub)
    try await plant.scan([("scan failed", 1)], worker: "/nowhere/tidewaiter-worker")
    let ended = try plant.job(job)
    #expect(ended.errorCode == "WORKER_FAILED")
    #expect(ended.attempt == 3)
  }

  @Test func `What the queue holds and nobody can ask for ends at once`() async throws {
    let key = ImageKey(integration: hub.id, repository: "app", digest: "sha256:short")
    let job = try #require(await plant.intake.queue([Intake.Item(image: key, tag: "")], priority: .person).first).job
    try await plant.scan([("scan failed", 1)])
    #expect(try plant.job(job.id).errorCode == "MALFORMED")
  }

  @Test(arguments: ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "", "now"])
  func `No creation date stops a scan`(created: String) async throws {
    let image = FakeImage(layers: [Layers.plain("a")], created: created)
    registry.put(image, "app")
    let job = try await plant.add(image, to: hub)
    try await plant.scan([("scan finished", 1)])
    #expect(try plant.job(job).state == .finished)
  }

  @Test func `Of two images for one platform the first is reported, and the other said`() async throws {
    let (first, second) = (FakeImage(layers: [Layers.plain("a")]), FakeImage(layers: [Layers.plain("b")]))
    registry.put(first, "app")
    registry.put(second, "app")
    let entries = [first, second].map {
      FakeImage.descriptor(
        $0.manifest, FakeImage.manifestType, extra: ",\"platform\":{\"os\":\"windows\",\"architecture\":\"amd64\"}")
    }
    let index = Array(
      "{\"schemaVersion\":2,\"mediaType\":\"\(FakeImage.indexType)\",\"manifests\":[\(entries.joined(separator: ","))]}"
        .utf8)
    registry.put(manifest: index, type: FakeImage.indexType, "app")
    let all = try await plant.integration("all", registry) { $0.platforms = ["all"] }
    let key = ImageKey(integration: all.id, repository: "app", digest: FakeImage.digest(index).description)
    _ = try await plant.intake.queue([Intake.Item(image: key, tag: "")], priority: .person)
    try await plant.scan([("scan finished", 1)])
    let reports = try plant.reports(key)
    #expect(reports.map(\.manifestDigest) == [first.digest.description])
    #expect(reports[0].notes.contains { $0.contains(second.digest.description) })
    #expect(try plant.store.image(key)?.platforms == ["windows/amd64"])
  }

  // MARK: - What is cut short

  @Test func `A stop puts the job back, and the attempt does not count`() async throws {
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    let path = blob(image.layers[0])
    registry.intercept { $0.path == path ? .silence(after: Self.head(of: image.layers[0])) : nil }
    let job = try await plant.add(image, to: hub)
    try await plant.scanning { _ in await registry.events.wait(for: "GET \(path)") }
    let back = try plant.job(job)
    #expect(back.state == .pending)
    #expect(back.attempt == 0)
    #expect(back.interruptions == 1)
    #expect(back.lease == 0)
    registry.intercept(nil)
    try await plant.scan([("scan finished", 1)])
    #expect(try plant.job(job).attempt == 1)
  }

  @Test func `The fifth interruption ends the job, and its image does not wait for ever`() async throws {
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    let path = blob(image.layers[0])
    registry.intercept { $0.path == path ? .silence() : nil }
    let job = try await plant.add(image, to: hub)
    for round in 1...5 {
      try await plant.scanning { _ in await registry.events.wait(for: "GET \(path)", count: round) }
    }
    let ended = try plant.job(job)
    #expect(ended.state == .error)
    #expect(ended.errorCode == "INTERRUPTED")
    let record = try #require(try plant.store.image(plant.key(image, hub)))
    #expect(record.status == .failed)
    #expect(record.statusReason.hasPrefix("INTERRUPTED: "))
  }

  @Test func `A job given up at the start of the daemon tells its image`() async throws {
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    let job = try await plant.add(image, to: hub)
    for _ in 1...5 {
      _ = try await plant.queue.lease { _ in .open }
      _ = try await plant.queue.recover()
    }
    #expect(try plant.job(job).state == .error)
    #expect(try plant.store.image(plant.key(image, hub))?.status == .failed)
  }

  @Test func `A job that is queued again has its image back, and retention counts anew`() async throws {
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    let job = try await plant.add(image, to: hub)
    let key = plant.key(image, hub)
    _ = try await plant.queue.cancel([job], actor: "uid:7")
    #expect(try plant.store.image(key)?.status == .skipped)
    // As retention does with one that no tag points to any more.
    _ = try await plant.store.write { [store = plant.store] in try store.removeImage(key, now: 5, in: $0) }
    #expect(try plant.store.image(key) == nil)
    #expect(try await plant.queue.retry([job], actor: "uid:7").map(\.isChanged) == [true])
    let record = try #require(try plant.store.image(key))
    #expect(record.status == .queued && record.lastJobId == job)
    let again = try plant.job(job)
    #expect(record.untagged && record.untaggedAt == again.enqueuedAt)
    try await plant.scan([("scan finished", 1)])
    #expect(try plant.reports(key).count == 1)
  }

  @Test func `A removal ends the scan, and nothing is stored for it any more`() async throws {
    let image = FakeImage(layers: [Layers.plain("a"), Layers.plain("b")])
    registry.put(image, "app")
    let path = blob(image.layers[1])
    registry.intercept { $0.path == path ? .silence(after: Self.head(of: image.layers[1])) : nil }
    let job = try await plant.add(image, to: hub)
    try await plant.scanning { scanner in
      await registry.events.wait(for: "GET \(path)")
      _ = try await plant.store.beginRemoval(named: "hub", now: 0) { [queue = plant.queue] id, transaction in
        try queue.cancelAll(ofRemoved: id, in: transaction)
      }
      await scanner.abandon(hub.id)
      while try await plant.store.removeRemains(of: hub.id, now: plant.clock.wall.now) {}
      #expect(plant.events.count("the job was cancelled meanwhile") == 1)
    }
    let ended = try plant.job(job)
    #expect(ended.state == .cancelled)
    #expect(ended.errorCode == "INTEGRATION_REMOVED")
    #expect(try plant.store.read { try $0.count(StateStore.confirmations) } == 0)
    #expect(try plant.reports(plant.key(image, hub)).isEmpty)
  }

  @Test func `A job whose integration went away before its scan began ends quietly`() async throws {
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app")
    let job = try await plant.add(image, to: hub)
    _ = try await plant.store.beginRemoval(named: "hub", now: 0) { _, _ in }
    try await plant.scan([("scan failed", 1)])
    #expect(try plant.job(job).errorCode == "INTEGRATION_REMOVED")
  }

  /// What a server sends before it falls silent within a blob.
  private static func head(of blob: [UInt8]) -> [UInt8] {
    Array("HTTP/1.1 200 OK\r\nContent-Length: \(blob.count)\r\n\r\n".utf8) + blob.prefix(1)
  }
}

extension FakeImage {
  static func digest(_ bytes: [UInt8]) -> Digest { FakeRegistry.digest(bytes) }
}
