import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

struct ImageReport: AsyncParsableCommand {
  enum Format: String, CaseIterable, ExpressibleByArgument {
    case table, json
  }

  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Print what was found in an image.",
    discussion: """
      With --out the report appears under that name whole or not at all.

      Example:
        tidewaiter image report hub/library/alpine:3.20 --format json --out alpine.json
      """)

  @OptionGroup var image: ReferenceArgument

  @Option(help: ArgumentHelp("table or json (default: what --output says).", valueName: "FORMAT"))
  var format: Format?

  @Option(help: ArgumentHelp("Platform, such as linux/arm64 (default: the node's own).", valueName: "PLATFORM"))
  var platform: String?

  @Option(help: ArgumentHelp("Write to this file instead of standard output.", valueName: "FILE"))
  var out: String?

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    try await global.perform { session in
      let report = try await session.report(of: image.reference, platform: platform ?? "")
      let text = render(report, session.console)
      guard let out else { return try session.console.print(text) }
      try FileReplacement.write(text.utf8, to: out)
    }
  }

  private func render(_ report: Report, _ console: Console) -> String {
    switch (format, console.format) {
    case (.json, .jsonl), (nil, .jsonl): return report.clientJSON.text() + "\n"
    case (.json, _), (nil, .json): return report.clientJSON.text(indented: true) + "\n"
    case (.table, _), (nil, .table):
      let isFile = out != nil
      return ReportView.render(report, width: isFile ? nil : console.width, colours: !isFile && console.colours)
    }
  }
}

extension Session {
  /// Most slices of one report: far more than the largest image needs.
  private static let slicesMaximum = 100_000

  /// The whole report, joined from its slices.
  func report(of reference: String, platform: String) async throws -> Report {
    var request = GetReportRequest()
    request.reference = reference
    request.platform = platform
    var report = try await images.getReport(request)
    var slices = 1
    while !report.nextPageToken.isEmpty {
      guard slices < Self.slicesMaximum, request.pageToken != report.nextPageToken else {
        throw TidewaiterError(.internal, "the daemon's report does not end")
      }
      slices += 1
      request.pageToken = report.nextPageToken
      let slice = try await images.getReport(request)
      report.packages += slice.packages
      report.findings += slice.findings
      report.lockedPackages += slice.lockedPackages
      report.layers += slice.layers
      report.notes += slice.notes
      report.nextPageToken = slice.nextPageToken
    }
    return report
  }
}

extension Report {
  /// The document that programs read, without what only the transport needs.
  var clientJSON: JSONValue {
    var document = json
    document["nextPageToken"] = nil
    return document
  }
}
