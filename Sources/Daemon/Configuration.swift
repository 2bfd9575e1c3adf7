import Glibc
import Pipeline
import Posix
import Registry

/// The daemon's settings: a flag wins over the environment, that over the file, that over the default.
package struct Configuration: Sendable, Equatable {
  package enum LogFormat: String, Sendable, CaseIterable { case text, json }
  package enum Sandbox: String, Sendable, CaseIterable {
    /// Nothing is scanned unless workers are wholly confined.
    case required
    /// What of it the kernel lacks is done without, and said.
    case bestEffort = "best-effort"
  }
  package enum LogLevel: String, Sendable, CaseIterable { case debug, info, warning, error }

  package var stateDirectory: String
  /// Where systemd passes credentials to this service.
  package var credentialsDirectory: String?
  package var socket: String
  /// Group of the socket; nil leaves the process's own.
  package var socketGroup: String?
  /// Of the socket: wider than 0660 only where it is set so.
  package var socketMode: mode_t = 0o660
  /// Who has which role; nil gives the socket's group that of an admin.
  package var access: Access?
  package var rpc = RPC()
  package var logLevel = LogLevel.info
  package var logFormat = LogFormat.text
  /// How workers are confined.
  package var sandbox = Sandbox.required
  /// Scans at a time.
  package var scannerSlots: Int
  /// Worker processes at a time, over all scans; one integration's scans have all but one of them.
  package var scannerWorkers: Int
  /// Declared bytes of an image's layers together, where its integration has no limit of its own.
  package var scannerImageBytesMaximum = 64 << 30
  /// A blob that comes more slowly is given up; 0: none is.
  package var scannerBlobBytesPerSecondMinimum = 1024
  /// A blob of which nothing comes for so long is given up.
  package var scannerBlobIdleSeconds = 30
  /// Address space of the state file and of each advisory file, in bytes.
  package var storeMapBytes = 64 << 30
  package var advisoriesMapBytes = 16 << 30
  /// How long what the store holds is kept.
  package var retention = RetentionSettings()
  /// Bytes of uploads in the state directory at a time.
  package var uploadBytesMaximum = 8 << 30
  /// Who looks into files for malware; nil: nobody does.
  package var malware: MalwareSettings?
  /// Hosts that are reached at other addresses than their names resolve to.
  package var resolve: [HostMapping] = []
  /// How long a stop waits for calls in flight.
  package var drainSeconds = 10

  /// Users and groups of each role, by name or number.
  package struct Access: Sendable, Equatable {
    package var adminUsers: [String] = []
    package var adminGroups: [String] = []
    package var operatorUsers: [String] = []
    package var operatorGroups: [String] = []
    package var viewerUsers: [String] = []
    package var viewerGroups: [String] = []
    package init() {}
  }

  /// What a peer may take of the socket (`RPCServer.Limits` says what each means).
  package struct RPC: Sendable, Equatable {
    package var streamsPerConnection = 64
    package var connections = 4096
    package var connectionsPerUser = 1024
    package var streamQueueBytes = 1 << 20
    package var unsentBytes = 8 << 20
    package var userBytes = 64 << 20
    package var frameSeconds = 30
    package var outputSeconds = 30
    /// 0: for ever.
    package var idleSeconds = 0
    package init() {}
  }

  /// What the command line said.
  package struct Flags: Sendable {
    package var config: String?
    package var stateDirectory: String?
    package var socket: String?
    package var logLevel: LogLevel?
    package var logFormat: LogFormat?
    package init() {}
  }

  package struct Invalid: Error, CustomStringConvertible {
    package let description: String
    package let hint: String
  }

  package init(flags: Flags, environment all: [String: String]) throws(Invalid) {
    // An empty variable is one that is not set.
    let environment = all.filter { !$0.value.isEmpty }
    let isRoot = geteuid() == 0
    let home = environment["HOME"] ?? "/"
    stateDirectory =
      isRoot ? "/var/lib/tidewaiter" : (environment["XDG_STATE_HOME"] ?? home + "/.local/state") + "/tidewaiter"
    socket = Self.defaultSocket(isRoot: isRoot, environment: environment)
    let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    // More than workers: while some jobs fetch manifests or wait for a registry, others keep the workers busy.
    scannerSlots = min(cores + 2, Self.scansMaximum)
    // One for each core, and the one that a single integration leaves to others.
    scannerWorkers = min(max(2, cores) + 1, Self.scansMaximum)
    credentialsDirectory = environment["CREDENTIALS_DIRECTORY"]
    if let path = flags.config ?? environment["TIDEWAITER_CONFIG"] { try take(fileAt: path) }
    try take(environment)
    stateDirectory = flags.stateDirectory ?? stateDirectory
    socket = flags.socket ?? socket
    logLevel = flags.logLevel ?? logLevel
    logFormat = flags.logFormat ?? logFormat
    try check()
  }

  private static func defaultSocket(isRoot: Bool, environment: [String: String]) -> String {
    if isRoot { return "/run/tidewaiter/tidewaiter.sock" }
    return (environment["XDG_RUNTIME_DIR"] ?? "/run/user/\(geteuid())") + "/tidewaiter/tidewaiter.sock"
  }

  private mutating func take(_ environment: [String: String]) throws(Invalid) {
    stateDirectory = environment["TIDEWAITER_STATE_DIR"] ?? stateDirectory
    socket = environment["TIDEWAITER_SOCKET"] ?? socket
    socketGroup = environment["TIDEWAITER_SOCKET_GROUP"] ?? socketGroup
    if let text = environment["TIDEWAITER_SOCKET_MODE"] {
      guard let mode = Self.mode(text) else {
        throw Invalid(description: "TIDEWAITER_SOCKET_MODE: \"\(text)\" is no mode of a socket", hint: Self.modeHint)
      }
      socketMode = mode
    }
    logLevel = try Self.choice("TIDEWAITER_LOG_LEVEL", environment) ?? logLevel
    logFormat = try Self.choice("TIDEWAITER_LOG_FORMAT", environment) ?? logFormat
  }

  private static func choice<T: RawRepresentable<String> & CaseIterable>(
    _ name: String, _ environment: [String: String]
  ) throws(Invalid) -> T? {
    guard let text = environment[name] else { return nil }
    guard let value = T(rawValue: text) else {
      throw Invalid(
        description: "\(name): \"\(text)\" is none of its values",
        hint: "one of \(T.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return value
  }

  /// Octal, as everywhere else; nil where it is no number, or more or less than a socket needs.
  static func mode(_ text: String) -> mode_t? {
    let digits = text.hasPrefix("0o") ? text.dropFirst(2) : text[...]
    guard let mode = mode_t(digits, radix: 8), mode & ~0o666 == 0, mode & 0o600 == 0o600 else { return nil }
    return mode
  }

  static let modeHint = "octal, from 0600 to 0666: 0660 by default"

  /// Of scans, and of worker processes, at a time.
  static let scansMaximum = 256
  /// More would not fit into the socket's list of those it lets in.
  private static let accountsMaximum = 256

  private func check() throws(Invalid) {
    if let access, access.all.count > Self.accountsMaximum {
      throw Invalid(
        description: "access: names \(access.all.count) users and groups",
        hint: "at most \(Self.accountsMaximum); put users into groups")
    }
    for (name, path) in [("stateDirectory", stateDirectory), ("socket", socket)] where path.isEmpty {
      throw Invalid(description: "\(name): is empty", hint: "give a path")
    }
  }
}

extension Configuration.Access {
  fileprivate var all: [String] {
    adminUsers + adminGroups + operatorUsers + operatorGroups + viewerUsers + viewerGroups
  }
}
