import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

struct PauseCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pause",
    abstract: "Start no more scans, of all integrations or of one; also after a restart.",
    discussion: """
      Scans that run go on to their end. Images are still queued.

      Example:
        tidewaiter queue pause --integration hub --reason "moves to another host"
      """)

  @Option(help: ArgumentHelp("Only jobs of this integration.", valueName: "NAME"))
  var integration: String?

  @Option(help: ArgumentHelp("Why, for whoever sees that it is paused.", valueName: "TEXT"))
  var reason: String?

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var request = PauseQueueRequest()
    request.integration = integration ?? ""
    request.reason = reason ?? ""
    try await global.perform { session in
      let pauses = try await session.queue.pauseQueue(request)
      try session.console.show(pauses.json) { PauseView.render(pauses.pauses, session.console) }
    }
  }
}

struct ResumeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resume",
    abstract: "Go on with the queue after a pause, or with one integration.",
    discussion: """
      The queue and each integration are paused apart: each is resumed by itself. What is still paused is printed.

      Example:
        tidewaiter queue resume --integration hub
      """)

  @Option(help: ArgumentHelp("Only jobs of this integration.", valueName: "NAME"))
  var integration: String?

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var request = ResumeQueueRequest()
    request.integration = integration ?? ""
    try await global.perform { session in
      let pauses = try await session.queue.resumeQueue(request)
      try session.console.show(pauses.json) { PauseView.render(pauses.pauses, session.console) }
    }
  }
}

/// What is paused, as people read it.
enum PauseView {
  static func render(_ pauses: [QueuePause], _ console: Console) -> String {
    if pauses.isEmpty { return "nothing is paused\n" }
    var table = Table([.init("PAUSED"), .init("SINCE"), .init("BY"), .init("REASON", cut: .end)])
    for pause in pauses {
      table.add([
        .init(scope(of: pause), .yellow), .init(People.time(pause.since)), .init(pause.actor), .init(pause.reason),
      ])
    }
    return console.render(table)
  }

  static func scope(of pause: QueuePause) -> String {
    pause.integration.isEmpty ? "the whole queue" : pause.integration
  }

  /// `the whole queue since 2025-01-31 12:00:00Z by uid:0: maintenance`.
  static func line(of pause: QueuePause) -> String {
    "\(scope(of: pause)) since \(People.time(pause.since))" + (pause.actor.isEmpty ? "" : " by \(pause.actor)")
      + (pause.reason.isEmpty ? "" : ": \(pause.reason)")
  }
}
