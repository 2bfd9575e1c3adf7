import API
import Synchronization

/// What an operator should know, for `tidewaiter status`: conditions that last, each with what to do.
package final class Problems: Sendable {
  package struct Entry: Sendable, Equatable {
    package let message: String
    package let hint: String
  }

  /// The store is nearly full at this share of its map.
  private static let storeShareMaximum = 0.9

  private let lasting = Mutex<[String: Entry]>([:])

  package init() {}

  /// Sets or, with nil, clears the problem of one part.
  package func set(_ part: String, _ problem: Entry?) { lasting.withLock { $0[part] = problem } }

  /// Those set by parts, and those the status itself shows.
  func current(_ status: Status) -> [Problem] {
    var found = lasting.withLock { $0.sorted { $0.key < $1.key }.map(\.value) }
    if status.advisories == 0 {
      found.append(
        Entry(
          message: "no advisories are imported: reports cannot list vulnerabilities",
          hint: "import OSV archives with: tidewaiter db import PATH"))
    }
    if Double(status.storeBytesUsed) > Double(status.storeBytesLimit) * Self.storeShareMaximum {
      found.append(
        Entry(
          message: "the store uses \(status.storeBytesUsed) of \(status.storeBytesLimit) bytes",
          hint: "start the daemon with a larger store.mapSizeBytes"))
    }
    return found.map { entry in
      var problem = Problem()
      problem.message = entry.message
      problem.hint = entry.hint
      return problem
    }
  }
}
