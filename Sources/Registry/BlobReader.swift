import Model
import Posix
import Synchronization

/// The bytes of one blob, handed out as they come and counted and hashed on the way. They count only once `read` has
/// returned nil: until then what was read may be anything.
///
/// One thread reads, and `cancel` may come from anywhere. Dropping the reader ends the transfer.
package final class BlobReader: Sendable {
  package let descriptor: Descriptor

  private struct State {
    /// Nil after the end.
    var hash: ContentHash?
    var byteCount: Int64 = 0
    /// What the reader was told; told again to who reads on, lest a second `nil` look like success.
    var failure: (any Error)?
  }

  private let stream: HTTPStream
  private let repository: Repository
  private let permit: HeldPermit
  private let state: Mutex<State>

  init(stream: HTTPStream, descriptor: Descriptor, repository: Repository, permit: HeldPermit) {
    self.stream = stream
    self.descriptor = descriptor
    self.repository = repository
    self.permit = permit
    state = Mutex(State(hash: ContentHash(descriptor.digest.algorithm)))
  }

  deinit { permit.release() }

  /// The next bytes, at most 256 KiB; nil at the end, when size and digest have proved right. Blocks until they have
  /// come: for a thread of the caller's own, never from a task.
  ///
  /// Throws `SIZE_MISMATCH` before the first byte beyond the descriptor's size is handed out, `DIGEST_MISMATCH` at the
  /// end, a transient error when the connection ends early, and `CancellationError` after `cancel`.
  package func read() throws -> [UInt8]? {
    if let failure = state.withLock({ $0.failure }) { throw failure }
    do {
      guard let chunk = try stream.read() else {
        try checkEnd()
        permit.release()
        return nil
      }
      try take(chunk)
      return chunk
    } catch {
      state.withLock { $0.failure = error }
      cancel()
      throw error
    }
  }

  /// Ends the transfer; a `read` that waits throws `CancellationError`.
  package func cancel() {
    stream.cancel()
    permit.release()
  }

  private func take(_ chunk: [UInt8]) throws(RegistryError) {
    let isTooLong = state.withLock { state in
      state.byteCount += Int64(chunk.count)
      guard state.byteCount <= descriptor.size else { return true }
      state.hash?.update(chunk)
      return false
    }
    if isTooLong { throw Self.sizeMismatch(descriptor, in: repository, has: "more") }
  }

  private func checkEnd() throws(RegistryError) {
    let (count, digest) = state.withLock { state in
      let digest = state.hash?.finish()
      state.hash = nil
      return (state.byteCount, digest)
    }
    // Read again after its end.
    guard let digest else { return }
    guard count == descriptor.size else {
      throw Self.sizeMismatch(descriptor, in: repository, has: "\(count) bytes")
    }
    guard digest == descriptor.digest else {
      throw RegistryError(
        .digestMismatch, "the blob \(repository)@\(descriptor.digest) has the digest \(digest)",
        hint: "the registry, or something before it, serves other bytes than it should")
    }
  }

  static func sizeMismatch(_ descriptor: Descriptor, in repository: Repository, has what: String) -> RegistryError {
    RegistryError(
      .sizeMismatch, "the blob \(repository)@\(descriptor.digest) has \(what); its descriptor says \(descriptor.size)")
  }
}

/// A permit that is given back once, however often it is asked to.
final class HeldPermit: Sendable {
  private let permits: Permits
  private let isHeld = Atomic(true)

  /// Takes over a permit that was acquired.
  init(_ permits: Permits) { self.permits = permits }

  deinit { release() }

  func release() {
    if isHeld.exchange(false, ordering: .acquiringAndReleasing) { permits.release() }
  }
}
