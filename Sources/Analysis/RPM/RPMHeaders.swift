import Inventory
import StorageMessages

/// The headers of one rpm database, whatever its format: those that can be read become packages, the others are counted.
struct RPMHeaders {
  private var malformed = 0
  private var reason = ""

  mutating func add(_ blob: UnsafeRawBufferPointer, into collector: inout PackageCollector) {
    do throws(RPMHeader.Malformed) {
      collector.add(try RPMHeader(blob, textBytes: collector.limits.textBytes).package)
    } catch {
      malformed += 1
      reason = error.reason
    }
  }

  /// What is to be told of those that could not be read.
  var error: LayerError? {
    if malformed == 0 { return nil }
    return LayerError(
      .databaseMalformed, "\(malformed) headers of the rpm database are malformed; the last \(reason)")
  }
}
