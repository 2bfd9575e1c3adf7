import Glibc
import Inventory
import SecretRules
import StorageMessages

/// Finds secrets in the contents of one layer's files, one after another. The time it takes grows with their bytes alone,
/// whatever they hold, and all that it finds is bounded.
package final class SecretScanner {
  private let limits: AnalysisLimits
  private var database: PatternDatabase?
  /// By the rule's number; each read when its anchor first occurs. Empty before the first text.
  private var patterns: [SecretPattern?] = []
  private var found = 0
  private var isFull = false

  package init(limits: AnalysisLimits = .standard) { self.limits = limits }

  /// Adds the secrets of one text file, in the order of their lines, each once.
  ///
  /// Throws when something was not looked for any more; what was found before is added even then. Once that was for the
  /// layer's bound, nothing is looked for, nor is that told again.
  package func scan(
    path: UnsafeRawBufferPointer, bytes: UnsafeRawBufferPointer, into records: inout [SecretRecord]
  ) throws(LayerError) {
    if isFull { return }
    var search = SecretSearch(bytes, limits: limits)
    let database = try readyDatabase()
    // Most files have no anchor at all, and need no rules.
    var pathRules: PathRules?
    let allRules = SecretRules.all
    try database.scan(bytes) { number, end in
      let rule = allRules[number]
      let rules = pathRules ?? PathRules(path)
      pathRules = rules
      guard rules.admits(rule) else { return true }
      return search.take(number, rule, pattern(number, of: rule), rules, anchorEnd: end)
    }
    let secrets = search.finish()
    let room = limits.secrets - found
    records.append(contentsOf: secrets.prefix(room).map { $0.record(path: path) })
    found += min(room, secrets.count)
    if secrets.count > room {
      isFull = true
      throw LayerError(
        .secretLimit, "the layer holds more secrets than the \(limits.secrets) that are kept of it", path: Array(path))
    }
    if let end = search.end { throw end.error(path: path, limits: limits) }
  }

  private func readyDatabase() throws(LayerError) -> PatternDatabase {
    if let database { return database }
    let database = try PatternDatabase()
    self.database = database
    patterns = Array(repeating: nil, count: SecretRules.all.count)
    return database
  }

  private func pattern(_ number: Int, of rule: SecretRule) -> SecretPattern {
    if let pattern = patterns[number] { return pattern }
    let pattern = rule.pattern
    patterns[number] = pattern
    return pattern
  }
}
