import Advisories
import ArgumentParser
import CPosix
import Daemon
import Glibc
import Logging
import Posix
import Store
import Synchronization

extension Configuration.LogLevel: ExpressibleByArgument {}
extension Configuration.LogFormat: ExpressibleByArgument {}

struct Arguments: ParsableArguments {
  @Option(help: ArgumentHelp("Settings in YAML; README.md lists them.", valueName: "file"))
  var config: String?
  @Option(help: ArgumentHelp("Where the daemon keeps what it knows.", valueName: "dir"))
  var stateDir: String?
  @Option(help: ArgumentHelp("The Unix socket to serve on.", valueName: "path"))
  var socket: String?
  @Option(help: "What is logged at least.")
  var logLevel: Configuration.LogLevel?
  @Option(help: "How log lines look.")
  var logFormat: Configuration.LogFormat?
  @Flag(help: "Show the version.")
  var version = false

  static let command = "tidewaiterd"
}

struct Command: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tidewaiterd", abstract: "Watches container registries and scans the images in them.",
    discussion: "Example: tidewaiterd --state-dir /var/lib/tidewaiter --log-format json")

  @OptionGroup var arguments: Arguments

  func run() throws {
    if arguments.version { return print("tidewaiterd \(Build.version)") }
    // The next file to be opened must not become standard output: what is printed would be written into it.
    var descriptor: Int32 = -1
    repeat { descriptor = cposix_open("/dev/null", O_RDWR, 0) } while (0...2).contains(descriptor)
    close(descriptor)
    // Before the first thread starts, so that all of them leave these to the main thread.
    var signals = sigset_t()
    sigemptyset(&signals)
    for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&signals, signal) }
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    signal(SIGPIPE, SIG_IGN)
    umask(0o077)
    guard let daemon = start() else { throw ExitCode(1) }
    print("tidewaiterd \(Build.version) ready on \(daemon.socket)")
    fflush(nil)
    var received: Int32 = 0
    repeat { sigwait(&signals, &received) } while received == SIGHUP
    let stopped = Signal()
    Task {
      await daemon.daemon.stop()
      stopped.send()
    }
    stopped.wait()
  }

  /// Nil after having said why not.
  private func start() -> (daemon: Daemon, socket: String)? {
    var flags = Configuration.Flags()
    flags.config = arguments.config
    flags.stateDirectory = arguments.stateDir
    flags.socket = arguments.socket
    flags.logLevel = arguments.logLevel
    flags.logFormat = arguments.logFormat
    let configuration: Configuration
    do {
      configuration = try Configuration(flags: flags, environment: ProcessEnvironment.variables)
    } catch {
      Self.say(error.description, error.hint)
      return nil
    }
    let log = Logger(label: "tidewaiterd") { _ in
      LogOutput(level: configuration.logLevel, format: configuration.logFormat)
    }
    let started = Signal()
    let outcome = Mutex<Result<Daemon, any Error>?>(nil)
    Task {
      do {
        let daemon = try await Daemon(configuration, log: log)
        outcome.withLock { $0 = .success(daemon) }
      } catch {
        outcome.withLock { $0 = .failure(error) }
      }
      started.send()
    }
    started.wait()
    switch outcome.withLock({ $0 }) {
    case .success(let daemon): return (daemon, configuration.socket)
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

  private static func say(_ what: String, _ hint: String) {
    let text = "error: \(what)\nhint: \(hint)\n"
    write(2, text, text.utf8.count)
  }
}

Command.main()
