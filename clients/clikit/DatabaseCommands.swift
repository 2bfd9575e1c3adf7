import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

/// `tidewaiter db`.
struct DatabaseCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "db",
    abstract: "Manage the advisories that images are matched against.",
    discussion: "Example:\n  tidewaiter db status",
    subcommands: [DatabaseImport.self, DatabaseStatus.self])
}

struct DatabaseImport: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Import advisories in OSV form from files.",
    discussion: """
      A path is an archive as OSV.dev publishes it (ECOSYSTEM/all.zip), one record (.json), or a folder: of records, or \
      of ecosystems each with its all.zip. Each makes a set under the name of the ecosystem, the folder or the file; \
      a later import of that name replaces it. All sets become visible at once. Bad records are named and left out; \
      exit 1 if none was good.

      Example:
        tidewaiter db import osv/Debian/all.zip osv/Alpine/all.zip
      """)

  @Argument(help: ArgumentHelp("Archive, record or folder, one or more.", valueName: "PATH"))
  var paths: [String]

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var discovery = AdvisoryDiscovery()
    for path in paths { try discovery.add(path) }
    let sources = discovery.sources
    let warnings = discovery.warnings
    try await global.perform { session in
      for warning in warnings { session.console.warn(warning) }
      var advisoryImport = AdvisoryImport(session)
      let ended = try await advisoryImport.run(sources)
      for skipped in ended.skipped { session.console.warn("record left out: \(skipped)") }
      let unnamed = ended.recordsSkipped - min(ended.recordsSkipped, UInt64(ended.skipped.count))
      if unnamed > 0 && !ended.skipped.isEmpty { session.console.warn("and \(unnamed) more left out") }
      var document = ended.json
      document["sets"] = .array(sources.map { .string($0.name) })
      try session.console.show(document) { DatabaseView.render(ended, sources, session.console) }
      try check(ended)
    }
  }

  private func check(_ ended: Import) throws {
    guard ended.state == .finished else {
      let reason = ended.error?.message ?? "the daemon gave no reason"
      let hint = ended.error.map(\.hint).flatMap { $0.isEmpty ? nil : $0 }
      throw CommandFailure.local(
        "the import failed: \(reason)", hint: hint ?? "what was imported before is still in force")
    }
    guard ended.recordsKept > 0 else {
      throw CommandFailure.local("no record was imported", hint: "check that the files are OSV records")
    }
  }
}

struct DatabaseStatus: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Show which advisories are there, and how old they are.",
    discussion: "Example:\n  tidewaiter db status")

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    try await global.perform { session in
      let status = try await session.advisories.getAdvisoryStatus(
        GetAdvisoryStatusRequest())
      if status.ecosystems.isEmpty { session.console.remark("There is no advisory: tidewaiter db import --help") }
      try session.console.show(status.json) { DatabaseView.render(status, session.console) }
    }
  }
}

/// The advisory database as people read it.
enum DatabaseView {
  static func render(_ ended: Import, _ sources: [AdvisorySource], _ console: Console) -> String {
    var facts = FactList()
    facts.add("sets", sources.map(\.name).joined(separator: ", "))
    facts.add("state", ended.state.name, ended.state == .finished ? .green : .red)
    facts.add("records read", String(ended.recordsRead))
    facts.add("kept", String(ended.recordsKept))
    facts.add("skipped", String(ended.recordsSkipped), ended.recordsSkipped > 0 ? .yellow : nil)
    if ended.imagesRematched > 0 { facts.add("images matched again", String(ended.imagesRematched)) }
    return console.render(facts)
  }

  static func render(_ status: AdvisoryStatus, _ console: Console) -> String {
    var ecosystems = Table([.init("ECOSYSTEM"), .number("ADVISORIES"), .init("UPDATED")])
    for ecosystem in status.ecosystems {
      ecosystems.add([
        .init(ecosystem.name), .init(String(ecosystem.advisories)), .init(People.time(ecosystem.updatedAt)),
      ])
    }
    guard !status.sets.isEmpty else { return console.render(ecosystems) }
    var sets = Table([.init("SET"), .number("RECORDS"), .init("IMPORTED")])
    for set in status.sets {
      sets.add([.init(set.name), .init(String(set.records)), .init(People.time(set.importedAt))])
    }
    return console.render(ecosystems) + "\n" + console.render(sets)
  }
}
