import Glibc
import Posix
import Store
import Synchronization
import TestSupport

/// Runs a program of the system; whether it ended well.
@discardableResult
func run(_ arguments: String...) -> Bool {
  var child: pid_t = 0
  var strings: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
  defer { for string in strings { free(string) } }
  guard posix_spawnp(&child, arguments[0], nil, nil, &strings, environ) == 0 else { return false }
  var status: Int32 = 0
  while waitpid(child, &status, 0) < 0 && errno == EINTR {}
  return status == 0
}

/// Runs blocking code on a thread of its own, so that Swift's pool never waits for it.
func blocking<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
  try await withCheckedThrowingContinuation { continuation in
    startThread(named: "test") { continuation.resume(with: Result { try body() }) }
  }
}

func code(of body: () async throws -> Void) async -> StoreError.Code? {
  do {
    try await body()
    return nil
  } catch {
    return (error as? StoreError)?.code
  }
}

/// Set once, seen by all.
final class Flag: Sendable {
  private let value = Atomic(false)
  var isSet: Bool { value.load(ordering: .acquiring) }
  func set() { value.store(true, ordering: .releasing) }
}

let numbers = Table<UInt64, RawValue>("numbers", "numbered bytes")
let names = Table<String, UInt64>("names", "named numbers")
let testTables = [numbers.description, names.description]

extension Environment {
  /// A small environment in `directory`, without waiting for the disk unless asked.
  convenience init(_ directory: TemporaryDirectory, mapSizeBytes: Int = 64 << 20, isSynchronous: Bool = false) throws {
    var options = Options()
    options.mapSizeBytes = mapSizeBytes
    options.isSynchronous = isSynchronous
    try self.init(path: directory.path + "/test.mdb", tables: testTables, options: options)
  }

  func put(_ number: UInt64, _ bytes: [UInt8]) async throws {
    try await write { try $0.put(numbers, number, RawValue(bytes)) }
  }

  func get(_ number: UInt64) throws -> [UInt8]? { try read { try $0.get(numbers, number)?.bytes } }
}
