import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

/// `tidewaiter gc`.
struct GarbageCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gc",
    abstract: "Remove what the daemon keeps no longer, and say what that was.",
    discussion: """
      The daemon does so by itself once a day, by the rules under "retention" in its settings. What becomes free in the \
      store's file is used again; the file does not shrink.

      Example:
        tidewaiter gc --dry-run
      """)

  @Flag(help: "Say what would be removed, and remove nothing.")
  var dryRun = false

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var request = CollectGarbageRequest()
    request.dryRun = dryRun
    try await global.perform { session in
      let outcome = try await session.wait(orFail: "the collection did not end within --timeout") { rest in
        try await session.system.collectGarbage(request, timeout: rest ?? Session.longTimeout)
      }
      try session.console.show(outcome.json) { GarbageView.render(outcome, session.console) }
    }
  }
}

/// A collection as people read it.
enum GarbageView {
  static func render(_ outcome: CollectGarbageResponse, _ console: Console) -> String {
    var output = ""
    if !outcome.removed.isEmpty {
      var table = Table([
        .init(outcome.dryRun ? "WOULD REMOVE" : "REMOVED"), .number("COUNT"), .init("RULE", cut: .end),
      ])
      for one in outcome.removed { table.add([.init(one.kind), .init(String(one.count)), .init(one.rule)]) }
      output = console.render(table) + "\n"
    }
    var facts = FactList()
    if outcome.removed.isEmpty { facts.add(outcome.dryRun ? "would remove" : "removed", "nothing") }
    let before = outcome.dryRun ? "" : ", \(People.size(outcome.storeBytesUsedBefore)) before"
    facts.add(
      "store", "\(People.size(outcome.storeBytesUsed)) of \(People.size(outcome.storeBytesLimit)) in use\(before)")
    facts.add("file", People.size(outcome.storeFileBytes))
    return output + console.render(facts)
  }
}
