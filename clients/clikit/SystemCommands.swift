import ArgumentParser
import Model
import ProtobufRuntime
import TidewaiterClient

/// `tidewaiter status`.
struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Say in one screen whether all is well and, if not, why and what to do.",
    discussion: "Example:\n  tidewaiter status")

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    try await global.perform { session in
      let status = try await session.system.getStatus(GetStatusRequest())
      try session.console.show(status.json) {
        StatusView(status, socket: global.socketPath).render(session.console)
      }
    }
  }
}

/// `tidewaiter version`.
struct VersionCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "version",
    abstract: "Print the versions of the client and, where one answers, of the daemon.",
    discussion: "Example:\n  tidewaiter version -o json")

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var daemon: Version?
    var absence = ""
    do {
      try await global.perform { session in
        daemon = try await session.system.getVersion(GetVersionRequest())
      }
    } catch let failure as CommandFailure {
      // The client's own version is an answer too.
      absence = failure.messages.joined(separator: "; ")
    }
    let console = global.console
    let document = JSONValue.object([
      ("client", .object([("version", .string(Build.version))])), ("daemon", daemon?.json ?? .null),
    ])
    try console.show(document) {
      var facts = FactList()
      facts.add("client", Build.version)
      if let daemon {
        facts.add("daemon", daemon.commit.isEmpty ? daemon.version : "\(daemon.version) (\(daemon.commit))")
        facts.add("protocol", daemon.protocol)
        facts.add("store schema", String(daemon.schemaVersion))
        facts.add("analyser", String(daemon.analyserVersion))
      } else {
        facts.add("daemon", absence)
      }
      return console.render(facts)
    }
  }
}

/// `tidewaiter system`.
struct SystemCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "system",
    abstract: "Look after the daemon.",
    discussion: "Example:\n  tidewaiter system rotate-key",
    subcommands: [RotateKey.self])
}

struct RotateKey: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rotate-key",
    abstract: "Make a new key for the stored secrets and seal all of them with it.",
    discussion: """
      Nothing is lost if the daemon dies meanwhile: it goes on with it when it starts. A key that the service's unit passes \
      as a credential is replaced there.

      Example:
        tidewaiter system rotate-key
      """)

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    try await global.perform { session in
      let outcome = try await session.system.rotateKey(RotateKeyRequest())
      try session.console.show(outcome.json) { "sealed \(outcome.sealed) secrets with a new key\n" }
      if outcome.unreadable > 0 {
        session.console.warn("\(outcome.unreadable) secrets could not be read with any key")
        session.console.hint("give their integrations their secrets anew: tidewaiter integration edit --help")
      }
    }
  }
}
