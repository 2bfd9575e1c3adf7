import Advisories
import Glibc
import Model
import Posix
import Queue
import Registry
import StorageMessages
import Store
import TestSupport
import Testing

@testable import Pipeline

struct ReportBuilderTests {
  private func report(
    commands: [String], layers: Int, cached: Bool = false, analysis: LayerAnalysis? = Layers.analysis([])
  ) throws -> ReportRecord {
    let image = FakeImage(layers: (0..<layers).map { Array("layer \($0)".utf8) }, history: commands)
    let platform = try PlatformImage.reading(image)
    return try ReportBuilder.build(
      platform,
      layers: platform.image.layers.map { ReportBuilder.Layer(descriptor: $0, cached: cached, analysis: analysis) },
      scannedAt: 42)
  }

  @Test func `Each layer has its command and size`() throws {
    let report = try report(commands: ["ADD a", "RUN b"], layers: 2, cached: true)
    #expect(report.layers.map(\.createdBy) == ["ADD a", "RUN b"])
    #expect(report.layers.map(\.sizeBytes) == [7, 7])
    #expect(report.layers.map(\.cached) == [true, true])
    #expect(report.scannedAt == 42)
  }

  @Test func `A history that does not fit the layers is said, and no layer gets a wrong command`() throws {
    let report = try report(commands: ["ADD a"], layers: 2)
    #expect(report.layers.map(\.createdBy) == ["", ""])
    #expect(report.findings.map(\.id).contains("HISTORY_MISMATCH"))
  }

  @Test func `A layer that was not read is an error finding of that layer`() throws {
    let report = try report(commands: ["ADD a"], layers: 1, analysis: nil)
    let finding = try #require(report.findings.first { $0.id == "FOREIGN_LAYER" })
    #expect((finding.kind, finding.layer) == (.error, 0))
    #expect([finding].severityCounts == SeverityCounts())
  }

  @Test func `All commands together leave room in a message`() throws {
    let long = String(repeating: "é", count: 4000)
    let report = try report(commands: Array(repeating: long, count: 1000), layers: 1000)
    #expect(report.layers.reduce(0) { $0 + $1.createdBy.utf8.count } <= ReportBuilder.commandBytesMaximum + 8 * 1000)
    let short = try self.report(commands: [String(repeating: "x", count: 5000)], layers: 1)
    #expect(short.layers[0].createdBy.utf8.count == ReportBuilder.createdByBytesMaximum + 3)
  }
}

extension PlatformImage {
  static func reading(_ image: FakeImage) throws -> PlatformImage {
    try FakeRegistry.parse(image)
  }
}

struct ScanFailureTests {
  private static func job(attempt: UInt32) -> JobRecord {
    var job = JobRecord()
    job.attempt = attempt
    return job
  }

  private static let backOff: ClosedRange<Duration> = .seconds(5)...(.seconds(600))

  static let table: [(any Error & Sendable, String, Bool)] = [
    (RegistryError(.serverError, "x", isTransient: true), "SERVER_ERROR", true),
    (RegistryError(.notFound, "x"), "NOT_FOUND", false),
    (RegistryError(.unauthorized, "x"), "UNAUTHORIZED", false),
    (RegistryError(.digestMismatch, "x"), "DIGEST_MISMATCH", false),
    (RegistryError(.notAnImage, "x"), "NOT_AN_IMAGE", false),
    (ImageProblem(code: .noPlatform, message: "x", hint: "y"), "NO_PLATFORM", false),
    (ImageProblem(code: .malformed, message: "x", hint: "y"), "MALFORMED", false),
    (TimeLimitExceeded(limit: .seconds(10)), "SCAN_TIMEOUT", true),
    (PosixError("start", errno: ENOENT), "WORKER_FAILED", true),
    (PosixError("pipe", errno: EMFILE), "WORKER_FAILED", true),
    (StoreError(.diskFull, "x", hint: "y"), "DISK_FULL", true),
    (StoreError(.mapFull, "x", hint: "y"), "MAP_FULL", true),
    (StoreError(.damaged, "x", hint: "y"), "STORE_DAMAGED", false),
    (StoreError(.secrets, "x", hint: "y"), "SECRETS_UNREADABLE", false),
    (CancellationError(), "INTERNAL", true),
  ]

  @Test(arguments: table.indices)
  func `Every error has its code, a hint, and whether another try may help`(index: Int) {
    let (error, code, isTransient) = Self.table[index]
    let verdict = ScanFailure(error, Self.job(attempt: 1), Self.backOff)
    #expect(verdict.failure.code == code)
    #expect(!verdict.failure.hint.isEmpty)
    #expect((verdict.retryAfter != nil) == isTransient)
    #expect(verdict.failure.isNoImage == (code == "NOT_AN_IMAGE"))
  }

  @Test(arguments: [(UInt32(0), 5), (1, 5), (2, 10), (3, 20), (8, 600), (UInt32.max, 600)])
  func `The wait doubles up to its bound, with up to a quarter more`(attempt: UInt32, seconds: Int) throws {
    let error = RegistryError(.serverError, "x", isTransient: true)
    let wait = try #require(ScanFailure(error, Self.job(attempt: attempt), Self.backOff).retryAfter)
    #expect((.seconds(seconds)...(.seconds(seconds) * 1.25)).contains(wait))
  }

  @Test func `A registry's own wait holds where it is longer`() throws {
    let error = RegistryError(.rateLimited, "x", isTransient: true, retryAfter: .seconds(1800))
    #expect(ScanFailure(error, Self.job(attempt: 1), Self.backOff).retryAfter == .seconds(1800))
  }
}

@Suite(.timeLimit(.minutes(1)))
struct RematcherTests {
  private let registry: FakeRegistry
  private let plant: Plant
  private let hub: IntegrationRecord
  private let rematcher: Rematcher

  init() async throws {
    registry = try FakeRegistry()
    plant = try await Plant()
    hub = try await plant.integration("hub", registry)
    rematcher = Rematcher(store: plant.store, matcher: plant.matcher)
  }

  private func importAdvisories() async throws {
    _ = try await plant.advisories.importSets([
      AdvisoryUpload(name: "test", file: "\(Corpus.checkout)/Tests/Pipeline/Fixtures/osv.zip")
    ])
  }

  private func scanned(_ name: String) async throws -> ImageKey {
    let image = FakeImage(layers: [Layers.answer(Layers.debian), Layers.plain(name)])
    registry.put(image, "app")
    let before = plant.events.count("scan finished")
    try await plant.add(image, to: hub)
    try await plant.scan([("scan finished", before + 1)])
    return plant.key(image, hub)
  }

  private func vulnerabilities(_ key: ImageKey) throws -> [String] {
    try plant.reports(key).flatMap(\.findings).filter { $0.kind == .vulnerability }.map(\.id)
  }

  @Test func `New advisories reach every stored report without a request, and each only once`() async throws {
    let keys = [try await scanned("a"), try await scanned("b")]
    #expect(try vulnerabilities(keys[0]) == [])
    try await importAdvisories()
    registry.intercept { _ in .reply(500) }
    #expect(try await rematcher.run() == 2)
    for key in keys { #expect(try vulnerabilities(key) == ["TEST-2026-0001"]) }
    #expect(try plant.store.image(keys[0])?.counts?.unknown == 1)
    #expect(try await rematcher.run() == 0)
  }

  @Test func `A run that was cut short is gone on with by the next`() async throws {
    let keys = [try await scanned("a"), try await scanned("b")]
    try await importAdvisories()
    // One report was matched before the end.
    let matched = try await plant.matcher.match(try plant.reports(keys[0]))
    try await plant.store.write { [store = plant.store] in try store.putReports(matched, of: keys[0], now: 0, in: $0) }
    #expect(try await rematcher.run() == 1)
    #expect(try vulnerabilities(keys[1]) == ["TEST-2026-0001"])
  }

  @Test func `A cancelled run ends`() async throws {
    _ = try await scanned("a")
    try await importAdvisories()
    let run = Task { [rematcher] in
      withUnsafeCurrentTask { $0?.cancel() }
      return try await rematcher.run()
    }
    await #expect(throws: CancellationError.self) { try await run.value }
  }

  @Test func `A scan that ends after an import is matched with it`() async throws {
    try await importAdvisories()
    let key = try await scanned("a")
    #expect(try vulnerabilities(key) == ["TEST-2026-0001"])
    #expect(try await rematcher.run() == 0)
  }
}
