import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

struct IntegrationPreview: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "preview",
    abstract: "Show what a poll would select now and why; queue and store nothing.",
    discussion: """
      With the integration's own settings, or with those that options give instead of them; an empty value ('') takes one \
      back to its default. Shown are the selected and the rejected with their reasons, how many bytes there are to fetch, \
      and what changes against the last poll. With -o jsonl a line comes as soon as it is known: \
      an image has a 'reference', a repository a 'name', and the last line is the 'summary'.

      Example:
        tidewaiter integration preview hub
        tidewaiter integration preview hub --criteria 'team/*' --latest 5 --no-sizes
      """)

  @OptionGroup var integration: IntegrationArgument
  @Flag(help: "Read no manifests to learn how many bytes there are to fetch.")
  var noSizes = false
  @OptionGroup(title: "Selection") var selection: SelectionSettings
  @OptionGroup var scopes: ScopeSettings
  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    let request = makeRequest()
    try await global.perform { session in
      let console = session.console
      var progress = ProgressLine(console)
      defer { progress.clear() }
      var preview = PreviewResult()
      try await session.wait(orFail: "the preview did not end within --timeout") { rest in
        for try await part in session.integrations.previewIntegration(request, timeout: rest) {
          if console.format == .jsonl {
            try Self.printLines(of: part, console)
            if console.isOutputClosed { return }
          } else {
            preview.add(part)
            progress.show("previewing \(request.name): \(preview.images.count) tags so far")
          }
        }
      }
      progress.clear()
      if console.format == .jsonl { return }
      try console.show(preview.json) { PreviewView.render(preview, console) }
    }
  }

  private func makeRequest() -> PreviewIntegrationRequest {
    var change = SettingsChange(Integration())
    selection.apply(to: &change)
    scopes.apply(to: &change)
    var request = PreviewIntegrationRequest()
    request.name = integration.name
    request.skipSizes = noSizes
    if !change.paths.isEmpty {
      request.integration = change.integration
      request.settingsMask = FieldMask()
      request.settingsMask?.paths = change.paths.sorted()
    }
    return request
  }

  private static func printLines(of part: PreviewIntegrationResponse, _ console: Console) throws {
    var lines = part.repositories.map(\.json) + part.images.map(\.json)
    if let summary = part.summary { lines.append(.object([("summary", summary.json)])) }
    for line in lines { try console.print(line.text() + "\n") }
  }
}

/// A preview, joined from its parts.
struct PreviewResult {
  private(set) var images: [PreviewImage] = []
  private(set) var repositories: [PreviewRepository] = []
  private(set) var summary = PreviewSummary()

  mutating func add(_ part: PreviewIntegrationResponse) {
    images += part.images
    repositories += part.repositories
    summary = part.summary ?? summary
  }

  var json: JSONValue {
    .object([
      ("images", .array(images.map(\.json))), ("repositories", .array(repositories.map(\.json))),
      ("summary", summary.json),
    ])
  }
}

/// A preview as people read it.
enum PreviewView {
  static func render(_ preview: PreviewResult, _ console: Console) -> String {
    var parts: [String] = []
    if !preview.images.isEmpty { parts.append(console.render(table(of: preview.images))) }
    let passedOver = preview.repositories.filter { $0.skipped || !$0.reason.isEmpty }
    if !passedOver.isEmpty { parts.append(console.render(table(of: passedOver))) }
    parts.append(console.render(facts(of: preview.summary)))
    return parts.joined(separator: "\n")
  }

  private static func table(of images: [PreviewImage]) -> Table {
    var table = Table([
      .init("IMAGE", cut: .middle), .init("DECISION"), .init("CHANGE"), .init("QUEUED"), .number("TO FETCH"),
      .init("CREATED", isOptional: true), .init("WHY", cut: .end),
    ])
    // They came as they were decided, some repositories at a time.
    for image in images.sorted(by: { $0.reference < $1.reference }) {
      table.add([
        .init(People.shortReference(image.reference)), .init(image.decision, colour(image.decision)),
        .init(change(of: image)), .init(image.queued ? "yes" : "", .cyan),
        .init(image.bytesToFetch > 0 ? People.size(image.bytesToFetch) : ""), .init(People.time(image.created)),
        .init(image.reason),
      ])
    }
    return table
  }

  /// `new`; `unchanged, was rejected`.
  private static func change(of image: PreviewImage) -> String {
    let before = image.previousDecision
    return image.change + (before.isEmpty || before == image.decision ? "" : ", was \(before)")
  }

  private static func colour(_ decision: String) -> Colour? {
    switch decision {
    case "selected": .green
    case "rejected", "failed": .red
    default: .yellow
    }
  }

  private static func table(of repositories: [PreviewRepository]) -> Table {
    var table = Table([.init("REPOSITORY", cut: .middle), .init("KIND"), .init("SKIPPED"), .init("WHY", cut: .end)])
    for repository in repositories {
      table.add([
        .init(repository.name), .init(repository.kind), .init(repository.skipped ? "yes" : "no", .yellow),
        .init(repository.reason),
      ])
    }
    return table
  }

  private static func facts(of summary: PreviewSummary) -> FactList {
    var facts = FactList()
    let skipped = summary.repositoriesSkipped > 0 ? " (\(summary.repositoriesSkipped) skipped)" : ""
    facts.add("repositories", "\(summary.repositories)\(skipped)")
    facts.add("tags", String(summary.tags))
    facts.add("selected", String(summary.selected), .green)
    facts.add("rejected", String(summary.rejected))
    for (name, count) in [("skipped", summary.skipped), ("not read", summary.failed), ("gone", summary.gone)]
    where count > 0 { facts.add(name, String(count)) }
    facts.add("a poll would queue", "\(summary.queued) \(summary.queued == 1 ? "image" : "images")", .cyan)
    facts.add("to fetch", toFetch(summary))
    if summary.lastPollId > 0 {
      facts.add(
        "against poll \(summary.lastPollId)",
        "\(summary.tagsNew) new, \(summary.tagsMoved) moved, \(summary.gone) gone; \(summary.newlySelected) selected "
          + "now, \(summary.newlyRejected) rejected now")
    } else {
      facts.add("last poll", "there was none")
    }
    facts.add("requests", String(summary.requests))
    if summary.isPartial { facts.add("partial", "not everything there is was listed", .yellow) }
    facts.add("errors", summary.errors, .yellow)
    return facts
  }

  private static func toFetch(_ summary: PreviewSummary) -> String {
    if summary.unsized == 0 { return People.size(summary.bytesToFetch) }
    if summary.unsized >= summary.queued { return "not known: no manifest was read" }
    let noun = summary.unsized == 1 ? "image" : "images"
    return "\(People.size(summary.bytesToFetch)), and what \(summary.unsized) \(noun) of unknown size need"
  }
}
