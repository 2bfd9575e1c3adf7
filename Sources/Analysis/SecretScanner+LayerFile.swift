import Inventory
import Secrets
import StorageMessages

extension SecretScanner {
  /// Adds the secrets of a file that was read whole; of one whose end is missing, those of what there is.
  package func scan(_ file: LayerFile, into records: inout [SecretRecord]) throws(LayerError) {
    try scan(path: file.path, bytes: file.bytes, into: &records)
  }
}
