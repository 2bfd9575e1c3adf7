import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

struct ImageExplain: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Say why an image was taken, was not, or is not there, and since when.",
    discussion: """
      Not to know an image is an answer, too: the exit code is 0, and the state 'unknown' has its reason.

      Example:
        tidewaiter image explain hub/library/alpine:3.20
      """)

  @OptionGroup var image: ReferenceArgument
  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var request = ExplainImageRequest()
    request.reference = image.reference
    try await global.perform { session in
      let found = try await session.images.explainImage(request)
      try session.console.show(found.json) { session.console.render(Self.facts(of: found)) }
    }
  }

  private static func facts(of found: ImageExplanation) -> FactList {
    var facts = FactList()
    facts.add("image", found.reference)
    if !found.digest.isEmpty { facts.add("digest", found.digest) }
    let status = ImageStatus.known.first { $0.name == found.state }
    facts.add("state", found.state, status.map(ImageView.colour) ?? .yellow)
    facts.add("why", found.reason)
    if !found.reasonCode.isEmpty { facts.add("reason", found.reasonCode) }
    if found.since != nil { facts.add("since", People.time(found.since)) }
    if found.firstSeenAt != nil { facts.add("first seen", People.time(found.firstSeenAt)) }
    if found.created != nil { facts.add("created", "\(People.time(found.created)), from the \(found.createdFrom)") }
    if found.pollId > 0 { facts.add("poll", String(found.pollId)) }
    if found.jobId > 0 { facts.add("job", String(found.jobId)) }
    facts.add("notes", found.notes)
    return facts
  }
}

struct ImageHistory: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "history",
    abstract: "Tell what a tag points to and pointed to before, the newest first.",
    discussion: "Example:\n  tidewaiter image history hub/library/alpine:latest")

  @OptionGroup var image: ReferenceArgument
  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    try await global.perform { session in
      let entries = try await session.allPages { token in
        var request = ListTagHistoryRequest()
        request.reference = image.reference
        request.pageSize = Session.pageSize
        request.pageToken = token
        let page = try await session.images.listTagHistory(request)
        return (page.entries, page.nextPageToken)
      }
      if entries.isEmpty { session.console.remark("No poll has asked what the tag points to.") }
      try session.console.show(list: "entries", entries.map(\.json)) {
        session.console.render(Self.table(of: entries))
      }
    }
  }

  private static func table(of entries: [TagHistoryEntry]) -> Table {
    var table = Table([
      .init("DIGEST"), .init("SINCE"), .init("UNTIL"), .init("ENDED"), .init("STATUS"),
      .init("SCANNED", isOptional: true),
    ])
    for entry in entries {
      let isPulled = entry.status != .unspecified
      table.add([
        .init(entry.digest), .init(People.time(entry.since)), .init(People.time(entry.until)), .init(entry.ended),
        .init(isPulled ? entry.status.name : "not pulled", isPulled ? ImageView.colour(entry.status) : .dim),
        .init(People.time(entry.scannedAt)),
      ])
    }
    return table
  }
}
