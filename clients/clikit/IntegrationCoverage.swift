import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

struct IntegrationCoverage: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "coverage",
    abstract: "Count every tag that was ever listed by the one state that it is in; with a filter, list the tags.",
    discussion: """
      The states: scanned, queued, rejected (by a rule), skipped (nothing that can be scanned), failed, gone. Each tag is \
      in exactly one, so that the sum is what the registry listed.

      With --state, --repository or --reason, the tags themselves with their reasons. Reasons are named by the words in \
      the table's column REASON.

      Example:
        tidewaiter integration coverage hub
        tidewaiter integration coverage hub --state rejected --reason never_pull
      """)

  @OptionGroup var integration: IntegrationArgument

  @Option(
    help: ArgumentHelp("List tags that are scanned, queued, rejected, skipped, failed or gone.", valueName: "STATE"),
    transform: ImageStatus.init(named:))
  var state: ImageStatus?

  @Option(help: ArgumentHelp("List tags of repositories that match, with *.", valueName: "PATTERN"))
  var repository: String?

  @Option(help: ArgumentHelp("List tags with this reason, such as never_pull.", valueName: "CODE"))
  var reason: String?

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    try await global.perform { session in
      if state != nil || repository != nil || reason != nil { return try await list(session) }
      var request = GetCoverageRequest()
      request.integration = integration.name
      let coverage = try await session.integrations.getCoverage(request, timeout: session.registryCallTimeout)
      try session.console.show(coverage.json) { CoverageView.render(coverage, session.console) }
    }
  }

  private func list(_ session: Session) async throws {
    let isStream = session.console.format == .jsonl
    let tags = try await session.allPages { token in
      var request = ListTagsRequest()
      request.integration = integration.name
      request.status = state ?? .unspecified
      request.repository = repository ?? ""
      request.reasonCode = reason ?? ""
      request.pageSize = Session.pageSize
      request.pageToken = token
      let page = try await session.images.listTags(request, timeout: session.registryCallTimeout)
      guard isStream else { return (page.tags, page.nextPageToken) }
      // A million tags need not be held to be printed.
      for tag in page.tags { try session.console.print(tag.json.text() + "\n") }
      return ([], session.console.isOutputClosed ? "" : page.nextPageToken)
    }
    if isStream { return }
    if tags.isEmpty { session.console.remark("There is no such tag.") }
    try session.console.show(list: "tags", tags.map(\.json)) {
      session.console.render(CoverageView.table(of: tags))
    }
  }
}

/// What became of every tag, as people read it.
enum CoverageView {
  static func render(_ coverage: Coverage, _ console: Console) -> String {
    var facts = FactList()
    facts.add("integration", coverage.integration)
    facts.add("as of", basis(of: coverage), coverage.pollId == 0 || coverage.isPartial ? .yellow : nil)
    return console.render(facts) + "\n" + console.render(states(of: coverage)) + "\n"
      + console.render(repositories(of: coverage))
  }

  private static func basis(of coverage: Coverage) -> String {
    guard coverage.pollId > 0 else { return "no poll has ended yet" }
    return "poll \(coverage.pollId), \(People.time(coverage.asOf))"
      + (coverage.isPartial ? ", which has not listed everything" : "")
  }

  private static func states(of coverage: Coverage) -> Table {
    var table = Table([
      .init("STATE"), .init("REASON"), .number("TAGS"), .init("EXAMPLE", cut: .middle), .init("WHY", cut: .end),
    ])
    for state in coverage.states {
      table.add([
        .init(state.status.name, ImageView.colour(state.status)), .init(state.reasonCode), .init(String(state.tags)),
        .init(state.example), .init(state.reason),
      ])
    }
    table.add([.init("ever listed", .bold), "", .init(String(coverage.tags), .bold), "", ""])
    let gone = coverage.tags - min(coverage.listed, coverage.tags)
    if gone > 0 { table.add([.init("there now", .bold), "", .init(String(coverage.listed), .bold), "", ""]) }
    return table
  }

  private static func repositories(of coverage: Coverage) -> Table {
    var table = Table([
      .init("REPOSITORIES"), .init("REASON"), .number("COUNT"), .init("EXAMPLE", cut: .middle), .init("WHY", cut: .end),
    ])
    for state in coverage.repositoryStates {
      table.add([
        .init(state.state, colour(state.state)), .init(state.reasonCode), .init(String(state.repositories)),
        .init(state.example), .init(state.reason),
      ])
    }
    table.add([.init("ever listed", .bold), "", .init(String(coverage.repositories), .bold), "", ""])
    return table
  }

  private static func colour(_ repositoryState: String) -> Colour? {
    switch repositoryState {
    case "listed": .green
    case "rejected", "failed": .red
    default: .yellow
    }
  }

  static func table(of tags: [TagEntry]) -> Table {
    var table = Table([
      .init("TAG", cut: .middle), .init("STATE"), .init("REASON", isOptional: true), .init("SINCE"),
      .init("DIGEST", isOptional: true), .init("WHY", cut: .end),
    ])
    for tag in tags {
      table.add([
        .init(tag.reference), .init(tag.status.name, ImageView.colour(tag.status)), .init(tag.reasonCode),
        .init(People.time(tag.since)), .init(People.shortDigest(tag.digest)), .init(tag.reason),
      ])
    }
    return table
  }
}
