import Inventory
import StorageMessages

/// Reads apk's list of installed packages: stanzas of `X:value` lines with one-letter names, apart by blank lines.
enum ApkInstalled {
  /// `isComplete`: false when only the beginning could be read; the last stanza, which may be cut, is then left out.
  static func parse(_ bytes: UnsafeRawBufferPointer, isComplete: Bool, into collector: inout PackageCollector) {
    var lines = Lines(bytes)
    var stanza = Stanza()
    while let line = lines.next() {
      if line.isEmpty {
        stanza.finish(into: &collector)
        stanza = Stanza()
      } else {
        stanza.take(line)
      }
    }
    if isComplete { stanza.finish(into: &collector) }
  }

  private struct Stanza {
    var isEmpty = true
    var name, version, architecture, origin: UnsafeRawBufferPointer?

    mutating func take(_ line: UnsafeRawBufferPointer) {
      isEmpty = false
      guard line.count >= 2, line[1] == UInt8(ascii: ":") else { return }
      let value = UnsafeRawBufferPointer(rebasing: line[2...])
      switch line[0] {
      case UInt8(ascii: "P"): name = name ?? value
      case UInt8(ascii: "V"): version = version ?? value
      case UInt8(ascii: "A"): architecture = architecture ?? value
      case UInt8(ascii: "o"): origin = origin ?? value
      default: break
      }
    }

    func finish(into collector: inout PackageCollector) {
      if isEmpty { return }
      guard let name, let version else {
        collector.addMalformed()
        return
      }
      var record = Package()
      record.type = "apk"
      record.name = storedText(name)
      record.version = storedText(version)
      record.arch = architecture.map { storedText($0) } ?? ""
      record.sourceName = origin.map { storedText($0) } ?? record.name
      record.sourceVersion = record.version
      collector.add(record)
    }
  }
}
