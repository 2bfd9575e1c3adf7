import ProtobufRuntime
import Testing
import TidewaiterClient

@testable import CLIKit

@Suite("Polls, coverage and previews as people read them")
struct PollViewTests {
  private static func poll(_ state: PollState) -> Poll {
    var poll = Poll()
    poll.id = 12
    poll.integration = "hub"
    poll.state = state
    poll.startedAt = Timestamp()
    poll.startedAt?.seconds = 1_700_000_000
    poll.repositories = 10
    poll.repositoriesDone = 4
    poll.tags = 100
    return poll
  }

  @Test("A suspended poll says until when, and why")
  func suspendedProgress() {
    var poll = Self.poll(.suspended)
    poll.resumesAt = Timestamp()
    poll.resumesAt?.seconds = 1_700_003_600
    #expect(
      PollView.progress(of: poll)
        == "hub suspended until 2023-11-14 23:13:20Z: the registry grants no more requests; repositories 4/10, tags 100, "
        + "selected 0, queued 0")
    poll.error = ErrorDetail()
    poll.error?.message = "the budget of 100 requests is spent"
    #expect(PollView.progress(of: poll).contains("the budget of 100 requests is spent; repositories 4/10"))
    #expect(PollView.facts(of: poll).render(colours: false).contains("goes on            2023-11-14 23:13:20Z"))
  }

  @Test("One poll in full has its outcomes, its cost and what it could not read")
  func wholePoll() {
    var poll = Self.poll(.cancelled)
    poll.finishedAt = Timestamp()
    poll.finishedAt?.seconds = 1_700_000_090
    poll.trigger = "person"
    poll.actor = "uid:1000"
    poll.repositoriesSkipped = 3
    poll.requests = 42
    poll.throttles = 2
    poll.bytesReceived = 2048
    poll.errors = ["team/app: timeout"]
    poll.errorCount = 5
    poll.isPartial = true
    var outcome = OutcomeCount()
    outcome.decision = "rejected"
    outcome.reasonCode = "never_pull"
    outcome.count = 7
    outcome.example = "hub/app:1-dev"
    poll.outcomes = [outcome]
    let text = PollView.facts(of: poll).render(colours: false)
    for line in [
      "state              cancelled", "trigger            person, uid:1000",
      "finished           2023-11-14 22:14:50Z, took 1m 30s", "repositories       4 of 10 (3 skipped)",
      "by reason          7 rejected, never_pull: hub/app:1-dev",
      "requests           42, 2 refused as too many", "received           2 KiB",
      "partial            not everything there is was listed", "not read           team/app: timeout",
      "                   and 4 more",
    ] {
      #expect(text.contains(line + "\n"), "\(line) in:\n\(text)")
    }
  }

  @Test("A table of polls has a line for each")
  func tableOfPolls() {
    let table = PollView.table(of: [Self.poll(.running), Self.poll(.suspended)]).render(width: nil, colours: false)
    #expect(table.split(separator: "\n").count == 3)
    #expect(table.contains("suspended"))
  }

  @Test("A preview joins its parts, and its document has the keys that checks rely on")
  func previewDocument() {
    var preview = PreviewResult()
    var part = PreviewIntegrationResponse()
    var image = PreviewImage()
    image.reference = "hub/app:1"
    image.selected = true
    part.images = [image]
    preview.add(part)
    var last = PreviewIntegrationResponse()
    var repository = PreviewRepository()
    repository.name = "proxy"
    repository.kind = "remote"
    repository.skipped = true
    last.repositories = [repository]
    var summary = PreviewSummary()
    summary.selected = 1
    last.summary = summary
    preview.add(last)
    let text = preview.json.text()
    #expect(text.hasPrefix(#"{"images":[{"reference":"hub/app:1","digest":"","created":null,"#))
    #expect(text.contains(#""selected":true,"reasonCode":"","reason":"""#))
    #expect(text.contains(#""repositories":[{"name":"proxy","kind":"remote","skipped":true,"reason":"""#))
    #expect(text.contains(#""summary":{"#))
  }

  @Test(
    "Command lines that contradict themselves are refused before anybody is asked",
    arguments: [
      ["integration", "poll", "hub", "--wait", "--cancel"],
      ["integration", "polls", "hub", "12", "--limit", "3"],
      ["integration", "polls", "hub", "--limit", "0"],
      ["integration", "coverage", "hub", "--state", "lost"],
      ["integration", "preview", "hub", "--latest", "3", "--created-within", "60d"],
      ["image", "rescan"],
      ["image", "rescan", "hub/app:1", "--all"],
      ["image", "rescan", "hub/app:1", "--integration", "hub"],
      ["image", "explain", "hub"],
    ])
  func refusesUsage(arguments: [String]) async {
    #expect(await CommandLineClient.run(arguments) == 2)
  }
}
