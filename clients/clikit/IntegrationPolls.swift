import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

struct IntegrationPolls: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "polls",
    abstract: "List an integration's polls, the newest first, or show one in full.",
    discussion: """
      Of one poll: how many tags it decided for which reason, what it cost, and what it could not read.

      Example:
        tidewaiter integration polls hub
        tidewaiter integration polls hub 12
      """)

  @OptionGroup var integration: IntegrationArgument
  @Argument(help: ArgumentHelp("Number of the poll.", valueName: "POLL"))
  var poll: UInt64?
  @Option(help: ArgumentHelp("Only so many, the newest (default: all).", valueName: "N"))
  var limit: Int?
  @OptionGroup(title: "Global options") var global: GlobalOptions

  func validate() throws {
    guard limit ?? 1 > 0 else { throw ValidationError("--limit must be 1 or more.") }
    guard limit == nil || poll == nil else { throw ValidationError("--limit is for a list, not for one poll.") }
  }

  func run() async throws {
    try await global.perform { session in
      if let poll { return try await show(poll, session) }
      let polls = try await session.polls(of: integration.name, limit: limit)
      if polls.isEmpty {
        session.console.remark("There was no poll yet: tidewaiter integration poll \(integration.name)")
      }
      try session.console.show(list: "polls", polls.map(\.json)) {
        session.console.render(PollView.table(of: polls))
      }
    }
  }

  private func show(_ poll: UInt64, _ session: Session) async throws {
    var request = GetPollRequest()
    request.integration = integration.name
    request.id = poll
    let found = try await session.integrations.getPoll(request)
    try session.console.show(found.json) { session.console.render(PollView.facts(of: found)) }
  }
}

extension Session {
  /// The newest polls first, all of them without a limit.
  fileprivate func polls(of integration: String, limit: Int?) async throws -> [Poll] {
    let pageSize = limit.map { UInt32(clamping: min($0, Int(Self.pageSize))) } ?? Self.pageSize
    var found = 0
    let polls = try await allPages { token in
      var request = ListPollsRequest()
      request.integration = integration
      request.pageSize = pageSize
      request.pageToken = token
      let page = try await integrations.listPolls(request)
      found += page.polls.count
      return (page.polls, found >= limit ?? .max ? "" : page.nextPageToken)
    }
    return Array(polls.prefix(limit ?? .max))
  }
}
