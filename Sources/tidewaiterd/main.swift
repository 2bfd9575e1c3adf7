import Advisories
import CPosix
import CWipe
import Daemon
import Glibc
import Logging
import Model
import Posix
import Store
import Synchronization

struct Command {
  let flags: Configuration.Flags

  /// Ends the process when the daemon has stopped; returns when it did not start.
  func run() {
    Self.keepStandardDescriptors()
    // Before the first thread starts, so that all of them leave these to the main thread.
    var signals = sigset_t()
    sigemptyset(&signals)
    for signal in [SIGTERM, SIGINT, SIGHUP, Self.stopped] { sigaddset(&signals, signal) }
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    signal(SIGPIPE, SIG_IGN)
    umask(0o077)
    // The usual soft limit, 1,024, is less than the connections that clients may have.
    let descriptors = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var limit = rlimit()
    if getrlimit(descriptors, &limit) == 0 && limit.rlim_cur < limit.rlim_max {
      limit.rlim_cur = limit.rlim_max
      if setrlimit(descriptors, &limit) != 0 {
        Self.say("\(PosixError("raise the limit of open files"))", "the daemon goes on with fewer connections")
      }
    }
    guard hidesMemory() else { return }
    guard cwipe_works() else {
      Self.say("freed memory would not be wiped", "this program was linked wrongly: build it anew")
      return
    }
    let environment = ProcessEnvironment.variables
    let inherited: InheritedSocket?
    do {
      inherited = try InheritedSocket.take(from: environment)
    } catch {
      Self.say(error.description, error.hint)
      return
    }
    for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"] { unsetenv(name) }
    guard let daemon = start(environment, inherited) else { return }
    print("tidewaiterd \(Build.version) ready on \(daemon.socket)")
    fflush(nil)
    serve(daemon, environment, &signals)
    // Not exit: handlers of a normal end would free what threads of the pool and of libraries still use.
    _exit(EXIT_SUCCESS)
  }

  /// Restores a backup and ends the process; returns when it could not.
  func restore(_ file: String) {
    Self.keepStandardDescriptors()
    umask(0o077)
    guard hidesMemory() else { return }
    let configuration: Configuration
    do {
      configuration = try Configuration(flags: flags, environment: ProcessEnvironment.variables)
    } catch {
      Self.say(error.description, error.hint)
      return
    }
    let descriptor = file == "-" ? 0 : cposix_open(file, O_RDONLY | O_CLOEXEC, 0)
    guard descriptor >= 0 else {
      Self.say("\(PosixError("open \(file)"))", "name a backup that can be read, or - for standard input")
      return
    }
    do {
      let info = try Restore.run(
        from: descriptor, named: file == "-" ? "standard input" : file, into: configuration.stateDirectory)
      print(
        "restored \(configuration.stateDirectory): \(info.stateBytes) bytes of state as of "
          + "\(Timestamp(nanosecondsSince1970: info.createdAt).description), schema version \(info.schemaVersion), "
          + (info.keyCount > 0 ? "with its key" : "without a key: pass the credential that the secrets are sealed with")
      )
      print("advisories are not part of a backup: import them again with tidewaiter db update or db import")
      fflush(nil)
      exit(EXIT_SUCCESS)
    } catch {
      Self.say(error.message, error.hint)
    }
  }

  /// The next file to be opened must not become standard output: what is printed would be written into it.
  private static func keepStandardDescriptors() {
    var descriptor: Int32 = -1
    repeat { descriptor = cposix_open("/dev/null", O_RDWR, 0) } while (0...2).contains(descriptor)
    close(descriptor)
  }

  /// Credentials are in this process's memory: nobody else of its user reads them, and no core file holds them, not even
  /// where a program of the system takes cores from processes that are not dumpable. False after having said why not.
  private func hidesMemory() -> Bool {
    var noCore = rlimit()
    if setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &noCore) != 0 {
      Self.say("\(PosixError("allow no core files"))", "look at what confines the daemon")
      return false
    }
    if cposix_not_dumpable() != 0 {
      Self.say("\(PosixError("make the process not dumpable"))", "look at what confines the daemon")
      return false
    }
    return true
  }

  /// Sent by the daemon to itself when it has stopped.
  private static let stopped = SIGUSR1
  private static let hasStopped = Atomic(false)

  /// Takes signals until the daemon has stopped: SIGHUP reads the settings anew, the first SIGTERM or SIGINT drains, the
  /// second ends the wait for calls in flight, the third ends the process at once (which loses nothing that was announced).
  private func serve(_ daemon: Daemon, _ environment: [String: String], _ signals: inout sigset_t) {
    var stops = 0
    while !Self.hasStopped.load(ordering: .acquiring) {
      var received: Int32 = 0
      sigwait(&signals, &received)
      switch received {
      case SIGHUP where stops == 0: reload(daemon, environment)
      case SIGTERM, SIGINT:
        stops += 1
        if stops == 1 {
          Task {
            await daemon.stop()
            Self.hasStopped.store(true, ordering: .releasing)
            kill(getpid(), Self.stopped)
          }
        } else if stops == 2 {
          startThread(named: "hurry") { daemon.hurry() }
        } else {
          _exit(1)
        }
      default: break
      }
    }
  }

  private func reload(_ daemon: Daemon, _ environment: [String: String]) {
    do {
      try daemon.reload(try Configuration(flags: flags, environment: environment))
    } catch let error as Configuration.Invalid {
      daemon.refuseReload(error.description, hint: error.hint)
    } catch let error as StartError {
      daemon.refuseReload(error.description, hint: error.hint)
    } catch {
      daemon.refuseReload("\(error)", hint: "see the message")
    }
  }

  /// Nil after having said why not.
  private func start(_ environment: [String: String], _ inherited: InheritedSocket?) -> Daemon? {
    let configuration: Configuration
    do {
      configuration = try Configuration(flags: flags, environment: environment)
    } catch {
      Self.say(error.description, error.hint)
      return nil
    }
    let logSettings = LogSettings(level: configuration.logLevel, format: configuration.logFormat)
    let log = Logger(label: "tidewaiterd") { _ in LogOutput(logSettings) }
    let notifier = ServiceNotifier(path: environment["NOTIFY_SOCKET"].flatMap { $0.isEmpty ? nil : $0 }, log: log)
    let started = Signal()
    let outcome = Mutex<Result<Daemon, any Error>?>(nil)
    Task {
      do {
        let daemon = try await Daemon(
          configuration, inherited: inherited, notifier: notifier, logSettings: logSettings, log: log)
        outcome.withLock { $0 = .success(daemon) }
      } catch {
        outcome.withLock { $0 = .failure(error) }
      }
      started.send()
    }
    started.wait()
    switch outcome.withLock({ $0 }) {
    case .success(let daemon): return daemon
    case .failure(let error as StoreError): Self.say(error.message, error.hint)
    case .failure(let error as StartError): Self.say(error.description, error.hint)
    case .failure(let error as AdvisoryError): Self.say(error.message, error.hint)
    case .failure(let error as PosixError):
      Self.say(error.description, "check the state directory and the limits of the daemon's user")
    case .failure(let error): Self.say("\(error)", "see the message")
    case nil: Self.say("the daemon did not start", "this is a defect: report it")
    }
    return nil
  }

  static func say(_ what: String, _ hint: String) {
    let text = "error: \(what)\nhint: \(hint)\n"
    write(2, text, text.utf8.count)
  }
}

do {
  switch try Arguments.parse(Array(CommandLine.arguments.dropFirst())) {
  case .help: print(Arguments.helpText)
  case .version: print("tidewaiterd \(Build.version)")
  case .restore(let file, let flags):
    Command(flags: flags).restore(file)
    exit(EXIT_FAILURE)
  case .run(let flags):
    Command(flags: flags).run()
    exit(EXIT_FAILURE)
  }
} catch {
  Command.say(error.description, error.hint)
  exit(EX_USAGE)
}
