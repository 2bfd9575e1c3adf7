import Inventory
import SecretRules
import StorageMessages

/// A secret of one file.
struct FoundSecret {
  /// Of a public prefix.
  static let shownBytes = 4
  var rule: String
  /// The lower, the more its form says.
  var rank: Int
  var match: SecretMatch
  var bytes: [UInt8]
  /// How many bytes of it anybody may see.
  var shown = 0
  var line = 0
  var excerpt = ""

  func record(path: UnsafeRawBufferPointer) -> SecretRecord {
    var record = SecretRecord()
    record.rule = rule
    record.path = Array(path)
    record.line = UInt32(clamping: line)
    record.excerpt = excerpt
    record.value = Array(bytes.prefix(AnalysisLimits.standard.secretBytes))
    return record
  }
}
