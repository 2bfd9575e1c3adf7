import Glibc
import Posix
import Synchronization
import TestSupport
import Testing

@testable import Daemon

struct UploadsTests {
  private final class Time: Sendable {
    private let now = Mutex(ContinuousClock.now)
    var read: @Sendable () -> ContinuousClock.Instant { { self.now.withLock { $0 } } }
    func advance(_ duration: Duration) { now.withLock { $0 += duration } }
  }

  private let directory: TemporaryDirectory
  private let thread = SerialThread(named: "test")
  private let time = Time()

  init() throws { directory = try TemporaryDirectory() }

  private func make(bytesMaximum: Int = 1000) throws -> Uploads {
    try Uploads(directory: directory.path, bytesMaximum: bytesMaximum, thread: thread, clock: time.read)
  }

  private var files: [String] { TemporaryDirectory.names(in: directory.path) }

  @Test func `Chunks in order make a file, and it is gone once used`() async throws {
    let uploads = try make()
    let id = try await uploads.create(name: "Debian", size: 5, owner: 7).id
    #expect(try await uploads.write(id, offset: 0, Array("ab".utf8), owner: 7).received == 2)
    #expect(throws: Uploads.Failure.incomplete(id, received: 2, size: 5)) { try uploads.take([id], owner: 7) }
    #expect(try await uploads.write(id, offset: 2, Array("cde".utf8), owner: 7).isComplete)
    let taken = try uploads.take([id], owner: 7)
    #expect(try File.read(taken[0].path, limit: 10) == Array("abcde".utf8))
    #expect(try File.status(taken[0].path).st_mode & 0o777 == 0o600)
    try await uploads.remove(taken)
    #expect(files == [])
    await #expect(throws: Uploads.Failure.unknown(id)) { try await uploads.drop(id, owner: 7) }
  }

  @Test func `Offsets and sizes are kept to`() async throws {
    let uploads = try make()
    let id = try await uploads.create(name: "x", size: 4, owner: 7).id
    for offset in [UInt64(1), 4, .max] {
      await #expect(throws: Uploads.Failure.wrongOffset(expected: 0)) {
        try await uploads.write(id, offset: offset, [1], owner: 7)
      }
    }
    await #expect(throws: Uploads.Failure.tooLong) {
      try await uploads.write(id, offset: 0, [1, 2, 3, 4, 5], owner: 7)
    }
    _ = try await uploads.write(id, offset: 0, [1, 2, 3, 4], owner: 7)
    await #expect(throws: Uploads.Failure.tooLong) { try await uploads.write(id, offset: 4, [5], owner: 7) }
    await #expect(throws: Uploads.Failure.wrongOffset(expected: 4)) {
      try await uploads.write(id, offset: 0, [1], owner: 7)
    }
  }

  @Test func `Nobody sees another's upload`() async throws {
    let uploads = try make()
    let id = try await uploads.create(name: "x", size: 1, owner: 7).id
    await #expect(throws: Uploads.Failure.unknown(id)) { try await uploads.write(id, offset: 0, [1], owner: 8) }
    await #expect(throws: Uploads.Failure.unknown(id)) { try await uploads.drop(id, owner: 0) }
    #expect(throws: Uploads.Failure.unknown(id)) { try uploads.take([id], owner: 8) }
  }

  @Test func `What is taken nobody else may touch, until it is given back`() async throws {
    let uploads = try make()
    let id = try await uploads.create(name: "x", size: 1, owner: 7).id
    _ = try await uploads.write(id, offset: 0, [1], owner: 7)
    #expect(throws: Uploads.Failure.busy(id)) { try uploads.take([id, id], owner: 7) }
    let taken = try uploads.take([id], owner: 7)
    #expect(throws: Uploads.Failure.busy(id)) { try uploads.take([id], owner: 7) }
    await #expect(throws: Uploads.Failure.busy(id)) { try await uploads.drop(id, owner: 7) }
    await #expect(throws: Uploads.Failure.busy(id)) { try await uploads.write(id, offset: 1, [], owner: 7) }
    uploads.giveBack(taken)
    try await uploads.drop(id, owner: 7)
    #expect(files == [])
  }

  @Test func `Bytes and number are bounded by what was announced`() async throws {
    let uploads = try make()
    let first = try await uploads.create(name: "x", size: 600, owner: 7).id
    for size in [UInt64(401), 1001, .max] {
      await #expect(throws: Uploads.Failure.noRoom(wanted: size, left: 400)) {
        try await uploads.create(name: "y", size: size, owner: 7)
      }
    }
    _ = try await uploads.create(name: "y", size: 400, owner: 8)
    try await uploads.drop(first, owner: 7)
    for _ in 0..<255 { _ = try await uploads.create(name: "z", size: 1, owner: 7) }
    await #expect(throws: Uploads.Failure.tooMany) { try await uploads.create(name: "z", size: 1, owner: 7) }
  }

  @Test func `An idle upload makes room, one in use does not`() async throws {
    let uploads = try make()
    let (idle, taken) = (
      try await uploads.create(name: "x", size: 900, owner: 7).id,
      try await uploads.create(name: "x", size: 1, owner: 7).id
    )
    _ = try await uploads.write(taken, offset: 0, [1], owner: 7)
    let held = try uploads.take([taken], owner: 7)
    time.advance(.seconds(3601))
    let new = try await uploads.create(name: "y", size: 999, owner: 8)
    await #expect(throws: Uploads.Failure.unknown(idle)) { try await uploads.write(idle, offset: 0, [1], owner: 7) }
    #expect(files == [held[0].id, new.id].sorted())
  }

  @Test func `A write touches, so that a slow upload goes on`() async throws {
    let uploads = try make()
    let id = try await uploads.create(name: "x", size: 3, owner: 7).id
    for offset in 0..<3 {
      time.advance(.seconds(3000))
      _ = try await uploads.write(id, offset: UInt64(offset), [1], owner: 7)
      _ = try await uploads.create(name: "y", size: 1, owner: 8)
    }
    #expect(try uploads.take([id], owner: 7).count == 1)
  }

  @Test func `A failed write leaves the offset, and the chunk may come again`() async throws {
    let uploads = try make()
    let upload = try await uploads.create(name: "x", size: 3, owner: 7)
    unlink(upload.path)
    await #expect(throws: Uploads.Failure.self) { try await uploads.write(upload.id, offset: 0, [1], owner: 7) }
    try File.create(upload.path, mode: 0o600, contents: [])
    #expect(try await uploads.write(upload.id, offset: 0, [1, 2, 3], owner: 7).isComplete)
  }

  @Test func `What a dead process left is removed at the start`() throws {
    _ = try directory.write("left", [1])
    _ = try directory.write(".hidden", [1])
    _ = try make()
    #expect(files == [])
  }

  @Test func `A directory that is not there stops the start`() throws {
    #expect(throws: PosixError.self) {
      try Uploads(directory: directory.path + "/missing", bytesMaximum: 1, thread: thread)
    }
  }
}
