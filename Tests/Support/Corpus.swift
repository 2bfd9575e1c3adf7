import Glibc

/// Where the corpus of real images, databases and advisories lies: `TIDEWAITER_SHARED`, else `../shared` beside the
/// checkout. Nil where it is absent: tests that need it are then skipped and say so.
package enum Corpus {
  package static let directory: String? = {
    let shared = getenv("TIDEWAITER_SHARED").map { String(cString: $0) } ?? checkout + "/../shared"
    let path = shared + "/corpus"
    return access(path, R_OK | X_OK) == 0 ? path : nil
  }()

  /// The top of the checkout.
  package static let checkout: String = {
    // This file is Tests/Support/Corpus.swift.
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return parts.dropLast(3).joined(separator: "/")
  }()

  package static func path(_ relative: String) -> String? { directory.map { $0 + "/" + relative } }
}
