import Posix
import Synchronization

/// Permits for each key apart: at most `count` at a time do something for one key. A key costs memory only while somebody
/// has or wants a permit for it.
final class KeyedPermits<Key: Hashable & Sendable>: Sendable {
  private struct Entry {
    let permits: Permits
    var users = 0
  }

  private let count: Int
  private let entries = Mutex<[Key: Entry]>([:])

  init(_ count: Int) { self.count = count }

  /// How many keys have a user.
  var keyCount: Int { entries.withLock(\.count) }

  func withPermit<Value>(for key: Key, _ body: () async throws -> Value) async throws -> Value {
    let permits = entries.withLock { entries -> Permits in
      var entry = entries[key] ?? Entry(permits: Permits(count))
      entry.users += 1
      entries[key] = entry
      return entry.permits
    }
    defer {
      entries.withLock { entries in
        entries[key]?.users -= 1
        if entries[key]?.users == 0 { entries[key] = nil }
      }
    }
    return try await permits.withPermit(body)
  }
}
