import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

/// `tidewaiter events`.
struct EventsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "events",
    abstract: "Tell what happened, and with --follow what happens.",
    discussion: """
      Each event has a cursor, in the documents of -o json and jsonl: --since goes on after it, also when the daemon or \
      this command was started anew in between. Without --since it begins with the oldest event that is kept; \
      --since latest tells only what comes. With --follow every event is a line, and a daemon that restarts is waited \
      for.

      Example:
        tidewaiter events --follow --since latest -o jsonl
      """)

  @Flag(help: "Go on with what happens, until interrupted.")
  var follow = false

  @Option(help: ArgumentHelp("Begin after this event; 'latest' for the newest.", valueName: "CURSOR"))
  var since: String?

  @Option(help: ArgumentHelp("Only events of this integration.", valueName: "NAME"))
  var integration: String?

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var request = WatchEventsRequest()
    request.cursor = since ?? ""
    request.integration = integration ?? ""
    request.follow = follow
    try await global.perform { session in
      let console = session.console
      // A document that never ends is none.
      let isOneDocument = console.format == .json && !follow
      var documents: [JSONValue] = []
      try await session.wait(orFail: "--timeout ended the watch") { rest in
        for try await event in session.system.watchEvents(request, timeout: rest) {
          if isOneDocument {
            documents.append(event.json)
          } else {
            try console.print(console.format == .table ? EventView.line(of: event, console) : event.json.text() + "\n")
          }
          if console.isOutputClosed { return }
        }
      }
      if isOneDocument { try console.show(list: "events", documents) { "" } }
    }
  }
}

/// Events as people read them.
enum EventView {
  /// `2025-01-31 12:00:00Z  job.changed          hub/library/alpine:3.20  job 42  finished`.
  static func line(of event: Event, _ console: Console) -> String {
    let kind = TerminalText.escape(event.kind)
    let padding = String(repeating: " ", count: max(kindWidth - TerminalText.width(kind), 0))
    var parts: [String] = []
    let subject = event.reference.isEmpty ? event.integration : People.shortReference(event.reference)
    if !subject.isEmpty { parts.append(subject) }
    if event.jobId > 0 { parts.append("job \(event.jobId)") }
    if event.pollId > 0 && event.jobId == 0 { parts.append("poll \(event.pollId)") }
    parts += [event.state.replacing("_", with: " "), event.detail].filter { !$0.isEmpty }
    if !event.actor.isEmpty { parts.append("by \(event.actor)") }
    return People.time(event.time) + "  " + (console.colours ? Colour.cyan.paint(kind) : kind) + padding + "  "
      + TerminalText.escape(parts.joined(separator: "  ")) + "\n"
  }

  /// Of the longest kind there is, "integration.created".
  private static let kindWidth = 19
}
