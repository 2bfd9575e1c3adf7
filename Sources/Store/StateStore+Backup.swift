import Digests
import Glibc
import Model
import Posix

/// A backup that was written to its end.
package struct BackupWritten: Sendable, Equatable {
  package let info: BackupInfo
  /// Of all of it, as the sink got it.
  package let bytes: UInt64
  package let digest: Digest
}

extension StateStore {
  /// Of one call of a backup's sink.
  private static let chunkBytes = 256 << 10

  /// Writes a backup, in pieces, to `sink`: the state at one instant, and the key file where it is ours. What blocks runs
  /// on `thread`, a moment each time.
  ///
  /// A sink that is slow has the store's file grow meanwhile by what is written to it; one that is too slow (`BackupPace`),
  /// one that throws, and a task that is cancelled, end the backup. Advisories are no part of it, since they can be imported
  /// again.
  @discardableResult
  package func backup(
    now: Int64, on thread: SerialThread, pace: BackupPace = BackupPace(),
    to sink: @escaping @Sendable ([UInt8]) async throws -> Void
  ) async throws -> BackupWritten {
    let (keysBefore, copy) = try await thread.run { [self] in
      let keys = try keys.filed()
      return (keys, try environment.copy())
    }
    let written: BackupWritten
    do {
      written = try await write(copy, keysBefore, now, thread, pace, sink)
    } catch {
      copy.giveUp(because: StoreError(.closed, "the backup was given up", hint: "make it again"))
      throw await failure(of: copy, thread) ?? error
    }
    try await thread.run { try copy.end() }
    return written
  }

  /// What ended a copy by itself, which its reader only sees as an early end; nil when it was we who gave it up.
  private func failure(of copy: EnvironmentCopy, _ thread: SerialThread) async -> (any Error)? {
    do {
      try await thread.run { try copy.end() }
      return nil
    } catch {
      return (error as? StoreError)?.code == .closed ? nil : error
    }
  }

  private func write(
    _ copy: EnvironmentCopy, _ keysBefore: [SealingKey], _ now: Int64, _ thread: SerialThread,
    _ pace: BackupPace, _ sink: @escaping @Sendable ([UInt8]) async throws -> Void
  ) async throws -> BackupWritten {
    let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))
    func next() async throws -> [UInt8] { try await thread.run { try copy.read(upTo: Self.chunkBytes) } }
    var bytes: [UInt8] = []
    while bytes.count < 2 * pageBytes {
      let more = try await next()
      guard !more.isEmpty else { throw Self.cutShort(environment.path) }
      bytes += more
    }
    // The meta pages come first, and of a compacted copy they tell how long it is.
    guard let lastPage = FileCheck.newestLastPage(in: bytes, pageBytes: pageBytes) else {
      throw Self.cutShort(environment.path)
    }
    // The copy's instant lies between the two looks at the keys, so that whatever it holds is sealed with one of them.
    let keysNow = try await thread.run { [keys] in try keys.filed() }
    let kept = (keysBefore + keysNow).reduce(into: [SealingKey]()) { kept, key in
      if !kept.contains(where: { $0.id == key.id }) { kept.append(key) }
    }
    guard kept.count <= BackupFormat.keysMaximum else {
      throw StoreError(.secrets, "the key of the secrets was replaced meanwhile", hint: "make the backup again")
    }
    let info = BackupInfo(
      createdAt: now, schemaVersion: Self.schemaVersion, stateBytes: (lastPage + 1) * UInt64(pageBytes),
      keyCount: kept.count)
    let (sum, whole) = (ContentHash(), ContentHash())
    var sent: UInt64 = 0
    var pace = pace
    func send(_ bytes: [UInt8]) async throws {
      whole.update(bytes)
      sent += UInt64(bytes.count)
      try await pace.send(bytes, to: sink)
    }
    var head = BackupFormat.Head(info: info, pageBytes: UInt32(pageBytes)).bytes
    for key in kept { key.bytes.withBytes { head += $0 } }
    sum.update(head)
    try await send(head)
    var left = info.stateBytes
    while !bytes.isEmpty {
      try Task.checkCancellation()
      guard bytes.count <= left else { throw Self.cutShort(environment.path) }
      left -= UInt64(bytes.count)
      sum.update(bytes)
      try await send(bytes)
      bytes = try await next()
    }
    guard left == 0 else { throw Self.cutShort(environment.path) }
    try await send(sum.finishBytes())
    return BackupWritten(info: info, bytes: sent, digest: whole.finish())
  }

  private static func cutShort(_ path: String) -> StoreError {
    StoreError(.io, "a copy of \(path) ended early", hint: "make the backup again")
  }
}
