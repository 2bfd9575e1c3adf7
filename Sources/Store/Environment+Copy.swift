import CLMDB
import Glibc
import Posix
import Synchronization

/// A copy of an environment on its way out: a compacted file of one instant, which a thread of its own writes into a
/// socket.
///
/// While it is being made the pages of that instant are not given out again, and the file grows with what is written: read
/// it swiftly, and end it. Takes a few MiB of memory, whatever the size.
final class EnvironmentCopy: Sendable {
  private struct State {
    var isOpen = true
    var isEnded = false
    /// Why it was given up.
    var cause: StoreError?
    var status: Int32 = 0
  }

  private let path: String
  /// A socket and not a pipe, since one thread can end it under another that reads.
  private let reading: Int32
  private let state = Mutex(State())
  private let ended = Signal()

  fileprivate init(reading: Int32, path: String) {
    self.reading = reading
    self.path = path
  }

  /// The next bytes, at most `limit`; none at the end. Blocks. By one thread at a time.
  func read(upTo limit: Int) throws(StoreError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: limit)
    while true {
      let count = bytes.withUnsafeMutableBytes { Glibc.read(reading, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw StoreError(PosixError("read a copy of \(path)"), path: path) }
      return Array(bytes[..<count])
    }
  }

  /// Has the copy end soon, whole or not. From any thread.
  func giveUp(because cause: StoreError) {
    state.withLock { state in
      guard state.isOpen, !state.isEnded else { return }
      state.cause = state.cause ?? cause
      shutdown(reading, Int32(SHUT_RDWR))
    }
  }

  /// Returns when nothing of the environment is in use for it any more. Throws what kept the copy from being whole. To be
  /// called once, after the last `read`; blocks.
  func end() throws(StoreError) {
    ended.wait()
    let (cause, status) = state.withLock { state in
      state.isOpen = false
      return (state.cause, state.status)
    }
    close(reading)
    if let cause { throw cause }
    if status != 0 { throw StoreError(status: status, operation: "copy", path: path) }
  }

  fileprivate func finish(_ status: Int32) {
    state.withLock { state in
      state.status = status
      state.isEnded = true
    }
    ended.send()
  }
}

extension Environment {
  /// Begins a copy of what is committed now. It ends early when the file has to be opened anew, or is closed.
  func copy() throws(StoreError) -> EnvironmentCopy {
    let file = try enter()
    var ends: [Int32] = [-1, -1]
    let stream = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, stream, 0, &ends) == 0 else {
      let error = PosixError("make a socket for a copy of \(path)")
      leave()
      throw StoreError(error, path: path)
    }
    let (reading, writing) = (ends[0], ends[1])
    let copy = EnvironmentCopy(reading: reading, path: path)
    let interrupted = StoreError(
      .reopening, "the copy of \(path) was interrupted by a fault of the disk, or by the end of the daemon",
      hint: "make it again")
    let (number, isDraining) = state.withLock { state in
      state.reopening.lastCopy += 1
      state.reopening.copies[state.reopening.lastCopy] = { copy.giveUp(because: interrupted) }
      return (state.reopening.lastCopy, state.isDraining)
    }
    if isDraining { copy.giveUp(because: interrupted) }
    do throws(PosixError) {
      try startThreadIfPossible(named: "store-copy") { [self] in
        let status = mdb_env_copyfd2(file.environment, writing, UInt32(MDB_CP_COMPACT))
        Glibc.close(writing)
        end(copy, number, status)
      }
    } catch {
      Glibc.close(writing)
      end(copy, number, 0)
      try copy.end()
      throw StoreError(error, path: path)
    }
    return copy
  }

  private func end(_ copy: EnvironmentCopy, _ number: UInt64, _ status: Int32) {
    copy.finish(status)
    state.withLock { _ = $0.reopening.copies.removeValue(forKey: number) }
    leave()
  }
}
