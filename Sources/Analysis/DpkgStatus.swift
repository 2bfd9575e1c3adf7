import Inventory
import StorageMessages

/// Reads dpkg's status file and control files (deb822): stanzas of `Field: value` lines, apart by blank lines.
///
/// A package counts as installed from the moment its files are unpacked; removed ones whose configuration stayed do not.
enum DpkgStatus {
  /// `isControlFile`: the file holds one package's control data, whose presence says that it is installed.
  /// `isComplete`: false when only the beginning could be read; a stanza that may be cut is then left out.
  static func parse(
    _ bytes: UnsafeRawBufferPointer, isControlFile: Bool, isComplete: Bool, into collector: inout PackageCollector
  ) {
    var lines = Lines(bytes)
    var stanza = Stanza()
    while let line = lines.next() {
      if line.trimmed.isEmpty {
        stanza.finish(isControlFile: isControlFile, into: &collector)
        stanza = Stanza()
      } else {
        stanza.take(line)
      }
    }
    if isComplete { stanza.finish(isControlFile: isControlFile, into: &collector) }
  }

  /// The first of each field counts, as dpkg refuses files that repeat one.
  private struct Stanza {
    var isEmpty = true
    var package, version, architecture, source, status: UnsafeRawBufferPointer?

    mutating func take(_ line: UnsafeRawBufferPointer) {
      isEmpty = false
      // A folded line goes on with a field; none of those read here is ever folded.
      if line[0] == UInt8(ascii: " ") || line[0] == UInt8(ascii: "\t") { return }
      // The longest name that matters has 12 letters.
      guard let colon = line.prefix(16).firstIndex(of: UInt8(ascii: ":")) else { return }
      let name = UnsafeRawBufferPointer(rebasing: line[..<colon])
      let value = UnsafeRawBufferPointer(rebasing: line[(colon + 1)...])
      if name.isField("package") {
        package = package ?? value.trimmed
      } else if name.isField("version") {
        version = version ?? value.trimmed
      } else if name.isField("architecture") {
        architecture = architecture ?? value.trimmed
      } else if name.isField("source") {
        source = source ?? value.trimmed
      } else if name.isField("status") {
        status = status ?? value.trimmed
      }
    }

    func finish(isControlFile: Bool, into collector: inout PackageCollector) {
      if isEmpty { return }
      switch isInstalled(isControlFile: isControlFile) {
      case nil: collector.addMalformed()
      case false?: break
      case true?: collector.add(record())
      }
    }

    /// Nil when it cannot be said.
    private func isInstalled(isControlFile: Bool) -> Bool? {
      guard let status else { return isControlFile ? true : nil }
      let words = status.split(whereSeparator: { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") })
      guard words.count == 3 else { return nil }
      let state = UnsafeRawBufferPointer(rebasing: words[2])
      if state.isField("not-installed") || state.isField("config-files") { return false }
      let installed: [StaticString] = [
        "installed", "unpacked", "half-configured", "half-installed", "triggers-awaited", "triggers-pending",
      ]
      return installed.contains(where: state.isField) ? true : nil
    }

    private func record() -> Package {
      var record = Package()
      record.type = "deb"
      record.name = package.map { storedText($0) } ?? ""
      record.version = version.map { storedText($0) } ?? ""
      record.arch = architecture.map { storedText($0) } ?? ""
      record.sourceName = record.name
      record.sourceVersion = record.version
      // "Source: glibc" or "Source: glibc (2.36-9)": the version is there where it differs from the package's.
      if let source, !source.isEmpty {
        let open = source.firstIndex(of: UInt8(ascii: "(")) ?? source.count
        record.sourceName = storedText(UnsafeRawBufferPointer(rebasing: source[..<open]).trimmed)
        if open < source.count, let close = source[open...].firstIndex(of: UInt8(ascii: ")")) {
          record.sourceVersion = storedText(UnsafeRawBufferPointer(rebasing: source[(open + 1)..<close]).trimmed)
        }
      }
      return record
    }
  }
}
