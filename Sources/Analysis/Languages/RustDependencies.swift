import Inventory
import JSON
import StorageMessages

/// The list of crates that cargo-auditable puts into programs: section `.dep-v0`, JSON packed by zlib.
enum RustDependencies {
  /// The program's own crate is left out, and so is what only built it.
  static func list(_ section: UnsafeRawBufferPointer, into collector: inout PackageCollector) -> LayerError? {
    let text: [UInt8]
    do {
      text = try Inflater().zlib(section, limit: collector.limits.packedTextBytes)
    } catch {
      return switch error {
      case .corrupt: malformed("is not packed by zlib")
      case .tooLarge:
        LayerError(
          .archiveLimit, "lists crates in more than \(collector.limits.packedTextBytes) bytes, which are not read")
      }
    }
    let json: JSONDocument
    do {
      json = try JSONDocument(text, reading: .lenient)
    } catch {
      return malformed("is no proper JSON: \(error.reason)")
    }
    guard let packages = json.member("packages", of: 0), json.nodes[packages].kind == .array else {
      return malformed("has no packages")
    }
    var found = FoundPackages("cargo")
    json.forEachElement(of: packages) { package in
      if let root = json.member("root", of: package), json.nodes[root].kind == .true { return }
      if let kind = json.member("kind", of: package), json.isText(kind, "build") { return }
      guard let name = json.member("name", of: package).flatMap(json.storedText),
        let version = json.member("version", of: package).flatMap(json.storedText)
      else { return collector.addMalformed() }
      found.add(name, version, into: &collector)
    }
    return nil
  }

  private static func malformed(_ reason: String) -> LayerError {
    LayerError(.databaseMalformed, "its list of crates \(reason)")
  }
}
