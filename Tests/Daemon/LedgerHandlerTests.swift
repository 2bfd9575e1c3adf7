import API
import Model
import Pipeline
import Posix
import Queue
import RPC
import StorageMessages
import Store
import TestSupport
import Testing

@testable import Daemon

/// What clients are told of tags, polls and why, over the handlers.
@Suite(.timeLimit(.minutes(1)))
struct LedgerHandlerTests {
  private let bench: Bench

  init() async throws {
    bench = try await Bench()
    _ = try await bench.create("hub")
  }

  private enum Unexpected: Error { case success }

  private func refusal(_ body: () async throws -> some Any) async throws -> RPCError {
    do {
      _ = try await body()
    } catch {
      return ErrorTranslation.status(error)
    }
    throw Unexpected.success
  }

  /// A tag of hub/app, and the image that it points to, if `status` says that there is one.
  private func put(
    _ tag: String, _ decision: TagDecision, _ code: String = "", digest: Int? = nil,
    _ status: StorageMessages.ImageStatus? = nil, gone: Int64 = 0
  ) async throws {
    let image = try digest.map { try bench.key("hub", "app", $0) }
    let integration = try bench.store.integration(named: "hub").id
    try await bench.store.write { transaction in
      var record = TagRecord()
      record.digest = image?.digest ?? ""
      record.since = 1
      record.decision = decision
      record.taken = status != nil
      record.reasonCode = code
      record.reason = code.isEmpty ? "" : "by \(code)"
      record.goneAt = gone
      try transaction.put(
        StateStore.tags, TagKey(integration: integration, repository: "app", tag: tag), record)
      guard let image, let status else { return }
      var stored = ImageRecord()
      stored.integrationId = image.integration
      stored.repository = image.repository
      stored.digest = image.digest
      stored.status = status
      stored.scannedAt = status == .scanned || status == .gone ? 9 : 0
      try transaction.put(StateStore.images, image, stored)
    }
  }

  private func fill() async throws {
    try await put("a", .selected, "no_criteria", digest: 1, .scanned)
    try await put("b", .rejected, "never_pull")
    try await put("c", .rejected, "created_before_period", digest: 2)
    try await put("d", .selected, "no_criteria", digest: 3, .failed)
    try await put("e", .failed, "timeout")
    try await put("f", .skipped, "not_an_image", digest: 4)
    try await put("g", .selected, "no_criteria", digest: 5, .gone, gone: 7)
    try await put("h", .rejected, "never_pull", gone: 7)
    // The tag is gone; its image is there by another one.
    try await put("i", .selected, "no_criteria", digest: 1, .scanned, gone: 7)
    // Rejected now, scanned before.
    try await put("j", .rejected, "never_pull", digest: 6, .scanned)
  }

  private func images(_ status: API.ImageStatus, pageSize: UInt32 = 0) async throws -> [API.Image] {
    var request = ListImagesRequest()
    request.status = status
    request.pageSize = pageSize
    var images: [API.Image] = []
    repeat {
      let page = try await bench.images.listImages(request, bench.context)
      images += page.images
      request.pageToken = page.nextPageToken
    } while !request.pageToken.isEmpty
    return images
  }

  // MARK: - Images

  @Test func `Tags that never became images are listed with their statuses, none twice`() async throws {
    try await fill()
    func tags(_ status: API.ImageStatus) async throws -> [String] { try await images(status).flatMap(\.tags) }
    #expect(try await tags(.rejected) == ["b", "c"])
    #expect(try await tags(.failed) == ["d", "e"])
    #expect(try await tags(.skipped) == ["f"])
    #expect(try await tags(.gone) == ["g", "h"])
    #expect(try await tags(.scanned).sorted() == ["a", "j"])
    #expect(try await images(.unspecified).count == 4)
    let rejected = try await images(.rejected)
    #expect(rejected.map(\.reference)[0] == "hub/app:b")
    #expect(rejected[0].statusReason == "by never_pull")
    #expect(rejected[1].reference == "hub/app:c@\(rejected[1].digest)")
  }

  @Test(arguments: [1, 2, 3] as [UInt32]) func `Pages of images and of tags join to all`(size: UInt32) async throws {
    try await fill()
    for status in [API.ImageStatus.failed, .rejected, .gone] {
      #expect(try await images(status, pageSize: size).map(\.reference) == images(status).map(\.reference))
    }
  }

  @Test func `A tag without an image says why it has none, and where to ask`() async throws {
    try await fill()
    for reference in ["hub/app:b", "hub/app:c", "hub/app:h"] {
      var show = GetImageRequest()
      show.reference = reference
      var report = GetReportRequest()
      report.reference = reference
      for error in [
        try await refusal { try await bench.images.getImage(show, bench.context) },
        try await refusal { try await bench.images.getReport(report, bench.context) },
      ] {
        #expect(error.code == .notFound)
        #expect(error.reason == "NO_IMAGE")
        #expect(error.message.contains("has no image here: "))
        #expect(error.hint?.contains("tidewaiter image explain \(reference)") == true)
      }
    }
    var gone = GetImageRequest()
    gone.reference = "hub/app:g"
    #expect(try await bench.images.getImage(gone, bench.context).status == .gone)
  }

  @Test func `A tag that is gone still finds its report`() async throws {
    try await fill()
    let key = try bench.key("hub", "app", 5)
    var report = ReportRecord()
    report.platform = "linux/amd64"
    try await bench.store.write { [store = bench.store, report] in
      try store.putReports([report], of: key, now: 0, in: $0)
    }
    var request = GetReportRequest()
    request.reference = "hub/app:g"
    #expect(try await bench.images.getReport(request, bench.context).digest == key.digest)
  }

  // MARK: - Tags

  @Test func `Tags are listed with their states, in pages`() async throws {
    try await fill()
    var request = ListTagsRequest()
    request.integration = "hub"
    request.pageSize = 3
    var tags: [TagEntry] = []
    repeat {
      let page = try await bench.images.listTags(request, bench.context)
      tags += page.tags
      request.pageToken = page.nextPageToken
    } while !request.pageToken.isEmpty
    #expect(tags.map(\.reference) == "abcdefghij".map { "hub/app:\($0)" })
    let coverage = try await bench.integrations.getCoverage(
      {
        var request = GetCoverageRequest()
        request.integration = "hub"
        return request
      }(), bench.context)
    #expect(coverage.tags == 10)
    #expect(coverage.listed == 7)
    for state in coverage.states {
      let same = tags.filter { $0.status == state.status && $0.reasonCode == state.reasonCode }
      #expect(UInt64(same.count) == state.tags)
      #expect(same.first?.reference == state.example)
    }
    request.reasonCode = "never_pull"
    #expect(try await bench.images.listTags(request, bench.context).tags.map(\.reference) == ["hub/app:b"])
  }

  @Test func `What is explained is a result, but for an unknown integration`() async throws {
    try await fill()
    func explain(_ reference: String) async throws -> ImageExplanation {
      var request = ExplainImageRequest()
      request.reference = reference
      return try await bench.images.explainImage(request, bench.context)
    }
    let rejected = try await explain("hub/app:b")
    #expect((rejected.state, rejected.reasonCode, rejected.reason) == ("rejected", "never_pull", "by never_pull"))
    let unknown = try await explain("hub/nothing")
    #expect((unknown.reference, unknown.state) == ("hub/nothing:latest", "unknown"))
    #expect(unknown.reasonCode == "never_polled")
    #expect(try await refusal { try await explain("nobody/app:1") }.code == .notFound)
    #expect(try await refusal { try await explain("hub") }.code == .invalidArgument)
  }

  @Test func `A history is a tag's`() async throws {
    try await fill()
    func history(_ reference: String) async throws -> [TagHistoryEntry] {
      var request = ListTagHistoryRequest()
      request.reference = reference
      return try await bench.images.listTagHistory(request, bench.context).entries
    }
    let entries = try await history("hub/app:a")
    #expect(entries.map(\.status) == [.scanned])
    #expect(entries.map(\.ended) == [""])
    #expect(try await history("hub/app:b") == [])
    #expect(try await refusal { try await history("hub/app:zz") }.reason == "UNKNOWN_TAG")
    let digest = try bench.key("hub", "app", 1).digest
    #expect(try await refusal { try await history("hub/app:a@\(digest)") }.code == .invalidArgument)
  }

  // MARK: - Images and their jobs

  /// An image by its tag, as every call shows it: status and reason.
  private func told(_ tag: String) async throws -> [String] {
    var get = GetImageRequest()
    get.reference = "hub/app:\(tag)"
    let image = try await bench.images.getImage(get, bench.context)
    var explain = ExplainImageRequest()
    explain.reference = get.reference
    let explained = try await bench.images.explainImage(explain, bench.context)
    let listed = try await images(image.status).filter { $0.digest == image.digest }
    var tags = ListTagsRequest()
    tags.status = image.status
    let rows = try await bench.images.listTags(tags, bench.context).tags.filter { $0.reference == get.reference }
    var coverage = GetCoverageRequest()
    coverage.integration = "hub"
    let states = try await bench.integrations.getCoverage(coverage, bench.context).states
    #expect(listed.map(\.statusReason) == [image.statusReason] && rows.map(\.digest) == [image.digest])
    #expect(states.contains { $0.status == image.status })
    #expect(listed.map(\.jobId) == [explained.jobId] && image.jobId == explained.jobId)
    return [image.status.name, image.statusReason, explained.state, explained.reason, String(explained.jobId)]
  }

  @Test func `An image whose job is being cancelled is shown as what becomes of it`() async throws {
    try await put("new", .selected, "no_criteria", digest: 1, .failed)
    try await put("known", .selected, "no_criteria", digest: 2, .scanned)
    var ids: [String] = []
    for (tag, number) in [("new", 1), ("known", 2)] {
      let item = Intake.Item(image: try bench.key("hub", "app", number), tag: tag)
      let jobs = try await bench.intake.queue([item], priority: .person, actor: "uid:7")
      ids += jobs.map { String($0.job.id) }
    }
    let reason = "added by hand, by uid:7"
    #expect(try await told("new") == ["queued", "", "queued", reason, ids[0]])
    _ = try await bench.queue.cancel(JobQueue.Selection(repository: "app"), actor: "uid:8")
    let cancelled = "CANCELLED: cancelled by uid:8"
    let shown = [
      ["skipped", cancelled, "skipped", "cancelled by uid:8", ids[0]], ["scanned", "", "scanned", reason, ids[1]],
    ]
    #expect(try await [told("new"), told("known")] == shown)
    #expect(try await images(.queued).isEmpty)
    while try await bench.queue.carryOutCancellations() {}
    #expect(try await [told("new"), told("known")] == shown)
  }

  @Test func `A job that was cleared is not named`() async throws {
    try await put("a", .selected, "no_criteria", digest: 1, .failed)
    let item = Intake.Item(image: try bench.key("hub", "app", 1), tag: "a")
    let job = try #require(try await bench.intake.queue([item], priority: .person).first).job.id
    _ = try await bench.queue.cancel([job], actor: "")
    func report() async throws -> RPCError {
      var request = GetReportRequest()
      request.reference = "hub/app:a"
      return try await refusal { try await bench.images.getReport(request, bench.context) }
    }
    #expect(try await told("a").last == String(job))
    #expect(try await report().hint == "see its job with: tidewaiter queue show \(job)")
    _ = try await bench.queue.clear([job], actor: "")
    #expect(try await told("a").last == "0")
    #expect(try await report().hint == "see all that is known of it with: tidewaiter image explain hub/app:a")
  }

  // MARK: - Rescans

  @Test func `A rescan needs images, and only such that are there`() async throws {
    try await fill()
    func rescan(_ references: [String], all: Bool = false, integration: String = "") async throws
      -> RescanImagesResponse
    {
      var request = RescanImagesRequest()
      request.references = references
      request.all = all
      request.integration = integration
      return try await bench.images.rescanImages(request, bench.context)
    }
    #expect(try await refusal { try await rescan([]) }.code == .invalidArgument)
    #expect(try await refusal { try await rescan(["hub/app:a"], all: true) }.code == .invalidArgument)
    #expect(try await refusal { try await rescan(["hub/app:a"], integration: "hub") }.code == .invalidArgument)
    #expect(
      try await refusal { try await rescan([String](repeating: "hub/app:a", count: 1001)) }.code == .invalidArgument)
    #expect(try await refusal { try await rescan(["hub/app:a", "hub/app:g"]) }.reason == "IMAGE_GONE")
    #expect(try await refusal { try await rescan(["hub/app:a", "hub/app:b"]) }.reason == "NO_IMAGE")
    #expect(try await refusal { try await rescan(["hub/app:zz"]) }.reason == "UNKNOWN_IMAGE")
    #expect(try bench.queue.counts()[.pending] == 0)

    let named = try await rescan(["hub/app:a", "hub/app:d", "hub/app:a"])
    #expect((named.queued, named.existed, named.jobs.count) == (2, 1, 3))
    #expect(named.jobs[0].id == named.jobs[2].id)
    #expect(named.jobs[0].reference.hasPrefix("hub/app:a@"))
    #expect(named.lastJobId == named.firstJobId + 1)
    let all = try await rescan([], all: true, integration: "hub")
    #expect((all.queued, all.existed, all.jobs.count) == (1, 2, 0))
    #expect(try await refusal { try await rescan([], all: true, integration: "nobody") }.code == .notFound)
  }

  // MARK: - Polls

  @Test func `Polls are listed from the newest, in pages`() async throws {
    let hub = try bench.store.integration(named: "hub").id
    for number in 0..<5 {
      var wanted = PollRecord()
      wanted.integrationId = hub
      wanted.startedAt = Int64(number + 1)
      var poll = try await bench.store.createPoll(wanted)
      poll.state = .finished
      try await bench.store.putPoll(poll, now: 10)
    }
    var request = ListPollsRequest()
    request.integration = "hub"
    request.pageSize = 2
    var ids: [UInt64] = []
    repeat {
      let page = try await bench.integrations.listPolls(request, bench.context)
      ids += page.polls.map(\.id)
      request.pageToken = page.nextPageToken
    } while !request.pageToken.isEmpty
    #expect(ids == [5, 4, 3, 2, 1])
    request.pageToken = Paging.token("x")
    #expect(
      try await refusal { try await bench.integrations.listPolls(request, bench.context) }.code == .invalidArgument)
  }

  @Test func `A poll is told with all that it counted`() {
    var record = PollRecord()
    record.id = 3
    record.state = .suspended
    record.resumesAt = 2_000_000_000
    record.tagsMoved = 4
    record.requests = 9
    var outcome = StorageMessages.OutcomeCount()
    outcome.decision = .rejected
    outcome.reasonCode = "never_pull"
    outcome.count = 2
    outcome.example = "app:1-dev never: \"*-dev\""
    record.outcomes = [outcome]
    let poll = API.Poll(record, integration: "hub")
    #expect(poll.state == .suspended)
    #expect(poll.resumesAt?.seconds == 2)
    #expect((poll.tagsMoved, poll.requests) == (4, 9))
    #expect(poll.outcomes.first?.decision == "rejected")
    #expect(poll.outcomes.first?.example == "hub/app:1-dev never: \"*-dev\"")
    record.state = .finished
    #expect(API.Poll(record, integration: "hub").resumesAt == nil)
  }
}
