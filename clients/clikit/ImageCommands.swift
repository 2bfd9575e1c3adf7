import ArgumentParser
import Model
import ProtobufRuntime
import TidewaiterClient

/// `tidewaiter image`.
struct ImageCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "image",
    abstract: "Scan images and read what was found.",
    discussion: "Example:\n  tidewaiter image list --min-severity high",
    subcommands: [
      ImageAdd.self, ImageList.self, ImageShow.self, ImageReport.self, ImageExplain.self, ImageHistory.self,
      ImageRescan.self,
    ])
}

/// An image on the command line.
struct ReferenceArgument: ParsableArguments {
  @Argument(
    help: ArgumentHelp("INTEGRATION/REPOSITORY[:TAG][@DIGEST].", valueName: "REF"), transform: ReferenceArgument.check)
  var reference: String

  /// The reference as it was given, when it parses.
  static func check(_ text: String) throws -> String {
    do throws(ImageReference.Malformed) {
      _ = try ImageReference(parsing: text)
      return text
    } catch {
      throw MalformedText(error.reason)
    }
  }
}

struct ImageAdd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "add",
    abstract: "Queue images to be scanned.",
    discussion: """
      An image that is queued already is not queued twice: its job is shown. With --wait, shows progress and ends when \
      the scans have ended: exit 3 if one did not finish.

      Example:
        tidewaiter image add hub/library/alpine:3.20 --wait
      """)

  @Argument(
    help: ArgumentHelp("INTEGRATION/REPOSITORY[:TAG][@DIGEST], one or more.", valueName: "REF"),
    transform: ReferenceArgument.check)
  var references: [String]

  @Flag(help: "Wait until the scans have ended.")
  var wait = false

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    try await global.perform { session in
      var added: [AddImageResponse] = []
      var refused: [TidewaiterError] = []
      for reference in references {
        var request = AddImageRequest()
        request.reference = reference
        do {
          added.append(try await session.images.addImage(request, timeout: session.registryCallTimeout))
        } catch let error as TidewaiterError where references.count > 1 && error.concernsOneImage {
          // One bad reference does not keep the others from being scanned.
          Console.report(CommandFailure(error, socket: global.socketPath), as: .table)
          refused.append(error)
        }
      }
      var jobs = added.compactMap(\.job)
      if wait { jobs = try await waitForEnd(of: jobs, session) }
      try show(jobs, existed: added.map(\.existed), session.console)
      if let first = refused.first {
        throw CommandFailure(
          .failed, code: first.code, "\(refused.count) of \(references.count) images were not added", hint: nil)
      }
      if wait { try JobGate.check(jobs) }
    }
  }

  private func show(_ jobs: [Job], existed: [Bool], _ console: Console) throws {
    let documents = zip(jobs, existed).map { job, existed in
      var document = job.json
      document["existed"] = .bool(existed)
      return document
    }
    try console.show(list: "jobs", documents) { jobs.isEmpty ? "" : console.render(JobView.table(of: jobs)) }
  }

  private func waitForEnd(of jobs: [Job], _ session: Session) async throws -> [Job] {
    if jobs.isEmpty { return [] }
    var jobs = jobs
    var progress = ProgressLine(session.console)
    defer { progress.clear() }
    var request = WatchJobsRequest()
    request.jobIds = jobs.map(\.id)
    try await session.waitForJobs(request) { job in
      for index in jobs.indices where jobs[index].id == job.id { jobs[index] = job }
      progress.show(JobView.progress(of: jobs))
    }
    return jobs
  }
}

extension TidewaiterError {
  /// Whether another image may fare better: not where the daemon, the socket or the time is the reason.
  fileprivate var concernsOneImage: Bool {
    switch code {
    case .deadlineExceeded, .permissionDenied: false
    case .unavailable: reason != nil
    default: true
    }
  }
}

struct ImageList: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "List images and how many flaws each has.",
    discussion: """
      Tags that never became images are listed with the statuses rejected, skipped, failed and gone.

      Example:
        tidewaiter image list --integration hub --min-severity high
        tidewaiter image list --status rejected
      """)

  @Option(help: ArgumentHelp("Only images of this integration.", valueName: "NAME"))
  var integration: String?

  @Option(help: ArgumentHelp("Only repositories that match, with *.", valueName: "PATTERN"))
  var repository: String?

  @Option(
    help: ArgumentHelp("scanned, queued, rejected, skipped, failed or gone.", valueName: "STATUS"),
    transform: ImageStatus.init(named:))
  var status: ImageStatus?

  @Option(
    help: ArgumentHelp("Only images with a finding this bad: low, medium, high, critical.", valueName: "SEVERITY"),
    transform: TidewaiterClient.Severity.init(named:))
  var minSeverity: TidewaiterClient.Severity?

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    try await global.perform { session in
      let images = try await session.allPages { token in
        var request = ListImagesRequest()
        request.integration = integration ?? ""
        request.repository = repository ?? ""
        request.status = status ?? .unspecified
        request.minSeverity = minSeverity ?? .unknown
        request.pageSize = Session.pageSize
        request.pageToken = token
        let page = try await session.images.listImages(request)
        return (page.images, page.nextPageToken)
      }
      if images.isEmpty { session.console.remark("There is no such image.") }
      try session.console.show(list: "images", images.map(\.json)) {
        session.console.render(ImageView.table(of: images))
      }
    }
  }
}

extension ImageStatus {
  init(named name: String) throws(MalformedText) {
    let known = Self.known.filter { $0 != .unspecified }
    guard let status = known.first(where: { $0.name == name }) else {
      throw MalformedText("use one of \(known.map(\.name).joined(separator: ", "))")
    }
    self = status
  }
}

extension TidewaiterClient.Severity {
  init(named name: String) throws(MalformedText) {
    guard let severity = Self.known.first(where: { $0.name == name }) else {
      throw MalformedText("use one of \(Self.known.map(\.name).joined(separator: ", "))")
    }
    self = severity
  }
}

struct ImageShow: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show an image: its state, its findings by severity, its layers.",
    discussion: "Example:\n  tidewaiter image show hub/library/alpine:3.20")

  @OptionGroup var image: ReferenceArgument
  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var request = GetImageRequest()
    request.reference = image.reference
    try await global.perform { session in
      let found = try await session.images.getImage(request)
      // Ask by what the daemon answered: a tag may move between the two calls.
      let report = try await reportIfAny(of: found, session)
      var document = found.json
      document["os"] = report?.os?.json ?? .null
      document["layers"] = .array(report?.layers.map(\.json) ?? [])
      document["packageCount"] = .unsigned(UInt64(report?.packages.count ?? 0))
      document["findingCount"] = .unsigned(UInt64(report?.findings.count ?? 0))
      try session.console.show(document) { ImageView.render(found, report, session.console) }
    }
  }

  private func reportIfAny(of image: Image, _ session: Session) async throws -> Report? {
    do {
      return try await session.report(of: image.reference, platform: "")
    } catch let error as TidewaiterError where error.code == .notFound || error.code == .failedPrecondition {
      // Not scanned yet, or the scan failed: the image's own status says so.
      return nil
    }
  }
}
