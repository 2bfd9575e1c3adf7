import API
import Model
import StorageMessages

extension IntegrationReader {
  /// Settings that a preview can try.
  static let triable: Set<String> = [
    "criteria", "never", "always", "condition", "rescan", "platforms", "include_remote", "scopes",
  ]

  /// `current` with the settings that `paths` names taken from `wanted`, to be tried and not to be stored; read
  /// `violations` before using it.
  mutating func trial(
    of current: IntegrationRecord, as wanted: API.Integration, paths: Set<String>
  ) -> IntegrationRecord {
    var record = current
    for path in paths.sorted() {
      if Self.triable.contains(path) {
        take(path, of: wanted, into: &record)
      } else {
        refuse("settings_mask", "\"\(path.excerpt())\" is no setting that a preview can try")
      }
    }
    checkWhole(&record)
    return record
  }
}
