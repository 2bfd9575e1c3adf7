import Model
import StorageMessages
import Store
import Testing

@testable import Pipeline
@testable import Selection

/// Every answer to "why is this image here, or not?".
struct ExplanationTests {
  private typealias Facts = Explanation.Facts

  private static func facts(
    digest: String? = nil, tag: String? = "1.0", _ change: (inout Explanation.Facts) -> Void = { _ in }
  ) -> Explanation.Facts {
    var facts = Explanation.Facts(repository: "team/app", tag: tag, digest: digest)
    facts.newest = poll(12)
    facts.lastEnded = poll(12)
    change(&facts)
    return facts
  }

  private static func poll(_ id: UInt64, _ state: PollState = .finished) -> PollRecord {
    var poll = PollRecord()
    poll.id = id
    poll.state = state
    poll.startedAt = 1_700_000_000_000_000_000
    poll.finishedAt = poll.isEnded ? 1_700_000_060_000_000_000 : 0
    poll.resumesAt = state == .suspended ? 1_700_003_600_000_000_000 : 0
    return poll
  }

  private static func repository(_ state: RepositoryState, _ code: String = "", _ reason: String = "")
    -> RepositoryRecord
  {
    var record = RepositoryRecord()
    record.state = state
    record.reasonCode = code
    record.reason = reason
    record.since = 1_600_000_000_000_000_000
    record.listedAt = state == .listed ? 1_700_000_030_000_000_000 : 0
    record.pollId = 12
    record.tags = 7
    return record
  }

  // MARK: - What is not there

  @Test func `An integration that was never polled says so`() {
    let found = Explanation(Self.facts { facts in (facts.newest, facts.lastEnded) = (nil, nil) })
    #expect(found.state == "unknown")
    #expect(found.reasonCode == "never_polled")
    #expect(found.notes == [])
  }

  @Test func `While the first poll runs, or is suspended, that is the answer`() {
    for state in [PollState.running, .suspended] {
      let found = Explanation(
        Self.facts { facts in (facts.newest, facts.lastEnded) = (Self.poll(1, state), nil) })
      #expect(found.reasonCode == "not_polled_yet")
      #expect(found.notes.first?.hasPrefix("last poll: 1, \(state.name) ") == true)
    }
  }

  @Test func `A repository that was not listed is named with the poll and its time`() {
    let found = Explanation(Self.facts())
    #expect(found.state == "unknown")
    #expect(found.reasonCode == "repository_not_listed")
    #expect(found.reason.contains("team/app is not in the listing of poll 12, which ended 2023-11-14T22:14:20Z"))
    #expect(found.poll == 12)
  }

  @Test func `A repository inside what is passed over has that reason`() {
    let found = Explanation(
      Self.facts { $0.area = ("team", Self.repository(.skipped, "remote", "another registry's images")) })
    #expect(found.state == "skipped")
    #expect(found.reasonCode == "remote")
    #expect(found.reason == "its repository lies in team, which is passed over: another registry's images")
  }

  @Test(arguments: [
    (RepositoryState.rejected, "never_pull", "rejected"), (.skipped, "remote", "skipped"),
    (.failed, "forbidden", "failed"),
  ])
  func `A repository whose tags were not listed decides for them`(state: RepositoryState, code: String, told: String) {
    let found = Explanation(
      Self.facts { $0.repositoryRecord = Self.repository(state, code, "never: \"team/*\"") })
    #expect(found.state == told)
    #expect(found.reasonCode == code)
    #expect(found.reason.hasSuffix(": never: \"team/*\""))
    #expect(found.since == 1_600_000_000_000_000_000)
  }

  @Test(arguments: [(RepositoryState.gone, "repository_gone"), (.unlisted, "repository_not_listed")])
  func `A repository that has gone takes what it had along`(state: RepositoryState, code: String) {
    let found = Explanation(Self.facts { $0.repositoryRecord = Self.repository(state) })
    #expect(found.state == "unknown")
    #expect(found.reasonCode == code)
    #expect(found.reason.hasSuffix("since 2020-09-13T12:26:40Z"))
  }

  @Test func `A tag that its repository does not have is not in the last listing`() {
    let found = Explanation(Self.facts { $0.repositoryRecord = Self.repository(.listed) })
    #expect(found.reasonCode == "tag_not_listed")
    #expect(found.reason == "the tag is not among the 7 that poll 12 found in team/app, at 2023-11-14T22:13:50Z")
    let byDigest = Explanation(
      Self.facts(digest: "sha256:x", tag: nil) { $0.repositoryRecord = Self.repository(.listed) })
    #expect(byDigest.reasonCode == "digest_not_known")
  }

  @Test func `A partial poll is told of`() {
    let found = Explanation(Self.facts { $0.newest?.isPartial = true })
    #expect(found.notes.last == "that poll was partial: not everything there is was listed")
  }

  // MARK: - What is there

  @Test func `A tag has the reason of its decision`() {
    let found = Explanation(
      Self.facts { facts in
        facts.tagRecord = LedgerStateTests.tag(.rejected, "never_pull")
        facts.tagRecord?.pollId = 4
        facts.tagRecord?.firstSeenAt = 1
      })
    #expect(found.state == "rejected")
    #expect(found.reasonCode == "never_pull")
    #expect(found.reason == "because of never_pull")
    #expect((found.since, found.firstSeenAt, found.poll) == (2, 1, 4))
  }

  @Test func `What was scanned before and is rejected now says both`() {
    let found = Explanation(
      Self.facts { facts in
        facts.tagRecord = LedgerStateTests.tag(.rejected, "never_pull", taken: true)
        facts.image = LedgerStateTests.image(.scanned, scannedAt: 9)
        facts.image?.lastJobId = 5
        facts.job = JobRecord()
        facts.job?.id = 5
      })
    #expect(found.state == "scanned")
    #expect(found.reason == "taken before it was rejected: because of never_pull")
    #expect(found.job == 5)
  }

  @Test func `A tag that has gone says since when, and that its report is kept`() {
    let found = Explanation(
      Self.facts { facts in
        facts.tagRecord = LedgerStateTests.tag(.selected, "no_criteria", gone: 1_700_000_000_000_000_000)
        facts.image = LedgerStateTests.image(.gone, scannedAt: 9)
        facts.present = .decided(.selected(Reason(code: .noCriteria, text: "every tag")))
      })
    #expect(found.state == "gone")
    #expect(found.reasonCode == "gone")
    #expect(found.reason == "the registry does not list it any more, since 2023-11-14T22:13:20Z")
    #expect(found.since == 1_700_000_000_000_000_000)
    #expect(found.notes.first?.hasSuffix("the report is kept") == true)
    #expect(!found.notes.contains { $0.contains("present settings") })
  }

  @Test(arguments: [true, false]) func `A failure says whether polls try it again`(isRetried: Bool) {
    let found = Explanation(
      Self.facts { facts in
        facts.tagRecord = LedgerStateTests.tag(.selected, "criteria_match")
        facts.image = LedgerStateTests.image(.failed, "SCAN_TIMEOUT: too long")
        facts.image?.isRetried = isRetried
      })
    #expect(found.state == "failed")
    #expect((found.reasonCode, found.reason) == ("scan_timeout", "too long"))
    #expect(found.notes.first == "it was taken: because of criteria_match")
    #expect(found.notes[1].contains("polls do not queue it again") != isRetried)
  }

  @Test func `A digest that the tag does not point to is explained by its own image`() {
    let found = Explanation(
      Self.facts(digest: "sha256:b") { facts in
        facts.tagRecord = LedgerStateTests.tag(.selected)
        facts.image = LedgerStateTests.image(.scanned, scannedAt: 9)
        facts.image?.digest = "sha256:b"
        facts.tags = ["old"]
      })
    #expect(found.state == "scanned")
    #expect(found.digest == "sha256:b")
    #expect(found.notes.contains { $0.hasPrefix("the tag 1.0 points to sha256:a since") })
    #expect(found.notes.contains("tags that point to it: old"))
  }

  // MARK: - The present settings

  @Test func `The present settings are told of where they differ, and only there`() {
    let rejected = Reason(code: .neverPull, text: "never: \"*-dev\"")
    func notes(_ decision: TagDecision, _ code: String, _ present: Decision) -> [String] {
      Explanation(
        Self.facts { facts in
          facts.tagRecord = LedgerStateTests.tag(decision, code)
          facts.present = .decided(present)
        }
      ).notes.filter { $0.contains("present settings") }
    }
    #expect(
      notes(.selected, "no_criteria", .rejected(rejected)) == ["the present settings reject it: never: \"*-dev\""])
    #expect(notes(.rejected, "never_pull", .rejected(rejected)) == [])
    // Another rule does it now.
    #expect(notes(.rejected, "no_criteria_match", .rejected(rejected)).count == 1)
    #expect(notes(.skipped, "not_an_image", .selected(Reason(code: .noCriteria, text: ""))) == [])
    #expect(notes(.failed, "timeout", .rejected(rejected)).count == 1)
  }

  @Test func `Criteria are asked with what is known of the date`() throws {
    let now = try #require(Timestamp(rfc3339: "2026-03-01T00:00:00Z"))
    let old = try #require(Timestamp(rfc3339: "2023-01-05T00:00:00Z"))
    func present(_ tag: String, _ condition: Condition, _ createdAt: Timestamp? = nil) throws -> Explanation.Present {
      Ledger.present(
        Criteria(never: try Pattern.list(parsing: [":*-dev"]), condition: condition), "team/app", tag,
        createdAt: createdAt, now: now)
    }
    guard case .decided(.rejected(let never)) = try present("1-dev", .none) else { return #expect(Bool(false)) }
    #expect(never.code == .neverPull)
    guard case .decided(.selected) = try present("1", .none) else { return #expect(Bool(false)) }
    let within = Condition.createdWithin(.standard)
    guard case .open = try present("1", within) else { return #expect(Bool(false)) }
    guard case .decided(.rejected(let date)) = try present("1", within, old) else { return #expect(Bool(false)) }
    #expect(date.code == .createdBeforePeriod)
    let latest = Condition.latest(try LatestCount(5))
    guard case .open(let what) = try present("1", latest, old) else { return #expect(Bool(false)) }
    #expect(what.contains("newest 5"))
  }
}
