import CPosix
import Glibc

/// The process's own surroundings.
package enum Process {
  /// The environment's variables as they are now.
  package static var environment: [String: String] {
    var found: [String: String] = [:]
    var entry = cposix_environment()
    while let pointer = entry?.pointee {
      let text = String(cString: pointer)
      if let equals = text.firstIndex(of: "=") {
        found[String(text[..<equals])] = String(text[text.index(after: equals)...])
      }
      entry = entry.map { $0 + 1 }
    }
    return found
  }
}
