import API
import Advisories
import Model
import Posix
import Queue
import RPC
import Registry
import StorageMessages
import Store
import Synchronization
import TestSupport
import Testing

@testable import Daemon
@testable import Pipeline

@Suite(.timeLimit(.minutes(1)))
struct HandlerTests {
  private let bench: Bench

  init() async throws { bench = try await Bench() }

  private func refusal(_ body: () async throws -> some Any) async throws -> RPCError {
    do {
      _ = try await body()
    } catch {
      return ErrorTranslation.status(error)
    }
    throw Unexpected.success
  }

  private enum Unexpected: Error { case success }

  // MARK: - Integrations

  @Test func `Integrations are listed in pages that join to all`() async throws {
    for index in 0..<25 { _ = try await bench.create("hub-\(index)") }
    var request = ListIntegrationsRequest()
    request.pageSize = 10
    var names: [String] = []
    repeat {
      let page = try await bench.integrations.listIntegrations(request, bench.context)
      names += page.integrations.map(\.name)
      request.pageToken = page.nextPageToken
    } while !request.pageToken.isEmpty
    #expect(names == (0..<25).map { "hub-\($0)" }.sorted())
  }

  @Test func `An update needs a mask and the revision that was read`() async throws {
    let made = try await bench.create("hub")
    var request = UpdateIntegrationRequest()
    request.integration = made
    request.integration?.description = "new"
    #expect(
      try await refusal { try await bench.integrations.updateIntegration(request, bench.context) }.code
        == .invalidArgument)
    request.updateMask = FieldMask()
    request.updateMask?.paths = ["description"]
    for etag in ["0", "x", "-1"] {
      request.integration?.etag = etag
      let error = try await refusal { try await bench.integrations.updateIntegration(request, bench.context) }
      #expect(error.message.hasPrefix("etag: "))
    }
    request.integration?.etag = made.etag
    let updated = try await bench.integrations.updateIntegration(request, bench.context)
    #expect(updated.description == "new")
    #expect(updated.etag != made.etag)
    #expect(
      try await refusal { try await bench.integrations.updateIntegration(request, bench.context) }.code == .aborted)
  }

  @Test func `A new address forgets what the old registry confirmed, with or without a secret`() async throws {
    let made = try await bench.create("hub")
    let before = try bench.store.integration(named: "hub")
    var request = UpdateIntegrationRequest()
    request.integration = made
    request.integration?.url = "https://elsewhere.invalid"
    request.updateMask = FieldMask()
    request.updateMask?.paths = ["url"]
    _ = try await bench.integrations.updateIntegration(request, bench.context)
    let after = try bench.store.integration(named: "hub")
    #expect(after.credentialGeneration == before.credentialGeneration + 1)
    #expect((after.id, after.createdAt) == (before.id, before.createdAt))
  }

  @Test func `A removed integration is not found, its jobs are cancelled, and its name is free in the end`()
    async throws
  {
    _ = try await bench.create("hub")
    let keys = try (0..<3).map { try bench.key("hub", "app", $0) }
    let outcomes = try await bench.intake.queue(
      keys.map { Intake.Item(image: $0, tag: "t") }, priority: .person)
    var request = DeleteIntegrationRequest()
    request.name = "hub"
    _ = try await bench.integrations.deleteIntegration(request, bench.context)
    await bench.removals.stop()
    // Gone on with at the next start, until nothing is left.
    let again = Removals(
      store: bench.store, queue: bench.queue, control: bench.control, scanner: bench.scanner, poller: bench.poller,
      registries: RegistryClients(store: bench.store, transport: HTTPTransport()), clock: .system,
      log: bench.events.logger)
    try again.resume()
    await again.end()
    #expect(try outcomes.allSatisfy { try bench.queue.job($0.job.id) == nil })
    #expect(try bench.store.read { try $0.count(StateStore.images) } == 0)
    #expect(try bench.store.read { try $0.count(StateStore.tags) } == 0)
    #expect(try bench.store.removalsBegun() == [])
    #expect(try await bench.create("hub").name == "hub")
  }

  // MARK: - Names and tokens from outside

  @Test(arguments: ["", "Hub", "x", "é\u{0}", String(repeating: "x", count: 3_000_000)])
  func `Whatever name is asked for, the answer is a short refusal`(name: String) async throws {
    var get = GetIntegrationRequest()
    get.name = name
    var remove = DeleteIntegrationRequest()
    remove.name = name
    var poll = PollIntegrationRequest()
    poll.name = name
    var image = GetImageRequest()
    image.reference = name
    let errors = [
      try await refusal { try bench.integrations.getIntegration(get, bench.context) },
      try await refusal { try await bench.integrations.deleteIntegration(remove, bench.context) },
      try await refusal { try await bench.integrations.pollIntegration(poll, bench.context) },
      try await refusal { try await bench.images.getImage(image, bench.context) },
    ]
    for error in errors {
      #expect([.notFound, .invalidArgument].contains(error.code), "\(error)")
      #expect(error.message.utf8.count < 1000)
    }
  }

  @Test(arguments: [
    "x", "1", "1 a", "1 a b c", "-1 a b", "99999999999999999999 a b",
  ])
  func `A page token that nobody gave is refused`(position: String) async throws {
    var images = ListImagesRequest()
    images.pageToken = Paging.token(position)
    let first = try await refusal { try await bench.images.listImages(images, bench.context) }
    #expect(first.code == .invalidArgument)
    if UInt64(position) == nil {
      var jobs = ListJobsRequest()
      jobs.pageToken = Paging.token(position)
      #expect(try await refusal { try await bench.jobs.listJobs(jobs, bench.context) }.code == .invalidArgument)
    }
  }

  @Test func `The last page of jobs may be asked for by any number`() async throws {
    var request = ListJobsRequest()
    request.pageToken = Paging.token(String(UInt64.max))
    #expect(try await bench.jobs.listJobs(request, bench.context).jobs.isEmpty)
  }

  // MARK: - Images

  @Test func `Images are listed with their own tags, in pages that join to all`() async throws {
    _ = try await bench.create("hub")
    for number in 0..<30 {
      let key = try bench.key("hub", number % 2 == 0 ? "app" : "tool", number)
      _ = try await bench.intake.queue(
        [Intake.Item(image: key, tag: "t\(number)"), Intake.Item(image: key, tag: "also-\(number)")],
        priority: .newImage)
    }
    var request = ListImagesRequest()
    request.pageSize = 7
    var found: [String: [String]] = [:]
    repeat {
      let page = try await bench.images.listImages(request, bench.context)
      for image in page.images { found[image.digest] = image.tags }
      request.pageToken = page.nextPageToken
    } while !request.pageToken.isEmpty
    #expect(found.count == 30)
    #expect(try found[bench.key("hub", "tool", 7).digest] == ["also-7", "t7"])
  }

  @Test func `A state or severity that is none is a field error`() async throws {
    var request = ListImagesRequest()
    request.status = API.ImageStatus(rawValue: 99)
    #expect(try await refusal { try await bench.images.listImages(request, bench.context) }.code == .invalidArgument)
    request = ListImagesRequest()
    request.minSeverity = API.Severity(rawValue: -1)
    #expect(try await refusal { try await bench.images.listImages(request, bench.context) }.code == .invalidArgument)
    var jobs = ListJobsRequest()
    jobs.states = [API.JobState(rawValue: 42)]
    #expect(try await refusal { try await bench.jobs.listJobs(jobs, bench.context) }.code == .invalidArgument)
  }

  // MARK: - Imports

  private static let archive = "\(Corpus.checkout)/Tests/Pipeline/Fixtures/osv.zip"

  @Test func `An import ends, its uploads are gone, and what is in force says so`() async throws {
    let id = try await bench.upload("test", try File.read(Self.archive, limit: 1 << 20))
    let started = try bench.imports.start([id], owner: 7)
    #expect(started.state == .running)
    await bench.imports.end()
    let ended = try #require(bench.imports.status(started.id))
    #expect(ended.state == .finished)
    #expect(ended.recordsKept == 1)
    #expect(ended.error == nil)
    #expect(try bench.advisories.status().sets.map(\.name) == ["test"])
    #expect(TemporaryDirectory.names(in: bench.directory.path + "/state/uploads") == [])
  }

  @Test func `A second import beside one that runs is refused, and its uploads stay`() async throws {
    let bytes = try File.read(Self.archive, limit: 1 << 20)
    let (first, second) = (try await bench.upload("one", bytes), try await bench.upload("two", bytes))
    let running = try bench.imports.start([first], owner: 7)
    // The first may have ended by now; then the second runs.
    do {
      _ = try bench.imports.start([second], owner: 7)
    } catch let error as RPCError {
      #expect(error.code == .aborted)
      await bench.imports.end()
      _ = try bench.imports.start([second], owner: 7)
    }
    await bench.imports.end()
    #expect(bench.imports.status(running.id)?.state == .finished)
    #expect(try bench.advisories.status().sets.map(\.name).sorted() == ["one", "two"])
  }

  @Test func `What is no archive fails with its reason, and the old advisories stay`() async throws {
    let good = try await bench.upload("test", try File.read(Self.archive, limit: 1 << 20))
    _ = try bench.imports.start([good], owner: 7)
    await bench.imports.end()
    let bad = try await bench.upload("test", Array("this is no archive".utf8))
    let started = try bench.imports.start([bad], owner: 7)
    await bench.imports.end()
    let ended = try #require(bench.imports.status(started.id))
    #expect(ended.state == .failed)
    #expect(ended.error?.code.isEmpty == false)
    #expect(ended.error?.hint.isEmpty == false)
    #expect(try bench.advisories.status().advisories == 1)
  }

  @Test func `After a stop nothing begins, and uploads are given back`() async throws {
    let id = try await bench.upload("test", try File.read(Self.archive, limit: 1 << 20))
    await bench.imports.stop()
    #expect(try await refusal { try bench.imports.start([id], owner: 7) }.code == .unavailable)
    try await bench.uploads.drop(id, owner: 7)
  }
}
