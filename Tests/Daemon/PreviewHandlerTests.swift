import API
import Model
import Pipeline
import Posix
import RPC
import StorageMessages
import Store
import Testing

@testable import Daemon

/// What a preview may try, and how it is summed up.
@Suite(.timeLimit(.minutes(1)))
struct PreviewHandlerTests {
  private static let stored: IntegrationRecord = {
    var record = IntegrationRecord()
    record.name = "hub"
    record.type = "docker-registry"
    record.url = "https://registry.invalid"
    record.criteria = ["team/*"]
    record.rescan = true
    return record
  }()

  @Test func `Settings of selection are tried in place of the stored ones, and no others`() {
    var wanted = API.Integration()
    wanted.url = "https://elsewhere.invalid"
    wanted.never = [API.Pattern()]
    wanted.never[0].pattern = ":*-dev"
    var reader = IntegrationReader()
    let record = reader.trial(of: Self.stored, as: wanted, paths: ["never", "rescan"])
    #expect(reader.violations.isEmpty)
    #expect(record.criteria == ["team/*"])
    #expect(record.neverPull == [":*-dev"])
    #expect(!record.rescan)
    for path in ["url", "tls.insecure", "mode", "secret", ""] {
      var reader = IntegrationReader()
      let record = reader.trial(of: Self.stored, as: wanted, paths: [path])
      #expect(reader.violations.map(\.field) == ["settings_mask"])
      #expect(record == Self.stored)
    }
    for path in IntegrationReader.triable { #expect(IntegrationReader.settable.contains(path)) }
  }

  @Test func `What cannot be used is told as it is when it is stored`() {
    var wanted = API.Integration()
    wanted.criteria = [API.Pattern()]
    wanted.criteria[0].pattern = "a:b:c"
    wanted.platforms = ["nonsense"]
    var reader = IntegrationReader()
    _ = reader.trial(of: Self.stored, as: wanted, paths: ["criteria", "platforms"])
    #expect(reader.violations.map(\.field) == ["criteria[0]", "platforms[0]"])
  }

  @Test func `A summary counts each tag by its decision, and what has changed`() {
    func image(_ decision: String, _ change: String, before: String = "", queued: Bool = false) -> PreviewImage {
      var image = PreviewImage()
      image.decision = decision
      image.change = change
      image.previousDecision = before
      image.queued = queued
      image.bytesToFetch = queued ? 10 : 0
      return image
    }
    var summary = PreviewSummary()
    for one in [
      image("selected", "new", queued: true), image("selected", "moved", before: "selected", queued: true),
      image("selected", "unchanged", before: "rejected", queued: true), image("selected", "returned", before: "gone"),
      image("rejected", "unchanged", before: "selected"), image("rejected", "new"), image("skipped", "unchanged"),
      image("failed", "unchanged"), image("gone", "gone", before: "selected"),
    ] { summary.count(one) }
    #expect((summary.tags, summary.selected, summary.rejected) == (8, 4, 2))
    #expect((summary.skipped, summary.failed, summary.gone) == (1, 1, 1))
    #expect((summary.queued, summary.bytesToFetch) == (3, 30))
    #expect((summary.tagsNew, summary.tagsMoved) == (3, 1))
    #expect((summary.newlySelected, summary.newlyRejected) == (1, 1))
  }

  @Test func `Only a poll that goes on can be cancelled`() async throws {
    let bench = try await Bench()
    _ = try await bench.create("hub")
    func cancel(_ id: UInt64) async throws -> API.Poll {
      var request = CancelPollRequest()
      request.integration = "hub"
      request.id = id
      return try await bench.integrations.cancelPoll(request, bench.context)
    }
    func reason(_ id: UInt64) async -> String? {
      do {
        _ = try await cancel(id)
        return nil
      } catch {
        return ErrorTranslation.status(error).reason
      }
    }
    #expect(await reason(0) == "NO_POLL")
    #expect(await reason(9) == "UNKNOWN_POLL")
    var wanted = PollRecord()
    wanted.integrationId = try bench.store.integration(named: "hub").id
    var poll = try await bench.store.createPoll(wanted)
    poll.state = .finished
    try await bench.store.putPoll(poll, now: 5)
    #expect(await reason(0) == "NO_POLL")
    #expect(try await cancel(poll.id).state == .finished)
  }
}
