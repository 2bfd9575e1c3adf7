import Glibc
import Pipeline
import RPC
import TestSupport
import Testing

@testable import Daemon

struct ConfigurationTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func configuration(
    file: String? = nil, environment: [String: String] = [:], _ change: (inout Configuration.Flags) -> Void = { _ in }
  ) throws -> Configuration {
    var flags = Configuration.Flags()
    if let file { flags.config = try directory.write("tidewaiterd.yaml", file.utf8) }
    change(&flags)
    return try Configuration(flags: flags, environment: environment)
  }

  private func refusal(file: String? = nil, environment: [String: String] = [:]) throws -> Configuration.Invalid {
    try #require(throws: Configuration.Invalid.self) { try configuration(file: file, environment: environment) }
  }

  @Test func `A flag wins over the environment, that over the file, that over the default`() throws {
    let file = """
      stateDirectory: /file
      socket: /file.sock
      socketGroup: file
      log: {level: error, format: json}
      """
    let environment = [
      "TIDEWAITER_STATE_DIR": "/environment", "TIDEWAITER_SOCKET": "/environment.sock",
      "TIDEWAITER_LOG_LEVEL": "warning",
    ]
    let all = try configuration(file: file, environment: environment) { flags in
      flags.stateDirectory = "/flag"
      flags.logLevel = .debug
    }
    #expect(all.stateDirectory == "/flag")
    #expect(all.socket == "/environment.sock")
    #expect(all.socketGroup == "file")
    #expect((all.logLevel, all.logFormat) == (.debug, .json))
    let plain = try configuration()
    #expect((plain.logLevel, plain.logFormat, plain.drainSeconds) == (.info, .text, 10))
    #expect(plain.storeMapBytes == 64 << 30)
    #expect(plain.sandbox == .required)
    #expect(try configuration(file: "sandbox: best-effort").sandbox == .bestEffort)
    #expect(try refusal(file: "log: {level: info}\nsandbox: none").description.contains("line 2: sandbox"))
    #expect(plain.scannerWorkers >= 3)
  }

  @Test func `The environment names the file too, and a flag another`() throws {
    let path = try directory.write("other.yaml", "socket: /other.sock".utf8)
    #expect(try configuration(environment: ["TIDEWAITER_CONFIG": path]).socket == "/other.sock")
    #expect(
      try configuration(file: "socket: /flag.sock", environment: ["TIDEWAITER_CONFIG": path]).socket == "/flag.sock")
  }

  @Test func `An empty variable is not set`() throws {
    let names = [
      "TIDEWAITER_STATE_DIR", "TIDEWAITER_SOCKET", "TIDEWAITER_LOG_LEVEL", "XDG_STATE_HOME", "TIDEWAITER_CONFIG",
    ]
    #expect(
      try configuration(environment: Dictionary(uniqueKeysWithValues: names.map { ($0, "") })) == configuration())
  }

  @Test(arguments: ["", "\n\n", "# nothing yet\n", "---\n", "{}"])
  func `A file that says nothing changes nothing`(file: String) throws {
    #expect(try configuration(file: file) == configuration())
  }

  @Test(arguments: [
    ("stateDirectory: /a\nsokcet: /b\n", "line 2: unknown setting sokcet"),
    ("store:\n  mapSizeByte: 5\n", "line 2: unknown setting store.mapSizeByte"),
    ("log: {level: info, colour: red}", "unknown setting log.colour"),
  ])
  func `An unknown key is named with its line`(file: String, message: String) throws {
    let refusal = try refusal(file: file)
    #expect(refusal.description.contains(message))
    #expect(refusal.hint.hasPrefix("settings here: "))
  }

  @Test(arguments: [
    ("scanner: {slots: 0}", "scanner.slots"), ("scanner: {slots: 257}", "scanner.slots"),
    ("scanner: {blobIdleSeconds: 0}", "scanner.blobIdleSeconds"),
    ("scanner: {workers: -1}", "scanner.workers"), ("store: {mapSizeBytes: 1}", "store.mapSizeBytes"),
    ("advisories: {mapSizeBytes: 99999999999999999}", "advisories.mapSizeBytes"),
    ("advisories: {uploadBytesMaximum: 5}", "advisories.uploadBytesMaximum"), ("drainSeconds: 3601", "drainSeconds"),
    ("rpc:\n\n  userBytes: 8388607", "rpc.userBytes"), ("socketMode: rwx", "socketMode"),
    ("retention: {jobsDays: 0}", "retention.jobsDays"), ("retention: {layersDays: 36501}", "retention.layersDays"),
    ("retention: {eventsMaximum: 999}", "retention.eventsMaximum"),
    ("retention: {pollsMinimum: 0}", "retention.pollsMinimum"),
    ("retention: {reportsMaximum: none}", "retention.reportsMaximum"),
    ("scanner: {slots: many}", "scanner.slots"), ("log: {format: [json]}", "log.format"),
  ])
  func `A value that cannot be is named with its line`(file: String, field: String) throws {
    let refusal = try refusal(file: file)
    #expect(refusal.description.contains("tidewaiterd.yaml, line \(file.contains("\n") ? 3 : 1): \(field): "))
    #expect(!refusal.hint.isEmpty)
  }

  @Test(arguments: ["stateDirectory", "socket"])
  func `An empty path is refused`(field: String) throws {
    #expect(try refusal(file: "\(field): ''").description == "\(field): is empty")
  }

  @Test func `A null setting keeps its default, and a section that says nothing is refused`() throws {
    #expect(try configuration(file: "socketGroup: ~\nrpc: {connections: null}\ndrainSeconds:\n") == configuration())
    #expect(
      try refusal(file: "socket: /a\naccess:\n").description.hasSuffix(
        "line 2: access: expected keys and values, found nothing"))
  }

  @Test func `Each setting of the file is taken over`() throws {
    let all = try configuration(
      file: """
        stateDirectory: /a
        socket: /b
        socketGroup: c
        socketMode: 0600
        drainSeconds: 0
        access: {adminUsers: [a], adminGroups: [b], operatorUsers: [c], operatorGroups: [d], viewerUsers: [e], viewerGroups: [f]}
        rpc:
          streamsPerConnection: 1
          connections: 2
          connectionsPerUser: 3
          streamQueueBytes: 65536
          unsentBytes: 65537
          userBytes: 8388608
          frameSeconds: 7
          outputSeconds: 8
          idleSeconds: 9
        store: {mapSizeBytes: 1048577}
        scanner:
          slots: 256
          workers: 255
          imageBytesMaximum: 1048580
          blobBytesPerSecondMinimum: 10
          blobIdleSeconds: 11
        advisories: {mapSizeBytes: 1048578, uploadBytesMaximum: 1048579}
        log: {level: debug, format: json}
        retention:
          jobsDays: 1
          eventsDays: 2
          eventsMaximum: 1003
          reportsDays: 4
          reportsMaximum: 5
          layersDays: 6
          pollsDays: 7
          pollsMinimum: 8
          tagsDays: 9
        """)
    let kept = all.retention
    #expect((kept.jobsDays, kept.eventsDays, kept.eventsMaximum) == (1, 2, 1_003))
    #expect((kept.reportsDays, kept.reportsMaximum, kept.layersDays) == (4, 5, 6))
    #expect((kept.pollsDays, kept.pollsMinimum, kept.tagsDays) == (7, 8, 9))
    #expect((all.stateDirectory, all.socket, all.socketGroup, all.socketMode) == ("/a", "/b", "c", 0o600))
    let access = try #require(all.access)
    #expect(
      [
        access.adminUsers, access.adminGroups, access.operatorUsers, access.operatorGroups, access.viewerUsers,
        access.viewerGroups,
      ] == ["a", "b", "c", "d", "e", "f"].map { [$0] })
    let rpc = all.rpc
    #expect((rpc.streamsPerConnection, rpc.connections, rpc.connectionsPerUser) == (1, 2, 3))
    #expect((rpc.streamQueueBytes, rpc.unsentBytes, rpc.userBytes) == (65_536, 65_537, 8_388_608))
    #expect((rpc.frameSeconds, rpc.outputSeconds, rpc.idleSeconds, all.drainSeconds) == (7, 8, 9, 0))
    #expect((all.storeMapBytes, all.advisoriesMapBytes, all.uploadBytesMaximum) == (1_048_577, 1_048_578, 1_048_579))
    #expect((all.scannerSlots, all.scannerWorkers, all.logLevel, all.logFormat) == (256, 255, .debug, .json))
    #expect(all.scannerImageBytesMaximum == 1_048_580)
    #expect((all.scannerBlobBytesPerSecondMinimum, all.scannerBlobIdleSeconds) == (10, 11))
  }

  @Test(arguments: [
    "scanner: {slots: many}", "- a\n- b", "just text", "log: {level: loud}", "a: b: c",
    "drainSeconds: 99999999999999999999",
    "store:", "&a [*a]", "\u{0}",
  ])
  func `What is no settings file is refused with its name`(file: String) throws {
    #expect(try refusal(file: file).description.contains("tidewaiterd.yaml"))
  }

  @Test func `A file that is not UTF-8, too long or not there is refused`() throws {
    let bytes = try directory.write("bytes.yaml", [0xff, 0xfe])
    let long = try directory.write("long.yaml", [UInt8](repeating: UInt8(ascii: "#"), count: 1 << 20 + 1))
    for path in [bytes, long, directory.path + "/missing.yaml", directory.path] {
      #expect(throws: Configuration.Invalid.self) { try configuration(environment: ["TIDEWAITER_CONFIG": path]) }
    }
  }

  @Test func `An environment variable with none of its values is refused with them`() throws {
    let refusal = try refusal(environment: ["TIDEWAITER_LOG_FORMAT": "xml"])
    #expect(refusal.description.contains("TIDEWAITER_LOG_FORMAT"))
    #expect(refusal.hint == "one of text, json")
  }

  @Test(arguments: [("0600", 0o600), ("'0666'", 0o666), ("660", 0o660), ("0o640", 0o640)] as [(String, mode_t)])
  func `The socket's mode is octal`(text: String, mode: mode_t) throws {
    #expect(try configuration(file: "socketMode: \(text)").socketMode == mode)
  }

  @Test(arguments: ["0777", "0060", "0400", "rw", "-1", "'0688'", "01660"])
  func `A mode that no socket needs is refused`(text: String) throws {
    #expect(try refusal(file: "socketMode: \(text)").description.contains("socketMode"))
  }

  @Test func `Users and groups may be names or numbers, and absent means none`() throws {
    #expect(try configuration().access == nil)
    let access = try #require(
      try configuration(file: "access:\n  adminGroups: [wheel, 1000]\n  viewerUsers: ['7']\n").access)
    #expect(access.adminGroups == ["wheel", "1000"])
    #expect(access.viewerUsers == ["7"])
    #expect(access.operatorGroups.isEmpty)
    #expect(try configuration(file: "access: {}").access == Configuration.Access())
    #expect(try refusal(file: "access: {adminGroup: [x]}").description.contains("unknown setting access.adminGroup"))
    let many = (0..<300).map(String.init).joined(separator: ", ")
    #expect(try refusal(file: "access: {viewerGroups: [\(many)]}").description.contains("300"))
  }

  @Test func `Limits of the socket are bounded, and what a reload cannot change is named`() throws {
    let old = try configuration()
    let new = try configuration(file: "rpc: {connections: 9, idleSeconds: 60}\ndrainSeconds: 3\nlog: {level: error}")
    #expect(RPCServer.Limits(new.rpc).connections == 9)
    #expect(RPCServer.Limits(new.rpc).idleTime == .seconds(60))
    #expect(RPCServer.Limits(old.rpc).idleTime == nil)
    #expect(new.differencesForNextStart(from: old) == ["rpc"])
    #expect(try refusal(file: "rpc: {connections: 0}").description.contains("rpc.connections"))
  }

  @Test func `A file may not be given more time than its layer`() throws {
    let refused = try refusal(file: "malware:\n  clamd: /x\n  fileSeconds: 20\n  layerSeconds: 10\n")
    #expect(refused.description.contains("malware.layerSeconds"), "\(refused)")
    #expect(try refusal(file: "malware: {clamd: /x, fileSeconds: 3600}").description.contains("malware.fileSeconds"))
    #expect(try configuration(file: "malware: {clamd: /x, layerSeconds: 150}").malware?.layerTime == .seconds(150))
  }
}
