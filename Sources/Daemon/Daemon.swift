import API
import Advisories
import CPosix
import Glibc
import Logging
import Pipeline
import Posix
import Queue
import RPC
import Registry
import StorageMessages
import Store

/// The daemon: opens what it owns, wires it together, starts it in order and stops it in the opposite one.
package final class Daemon: Sendable {
  private let configuration: Configuration
  private let log: Logger
  private let directory: StateDirectory
  private let store: StateStore
  private let transport: HTTPTransport
  private let matcher: ReportMatcher
  private let scanner: Scanner
  private let poller: Poller
  private let imports: Imports
  private let removals: Removals
  private let files: SerialThread
  private let reader: SerialThread
  private let server: RPCServer
  private let scanning: Task<Void, Never>

  /// Opens the state, returns what a dead process left leased, and serves. Throws `StoreError` or `StartError`.
  package init(_ configuration: Configuration, log: Logger) async throws {
    self.configuration = configuration
    self.log = log
    let clock = WallClock.system
    let startedAt = clock.now
    directory = try StateDirectory(opening: configuration.stateDirectory)
    var options = Environment.Options()
    options.mapSizeBytes = configuration.storeMapBytes
    store = try await StateStore(directory: directory, tables: QueueTables.all, options: options)
    let advisories = try AdvisoryDatabase(
      directory: directory.advisoriesDirectory, mapSizeBytes: configuration.advisoriesMapBytes)
    let queue = JobQueue(store: store, clock: clock)
    let returned = try await queue.recover { [store] job, transaction in
      try store.recordFailure(of: job, in: transaction)
    }
    if returned > 0 { log.info("leases of the last process returned", metadata: ["jobs": "\(returned)"]) }
    try await store.interruptRunningPolls(now: clock.now)

    transport = HTTPTransport()
    let registries = RegistryClients(store: store, transport: transport)
    matcher = ReportMatcher(advisories: advisories, clock: clock)
    let progress = ScanProgress()
    let scanner = Scanner(
      store: store, queue: queue, registries: registries, matcher: matcher, progress: progress,
      settings: Scanner.Settings(
        slots: configuration.scannerSlots, workers: configuration.scannerWorkers,
        workerProgram: try Self.workerProgram()),
      clock: clock, log: log)
    self.scanner = scanner
    let intake = Intake(store: store, queue: queue, clock: clock) { scanner.poke() }
    poller = Poller(store: store, registries: registries, intake: intake, clock: clock, log: log)
    removals = Removals(
      store: store, queue: queue, scanner: scanner, poller: poller, registries: registries, log: log)
    files = SerialThread(named: "files")
    reader = SerialThread(named: "reader")
    let uploads = try Uploads(
      directory: directory.uploadsDirectory, bytesMaximum: configuration.uploadBytesMaximum, thread: files)
    imports = Imports(
      advisories: advisories, uploads: uploads, rematcher: Rematcher(store: store, matcher: matcher), log: log)

    let metrics = Metrics()
    let system = SystemHandler(
      store: store, queue: queue, advisories: advisories, metrics: metrics, configuration: configuration,
      startedAt: startedAt)
    let methods =
      system.systemMethods
      + IntegrationsHandler(store: store, registries: registries, poller: poller, removals: removals, clock: clock)
      .integrationsMethods
      + ImagesHandler(store: store, registries: registries, intake: intake, reader: reader).imagesMethods
      + QueueHandler(store: store, queue: queue, poller: poller, progress: progress, reader: reader).queueMethods
      + AdvisoriesHandler(uploads: uploads, imports: imports, advisories: advisories).advisoriesMethods
    server = try RPCServer(
      listener: try Self.listen(configuration), methods: methods, policy: Self.policy(metrics: metrics, log: log))
    scanning = Task { await scanner.run() }
    try removals.resume()
    imports.resume()
  }

  /// Ends in order: no new calls, no new work, leases back, everything on disk, the socket gone.
  package func stop() async {
    log.info("stopping")
    unlink(configuration.socket)
    scanner.stop()
    await poller.stop()
    await imports.stop()
    await removals.stop()
    await scanning.value
    let drain = Duration.seconds(configuration.drainSeconds)
    await blocking { [server] in server.stop(drain: drain) }
    transport.shutDown()
    matcher.close()
    files.close()
    reader.close()
    await blocking { [store] in store.close() }
    log.info("stopped")
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
    guard access(path, X_OK) == 0 else {
      throw StartError("the worker program \(path) cannot be run", hint: "install tidewaiter-worker beside tidewaiterd")
    }
    return path
  }

  private static func listen(_ configuration: Configuration) throws -> Int32 {
    let path = configuration.socket
    if let directory = path.lastIndex(of: "/").map({ String(path[..<$0]) }), !directory.isEmpty {
      do {
        try File.createDirectories(directory, mode: 0o755)
      } catch {
        throw StartError("\(error)", hint: "choose another --socket")
      }
    }
    // The lock on the state directory is held: a socket that answers belongs to another state directory.
    let probe = cposix_connect_unix(path)
    if probe >= 0 {
      close(probe)
      throw StartError("another daemon answers on \(path)", hint: "stop it, or choose another --socket")
    }
    var gid: Int64 = -1
    if let group = configuration.socketGroup {
      guard let entry = getgrnam(group) else {
        throw StartError("socketGroup: no group \(group) on this system", hint: "create it, or leave the setting out")
      }
      gid = Int64(entry.pointee.gr_gid)
    }
    let listener = cposix_listen_unix(path, 0o660, gid, 1024)
    guard listener >= 0 else {
      throw StartError("\(PosixError("listen on \(path)"))", hint: "choose another --socket (at most 107 bytes)")
    }
    return listener
  }

  private static func policy(metrics: Metrics, log: Logger) -> RPCServer.Policy {
    RPCServer.Policy(
      // The socket's mode and group say who may come in.
      authorise: { _, _ in nil },
      observe: { method, peer, time, failure in
        metrics.record(method, time, failed: failure != nil)
        guard let failure, [.internal, .dataLoss, .unknown].contains(failure.code) else { return }
        log.error(
          "call failed", metadata: ["method": "\(method)", "uid": "\(peer.uid)", "error": "\(failure.message)"])
      },
      translate: ErrorTranslation.status)
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
