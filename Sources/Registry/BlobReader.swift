import Digests
import Model
import Posix
import Synchronization

/// The bytes of one blob, handed out as they come and counted and hashed on the way. They count only once `read` has
/// returned nil: until then what was read may be anything.
///
/// When the connection breaks in the middle, what is missing is asked for by range, at the registry itself, at most
/// `resumesMax` times; a server that knows no ranges sends all again, and what is known of it is passed over. Whether the
/// parts fit together is for the digest to say.
///
/// One thread reads, and `cancel` may come from anywhere. Dropping the reader ends the transfer.
package final class BlobReader: Sendable {
  package static let resumesMax = 5
  /// Of these, after a connection that brought too little: a slow registry is not to be read for ever.
  package static let stallsMax = 1

  package let descriptor: Descriptor

  private struct State {
    var stream: HTTPStream
    /// Bytes of this stream that were handed out from an earlier one.
    var skip: Int64 = 0
    /// Nil after the end.
    var hash: ContentHash?
    var byteCount: Int64 = 0
    var resumes = 0
    var stalls = 0
    /// While a broken blob is asked for anew.
    var reopening: Task<Void, Never>?
    var isCancelled = false
    /// What the reader was told; told again to who reads on, lest a second `nil` look like success.
    var failure: (any Error)?
  }

  /// The rest of the blob, from so many bytes on.
  struct Rest: Sendable {
    let stream: HTTPStream
    /// Where the stream begins.
    let offset: Int64
  }

  private let repository: Repository
  private let permit: HeldPermit
  private let reopen: @Sendable (_ offset: Int64, _ resume: Int) async throws -> Rest
  private let state: Mutex<State>

  init(
    stream: HTTPStream, descriptor: Descriptor, repository: Repository, permit: HeldPermit,
    reopen: @escaping @Sendable (_ offset: Int64, _ resume: Int) async throws -> Rest
  ) {
    self.descriptor = descriptor
    self.repository = repository
    self.permit = permit
    self.reopen = reopen
    state = Mutex(State(stream: stream, hash: ContentHash(descriptor.digest.algorithm)))
  }

  deinit { permit.release() }

  /// The next bytes, at most 256 KiB; nil at the end, when size and digest have proved right. Blocks until they have
  /// come: for a thread of the caller's own, never from a task.
  ///
  /// Throws `SIZE_MISMATCH` before the first byte beyond the descriptor's size is handed out, `DIGEST_MISMATCH` at the
  /// end, a transient error when the connection broke too often, and `CancellationError` after `cancel`.
  package func read() throws -> [UInt8]? {
    if let failure = state.withLock({ $0.failure }) { throw failure }
    do {
      while true {
        guard let chunk = try next() else {
          try checkEnd()
          permit.release()
          return nil
        }
        let fresh = try take(chunk)
        if !fresh.isEmpty { return fresh }
      }
    } catch {
      state.withLock { $0.failure = error }
      cancel()
      throw error
    }
  }

  /// Ends the transfer; a `read` that waits throws `CancellationError`.
  package func cancel() {
    let (stream, reopening) = state.withLock { state in
      state.isCancelled = true
      return (state.stream, state.reopening)
    }
    stream.cancel()
    reopening?.cancel()
    permit.release()
  }

  private func next() throws -> [UInt8]? {
    while true {
      do {
        return try state.withLock { $0.stream }.read()
      } catch let error as RegistryError where [.connectionLost, .timeout, .stalled].contains(error.code) {
        try resume(after: error)
      }
    }
  }

  /// Puts the rest of the blob in place of the broken stream; throws `error` when that has been tried often enough.
  private func resume(after error: RegistryError) throws {
    let place: (offset: Int64, resume: Int)? = state.withLock { state in
      guard state.resumes < Self.resumesMax, state.byteCount < descriptor.size else { return nil }
      if error.code != .connectionLost {
        guard state.stalls < Self.stallsMax else { return nil }
        state.stalls += 1
      }
      state.resumes += 1
      return (state.byteCount, state.resumes)
    }
    guard let place else { throw error }
    let done = Signal()
    let outcome = Mutex<Result<Rest, any Error>>(.failure(CancellationError()))
    let task = Task { [reopen] in
      let result: Result<Rest, any Error>
      do {
        result = .success(try await reopen(place.offset, place.resume))
      } catch {
        result = .failure(error)
      }
      outcome.withLock { $0 = result }
      done.send()
    }
    let isCancelled = state.withLock { state in
      state.reopening = task
      return state.isCancelled
    }
    if isCancelled { task.cancel() }
    done.wait()
    let rest = try outcome.withLock { $0 }.get()
    let isLate = state.withLock { state in
      state.reopening = nil
      state.stream = rest.stream
      state.skip = place.offset - rest.offset
      return state.isCancelled
    }
    if isLate {
      rest.stream.cancel()
      throw CancellationError()
    }
  }

  /// Counts and hashes what is new of a chunk, and gives that.
  private func take(_ chunk: [UInt8]) throws(RegistryError) -> [UInt8] {
    let fresh: [UInt8]? = state.withLock { state in
      let known = Int(min(state.skip, Int64(chunk.count)))
      state.skip -= Int64(known)
      let fresh = known == 0 ? chunk : Array(chunk.dropFirst(known))
      state.byteCount += Int64(fresh.count)
      guard state.byteCount <= descriptor.size else { return nil }
      state.hash?.update(fresh)
      return fresh
    }
    guard let fresh else { throw Self.sizeMismatch(descriptor, in: repository, has: "more") }
    return fresh
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
