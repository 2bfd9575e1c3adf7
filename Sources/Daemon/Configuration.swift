import Glibc
import Posix
import Registry
import Yams

/// The daemon's settings: a flag wins over the environment, that over the file, that over the default.
package struct Configuration: Sendable, Equatable {
  package enum LogFormat: String, Sendable, Codable, CaseIterable { case text, json }
  package enum LogLevel: String, Sendable, Codable, CaseIterable { case debug, info, warning, error }

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
  /// Scans at a time.
  package var scannerSlots: Int
  /// Worker processes at a time, over all scans; one integration's scans have all but one of them.
  package var scannerWorkers: Int
  /// Address space of the state file and of each advisory file, in bytes.
  package var storeMapBytes = 64 << 30
  package var advisoriesMapBytes = 16 << 30
  /// Bytes of uploads in the state directory at a time.
  package var uploadBytesMaximum = 8 << 30
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

  /// What a YAML file may say; absent keys keep their defaults.
  struct File: Decodable {
    struct Store: Decodable { var mapSizeBytes: Int? }
    struct Scanner: Decodable {
      var slots: Int?
      var workers: Int?
    }
    struct Advisories: Decodable {
      var mapSizeBytes: Int?
      var uploadBytesMaximum: Int?
    }
    struct Log: Decodable {
      var level: LogLevel?
      var format: LogFormat?
    }
    struct Access: Decodable {
      var adminUsers: [String]?
      var adminGroups: [String]?
      var operatorUsers: [String]?
      var operatorGroups: [String]?
      var viewerUsers: [String]?
      var viewerGroups: [String]?
    }
    struct RPC: Decodable {
      var streamsPerConnection: Int?
      var connections: Int?
      var connectionsPerUser: Int?
      var streamQueueBytes: Int?
      var unsentBytes: Int?
      var userBytes: Int?
      var frameSeconds: Int?
      var outputSeconds: Int?
      var idleSeconds: Int?
    }
    var stateDirectory: String?
    var socket: String?
    var socketGroup: String?
    var socketMode: String?
    var access: Access?
    var rpc: RPC?
    var drainSeconds: Int?
    var resolve: [String]?
    var store: Store?
    var scanner: Scanner?
    var advisories: Advisories?
    var log: Log?

    static let keys: [String: [String]] = [
      "": [
        "stateDirectory", "socket", "socketGroup", "socketMode", "access", "rpc", "drainSeconds", "resolve", "store",
        "scanner", "advisories", "log",
      ],
      "rpc": [
        "streamsPerConnection", "connections", "connectionsPerUser", "streamQueueBytes", "unsentBytes", "userBytes",
        "frameSeconds", "outputSeconds", "idleSeconds",
      ],
      "access": [
        "adminUsers", "adminGroups", "operatorUsers", "operatorGroups", "viewerUsers", "viewerGroups",
      ],
      "store": ["mapSizeBytes"], "scanner": ["slots", "workers"],
      "advisories": ["mapSizeBytes", "uploadBytesMaximum"], "log": ["level", "format"],
    ]
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

  private static let fileBytesMaximum = 1 << 20

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
    scannerSlots = cores + 2
    // One for each core, and the one that a single integration leaves to others.
    scannerWorkers = max(2, cores) + 1
    credentialsDirectory = environment["CREDENTIALS_DIRECTORY"]
    if let path = flags.config ?? environment["TIDEWAITER_CONFIG"] { try read(path) }
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

  private mutating func read(_ path: String) throws(Invalid) {
    let text: String
    do {
      let bytes = try Posix.File.read(path, limit: Self.fileBytesMaximum)
      guard let decoded = String(validating: bytes, as: UTF8.self) else {
        throw Invalid(description: "\(path) is not UTF-8", hint: "save it as UTF-8")
      }
      text = decoded
    } catch {
      throw error as? Invalid ?? Invalid(description: "\(error)", hint: "check --config")
    }
    let file: File
    do {
      // Comments alone, or an empty document.
      guard let node = try compose(yaml: text), node != Node("") else { return }
      try Self.refuseUnknownKeys(node, path)
      file = try YAMLDecoder().decode(File.self, from: text)
    } catch {
      throw error as? Invalid ?? Invalid(description: "\(path): \(error)", hint: "README.md lists the settings")
    }
    stateDirectory = file.stateDirectory ?? stateDirectory
    socket = file.socket ?? socket
    socketGroup = file.socketGroup ?? socketGroup
    if let text = file.socketMode { socketMode = try Self.mode(text, "socketMode") }
    access = file.access.map(Access.init) ?? access
    if let file = file.rpc { rpc.take(file) }
    drainSeconds = file.drainSeconds ?? drainSeconds
    if let list = file.resolve { resolve = try Self.mappings(list) }
    storeMapBytes = file.store?.mapSizeBytes ?? storeMapBytes
    scannerSlots = file.scanner?.slots ?? scannerSlots
    scannerWorkers = file.scanner?.workers ?? scannerWorkers
    advisoriesMapBytes = file.advisories?.mapSizeBytes ?? advisoriesMapBytes
    uploadBytesMaximum = file.advisories?.uploadBytesMaximum ?? uploadBytesMaximum
    logLevel = file.log?.level ?? logLevel
    logFormat = file.log?.format ?? logFormat
  }

  /// A misspelt key that is silently ignored is a setting that silently does not hold.
  private static func refuseUnknownKeys(_ node: Node, _ path: String) throws(Invalid) {
    func check(_ node: Node, _ section: String) throws(Invalid) {
      guard case .mapping(let mapping) = node else {
        throw Invalid(description: "\(path): expected keys and values", hint: "README.md lists the settings")
      }
      for (key, value) in mapping {
        let name = key.string ?? "?"
        guard File.keys[section, default: []].contains(name) else {
          let line = key.mark.map { ", line \($0.line)" } ?? ""
          throw Invalid(
            description: "\(path)\(line): unknown setting \(section.isEmpty ? "" : section + ".")\(name)",
            hint: "settings here: \(File.keys[section, default: []].joined(separator: ", "))")
        }
        if File.keys[name] != nil { try check(value, name) }
      }
    }
    try check(node, "")
  }

  private static func mappings(_ list: [String]) throws(Invalid) -> [HostMapping] {
    guard list.count <= HostMapping.countMax else {
      throw Invalid(description: "resolve: has \(list.count) entries", hint: "at most \(HostMapping.countMax)")
    }
    var mappings: [HostMapping] = []
    for (index, text) in list.enumerated() {
      do throws(HostMapping.Malformed) {
        let mapping = try HostMapping(text)
        guard !mappings.contains(where: { $0.source == mapping.source }) else {
          throw HostMapping.Malformed(description: "\(mapping.source) is there twice")
        }
        mappings.append(mapping)
      } catch {
        throw Invalid(
          description: "resolve[\(index)]: \(error)",
          hint: "write host:port=address:port, such as registry.example.test:443=127.0.0.1:8443")
      }
    }
    return mappings
  }

  private mutating func take(_ environment: [String: String]) throws(Invalid) {
    stateDirectory = environment["TIDEWAITER_STATE_DIR"] ?? stateDirectory
    socket = environment["TIDEWAITER_SOCKET"] ?? socket
    socketGroup = environment["TIDEWAITER_SOCKET_GROUP"] ?? socketGroup
    if let text = environment["TIDEWAITER_SOCKET_MODE"] { socketMode = try Self.mode(text, "TIDEWAITER_SOCKET_MODE") }
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

  /// Octal, as everywhere else; what no socket needs is refused.
  private static func mode(_ text: String, _ name: String) throws(Invalid) -> mode_t {
    let digits = text.hasPrefix("0o") ? text.dropFirst(2) : text[...]
    guard let mode = mode_t(digits, radix: 8), mode & ~0o666 == 0, mode & 0o600 == 0o600 else {
      throw Invalid(
        description: "\(name): \"\(text)\" is no mode of a socket", hint: "octal, from 0600 to 0666: 0660 by default")
    }
    return mode
  }

  /// More would not fit into the socket's list of those it lets in.
  private static let accountsMaximum = 256

  private func check() throws(Invalid) {
    func bound(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws(Invalid) {
      guard range.contains(value) else {
        throw Invalid(
          description: "\(name): \(value) is out of bounds", hint: "from \(range.lowerBound) to \(range.upperBound)")
      }
    }
    try bound("scanner.slots", scannerSlots, 1...256)
    try bound("scanner.workers", scannerWorkers, 1...256)
    try bound("store.mapSizeBytes", storeMapBytes, 1 << 20...1 << 46)
    try bound("advisories.mapSizeBytes", advisoriesMapBytes, 1 << 20...1 << 46)
    try bound("advisories.uploadBytesMaximum", uploadBytesMaximum, 1 << 20...1 << 46)
    try bound("drainSeconds", drainSeconds, 0...3600)
    try bound("rpc.streamsPerConnection", rpc.streamsPerConnection, 1...4096)
    try bound("rpc.connections", rpc.connections, 1...1 << 20)
    try bound("rpc.connectionsPerUser", rpc.connectionsPerUser, 1...1 << 20)
    try bound("rpc.streamQueueBytes", rpc.streamQueueBytes, 1 << 16...1 << 30)
    try bound("rpc.unsentBytes", rpc.unsentBytes, 1 << 16...1 << 30)
    try bound("rpc.userBytes", rpc.userBytes, 1 << 23...1 << 40)
    try bound("rpc.frameSeconds", rpc.frameSeconds, 1...3600)
    try bound("rpc.outputSeconds", rpc.outputSeconds, 1...3600)
    try bound("rpc.idleSeconds", rpc.idleSeconds, 0...1 << 30)
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
  fileprivate init(_ file: Configuration.File.Access) {
    self.init()
    adminUsers = file.adminUsers ?? []
    adminGroups = file.adminGroups ?? []
    operatorUsers = file.operatorUsers ?? []
    operatorGroups = file.operatorGroups ?? []
    viewerUsers = file.viewerUsers ?? []
    viewerGroups = file.viewerGroups ?? []
  }

  fileprivate var all: [String] {
    adminUsers + adminGroups + operatorUsers + operatorGroups + viewerUsers + viewerGroups
  }
}

extension Configuration.RPC {
  fileprivate mutating func take(_ file: Configuration.File.RPC) {
    streamsPerConnection = file.streamsPerConnection ?? streamsPerConnection
    connections = file.connections ?? connections
    connectionsPerUser = file.connectionsPerUser ?? connectionsPerUser
    streamQueueBytes = file.streamQueueBytes ?? streamQueueBytes
    unsentBytes = file.unsentBytes ?? unsentBytes
    userBytes = file.userBytes ?? userBytes
    frameSeconds = file.frameSeconds ?? frameSeconds
    outputSeconds = file.outputSeconds ?? outputSeconds
    idleSeconds = file.idleSeconds ?? idleSeconds
  }
}
