import ArgumentParser
import Glibc
import TidewaiterClient

/// Options of every command; they may stand before the noun or after the verb.
struct GlobalOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Socket of the daemon (environment: TIDEWAITER_SOCKET).", valueName: "PATH"))
  var socket: String?

  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp("table for people, json (one document) or jsonl (an object a line).", valueName: "FORMAT"))
  var output: OutputFormat = .table

  @Option(
    help: ArgumentHelp(
      "Limit of each call, and of all waiting: 500ms, 30s, 5m, 2h.", valueName: "TIME"),
    transform: DurationText.parse)
  var timeout: Duration?

  @Flag(name: .customLong("no-color"), help: "Never colour (environment: NO_COLOR).")
  var noColor = false

  /// The daemon's socket: flag, environment, default.
  var socketPath: String {
    if let socket { return socket }
    if let path = Self.environment("TIDEWAITER_SOCKET") { return path }
    if geteuid() == 0 { return "/run/tidewaiter/tidewaiter.sock" }
    let directory = Self.environment("XDG_RUNTIME_DIR") ?? "/run/user/\(geteuid())"
    return directory + "/tidewaiter/tidewaiter.sock"
  }

  /// Nil when unset or empty.
  private static func environment(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
  }

  var console: Console { Console(format: output, noColour: noColor) }

  /// Runs `body`. What a call ends with becomes a failure that names the socket.
  func perform(_ body: (Session) async throws -> Void) async throws {
    let path = socketPath
    let session = Session(socket: path, console: console, timeout: timeout)
    defer { session.close() }
    do {
      try await body(session)
    } catch let error as TidewaiterError {
      // Did the daemon refuse, or is none there?
      if error.code == .unavailable, error.reason == nil { try await Session.checkDaemon(at: path) }
      throw CommandFailure(error, socket: path)
    }
  }
}

extension OutputFormat: ExpressibleByArgument {}
