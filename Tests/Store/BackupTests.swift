import Digests
import Glibc
import Posix
import StorageMessages
import Synchronization
import TestSupport
import Testing

@testable import Store

/// A backup is one instant of the store, and is restored whole or not at all (H115).
struct BackupTests {
  private let scratch: TemporaryDirectory
  private let thread = SerialThread(named: "backup")
  private var state: String { scratch.path + "/state" }
  private var target: String { scratch.path + "/restored" }

  init() throws { scratch = try TemporaryDirectory() }

  private func openStore(_ path: String, isSynchronous: Bool = false) async throws -> StateStore {
    var options = Environment.Options()
    options.mapSizeBytes = 256 << 20
    options.isSynchronous = isSynchronous
    return try await StateStore(
      directory: try StateDirectory(opening: path), tables: testTables, options: options)
  }

  /// Keeps what a backup writes.
  private final class Kept: Sendable {
    private let pieces = Mutex<[[UInt8]]>([])
    var bytes: [UInt8] { pieces.withLock { $0.reduce(into: []) { $0 += $1 } } }
    var count: Int { pieces.withLock(\.count) }
    func add(_ piece: [UInt8]) { pieces.withLock { $0.append(piece) } }
  }

  private func backup(_ store: StateStore) async throws -> [UInt8] {
    let kept = Kept()
    let written = try await store.backup(now: 42, on: thread) { kept.add($0) }
    let info = written.info
    #expect(written.bytes == UInt64(kept.bytes.count))
    #expect(written.digest == ContentHash.digest(of: kept.bytes))
    #expect(info.createdAt == 42)
    #expect(UInt64(kept.bytes.count) == 48 + UInt64(info.keyCount) * 32 + info.stateBytes + 32)
    return kept.bytes
  }

  private func restore(_ bytes: [UInt8], into path: String) throws -> BackupInfo {
    let file = try scratch.write("backup", bytes)
    let descriptor = Glibc.open(file, O_RDONLY)
    defer { close(descriptor) }
    return try Restore.run(from: descriptor, named: "the backup", into: path)
  }

  @Test func `Under load it is one instant, in which what changes together belongs together`() async throws {
    let store = try await openStore(state)
    // Enough that the copy takes longer than some of the writes.
    for number in 0..<10 as Range<UInt64> {
      try await store.write { try $0.put(numbers, 1000 + number, RawValue([UInt8](repeating: 7, count: 1 << 20))) }
    }
    let isOver = Flag()
    let kept = Kept()
    var written: UInt64 = 0
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { [thread] in
        defer { isOver.set() }
        try await store.backup(now: 42, on: thread) { kept.add($0) }
      }
      while !isOver.isSet {
        written += 1
        let next = written
        try await store.write { transaction in
          try transaction.put(names, "count", next)
          try transaction.put(numbers, next % 1000, RawValue([UInt8](repeating: 1, count: Int(next % 5000))))
          try transaction.put(names, "size \(next % 1000)", next % 5000)
        }
      }
      try await group.waitForAll()
    }
    store.close()
    #expect(written > 10)
    #expect(kept.count > 5)
    _ = try restore(kept.bytes, into: target)
    let restored = try await openStore(target)
    defer { restored.close() }
    try restored.read { transaction in
      let count = try transaction.get(names, "count") ?? 0
      #expect(count <= written)
      for number in count < 1000 ? 1...max(1, count) : count - 999...count where count > 0 {
        #expect(try transaction.get(numbers, number % 1000)?.bytes.count == Int(number % 5000))
        #expect(try transaction.get(names, "size \(number % 1000)") == number % 5000)
      }
      #expect(try transaction.get(numbers, 1009)?.bytes.count == 1 << 20)
    }
  }

  @Test func `What is restored is what was, with its secrets`() async throws {
    let store = try await openStore(state)
    var record = IntegrationRecord()
    record.name = "one"
    let id = try await store.createIntegration(record, secrets: [.main: Secret("hidden")], now: 1).id
    let bytes = try await backup(store)
    // Afterwards everything goes on, in another key.
    _ = try await store.replaceKey(now: 2, actor: "uid:0")
    store.close()
    let info = try restore(bytes, into: target)
    #expect((info.createdAt, info.schemaVersion, info.keyCount) == (42, StateStore.schemaVersion, 1))
    #expect(TemporaryDirectory.names(in: target) == ["lock", "secrets.key", "state.mdb"])
    for name in ["secrets.key", "state.mdb"] { #expect(try File.status(target + "/" + name).st_mode & 0o7777 == 0o600) }
    #expect(try File.status(target).st_mode & 0o7777 == 0o700)
    let restored = try await openStore(target)
    #expect(try restored.secret(.main, of: id) == Secret("hidden"))
    #expect(try restored.integration(named: "one").id == id)
    restored.close()
  }

  @Test func `While the key is replaced, both are part of it`() async throws {
    let store = try await openStore(state)
    var record = IntegrationRecord()
    record.name = "one"
    let id = try await store.createIntegration(record, secrets: [.main: Secret("hidden")], now: 1).id
    try store.keys.beginReplacement()
    let bytes = try await backup(store)
    store.close()
    #expect(try restore(bytes, into: target).keyCount == 2)
    let restored = try await openStore(target)
    #expect(try restored.secret(.main, of: id) == Secret("hidden"))
    restored.close()
    #expect(!TemporaryDirectory.names(in: target).contains("secrets.key.next"))
  }

  // MARK: - What is refused

  private func refusal(_ bytes: [UInt8], into path: String) -> StoreError? {
    do {
      _ = try restore(bytes, into: path)
      return nil
    } catch {
      return error as? StoreError
    }
  }

  @Test func `A backup that is cut, altered or longer is refused, and nothing is left of it`() async throws {
    let store = try await openStore(state)
    let bytes = try await backup(store)
    store.close()
    var damaged: [[UInt8]] = [[], bytes + [0], Array("no backup at all".utf8), [UInt8](repeating: 0, count: 5000)]
    for length in [1, 47, 48, 79, 80, 4096, bytes.count / 2, bytes.count - 33, bytes.count - 32, bytes.count - 1] {
      damaged.append(Array(bytes[..<length]))
    }
    for place in [0, 7, 16, 24, 39, 43, 47, 48, 79, 80, 5000, bytes.count / 2, bytes.count - 33, bytes.count - 1] {
      var altered = bytes
      altered[place] ^= 1
      damaged.append(altered)
    }
    try File.createDirectories(target, mode: 0o700)
    for one in damaged {
      let missing = scratch.path + "/missing"
      for path in [target, missing] {
        let error = refusal(one, into: path)
        #expect(error?.code == .backupUnusable)
        #expect(error?.message.contains("the backup cannot be restored") == true)
      }
      #expect(TemporaryDirectory.names(in: target) == [])
      #expect(access(missing, F_OK) != 0)
    }
    _ = try restore(bytes, into: target)
  }

  @Test func `A backup of another version is refused by name`() async throws {
    let store = try await openStore(state)
    let bytes = try await backup(store)
    store.close()
    for (place, words) in [(11, "its format is"), (23, "schema version"), (14, "pages of")] {
      var other = bytes
      other[place] += 1
      // Whoever writes another version also writes the sum of it.
      let sum = ContentHash()
      sum.update(Array(other.dropLast(32)))
      other = other.dropLast(32) + sum.finishBytes()
      let error = refusal(other, into: target)
      #expect(error?.code == .backupUnusable)
      #expect(error?.message.contains(words) == true)
      #expect(access(target, F_OK) != 0)
    }
  }

  @Test func `A directory that holds anything is refused by name and left as it was`() async throws {
    let store = try await openStore(state)
    let bytes = try await backup(store)
    store.close()
    do {
      let holder = try StateDirectory(opening: state)
      #expect(refusal(bytes, into: holder.path)?.code == .inUse)
    }
    let before = try File.read(state + "/state.mdb", limit: 1 << 30)
    let error = refusal(bytes, into: state)
    #expect(error?.code == .notEmpty)
    #expect(error?.message.contains(state) == true)
    #expect(error?.message.contains("state.mdb") == true || error?.message.contains("advisories") == true)
    #expect(try File.read(state + "/state.mdb", limit: 1 << 30) == before)
  }

  @Test func `A restore that was killed is done again, and until then no daemon starts there`() async throws {
    let store = try await openStore(state)
    let bytes = try await backup(store)
    store.close()
    try File.createDirectories(target + "/restore", mode: 0o700)
    try File.create(target + "/secrets.key", mode: 0o600, contents: [1])
    try File.create(target + "/restore/state.mdb", mode: 0o600, contents: [1])
    let refused = await code { _ = try await openStore(target) }
    #expect(refused == .damaged)
    _ = try restore(bytes, into: target)
    // Killed after the last step that counts, it left an empty folder.
    try File.createDirectories(target + "/restore", mode: 0o700)
    let restored = try await openStore(target)
    restored.close()
    #expect(!TemporaryDirectory.names(in: target).contains("restore"))
  }

  // MARK: - Backups that end early

  private struct Gone: Error {}

  @Test func `A reader that leaves ends it at once, and the store lets go of its instant`() async throws {
    let store = try await openStore(state)
    for number in 0..<20 as Range<UInt64> {
      try await store.write { try $0.put(numbers, number, RawValue([UInt8](repeating: 7, count: 1 << 20))) }
    }
    await #expect(throws: Gone.self) { try await store.backup(now: 42, on: thread) { _ in throw Gone() } }
    let begun = Signal()
    let task = Task { [thread] in
      try await store.backup(now: 42, on: thread) { _ in
        begun.send()
        // Until the task is cancelled.
        try await Task.sleep(for: .seconds(3600))
      }
    }
    try await blocking { begun.wait() }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    // Waits for whatever is still in it.
    store.close()
  }

  @Test func `A reader that stops, or takes next to nothing, does not keep the store's instant for ever`() async throws
  {
    let store = try await openStore(state)
    for number in 0..<20 as Range<UInt64> {
      try await store.write { try $0.put(numbers, number, RawValue([UInt8](repeating: 7, count: 1 << 20))) }
    }
    // One takes nothing any more after its first piece: its time is what it was given, and what that piece is worth.
    let time = ManualTime()
    let (kept, begun) = (Kept(), Signal())
    let task = Task { [thread] in
      try await store.backup(now: 42, on: thread, pace: BackupPace(clock: time.clock)) { piece in
        if kept.count > 0 {
          begun.send()
          // Until its time is over.
          try await Task.sleep(for: .seconds(3600))
        }
        kept.add(piece)
      }
    }
    try await blocking { begun.wait() }
    let left = Duration.seconds(60) + .seconds(Double(kept.bytes.count) / 65_536)
    await time.wait(forSleepOf: left)
    time.advance(left)
    #expect(await code { _ = try await task.value } == .backupTooSlow)
    #expect(store.environment.oldestReader == nil)

    // Another goes on taking 256 KiB each ten seconds, which is no standstill.
    let (slow, taken) = (ManualTime(), Kept())
    let refused = await code {
      try await store.backup(now: 42, on: thread, pace: BackupPace(clock: slow.clock)) { piece in
        taken.add(piece)
        slow.advance(.seconds(10))
      }
    }
    #expect(refused == .backupTooSlow)
    #expect((9...12).contains(taken.count), "\(taken.count) pieces")
    #expect(store.environment.oldestReader == nil)

    // And one at twice the pace that is asked for comes to the end.
    let (steady, all) = (ManualTime(), Kept())
    try await store.backup(now: 42, on: thread, pace: BackupPace(clock: steady.clock)) { piece in
      all.add(piece)
      steady.advance(.seconds(2))
    }
    #expect(all.count > 40)
    store.close()
  }

  @Test func `A store that must be opened anew does not wait for a slow reader`() async throws {
    let store = try await openStore(state, isSynchronous: true)
    for number in 0..<20 as Range<UInt64> {
      try await store.write { try $0.put(numbers, number, RawValue([UInt8](repeating: 7, count: 1 << 20))) }
    }
    let begun = Signal()
    let go = WakeUp()
    let task = Task { [thread] in
      try await store.backup(now: 42, on: thread) { _ in
        begun.send()
        await go.wait()
        go.send()
      }
    }
    try await blocking { begun.wait() }
    DiskFaults.failOnce(.metaWrite, of: state + "/state.mdb")
    #expect(await code { try await store.write { try $0.put(names, "a", 1) } } == .io)
    try await store.write { try $0.put(names, "b", 1) }
    go.send()
    #expect(await code { _ = try await task.value } == .reopening)
    store.close()
  }

  @Test func `One that takes long is seen`() async throws {
    let store = try await openStore(state)
    #expect(store.environment.oldestReader == nil)
    for number in 0..<20 as Range<UInt64> {
      try await store.write { try $0.put(numbers, number, RawValue([UInt8](repeating: 7, count: 1 << 20))) }
    }
    let copy = try await blocking { try store.environment.copy() }
    _ = try await blocking { try copy.read(upTo: 1) }
    for number in 0..<30 as Range<UInt64> { try await store.write { try $0.put(names, "count", number) } }
    #expect(store.environment.oldestReader == .init(process: getpid(), commitsBehind: 30))
    copy.giveUp(because: StoreError(.closed, "", hint: ""))
    await #expect(throws: StoreError.self) { try await blocking { try copy.end() } }
    #expect(store.environment.oldestReader == nil)
    store.close()
  }
}
