import Inventory
import Secrets
import StorageMessages

/// What the scanner says of one file.
struct Scanned {
  var records: [SecretRecord] = []
  var error: LayerError?

  var rules: [String] { records.map(\.rule) }

  init(_ text: String, path: String = "srv/app/settings.conf", limits: AnalysisLimits = .standard) {
    self.init(Array(text.utf8), path: path, limits: limits)
  }

  init(_ bytes: [UInt8], path: String, limits: AnalysisLimits = .standard) {
    self.init(bytes, path: path, by: SecretScanner(limits: limits))
  }

  init(_ bytes: [UInt8], path: String, by scanner: SecretScanner) {
    error = Array(path.utf8).withUnsafeBytes { path in
      bytes.withUnsafeBytes { bytes in
        do throws(LayerError) {
          try scanner.scan(path: path, bytes: bytes, into: &records)
          return nil
        } catch {
          return error
        }
      }
    }
  }
}
