import Glibc
import Posix
import Store
import Synchronization
import TestSupport
import Testing

private struct Refusal: Error, Equatable { let number: Int }

private final class Counter: Sendable {
  private let state = Mutex(0)
  var value: Int { state.withLock { $0 } }
  func count() { state.withLock { $0 += 1 } }
}

@Suite("An environment") struct EnvironmentTests {
  private let scratch: TemporaryDirectory
  init() throws { scratch = try TemporaryDirectory() }

  @Test("what is written is read, also after reopening") func roundTrip() async throws {
    let environment = try Environment(scratch)
    #expect(try environment.get(1) == nil)
    try await environment.put(1, [1, 2])
    try await environment.put(2, [])
    try await environment.write { try $0.put(names, "ä", 7) }
    #expect(try environment.get(1) == [1, 2])
    #expect(try environment.get(2) == [])
    let removed = try await environment.write { (try $0.delete(numbers, 1), try $0.delete(numbers, 1)) }
    #expect(removed == (true, false))
    environment.close()
    let again = try Environment(scratch)
    defer { again.close() }
    #expect(try again.get(1) == nil)
    #expect(try again.get(2) == [])
    #expect(try again.read { try $0.get(names, "ä") } == 7)
    #expect(try again.read { try $0.count(numbers) } == 1)
    try await again.write { try $0.clear(numbers) }
    #expect(try again.read { try $0.count(numbers) } == 0)
    #expect(again.usedBytes > 0)
    try again.sync()
  }

  // MARK: - Group commit

  /// Holds the writer inside a closure, so that what is asked meanwhile makes one group.
  private func group(_ environment: Environment, _ body: () throws -> Void) async throws {
    let begun = Signal()
    let go = Signal()
    let blocker = Task.immediate {
      try await environment.write { _ in
        begun.send()
        go.wait()
      }
    }
    try await blocking { begun.wait() }
    try body()
    go.send()
    try await blocker.value
  }

  @Test("a closure that fails after it wrote is undone, the others of its group are kept") func failsLate() async throws
  {
    let environment = try Environment(scratch)
    defer { environment.close() }
    let runs = Counter()
    var tasks: [Task<[UInt8]?, any Error>] = []
    try await group(environment) {
      for number in 0..<12 {
        tasks.append(
          Task.immediate {
            try await environment.write { transaction -> [UInt8]? in
              runs.count()
              // Numbers divisible by 3 fail: even ones after they wrote, odd ones before.
              if number % 6 == 3 { throw Refusal(number: number) }
              let before = try transaction.get(numbers, 100)?.bytes
              try transaction.put(numbers, UInt64(number), RawValue([UInt8(number)]))
              try transaction.put(numbers, 100, RawValue([UInt8(number)]))
              if number % 6 == 0 { throw Refusal(number: number) }
              return before
            }
          })
      }
    }
    var last: [UInt8]?
    for (number, task) in tasks.enumerated() {
      if number % 3 == 0 {
        await #expect(throws: Refusal(number: number)) { try await task.value }
        #expect(try environment.get(UInt64(number)) == nil)
      } else {
        // Each sees what those before it left, as if the failed ones had never been.
        #expect(try await task.value == last)
        last = [UInt8(number)]
        #expect(try environment.get(UInt64(number)) == [UInt8(number)])
      }
    }
    #expect(try environment.get(100) == last)
    #expect(runs.value < 12 * 12)
  }

  @Test("a group in which everything fails changes nothing") func allFail() async throws {
    let environment = try Environment(scratch)
    defer { environment.close() }
    var tasks: [Task<Void, any Error>] = []
    try await group(environment) {
      for number in 0..<5 {
        tasks.append(
          Task.immediate {
            try await environment.write { transaction in
              try transaction.put(numbers, 1, RawValue([1]))
              throw Refusal(number: number)
            }
          })
      }
    }
    for (number, task) in tasks.enumerated() {
      await #expect(throws: Refusal(number: number)) { try await task.value }
    }
    #expect(try environment.get(1) == nil)
  }

  @Test("writes from many tasks all arrive, in groups or not; results belong to their writers") func manyWriters()
    async throws
  {
    let environment = try Environment(scratch)
    defer { environment.close() }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<2000 as Range<UInt64> {
        group.addTask {
          let optional: UInt64? = try await environment.write { transaction in
            let count = try transaction.get(names, "count") ?? 0
            try transaction.put(names, "count", count + 1)
            try transaction.put(numbers, number, RawValue([]))
            return number % 2 == 0 ? number : nil
          }
          #expect(optional == (number % 2 == 0 ? number : nil))
        }
      }
      try await group.waitForAll()
    }
    #expect(try environment.read { try $0.get(names, "count") } == 2000)
    #expect(try environment.read { try $0.count(numbers) } == 2000)
  }

  // MARK: - Readers

  @Test("a reader neither waits for the writer nor sees what is not committed") func readersDoNotWait() async throws {
    let environment = try Environment(scratch)
    defer { environment.close() }
    try await environment.put(1, [1])
    let begun = Signal()
    let go = Signal()
    let writer = Task.immediate {
      try await environment.write { transaction in
        try transaction.put(numbers, 1, RawValue([2]))
        begun.send()
        go.wait()
      }
    }
    try await blocking { begun.wait() }
    #expect(try environment.get(1) == [1])
    // More readers at once than threads, each inside another.
    #expect(try environment.read { _ in try environment.read { _ in try environment.get(1) } } == [1])
    go.send()
    try await writer.value
    #expect(try environment.get(1) == [2])
  }

  @Test("a view stays as it was while others write") func snapshot() async throws {
    let environment = try Environment(scratch)
    defer { environment.close() }
    try await environment.put(1, [1])
    let begun = Signal()
    let go = Signal()
    async let seen = blocking {
      try environment.read { transaction in
        let first = try transaction.get(numbers, 1)?.bytes
        begun.send()
        go.wait()
        return [first, try transaction.get(numbers, 1)?.bytes]
      }
    }
    try await blocking { begun.wait() }
    try await environment.put(1, [2])
    go.send()
    #expect(try await seen == [[1], [1]])
    #expect(try environment.get(1) == [2])
  }

  @Test("an error in a read reaches its caller and leaves the reader usable") func readErrors() async throws {
    let environment = try Environment(scratch)
    defer { environment.close() }
    for number in 0..<1000 {
      #expect(throws: Refusal(number: number)) { try environment.read { _ in throw Refusal(number: number) } }
    }
    #expect(try environment.get(1) == nil)
  }

  // MARK: - Closing

  @Test("close waits for the reads that run and lets waiting writes commit; later calls are refused") func close()
    async throws
  {
    let environment = try Environment(scratch)
    try await environment.put(1, [1])
    let begun = Signal()
    let go = Signal()
    async let read = blocking {
      try environment.read { transaction in
        begun.send()
        go.wait()
        return try transaction.get(numbers, 1)?.bytes
      }
    }
    try await blocking { begun.wait() }
    let last = Task.immediate { try await environment.put(2, [2]) }
    async let closed: Void = blocking { environment.close() }
    while await code(of: { _ = try environment.get(1) }) != .closed { await Task.yield() }
    try await last.value
    #expect(await code { try await environment.put(3, [3]) } == .closed)
    go.send()
    #expect(try await read == [1])
    try await closed
    #expect(await code { _ = try environment.get(1) } == .closed)
    #expect(await code { try environment.sync() } == .closed)
    #expect(environment.usedBytes == 0)
    environment.close()
    let again = try Environment(scratch)
    defer { again.close() }
    #expect(try again.get(2) == [2])
    #expect(try again.get(3) == nil)
  }

  // MARK: - Limits

  @Test("a full map is an error of its own; reads go on, and so do writes once there is room") func mapFull()
    async throws
  {
    let environment = try Environment(scratch, mapSizeBytes: 1 << 20)
    defer { environment.close() }
    var number: UInt64 = 0
    var failure: StoreError.Code?
    while failure == nil && number < 1000 {
      number += 1
      let next = number
      failure = await code { try await environment.put(next, [UInt8](repeating: 1, count: 100_000)) }
    }
    #expect(failure == .mapFull)
    #expect(number > 5)
    #expect(try environment.get(1)?.count == 100_000)
    #expect(try environment.get(number) == nil)
    // In a group, those that fit are kept.
    var tasks: [Task<Void, any Error>] = []
    try await group(environment) {
      for size in [10, 4 << 20, 20] {
        tasks.append(
          Task.immediate {
            try await environment.write {
              try $0.put(numbers, 5000 + UInt64(size), RawValue([UInt8](repeating: 2, count: size)))
            }
          })
      }
    }
    let (small, huge, last) = (tasks[0], tasks[1], tasks[2])
    try await small.value
    #expect(await code { try await huge.value } == .mapFull)
    try await last.value
    // LMDB gives pages out again from the second commit after the one that freed them.
    try await environment.write { try $0.clear(numbers) }
    try await environment.put(2, [])
    try await environment.put(1, [UInt8](repeating: 1, count: 100_000))
    #expect(try environment.get(1)?.count == 100_000)
  }

  @Test("keys that no table holds: absent when asked for, refused when written") func keyLimits() async throws {
    let environment = try Environment(scratch)
    defer { environment.close() }
    let longest = String(repeating: "k", count: 511)
    try await environment.write { try $0.put(names, longest, 1) }
    #expect(try environment.read { try $0.get(names, longest) } == 1)
    for key in ["", longest + "k", "a\0b"] {
      #expect(try environment.read { try $0.get(names, key) } == nil)
      #expect(try await environment.write { try $0.delete(names, key) } == false)
      #expect(await code { try await environment.write { try $0.put(names, key, 1) } } == .keyTooLong)
    }
    try await environment.write { try $0.put(numbers, .max, RawValue([])) }
    #expect(await code { _ = try await environment.write { try $0.nextNumber(numbers) } } == .damaged)
  }

  @Test("the next number follows the highest") func nextNumber() async throws {
    let environment = try Environment(scratch)
    defer { environment.close() }
    #expect(try await environment.write { try $0.nextNumber(numbers) } == 1)
    try await environment.put(41, [])
    #expect(try await environment.write { try $0.nextNumber(numbers) } == 42)
  }

  @Test("a value of another shape is damage that names the table") func otherValues() async throws {
    let environment = try Environment(scratch)
    defer { environment.close() }
    try await environment.put(1, [1, 2, 3])
    let sameTable = Table<UInt64, UInt64>("numbers", "")
    #expect {
      try environment.read { try $0.get(sameTable, 1) }
    } throws: { error in
      (error as? StoreError)?.code == .damaged && "\(error)".contains("numbers")
    }
    let otherKey = Table<SecretKey, RawValue>("names", "")
    try await environment.write { try $0.put(names, "short", 1) }
    #expect(throws: StoreError.self) { try environment.read { try $0.scan(otherKey) { _, _ in true } } }
  }

  static let canMount: Bool = {
    guard geteuid() == 0, let scratch = try? TemporaryDirectory() else { return false }
    return run("mount", "-t", "tmpfs", "none", scratch.path) && run("umount", scratch.path)
  }()

  @Test(
    "a full disk is an error of its own; reads go on, and writes too once there is room",
    .enabled(if: Self.canMount, "mounting a small tmpfs needs root"))
  func diskFull() async throws {
    #expect(run("mount", "-t", "tmpfs", "-o", "size=1m", "none", scratch.path))
    defer { run("umount", "-l", scratch.path) }
    try File.create(scratch.path + "/ballast", mode: 0o600, contents: [UInt8](repeating: 0, count: 200_000))
    let environment = try Environment(scratch, isSynchronous: true)
    var number: UInt64 = 0
    var failure: StoreError?
    while failure == nil && number < 1000 {
      number += 1
      do {
        try await environment.put(number, [UInt8](repeating: 1, count: 10_000))
      } catch let error as StoreError {
        failure = error
      }
    }
    #expect(failure?.code == .diskFull)
    #expect(failure?.message.contains(scratch.path) == true)
    #expect(number > 5)
    #expect(try environment.get(1)?.count == 10_000)
    #expect(try environment.get(number) == nil)
    // As many readers at a time as there may be, none of which had a place before the disk was full.
    func nested(_ depth: Int) throws -> Int {
      try environment.read { _ in depth == 0 ? 0 : try nested(depth - 1) + 1 }
    }
    #expect(try nested(400) == 400)
    unlink(scratch.path + "/ballast")
    try await environment.put(number, [UInt8](repeating: 2, count: 10_000))
    #expect(try environment.get(number)?.first == 2)
    environment.close()
    let again = try Environment(scratch)
    #expect(try again.read { try $0.count(numbers) } == Int(number))
    again.close()
  }
}
