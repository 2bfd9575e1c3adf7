import Advisories
import Analysis
import Glibc
import Logging
import Model
import Posix
import Queue
import Registry
import StorageMessages
import Store
import Synchronization
import TestSupport
import Testing
import Zones

@testable import Pipeline

/// Stand-ins for the worker program.
enum FakeWorker: String, CaseIterable {
  case echo, early, crash, status, endless, asleep, deaf, half, garbage, busy, lingering, wanting

  var path: String { "\(Corpus.checkout)/Tests/Pipeline/Fixtures/workers/\(rawValue)" }
}

/// The worker as it was built, beside the tests.
enum RealWorker {
  static let path: String? = {
    let tests = CommandLine.arguments[0]
    let directory = tests.lastIndex(of: "/").map { String(tests[...$0]) } ?? "./"
    let path = directory + "tidewaiter-worker"
    return access(path, X_OK) == 0 ? path : nil
  }()
}

/// A clock that a test sets. It goes on by a microsecond whenever it is looked at, so that short waits end.
final class TestClock: Sendable {
  private let time: Atomic<Int64>

  /// RFC 3339.
  init(_ text: String = "2026-03-01T00:00:00Z") {
    time = Atomic(Timestamp(rfc3339: text)?.nanosecondsSince1970 ?? 0)
  }

  var wall: WallClock { WallClock { self.time.add(1000, ordering: .relaxed).newValue } }

  /// Who sleeps by it makes it go on.
  var pacing: PacingClock {
    PacingClock(
      elapsed: { .nanoseconds(self.wall.now) }, sleep: { self.advance($0) },
      wallSeconds: { self.wall.now / 1_000_000_000 }, random: { 0.5 })
  }

  func advance(_ duration: Duration) {
    time.add(Int64(duration / .nanoseconds(1)), ordering: .relaxed)
  }
}

/// The rooms of one daemon around a store in a directory of its own.
final class Plant: Sendable {
  let directory: TemporaryDirectory
  let store: StateStore
  let queue: JobQueue
  let registries: RegistryClients
  let advisories: AdvisoryDatabase
  let matcher: ReportMatcher
  let intake: Intake
  let poller: Poller
  let clock: TestClock
  /// Log messages, and "queued" for each announcement.
  let events: Events
  private let transport: HTTPTransport
  private let scanner = Running()

  /// The scanner that new jobs are announced to.
  private final class Running: Sendable {
    private let scanner = Mutex<Scanner?>(nil)
    func set(_ new: Scanner?) { scanner.withLock { $0 = new } }
    func poke() { scanner.withLock { $0 }?.poke() }
  }

  init(
    clock: TestClock = TestClock(), mapSizeBytes: Int = 1 << 30, matcherClock: WallClock? = nil,
    pacing: PacingClock? = nil
  ) async throws {
    // As the daemon does: a worker that stops reading is no reason to end.
    signal(SIGPIPE, SIG_IGN)
    self.clock = clock
    directory = try TemporaryDirectory()
    events = Events()
    var options = Environment.Options()
    options.isSynchronous = false
    options.mapSizeBytes = mapSizeBytes
    store = try await StateStore(
      directory: try StateDirectory(opening: directory.path + "/state"), tables: QueueTables.all,
      migrations: QueueTables.migrations, options: options)
    queue = JobQueue(store: store, clock: clock.wall, readPattern: QueueControl.readPattern) { [store] in
      try store.noteEnd(of: $0, $1, in: $2)
    }
    var timeouts = TransportTimeouts()
    timeouts.connect = .seconds(30)
    transport = HTTPTransport(timeouts: timeouts, retries: .none)
    registries = RegistryClients(store: store, transport: transport, clock: pacing ?? clock.pacing)
    advisories = try AdvisoryDatabase(directory: directory.path + "/advisories", mapSizeBytes: 1 << 28)
    matcher = ReportMatcher(advisories: advisories, clock: matcherClock ?? clock.wall)
    intake = Intake(store: store, queue: queue, clock: clock.wall) { [events, scanner] in
      events.record("queued")
      scanner.poke()
    }
    poller = try Poller(
      store: store, registries: registries, intake: intake, clock: clock.wall, log: events.logger,
      storeRetry: .milliseconds(1))
  }

  deinit {
    transport.shutDown()
    matcher.close()
    store.close()
  }

  func integration(
    _ name: String, _ registry: FakeRegistry, _ change: (inout IntegrationRecord) -> Void = { _ in }
  ) async throws -> IntegrationRecord {
    var record = IntegrationRecord()
    record.name = name
    record.type = "docker-registry"
    record.url = registry.url
    record.scanTimeoutSeconds = 60
    record.maxConcurrent = 8
    change(&record)
    return try await store.createIntegration(record, now: clock.wall.now)
  }

  /// Queues an image as a person would.
  @discardableResult
  func add(_ image: FakeImage, _ repository: String = "app", to integration: IntegrationRecord) async throws -> UInt64 {
    let key = key(image, integration, repository)
    return try #require(await intake.queue([Intake.Item(image: key, tag: "")], priority: .person).first).job.id
  }

  func key(_ image: FakeImage, _ integration: IntegrationRecord, _ repository: String = "app") -> ImageKey {
    ImageKey(integration: integration.id, repository: repository, digest: image.digest.description)
  }

  func job(_ id: UInt64) throws -> JobRecord { try #require(try queue.job(id)) }

  func reports(_ key: ImageKey) throws -> [ReportRecord] { try store.read { try store.reports(of: key, in: $0) } }

  /// Runs a scanner while `body` runs, and stops it.
  func scanning(
    worker: String = FakeWorker.echo.path, patience: WorkerPatience.Limits = .standard, slots: Int = 4,
    workers: Int = 3, time: ManualTime? = nil,
    _ body: (Scanner) async throws -> Void
  ) async throws {
    var settings = Scanner.Settings(slots: slots, workers: workers, workerProgram: worker)
    settings.workerPatience = patience
    settings.backOff = .nanoseconds(1)...(.nanoseconds(2))
    settings.storeRetry = .milliseconds(1)
    if let time { settings.clock = time.clock }
    // The node's clocks show UTC.
    settings.zones = ZoneDatabase(localFile: "/nowhere", variable: nil)
    let scanner = Scanner(
      store: store, queue: queue, registries: registries, matcher: matcher, progress: ScanProgress(),
      settings: settings, clock: clock.wall, log: events.logger)
    self.scanner.set(scanner)
    defer { self.scanner.set(nil) }
    let running = Task { await scanner.run() }
    let result: Result<Void, any Error>
    do {
      result = .success(try await body(scanner))
    } catch {
      result = .failure(error)
    }
    scanner.stop()
    await running.value
    try result.get()
  }

  /// Scans what is queued until `scans` in all have ended, well or not.
  func scan(
    _ ends: [(message: String, count: Int)], worker: String = FakeWorker.echo.path,
    patience: WorkerPatience.Limits = .standard
  ) async throws {
    try await scanning(worker: worker, patience: patience) { _ in
      for end in ends { await events.wait(for: end.message, count: end.count) }
    }
  }

  /// Polls to the end and returns the record.
  func poll(_ integration: IntegrationRecord) async throws -> PollRecord {
    let ended = events.count("poll ended")
    let started = try await poller.start(integration)
    await events.wait(for: "poll ended", count: ended + 1)
    return try #require(try store.poll(PollKey(integration: integration.id, poll: started.id)))
  }

  /// Jobs that have not ended.
  func pendingJobs() throws -> [JobRecord] { try queue.jobs(after: 0, limit: 10_000) { !$0.state.isFinal }.jobs }
}

/// Processes that this one started and that are not gone.
func childProcesses() -> [pid_t] {
  let own = getpid()
  return TemporaryDirectory.names(in: "/proc").compactMap { pid_t($0) }.filter { pid in
    guard let stat = try? File.read("/proc/\(pid)/stat", limit: 4096) else { return false }
    // After the name, which may hold anything: state, parent.
    let fields = String(decoding: stat, as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
    return fields.count > 1 && pid_t(fields[1]) == own
  }
}
