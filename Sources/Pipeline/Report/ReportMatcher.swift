import Advisories
import Matching
import Model
import Posix
import StorageMessages

/// Matches reports against the advisories in force. On a thread of its own: it reads far more than it computes.
package final class ReportMatcher: Sendable {
  private let advisories: AdvisoryDatabase
  private let thread = SerialThread(named: "matcher")
  private let clock: WallClock

  package init(advisories: AdvisoryDatabase, clock: WallClock) {
    self.advisories = advisories
    self.clock = clock
  }

  /// The reports with their vulnerabilities as the advisories now say; what else was found stays. Who is cancelled does not
  /// wait.
  package func match(_ reports: [ReportRecord]) async throws -> [ReportRecord] {
    try await thread.runWhileWanted { [advisories, clock] in
      let snapshot = advisories.snapshot()
      return try reports.map { report in
        var report = report
        let result = try Matcher.match(os: report.os, packages: report.packages, advisories: snapshot)
        // Those of an earlier match, and that there were too many of them.
        report.findings.removeAll { $0.kind == .vulnerability || $0.id == Matcher.limit }
        report.findings += result.findings
        report.matchedAt = clock.now
        let day = Timestamp(nanosecondsSince1970: report.matchedAt).date
        let endOfLife = report.os.flatMap { os in EndOfLife(os)?.note(os, on: day) }
        report.matchNotes = [endOfLife].compactMap { $0 } + result.notes
        report.advisoriesGeneration = snapshot.generation
        return report
      }
    }
  }

  /// Whether advisories have changed since `reports` were matched.
  func isOutdated(_ reports: [ReportRecord]) -> Bool {
    let generation = advisories.generation
    return reports.contains { $0.advisoriesGeneration != generation }
  }

  package func close() { thread.close() }
}
