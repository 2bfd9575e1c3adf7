import Pipeline
import Posix
import Registry
import YAML

/// The settings that a file may have: a row for each, by section. What is absent or null keeps its default.
extension Configuration {
  private struct Setting: Sendable {
    let key: String
    let take: @Sendable (inout Configuration, YAMLNode) throws(YAMLError) -> Void
  }

  private struct Section: Sendable {
    let key: String
    let settings: [Setting]
    /// Of what the settings are to each other.
    var check: @Sendable (Configuration, YAMLMapping) throws(YAMLError) -> Void = { (_, _) throws(YAMLError) in }
  }

  private static let unsectioned = [
    text("stateDirectory") { $0.stateDirectory = $1 },
    text("socket") { $0.socket = $1 },
    text("socketGroup") { $0.socketGroup = $1 },
    Setting(key: "socketMode") { configuration, node throws(YAMLError) in
      guard let mode = mode(try node.string()) else { throw node.error("is no mode of a socket", hint: modeHint) }
      configuration.socketMode = mode
    },
    number("drainSeconds", 0...3600) { $0.drainSeconds = $1 },
    Setting(key: "sandbox") { configuration, node throws(YAMLError) in configuration.sandbox = try node.choice() },
    Setting(key: "resolve") { configuration, node throws(YAMLError) in configuration.resolve = try mappings(node) },
  ]

  /// Of how long something is kept: at least one, so that nothing goes that is still being worked on.
  private static let days = 1...36_500

  private static let sections = [
    Section(
      key: "access",
      settings: [
        accounts("adminUsers") { $0.adminUsers = $1 },
        accounts("adminGroups") { $0.adminGroups = $1 },
        accounts("operatorUsers") { $0.operatorUsers = $1 },
        accounts("operatorGroups") { $0.operatorGroups = $1 },
        accounts("viewerUsers") { $0.viewerUsers = $1 },
        accounts("viewerGroups") { $0.viewerGroups = $1 },
      ]),
    Section(
      key: "rpc",
      settings: [
        number("streamsPerConnection", 1...4096) { $0.rpc.streamsPerConnection = $1 },
        number("connections", 1...1 << 20) { $0.rpc.connections = $1 },
        number("connectionsPerUser", 1...1 << 20) { $0.rpc.connectionsPerUser = $1 },
        number("streamQueueBytes", 1 << 16...1 << 30) { $0.rpc.streamQueueBytes = $1 },
        number("unsentBytes", 1 << 16...1 << 30) { $0.rpc.unsentBytes = $1 },
        number("userBytes", 1 << 23...1 << 40) { $0.rpc.userBytes = $1 },
        number("frameSeconds", 1...3600) { $0.rpc.frameSeconds = $1 },
        number("outputSeconds", 1...3600) { $0.rpc.outputSeconds = $1 },
        number("idleSeconds", 0...1 << 30) { $0.rpc.idleSeconds = $1 },
      ]),
    Section(key: "store", settings: [number("mapSizeBytes", 1 << 20...1 << 46) { $0.storeMapBytes = $1 }]),
    Section(
      key: "retention",
      settings: [
        number("jobsDays", days) { $0.retention.jobsDays = $1 },
        number("eventsDays", days) { $0.retention.eventsDays = $1 },
        number("eventsMaximum", 1_000...1 << 40) { $0.retention.eventsMaximum = $1 },
        number("reportsDays", days) { $0.retention.reportsDays = $1 },
        number("reportsMaximum", 1...1 << 40) { $0.retention.reportsMaximum = $1 },
        number("layersDays", days) { $0.retention.layersDays = $1 },
        number("pollsDays", days) { $0.retention.pollsDays = $1 },
        number("pollsMinimum", 1...10_000) { $0.retention.pollsMinimum = $1 },
        number("tagsDays", days) { $0.retention.tagsDays = $1 },
      ]),
    Section(
      key: "scanner",
      settings: [
        number("slots", 1...scansMaximum) { $0.scannerSlots = $1 },
        number("workers", 1...scansMaximum) { $0.scannerWorkers = $1 },
        number("imageBytesMaximum", 1...1 << 60) { $0.scannerImageBytesMaximum = $1 },
        number("blobBytesPerSecondMinimum", 0...1 << 30) { $0.scannerBlobBytesPerSecondMinimum = $1 },
        number("blobIdleSeconds", 1...3600) { $0.scannerBlobIdleSeconds = $1 },
      ]),
    Section(
      key: "advisories",
      settings: [
        number("mapSizeBytes", 1 << 20...1 << 46) { $0.advisoriesMapBytes = $1 },
        number("uploadBytesMaximum", 1 << 20...1 << 46) { $0.uploadBytesMaximum = $1 },
      ]),
    Section(
      key: "malware",
      settings: [
        Setting(key: "clamd") { configuration, node throws(YAMLError) in
          let path = try node.string()
          guard path.hasPrefix("/"), path.utf8.count <= MalwareSettings.socketBytesMax, !path.utf8.contains(0) else {
            throw node.error(
              "is no path of a socket",
              hint: "clamd's LocalSocket: an absolute path of at most \(MalwareSettings.socketBytesMax) bytes")
          }
          configuration.malware = MalwareSettings(socket: path)
        },
        malware("fileBytesMaximum", 1...(2 << 30)) { $0.fileBytesMaximum = $1 },
        malware("layerBytesMaximum", 1...(64 << 30)) { $0.layerBytesMaximum = $1 },
        malware("fileSeconds", 1...3600) { $0.fileTime = .seconds($1) },
        malware("layerSeconds", 1...86_400) { $0.layerTime = .seconds($1) },
      ],
      check: { configuration, mapping throws(YAMLError) in
        guard let malware = configuration.malware, malware.fileTime > malware.layerTime,
          let node = mapping["layerSeconds"] ?? mapping["fileSeconds"]
        else { return }
        throw node.error(
          "a layer is given less time than a file: \(malware.layerTime) and \(malware.fileTime)",
          hint: "malware.fileSeconds is to be malware.layerSeconds at most")
      }),
    Section(
      key: "log",
      settings: [
        Setting(key: "level") { configuration, node throws(YAMLError) in configuration.logLevel = try node.choice() },
        Setting(key: "format") { configuration, node throws(YAMLError) in configuration.logFormat = try node.choice() },
      ]),
  ]

  private static func text(_ key: String, _ set: @escaping @Sendable (inout Configuration, String) -> Void) -> Setting {
    Setting(key: key) { configuration, node throws(YAMLError) in set(&configuration, try node.string()) }
  }

  private static func number(
    _ key: String, _ range: ClosedRange<Int>, _ set: @escaping @Sendable (inout Configuration, Int) -> Void
  ) -> Setting {
    Setting(key: key) { configuration, node throws(YAMLError) in
      let value = try node.integer()
      guard range.contains(value) else {
        throw node.error("\(value) is out of bounds", hint: "from \(range.lowerBound) to \(range.upperBound)")
      }
      set(&configuration, value)
    }
  }

  /// The others bound what only `clamd`, which stands before them, brings about.
  private static func malware(
    _ key: String, _ range: ClosedRange<Int>, _ set: @escaping @Sendable (inout MalwareSettings, Int) -> Void
  ) -> Setting {
    Setting(key: key) { configuration, node throws(YAMLError) in
      let value = try node.integer()
      guard range.contains(value) else {
        throw node.error("\(value) is out of bounds", hint: "from \(range.lowerBound) to \(range.upperBound)")
      }
      guard var malware = configuration.malware else {
        throw node.error("bounds what is not there", hint: "name clamd's socket: malware.clamd")
      }
      set(&malware, value)
      configuration.malware = malware
    }
  }

  private static func accounts(
    _ key: String, _ set: @escaping @Sendable (inout Access, [String]) -> Void
  ) -> Setting {
    Setting(key: key) { configuration, node throws(YAMLError) in
      var access = configuration.access ?? Access()
      set(&access, try node.strings())
      configuration.access = access
    }
  }

  private static func mappings(_ node: YAMLNode) throws(YAMLError) -> [HostMapping] {
    let items = try node.items()
    guard items.count <= HostMapping.countMax else {
      throw node.error("has \(items.count) entries", hint: "at most \(HostMapping.countMax)")
    }
    let hint = "write host:port=address:port, such as registry.example.test:443=127.0.0.1:8443"
    var mappings: [HostMapping] = []
    for item in items {
      let mapping: HostMapping
      let text = try item.string()
      do throws(HostMapping.Malformed) {
        mapping = try HostMapping(text)
      } catch {
        throw item.error("\(error)", hint: hint)
      }
      guard !mappings.contains(where: { $0.source == mapping.source }) else {
        throw item.error("\(mapping.source) is there twice", hint: hint)
      }
      mappings.append(mapping)
    }
    return mappings
  }

  mutating func take(fileAt path: String) throws(Invalid) {
    let bytes: [UInt8]
    do {
      bytes = try File.read(path, limit: YAMLDocument.Limits().bytes)
    } catch {
      throw Invalid(description: error.description, hint: "check --config")
    }
    do {
      guard let root = try YAMLDocument(bytes).root else { return }
      try take(root)
    } catch {
      throw Invalid(description: error.description(in: path), hint: error.hint)
    }
  }

  private mutating func take(_ root: YAMLNode) throws(YAMLError) {
    let keys = Self.unsectioned.map(\.key) + Self.sections.map(\.key)
    let file = try root.mapping(keys: keys, noun: "setting")
    try take(Self.unsectioned, of: file)
    for section in Self.sections {
      guard let node = file.entries.first(where: { $0.key == section.key })?.value else { continue }
      let mapping = try node.mapping(keys: section.settings.map(\.key), noun: "setting")
      // Who names nobody lets nobody in.
      if section.key == "access" { access = Access() }
      try take(section.settings, of: mapping)
      try section.check(self, mapping)
    }
  }

  private mutating func take(_ settings: [Setting], of mapping: YAMLMapping) throws(YAMLError) {
    for setting in settings {
      if let node = mapping[setting.key] { try setting.take(&self, node) }
    }
  }
}
