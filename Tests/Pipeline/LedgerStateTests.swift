import Model
import Selection
import StorageMessages
import Store
import Testing

@testable import Pipeline

/// The one state that each tag is in, and how they are counted.
struct LedgerStateTests {
  struct Row: Sendable, CustomTestStringConvertible {
    let tag: TagRecord
    let image: ImageRecord?
    let status: ImageStatus
    let code: String
    var testDescription: String { "\(tag.decision.rawValue) \(image?.status.name ?? "-") gone \(tag.goneAt)" }
  }

  static func tag(_ decision: TagDecision, _ code: String = "", gone: Int64 = 0, taken: Bool = false) -> TagRecord {
    var tag = TagRecord()
    tag.digest = "sha256:a"
    tag.since = 1
    tag.decision = decision
    tag.reasonCode = code
    tag.reason = "because of \(code)"
    tag.decidedAt = 2
    tag.goneAt = gone
    tag.taken = taken
    return tag
  }

  static func image(_ status: ImageStatus, _ reason: String = "", scannedAt: Int64 = 0) -> ImageRecord {
    var image = ImageRecord()
    image.status = status
    image.statusReason = reason
    image.scannedAt = scannedAt
    return image
  }

  static let rows = [
    Row(tag: tag(.selected, "criteria_match"), image: image(.scanned, scannedAt: 9), status: .scanned, code: ""),
    Row(tag: tag(.selected, "no_criteria"), image: image(.queued), status: .queued, code: ""),
    // What was pulled stays what it is, whatever a later poll decides.
    Row(
      tag: tag(.rejected, "never_pull", taken: true), image: image(.scanned, scannedAt: 9), status: .scanned, code: ""),
    // Another tag of this digest was taken.
    Row(
      tag: tag(.rejected, "no_criteria_match"), image: image(.scanned, scannedAt: 9), status: .rejected,
      code: "no_criteria_match"),
    Row(tag: tag(.rejected, "never_pull"), image: nil, status: .rejected, code: "never_pull"),
    Row(tag: tag(.rejected, "never_pull"), image: image(.unspecified), status: .rejected, code: "never_pull"),
    Row(tag: tag(.skipped, "not_an_image"), image: nil, status: .skipped, code: "not_an_image"),
    Row(tag: tag(.failed, "timeout"), image: nil, status: .failed, code: "timeout"),
    Row(
      tag: tag(.selected), image: image(.failed, "SCAN_TIMEOUT: it took too long"), status: .failed,
      code: "scan_timeout"),
    Row(
      tag: tag(.selected), image: image(.skipped, "UNSUPPORTED_MANIFEST: schema 1"), status: .skipped,
      code: "unsupported_manifest"),
    Row(tag: tag(.selected, gone: 5), image: image(.gone, scannedAt: 9), status: .gone, code: ""),
    Row(tag: tag(.rejected, "never_pull", gone: 5), image: nil, status: .gone, code: ""),
    // It has come back to an image that was scanned before it was gone.
    Row(tag: tag(.selected), image: image(.gone, scannedAt: 9), status: .scanned, code: ""),
    // The transaction that queues it is the one that selects it; a version that did not keep to that left this.
    Row(tag: tag(.selected), image: nil, status: .failed, code: "not_queued"),
    Row(tag: tag(.unspecified), image: image(.queued), status: .queued, code: ""),
  ]

  @Test(arguments: rows) func `A tag is in one state, with its reason`(row: Row) {
    let state = TagState(row.tag, image: row.image)
    #expect(state.status == row.status)
    #expect(state.reasonCode == row.code)
    #expect(TagState.statuses.contains(state.status))
    #expect(!state.reason.isEmpty)
  }

  @Test func `The counts of all states add up to what was ever listed`() {
    var count = CoverageCount()
    for (index, row) in Self.rows.enumerated() {
      let key = TagKey(integration: 1, repository: "app", tag: "t\(index)")
      count.add(key, TagState(row.tag, image: row.image))
    }
    let states = count.states
    #expect(count.tags == UInt64(Self.rows.count))
    #expect(states.reduce(0) { $0 + $1.tags } == count.tags)
    #expect(count.listed == count.tags - 2)
    #expect(states.map(\.status.name).first == "scanned")
    #expect(states.last?.status == .gone)
    let never = states.first { $0.reasonCode == "never_pull" }
    #expect(never?.tags == 2)
    #expect(never?.example.tag == "t4")
    #expect(never?.reason == "because of never_pull")
  }

  @Test func `Areas count as the repositories they stand for`() {
    var count = RepositoryCount()
    var area = RepositoryRecord()
    area.state = .skipped
    area.reasonCode = "remote"
    area.count = 40
    count.add("proxy", area)
    var listed = RepositoryRecord()
    listed.state = .listed
    for index in 0..<3 { count.add("app\(index)", listed) }
    #expect(count.repositories == 43)
    #expect(count.states.map(\.repositories) == [3, 40])
  }

  @Test(arguments: [
    ("SCAN_TIMEOUT: too long: 30m", "scan_timeout", "too long: 30m"), ("", "", ""),
    ("no code: here", "", "no code: here"),
    ("CODE:", "", "CODE:"), (": x", "", ": x"), ("A: ", "a", ""),
  ])
  func `What a scan left is read in its two parts`(text: String, code: String, message: String) {
    let parts = TagState.parts(of: text)
    #expect(parts.code == code)
    #expect(parts.message == message)
  }

  @Test func `A state began when its own event was`() {
    var job = JobRecord()
    job.enqueuedAt = 7
    job.finishedAt = 8
    func since(_ tag: TagRecord, _ image: ImageRecord?, _ job: JobRecord?) -> Int64 {
      TagState(tag, image: image).since(tag, image: image, job: job)
    }
    #expect(since(Self.tag(.selected), Self.image(.scanned, scannedAt: 9), job) == 9)
    #expect(since(Self.tag(.selected), Self.image(.queued), job) == 7)
    #expect(since(Self.tag(.selected), Self.image(.queued), nil) == 2)
    #expect(since(Self.tag(.selected), Self.image(.failed), job) == 8)
    #expect(since(Self.tag(.rejected), nil, nil) == 2)
    #expect(since(Self.tag(.rejected, gone: 5), nil, nil) == 5)
  }
}
