import Glibc
import Posix
import StorageMessages
import Store
import Synchronization
import TestSupport
import Testing

/// What an environment tells of faults.
private final class Notices: Sendable {
  private let list = Mutex<[Environment.Notice]>([])
  var all: [Environment.Notice] { list.withLock { $0 } }
  func add(_ notice: Environment.Notice) { list.withLock { $0.append(notice) } }
}

@Suite("An environment whose disk fails") struct ReopeningTests {
  private let scratch: TemporaryDirectory
  private let path: String
  private let notices = Notices()

  init() throws {
    scratch = try TemporaryDirectory()
    path = scratch.path + "/test.mdb"
  }

  private func open() throws -> Environment {
    var options = Environment.Options()
    options.mapSizeBytes = 64 << 20
    options.notice = { [notices] in notices.add($0) }
    return try Environment(path: path, tables: testTables, options: options)
  }

  @Test(
    "a commit that the disk fails is answered with an error and never there; the next one works, and reads all the while",
    arguments: [DiskFaults.Call.dataSync, .metaWrite, .metaWriteThatLands])
  func failedCommit(_ call: DiskFaults.Call) async throws {
    let environment = try open()
    try await environment.put(1, [1])
    let isOver = Flag()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await blocking { () throws in
          // Among them readers that begin while the file is closed.
          while !isOver.isSet {
            #expect(try environment.get(1) == [1])
            #expect(try environment.get(2) == nil)
          }
        }
      }
      defer { isOver.set() }
      for _ in 0..<20 {
        DiskFaults.failOnce(call, of: path)
        #expect(await code { try await environment.put(2, [2]) } == .io)
        try await environment.put(3, [3])
      }
      isOver.set()
      try await group.waitForAll()
    }
    #expect(notices.all == Array(repeating: .reopened, count: 20))
    #expect(environment.fault == nil)
    try await environment.put(4, [4])
    environment.close()
    let again = try Environment(scratch)
    defer { again.close() }
    let kept = try [1, 2, 3, 4].map { try again.get($0) }
    #expect(kept == [[1], nil, [3], [4]])
  }

  @Test("a fault that lasts: reads go on, writes are refused with the reason, and work again when it ends")
  func lastingFault() async throws {
    let environment = try open()
    defer { environment.close() }
    try await environment.put(1, [1])
    DiskFaults.fail([.dataSync, .metaWriteThatLands], of: path)
    for number in 2...5 as ClosedRange<UInt64> {
      #expect(await code { try await environment.put(number, [2]) } == .io)
      #expect(try environment.get(1) == [1])
      #expect(try environment.get(number) == nil)
    }
    #expect(environment.fault?.message.contains(path) == true)
    #expect(notices.all.count == 1)
    #expect(environment.usedBytes > 0)
    DiskFaults.end(of: path)
    try await environment.put(6, [6])
    #expect(environment.fault == nil)
    #expect(notices.all.last == .reopened)
    let kept = try [1, 2, 5, 6].map { try environment.get($0) }
    #expect(kept == [[1], nil, nil, [6]])
  }

  @Test("a file that cannot be opened at all: reads are refused, and go on when it can") func unopenable() async throws
  {
    let environment = try open()
    defer { environment.close() }
    try await environment.put(1, [1])
    DiskFaults.fail([.metaWrite], of: path)
    // A file that was put in its place meanwhile is no store.
    let moved = path + ".moved"
    let held = Signal()
    let go = Signal()
    async let read = blocking {
      try environment.read { transaction in
        held.send()
        go.wait()
        return try transaction.get(numbers, 1)?.bytes
      }
    }
    try await blocking { held.wait() }
    #expect(await code { try await environment.put(2, [2]) } == .io)
    // One that runs is let end; one that comes now waits, but not for ever.
    #expect(await code { try await blocking { _ = try environment.get(1) } } == .reopening)
    #expect(rename(path, moved) == 0)
    #expect(mkdir(path, 0o700) == 0)
    go.send()
    #expect(try await read == [1])
    #expect(await code { try await blocking { _ = try environment.get(1) } } != nil)
    #expect(await code { try await environment.put(3, [3]) } != nil)
    #expect(environment.usedBytes == 0)
    DiskFaults.end(of: path)
    #expect(rmdir(path) == 0)
    #expect(rename(moved, path) == 0)
    while await code(of: { try await blocking { _ = try environment.get(1) } }) != nil {}
    #expect(try environment.get(1) == [1])
    #expect(try environment.get(2) == nil)
    try await environment.put(4, [4])
  }

  @Test("a start that cannot make sure of what the file holds is refused, and the file is left for the next")
  func failedStart() async throws {
    let environment = try open()
    try await environment.put(1, [1])
    environment.close()
    DiskFaults.fail([.dataSync], of: path)
    #expect(await code { _ = try open() } == .io)
    DiskFaults.end(of: path)
    let again = try open()
    defer { again.close() }
    #expect(try again.get(1) == [1])
  }

  @Test("closing while the disk fails ends") func closing() async throws {
    let environment = try open()
    DiskFaults.fail([.metaWrite, .dataSync], of: path)
    #expect(await code { try await environment.put(1, [1]) } == .io)
    try await blocking { environment.close() }
    DiskFaults.end(of: path)
    let again = try Environment(scratch)
    defer { again.close() }
    #expect(try again.get(1) == nil)
  }

  @Test(
    "events of a commit that failed are not told, and their numbers are given again",
    arguments: [
      DiskFaults.Call.dataSync, .metaWrite, .metaWriteThatLands,
    ])
  func events(_ call: DiskFaults.Call) async throws {
    let directory = try StateDirectory(opening: scratch.path + "/state")
    let store = try await StateStore(directory: directory, tables: [])
    defer { store.close() }
    @Sendable func append(_ kind: EventKind) async throws {
      try await store.write { try store.append(EventRecord(kind, time: 1), in: $0) }
    }
    try await append(.jobQueued)
    DiskFaults.failOnce(call, of: directory.stateFile)
    #expect(await code { try await append(.imageFailed) } == .io)
    #expect(store.feed.newest == 1)
    try await append(.keyRotated)
    #expect(store.feed.newest == 2)
    let kinds = try store.events(after: 0, limit: 10).map(\.event.kind)
    #expect(kinds == [EventKind.jobQueued.rawValue, EventKind.keyRotated.rawValue])
  }
}
