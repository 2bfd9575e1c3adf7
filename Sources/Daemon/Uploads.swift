import CPosix
import Glibc
import Posix
import Synchronization

/// Files on their way from clients into the state directory (D17: the daemon opens no path that a client names). Bounded
/// in number and bytes; gone when used or dropped, at the next start, and when room is asked for after an idle hour.
final class Uploads: Sendable {
  static let chunkBytesMaximum = 1 << 20
  private static let countMaximum = 256
  private static let idleMaximum = Duration.seconds(3600)

  struct Upload: Sendable, Equatable {
    let id: String
    let name: String
    /// Who made it: others do not see it.
    let owner: UInt32
    let size: UInt64
    let path: String
    var received: UInt64 = 0
    fileprivate var touched: ContinuousClock.Instant
    /// A write or an import is on its way: until then nobody else may touch it.
    fileprivate var isBusy = false

    var isComplete: Bool { received == size }
  }

  enum Failure: Error, Equatable {
    case unknown(String)
    case tooMany
    case noRoom(wanted: UInt64, left: UInt64)
    case wrongOffset(expected: UInt64)
    case tooLong
    case incomplete(String, received: UInt64, size: UInt64)
    case busy(String)
    case disk(PosixError)
  }

  private let directory: String
  private let bytesMaximum: UInt64
  private let thread: SerialThread
  private let clock: @Sendable () -> ContinuousClock.Instant
  private let uploads = Mutex<[String: Upload]>([:])

  /// Empties `directory`: what lies there belongs to a process that is gone.
  init(
    directory: String, bytesMaximum: Int, thread: SerialThread,
    clock: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
  ) throws {
    self.clock = clock
    self.directory = directory
    self.bytesMaximum = UInt64(bytesMaximum)
    self.thread = thread
    guard let stream = opendir(directory) else { throw PosixError("open \(directory)") }
    defer { closedir(stream) }
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." && unlink("\(directory)/\(name)") != 0 {
        throw PosixError("remove \(directory)/\(name)")
      }
    }
  }

  func create(name: String, size: UInt64, owner: UInt32) async throws -> Upload {
    try await dropIdle()
    var random = SystemRandomNumberGenerator()
    let id = String(random.next(), radix: 36) + String(random.next(), radix: 36)
    let upload = Upload(
      id: id, name: name, owner: owner, size: size, path: "\(directory)/\(id)", touched: clock())
    try uploads.withLock { uploads throws(Failure) in
      guard uploads.count < Self.countMaximum else { throw .tooMany }
      let promised = uploads.values.reduce(0) { $0 + $1.size }
      guard size <= bytesMaximum - min(promised, bytesMaximum) else {
        throw .noRoom(wanted: size, left: bytesMaximum - min(promised, bytesMaximum))
      }
      uploads[id] = upload
    }
    do {
      try await thread.run {
        let descriptor = cposix_open(upload.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw Failure.disk(PosixError("create \(upload.path)")) }
        close(descriptor)
      }
    } catch {
      uploads.withLock { _ = $0.removeValue(forKey: id) }
      throw error
    }
    return upload
  }

  /// Appends a chunk that begins at `offset`, which must be what was received so far.
  func write(_ id: String, offset: UInt64, _ data: [UInt8], owner: UInt32) async throws -> Upload {
    let upload = try uploads.withLock { uploads throws(Failure) in
      var upload = try Self.find(id, owner, in: uploads)
      guard !upload.isBusy else { throw .busy(id) }
      guard offset == upload.received else { throw .wrongOffset(expected: upload.received) }
      guard UInt64(data.count) <= upload.size - upload.received else { throw .tooLong }
      upload.isBusy = true
      uploads[id] = upload
      return upload
    }
    let result: Result<Void, any Error>
    do {
      try await thread.run { try Self.append(data, to: upload) }
      result = .success(())
    } catch {
      result = .failure(error)
    }
    return try uploads.withLock { uploads in
      var upload = upload
      upload.isBusy = false
      upload.touched = clock()
      // A failed write leaves the offset: the client may send the chunk again.
      if case .success = result { upload.received += UInt64(data.count) }
      uploads[id] = upload
      try result.get()
      return upload
    }
  }

  private static func append(_ data: [UInt8], to upload: Upload) throws {
    let descriptor = cposix_open(upload.path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0)
    guard descriptor >= 0 else { throw Failure.disk(PosixError("open \(upload.path)")) }
    defer { close(descriptor) }
    guard lseek(descriptor, off_t(upload.received), SEEK_SET) >= 0 else {
      throw Failure.disk(PosixError("seek in \(upload.path)"))
    }
    do {
      try File.write(data, to: descriptor, named: upload.path)
    } catch {
      throw Failure.disk(error)
    }
  }

  /// Takes complete uploads for an import; they are the caller's until `remove`.
  func take(_ ids: [String], owner: UInt32) throws -> [Upload] {
    try uploads.withLock { uploads throws(Failure) in
      var taken: [Upload] = []
      for id in ids {
        let upload = try Self.find(id, owner, in: uploads)
        guard !upload.isBusy, !taken.contains(where: { $0.id == id }) else { throw .busy(id) }
        guard upload.isComplete else { throw .incomplete(id, received: upload.received, size: upload.size) }
        taken.append(upload)
      }
      for upload in taken { uploads[upload.id]?.isBusy = true }
      return taken
    }
  }

  /// Drops an upload that nobody uses.
  func drop(_ id: String, owner: UInt32) async throws {
    let upload = try uploads.withLock { uploads throws(Failure) in
      let upload = try Self.find(id, owner, in: uploads)
      guard !upload.isBusy else { throw .busy(id) }
      uploads[id]?.isBusy = true
      return upload
    }
    try await remove([upload])
  }

  /// Gives uploads back that were taken and not used.
  func giveBack(_ taken: [Upload]) {
    uploads.withLock { uploads in
      for upload in taken { uploads[upload.id]?.isBusy = false }
    }
  }

  /// Deletes uploads that were taken. Nobody sees them any more even when a file cannot be removed, which is thrown; the
  /// next start empties the directory.
  func remove(_ taken: [Upload]) async throws {
    let failures = try await thread.run {
      taken.compactMap { upload in
        unlink(upload.path) != 0 && errno != ENOENT ? PosixError("remove \(upload.path)") : nil
      }
    }
    uploads.withLock { uploads in
      for upload in taken { uploads.removeValue(forKey: upload.id) }
    }
    if let first = failures.first { throw Failure.disk(first) }
  }

  private func dropIdle() async throws {
    let now = clock()
    let idle = uploads.withLock { uploads in
      let idle = uploads.values.filter { !$0.isBusy && now - $0.touched > Self.idleMaximum }
      for upload in idle { uploads[upload.id]?.isBusy = true }
      return idle
    }
    if !idle.isEmpty { try await remove(idle) }
  }

  private static func find(_ id: String, _ owner: UInt32, in uploads: [String: Upload]) throws(Failure) -> Upload {
    guard let upload = uploads[id], upload.owner == owner else { throw .unknown(id) }
    return upload
  }
}
