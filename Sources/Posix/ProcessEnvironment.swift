import CPosix
import Glibc

/// The variables that the process was started with.
package enum ProcessEnvironment {
  /// By name, as they are now.
  package static var variables: [String: String] {
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
