import API
import Advisories
import CPosix
import Glibc
import Inventory
import Logging
import Pipeline
import Posix
import Queue
import RPC
import Registry
import StorageMessages
import Store
import Synchronization
import Zones

/// The daemon: opens what it owns, wires it together, starts it in order and stops it in the opposite one.
package final class Daemon: Sendable {
  let configuration: Configuration
  let log: Logger
  let logSettings: LogSettings
  let live: LiveSettings
  let listener: Listener
  let notifier: ServiceNotifier
  private let health = Health()
  private let directory: StateDirectory
  private let store: StateStore
  private let transport: HTTPTransport
  private let matcher: ReportMatcher
  private let scanner: Scanner
  private let poller: Poller
  private let scheduler: Scheduler
  private let imports: Imports
  private let control: QueueControl
  private let removals: Removals
  private let retention: Retention
  private let trim = MemoryTrim()
  private let files: SerialThread
  private let reader: SerialThread
  private let watchers: SerialThread
  private let server: RPCServer
  private let scanning: Task<Void, Never>
  private let scheduling: Task<Void, Never>
  private let isHurried = Atomic(false)

  /// Opens the state, returns what a dead process left leased, and serves: on `inherited`, or a socket of its own. Throws
  /// `StoreError` or `StartError`.
  package init(
    _ configuration: Configuration, inherited: InheritedSocket?, notifier: ServiceNotifier, logSettings: LogSettings,
    log: Logger
  ) async throws {
    self.configuration = configuration
    self.log = log
    self.logSettings = logSettings
    self.notifier = notifier
    let live = LiveSettings(access: try Self.access(configuration), drainSeconds: configuration.drainSeconds)
    self.live = live
    let clock = WallClock.system
    let startedAt = clock.now
    directory = try StateDirectory(opening: configuration.stateDirectory)
    let workerProgram = try Self.workerProgram()
    // Beside the opening of the store, and before anything is changed in it.
    async let probed = SandboxState.probe(configuration.sandbox, program: workerProgram)
    var options = Environment.Options()
    options.mapSizeBytes = configuration.storeMapBytes
    options.notice = { [log] notice in
      switch notice {
      case .reopened: log.warning("the store was opened anew after a fault of the disk, and takes changes")
      case .unwritable(let error, let isReadable):
        log.error(
          "the store takes no changes, and will when it can be written to",
          metadata: ["error": "\(error)", "readable": "\(isReadable)"])
      }
    }
    store = try await StateStore(
      directory: directory, tables: QueueTables.all, migrations: QueueTables.migrations, options: options,
      credentials: configuration.credentialsDirectory, eventsMaximum: configuration.retention.eventsMaximum)
    let advisories = try AdvisoryDatabase(
      directory: directory.advisoriesDirectory, mapSizeBytes: configuration.advisoriesMapBytes)
    let queue = JobQueue(store: store, clock: clock, readPattern: QueueControl.readPattern) { [store] in
      try store.noteEnd(of: $0, $1, in: $2)
    }
    let sandbox = try await probed
    if !sandbox.missing.isEmpty {
      log.warning("workers run without a part of their sandbox", metadata: ["missing": "\(sandbox.missing)"])
    }
    let returned = try await queue.recover()
    if returned > 0 { log.info("leases of the last process returned", metadata: ["jobs": "\(returned)"]) }
    try await store.interruptRunningPolls(now: clock.now)

    transport = HTTPTransport(timeouts: TransportTimeouts(configuration), mappings: configuration.resolve)
    let registries = RegistryClients(store: store, transport: transport)
    matcher = ReportMatcher(advisories: advisories, clock: clock)
    let progress = ScanProgress()
    let scanner = Scanner(
      store: store, queue: queue, registries: registries, matcher: matcher, progress: progress,
      settings: Scanner.Settings(configuration, workerProgram: workerProgram, workerArguments: sandbox.arguments),
      clock: clock, log: log)
    self.scanner = scanner
    let intake = Intake(store: store, queue: queue, clock: clock) { scanner.poke() }
    poller = try Poller(store: store, registries: registries, intake: intake, clock: clock, log: log)
    let scheduler = Scheduler(store: store, polls: Scheduler.Polls(poller), zones: .system, clock: clock, log: log)
    self.scheduler = scheduler
    control = QueueControl(queue: queue, scanner: scanner, log: log)
    removals = Removals(
      store: store, queue: queue, control: control, scanner: scanner, poller: poller, registries: registries,
      clock: clock, log: log)
    files = SerialThread(named: "files")
    reader = SerialThread(named: "reader")
    retention = Retention(
      configuration.retention, store: store, queue: queue, reader: reader, clock: clock, log: log)
    let ledger = Ledger(store: store, queue: queue, reader: reader)
    let rescanner = Rescanner(store: store, intake: intake)
    let uploads = try Uploads(
      directory: directory.uploadsDirectory, bytesMaximum: configuration.uploadBytesMaximum, thread: files)
    imports = Imports(
      store: store, advisories: advisories, uploads: uploads, rematcher: Rematcher(store: store, matcher: matcher),
      clock: clock, log: log)

    watchers = SerialThread(named: "watchers")
    let events = EventReader(store: store, thread: watchers)
    let catalogue = Catalogue()
    let metrics = Metrics()
    let describer = JobDescriber(
      store: store, queue: queue, progress: progress, scanner: scanner, clock: clock)
    let system = SystemHandler(
      store: store, queue: queue, describer: describer, retention: retention, advisories: advisories, metrics: metrics,
      configuration: configuration, sandbox: sandbox,
      startedAt: startedAt, clock: clock, events: events, catalogue: catalogue, files: files,
      log: log)
    let served =
      system.systemMethods
      + IntegrationsHandler(
        store: store, registries: registries, poller: poller, scheduler: scheduler, scanner: scanner,
        removals: removals, ledger: ledger,
        previewer: Previewer(store: store, registries: registries, clock: clock), clock: clock
      )
      .integrationsMethods
      + ImagesHandler(
        store: store, registries: registries, intake: intake, rescanner: rescanner, ledger: ledger, clock: clock,
        reader: reader
      )
      .imagesMethods
      + QueueHandler(
        store: store, queue: queue, poller: poller, control: control, scanner: scanner, describer: describer,
        events: events, reader: reader
      )
      .queueMethods
      + AdvisoriesHandler(uploads: uploads, imports: imports, advisories: advisories).advisoriesMethods
    let methods = served + HealthHandler(health: health, services: Set(served.map(\.service))).healthMethods
    catalogue.publish(methods)
    let audit = Audit(store: store, clock: clock, log: log)
    listener = try inherited.map { Listener(inherited: $0, log: log) } ?? Listener(configuration, live.access, log: log)
    server = try RPCServer(
      listener: listener.descriptor, methods: methods,
      policy: Self.policy(live: live, audit: audit, metrics: metrics, log: log),
      limits: RPCServer.Limits(configuration.rpc))
    scanning = Task { await scanner.run() }
    scheduling = Task { await scheduler.run() }
    control.start()
    retention.start()
    trim.start()
    try removals.resume()
    imports.resume()
    notifier.ready(servingStatus)
  }

  /// Where clients find the daemon.
  package var socket: String { listener.path }
  var servingStatus: String { "serving on \(socket)" }

  /// Ends in order: no new calls, no new work, leases back, everything on disk, the socket gone. Calls in flight are
  /// answered for as long as the settings say, or until `hurry`.
  package func stop() async {
    log.info("stopping")
    notifier.stopping("returning scans to the queue")
    await health.stop()
    listener.remove()
    scanner.stop()
    scheduler.stop()
    await scheduling.value
    await poller.stop()
    await imports.stop()
    await removals.stop()
    await control.stop()
    await retention.stop()
    await trim.stop()
    await scanning.value
    notifier.status("answering calls in flight")
    // Watchers would go on for ever; they have seen what became of the scans, and go on from their cursors at the next start.
    store.feed.close()
    health.close()
    let drain = isHurried.load(ordering: .acquiring) ? .zero : live.drain
    await blocking { [server] in server.stop(drain: drain) }
    transport.shutDown()
    matcher.close()
    files.close()
    reader.close()
    watchers.close()
    await blocking { [store] in store.close() }
    log.info("stopped")
  }

  /// Has a stop wait for no call any more. From any thread but a task's: it blocks until the calls are ended.
  package func hurry() {
    isHurried.store(true, ordering: .releasing)
    server.stop(drain: .zero)
  }

  /// Runs what blocks on a thread of its own.
  private func blocking(_ body: @escaping @Sendable () -> Void) async {
    await withCheckedContinuation { continuation in
      startThread(named: "stop") {
        body()
        continuation.resume()
      }
    }
  }

  // MARK: - Parts

  /// The worker lies beside the daemon's own program.
  private static func workerProgram() throws -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    guard count > 0 else { throw StartError("/proc/self/exe: \(PosixError("readlink").reason)", hint: "mount /proc") }
    let own = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let path = (own.lastIndex(of: "/").map { String(own[...$0]) } ?? "/") + "tidewaiter-worker"
    guard Glibc.access(path, X_OK) == 0 else {
      throw StartError("the worker program \(path) cannot be run", hint: "install tidewaiter-worker beside tidewaiterd")
    }
    return path
  }

  static func access(_ configuration: Configuration) throws -> Access {
    do {
      return try Access(configuration.access, socketGroup: configuration.socketGroup, own: geteuid())
    } catch let error as UnknownAccount {
      throw StartError(error.description, hint: error.hint)
    }
  }

  private static func policy(live: LiveSettings, audit: Audit, metrics: Metrics, log: Logger) -> RPCServer.Policy {
    RPCServer.Policy(
      rule: { method in
        let counter = metrics.counter(of: method)
        let needed = Access.methods[method]
        return RPCServer.Policy.Rule(
          authorise: { peer in
            guard let refusal = live.access.refusal(peer, method, needs: needed) else { return nil }
            audit.denied(peer, method, refusal)
            return refusal
          },
          observe: { peer, time, failure in
            counter.record(time, failed: failure != nil)
            guard let failure, [.internal, .dataLoss, .unknown].contains(failure.code) else { return }
            log.error(
              "call failed", metadata: ["method": "\(method)", "uid": "\(peer.uid)", "error": "\(failure.message)"])
          })
      },
      translate: ErrorTranslation.status)
  }
}

extension TransportTimeouts {
  init(_ configuration: Configuration) {
    self.init()
    idle = .seconds(configuration.scannerBlobIdleSeconds)
    bytesPerSecondMin = configuration.scannerBlobBytesPerSecondMinimum
  }
}

extension Scanner.Settings {
  init(_ configuration: Configuration, workerProgram: String, workerArguments: [WorkerProtocol.Argument]) {
    self.init(
      slots: configuration.scannerSlots, workers: configuration.scannerWorkers, workerProgram: workerProgram)
    self.workerArguments = workerArguments
    imageBytesMaximum = UInt64(configuration.scannerImageBytesMaximum)
    malware = configuration.malware
  }
}

extension RPCServer.Limits {
  init(_ settings: Configuration.RPC) {
    self = .standard
    streamsPerConnection = settings.streamsPerConnection
    connections = settings.connections
    connectionsPerUser = settings.connectionsPerUser
    streamQueueBytes = settings.streamQueueBytes
    unsentBytes = settings.unsentBytes
    userBytes = settings.userBytes
    frameTime = .seconds(settings.frameSeconds)
    outputTime = .seconds(settings.outputSeconds)
    idleTime = settings.idleSeconds == 0 ? nil : .seconds(settings.idleSeconds)
  }
}

/// Why the daemon cannot start.
package struct StartError: Error, CustomStringConvertible {
  package let description: String
  package let hint: String

  init(_ description: String, hint: String) {
    self.description = description
    self.hint = hint
  }
}
