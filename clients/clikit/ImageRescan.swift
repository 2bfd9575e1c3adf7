import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

struct ImageRescan: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rescan",
    abstract: "Queue images that are known once more.",
    discussion: """
      All of the images that are named are queued, or none; with --all every image that is not gone, behind what is new. \
      An image that waits or is being scanned is not queued twice. With --wait, shows progress and ends when the scans \
      have ended: exit 3 if one did not finish.

      Example:
        tidewaiter image rescan hub/library/alpine:3.20 --wait
        tidewaiter image rescan --all --integration hub
      """)

  @Argument(
    help: ArgumentHelp("INTEGRATION/REPOSITORY[:TAG][@DIGEST], one or more.", valueName: "REF"),
    transform: ReferenceArgument.check)
  var references: [String] = []

  @Flag(help: "Every image that is known and not gone.")
  var all = false

  @Option(help: ArgumentHelp("With --all: only images of this integration.", valueName: "NAME"))
  var integration: String?

  @Flag(help: "Wait until the scans have ended.")
  var wait = false

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func validate() throws {
    guard all != !references.isEmpty else { throw ValidationError("Name images, or give --all; not both.") }
    guard all || integration == nil else { throw ValidationError("--integration goes with --all.") }
  }

  func run() async throws {
    var request = RescanImagesRequest()
    request.references = references
    request.all = all
    request.integration = integration ?? ""
    try await global.perform { session in
      let queued = try await session.images.rescanImages(request, timeout: session.registryCallTimeout)
      var jobs = queued.jobs
      if wait { jobs = try await session.waitForScans(of: queued, integration: integration) }
      try show(queued, jobs, session.console)
      if wait { try JobGate.check(jobs) }
    }
  }

  private func show(_ queued: RescanImagesResponse, _ jobs: [Job], _ console: Console) throws {
    var document = queued.json
    document["jobs"] = .array(jobs.map(\.json))
    try console.show(document) {
      var facts = FactList()
      facts.add("queued", String(queued.queued))
      if queued.existed > 0 { facts.add("queued already", String(queued.existed)) }
      if wait { facts.add("scans", JobView.ends(of: jobs)) }
      let shown = all ? jobs.filter { $0.state != .finished } : jobs
      return console.render(facts) + (shown.isEmpty ? "" : "\n" + console.render(JobView.table(of: shown)))
    }
  }
}

extension Session {
  /// Jobs that one watch may name.
  private static let watchedMaximum: UInt64 = 10_000

  /// The jobs of a rescan, when they have ended: those of the references, or those that a rescan of all has made.
  fileprivate func waitForScans(of queued: RescanImagesResponse, integration: String?) async throws -> [Job] {
    var progress = ProgressLine(console)
    defer { progress.clear() }
    var ended: [Job] = []
    var request = WatchJobsRequest()
    request.integration = integration ?? ""
    for ids in Self.batches(of: queued) {
      var jobs: [UInt64: Job] = [:]
      request.jobIds = ids
      try await waitForJobs(request) { job in
        // A poll may have queued jobs of its own in between.
        guard queued.jobs.isEmpty == false || job.pollId == 0 else { return }
        jobs[job.id] = job
        let left = jobs.values.count { !$0.state.isFinal }
        progress.show("\(left) of \(jobs.count) left; \(JobView.progress(of: job))")
      }
      ended += jobs.values.sorted { $0.id < $1.id }
    }
    return ended
  }

  private static func batches(of queued: RescanImagesResponse) -> [[UInt64]] {
    if !queued.jobs.isEmpty { return [queued.jobs.map(\.id)] }
    guard queued.firstJobId > 0, queued.firstJobId <= queued.lastJobId else { return [] }
    return stride(from: queued.firstJobId, through: queued.lastJobId, by: Int(watchedMaximum)).map { first in
      Array(first...min(queued.lastJobId, first + watchedMaximum - 1))
    }
  }
}
