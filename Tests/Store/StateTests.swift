import Glibc
import Posix
import StorageMessages
import Synchronization
import TestSupport
import Testing

@testable import Store

@Suite("The state directory and its store") struct StateTests {
  private let scratch: TemporaryDirectory
  private var path: String { scratch.path + "/state" }
  init() throws { scratch = try TemporaryDirectory() }

  private static let options: Environment.Options = {
    var options = Environment.Options()
    options.mapSizeBytes = 64 << 20
    options.isSynchronous = false
    return options
  }()

  private func openStore() async throws -> StateStore {
    try await StateStore(directory: StateDirectory(opening: path), tables: testTables, options: Self.options)
  }

  @Test("made with its parents, for nobody else") func making() throws {
    let directory = try StateDirectory(opening: path + "/a/b")
    for made in [path, path + "/a/b", directory.uploadsDirectory, directory.advisoriesDirectory] {
      #expect(try File.status(made).st_mode & 0o7777 == 0o700)
    }
  }

  @Test("one holder at a time, who is named; free again when it goes") func lock() throws {
    func first() throws {
      let directory = try StateDirectory(opening: path)
      #expect {
        try StateDirectory(opening: path)
      } throws: { error in
        (error as? StoreError)?.code == .inUse && "\(error)".contains("\(getpid())")
      }
      withExtendedLifetime(directory) {}
    }
    try first()
    _ = try StateDirectory(opening: path)
  }

  @Test("a lock that goes at once, as that of a killed daemon's half-started worker, is waited for") func leavingLock()
    async throws
  {
    let file = path + "/lock"
    try withExtendedLifetime(StateDirectory(opening: path)) {}
    let held = open(file, O_RDWR | O_CLOEXEC)
    #expect(flock(held, LOCK_EX | LOCK_NB) == 0)
    // Let go when the other has come as far as opening the file, which it does just before it asks for the lock.
    try await blocking { [self] in
      let ended = Flag()
      startThread(named: "holder") {
        while !ended.isSet, openFiles(named: file) < 2 { sched_yield() }
        close(held)
      }
      defer { ended.set() }
      _ = try StateDirectory(opening: path)
    }
  }

  /// How many descriptors of this process are the file at `path`.
  private func openFiles(named path: String) -> Int {
    var file = stat()
    guard stat(path, &file) == 0 else { return 0 }
    return (0..<1024 as Range<Int32>)
      .count { descriptor in
        var status = stat()
        return fstat(descriptor, &status) == 0 && status.st_ino == file.st_ino && status.st_dev == file.st_dev
      }
  }

  @Test("another process is refused while this one lives, and free to begin when it is killed") func twoProcesses()
    async throws
  {
    let path: String = path
    let directory = try StateDirectory(opening: path)
    await #expect(processExitsWith: .exitCode(3)) { [path = path as String] in
      do {
        _ = try StateDirectory(opening: path)
      } catch let error as StoreError {
        exit(error.code == .inUse ? 3 : 4)
      }
    }
    withExtendedLifetime(directory) {}
    let other: String = path + "/other"
    await #expect(processExitsWith: .signal(SIGKILL)) { [other = other as String] in
      let held = try StateDirectory(opening: other)
      kill(getpid(), SIGKILL)
      withExtendedLifetime(held) {}
    }
    _ = try StateDirectory(opening: other)
  }

  @Test("a directory that others can write to is refused", arguments: [0o777, 0o770, 0o702] as [mode_t])
  func mode(mode: mode_t) throws {
    _ = try StateDirectory(opening: path)
    chmod(path, mode)
    #expect { try StateDirectory(opening: path) } throws: { ($0 as? StoreError)?.code == .notWritable }
    chmod(path, 0o755)
    _ = try StateDirectory(opening: path)
  }

  @Test("a directory of somebody else is refused", .enabled(if: geteuid() == 0, "changing an owner needs root"))
  func owner() throws {
    _ = try StateDirectory(opening: path)
    #expect(chown(path, 65534, 65534) == 0)
    #expect { try StateDirectory(opening: path) } throws: { ($0 as? StoreError)?.code == .notWritable }
  }

  @Test("a file in the directory's place is refused") func file() throws {
    try File.create(path, mode: 0o600, contents: [])
    #expect { try StateDirectory(opening: path) } throws: { ($0 as? StoreError)?.code == .io }
    #expect(throws: StoreError.self) { try StateDirectory(opening: path + "/below") }
  }

  @Test(
    "a directory on a file system that is read-only is refused",
    .enabled(if: EnvironmentTests.canMount, "mounting a tmpfs needs root"))
  func readOnly() throws {
    #expect(run("mount", "-t", "tmpfs", "-o", "ro,mode=700", "none", scratch.path))
    defer { run("umount", "-l", scratch.path) }
    for path in [scratch.path, path] {
      #expect {
        try StateDirectory(opening: path)
      } throws: { error in
        (error as? StoreError)?.code == .notWritable && "\(error)".contains(scratch.path)
      }
    }
  }

  @Test("a new store has this version's schema and reopens") func schema() async throws {
    let store = try await openStore()
    #expect(try store.read { try $0.get(StateStore.meta, "schema_version") } == StateStore.schemaVersion)
    let sealed = try store.keys.seal(Secret([1]), integration: 1, field: "password")
    try await store.write { try $0.put(StateStore.secrets, SecretKey(integration: 1, field: "password"), sealed) }
    store.close()
    let again = try await openStore()
    let read = try again.read { try $0.get(StateStore.secrets, SecretKey(integration: 1, field: "password")) }
    #expect(read == sealed)
    again.close()
    unlink(path + "/secrets.key")
    #expect(await code { try await openStore().close() } == .secrets)
  }

  /// A state file that holds nothing but `version` in its table of facts.
  private func makeState(version: UInt64?, other: UInt64? = nil) async throws -> [UInt8] {
    let directory = try StateDirectory(opening: path)
    let environment = try Environment(
      path: directory.stateFile, tables: [StateStore.meta.description], options: Self.options)
    try await environment.write { transaction in
      if let version { try transaction.put(StateStore.meta, "schema_version", version) }
      if let other { try transaction.put(StateStore.meta, "next_job", other) }
    }
    environment.close()
    return try File.read(directory.stateFile, limit: 1 << 20)
  }

  @Test("an unknown schema version is refused, and the file left as it was", arguments: [0, 1, 3, 99] as [UInt64])
  func unknownSchema(version: UInt64) async throws {
    let before = try await makeState(version: version)
    await #expect {
      try await openStore()
    } throws: { error in
      (error as? StoreError)?.code == .schemaUnknown && "\(error)".contains("\(version)")
    }
    #expect(try File.read(path + "/state.mdb", limit: 1 << 20) == before)
    // The refusal let go of everything.
    #expect(await code { try await openStore().close() } == .schemaUnknown)
  }

  @Test("facts without a schema version are damage") func noVersion() async throws {
    _ = try await makeState(version: nil, other: 5)
    #expect(await code { try await openStore().close() } == .damaged)
  }

  @Test("a state file cut short is refused") func cut() async throws {
    let store = try await openStore()
    try await store.write { transaction in
      for number in 0..<100 as Range<UInt64> {
        try transaction.put(numbers, number, RawValue([UInt8](repeating: 1, count: 5000)))
      }
    }
    store.close()
    let size = try File.status(path + "/state.mdb").st_size
    #expect(truncate(path + "/state.mdb", size - 300_000) == 0)
    #expect(await code { try await openStore().close() } == .damaged)
  }

  @Test("killed at any instant: all that was acknowledged is there, nothing is half there", arguments: 0..<8)
  func kill9(round: Int) async throws {
    let file: String = scratch.path + "/acknowledged"
    let path: String = path
    let after: Int = 20 + round * 37
    await #expect(processExitsWith: .signal(SIGKILL)) {
      [path = path as String, file = file as String, after = after as Int] in
      let directory = try StateDirectory(opening: path)
      let store = try await StateStore(directory: directory, tables: testTables)
      let acknowledged = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
      await withTaskGroup(of: Void.self) { group in
        for writer in 0..<4 as Range<UInt64> {
          group.addTask {
            for step in 1...100_000 as ClosedRange<UInt64> {
              do {
                try await store.write { transaction in
                  // One change in two tables: both or neither.
                  try transaction.put(numbers, writer << 32 | step, RawValue([UInt8](repeating: 1, count: 300)))
                  try transaction.put(names, "writer \(writer)", step)
                }
              } catch {
                exit(9)
              }
              var mark = step
              pwrite(acknowledged, &mark, 8, off_t(writer * 8))
              // Others are in the middle of their commits just then.
              if writer == 0 && step == after { kill(getpid(), SIGKILL) }
            }
          }
        }
      }
    }
    let marks = try File.read(file, limit: 64)
    let store = try await openStore()
    defer { store.close() }
    for writer in 0..<4 as Range<UInt64> {
      let at = Int(writer) * 8
      let acknowledged =
        marks.count >= at + 8 ? (0..<8).reversed().reduce(0 as UInt64) { $0 << 8 | UInt64(marks[at + $1]) } : 0
      try store.read { transaction in
        let last = try transaction.get(names, "writer \(writer)") ?? 0
        #expect(last >= acknowledged)
        if writer == 0 { #expect(acknowledged == after) }
        for step in 1...max(last, 1) where last > 0 {
          #expect(try transaction.get(numbers, writer << 32 | step)?.bytes.count == 300)
        }
        #expect(try transaction.get(numbers, writer << 32 | (last + 1)) == nil)
      }
    }
  }
}
