import CPosix
import Glibc
import Posix
import Synchronization

/// One worker process: bytes of a layer in, the bytes of its answer out (D14). Used from one thread, which blocks; only
/// `kill` may come from another.
final class WorkerProcess: Sendable {
  /// How a worker ended that gave no usable answer.
  enum End: Error, Equatable, CustomStringConvertible {
    case exited(Int32)
    case signalled(Int32)
    case answerTooLong

    var description: String {
      switch self {
      case .exited(let status): "the worker ended with status \(status)"
      case .signalled(let signal): "the worker was ended by signal \(signal) (\(String(cString: strsignal(signal))))"
      case .answerTooLong: "the worker's answer is too long"
      }
    }
  }

  private static let pipeCapacity = 1 << 20
  private static let readSize = 256 * 1024

  private struct State {
    /// 0 once reaped: its number may belong to another process by then.
    var pid: pid_t = 0
    var isKilled = false
  }

  private let state = Mutex(State())
  private let input: Int32
  private let output: Int32
  private let answerBytesMaximum: Int

  /// Starts `program` (an absolute path).
  init(program: String, answerBytesMaximum: Int) throws(PosixError) {
    self.answerBytesMaximum = answerBytesMaximum
    var childInput: Int32 = -1
    var ourOutput: Int32 = -1
    var ourInput: Int32 = -1
    var childOutput: Int32 = -1
    guard cposix_pipe(&childInput, &ourOutput, Int32(Self.pipeCapacity)) == 0 else { throw PosixError("pipe") }
    guard cposix_pipe(&ourInput, &childOutput, Int32(Self.pipeCapacity)) == 0 else {
      let error = PosixError("pipe")
      close(childInput)
      close(ourOutput)
      throw error
    }
    var pid: pid_t = 0
    let status = cposix_spawn_worker(program, childInput, childOutput, &pid)
    close(childInput)
    close(childOutput)
    guard status == 0 else {
      close(ourInput)
      close(ourOutput)
      throw PosixError("start \(program)", errno: status)
    }
    input = ourOutput
    output = ourInput
    cposix_set_nonblocking(input)
    cposix_set_nonblocking(output)
    state.withLock { $0.pid = pid }
  }

  /// Ends the worker; from any thread, at any time.
  func kill() {
    state.withLock { state in
      state.isKilled = true
      if state.pid > 0 { Glibc.kill(state.pid, SIGKILL) }
    }
  }

  var isKilled: Bool { state.withLock { $0.isKilled } }

  /// Feeds what `next` returns until it returns nil, then takes the answer and reaps the process, whatever happens.
  /// Throws what `next` throws. A worker that stops reading does not stop `next`: the caller's digest needs every byte.
  func run(_ next: () throws -> [UInt8]?) throws -> Result<[UInt8], End> {
    var answer: [UInt8] = []
    var isInputOpen = true
    var isTooLong = false
    func closeInput() {
      if isInputOpen { close(input) }
      isInputOpen = false
    }
    defer { close(output) }
    do {
      while let bytes = try next() {
        if isInputOpen, try !feed(bytes, &answer, &isTooLong) { closeInput() }
      }
    } catch {
      closeInput()
      kill()
      _ = try reap()
      throw error
    }
    closeInput()
    while !isTooLong, try take(&answer, &isTooLong) {}
    if isTooLong { kill() }
    let end = try reap()
    if isTooLong { return .failure(.answerTooLong) }
    return end == .exited(0) ? .success(answer) : .failure(end)
  }

  /// Writes `bytes`, reading the answer meanwhile, so that neither side waits for the other. False when the worker does
  /// not read any more.
  private func feed(_ bytes: [UInt8], _ answer: inout [UInt8], _ isTooLong: inout Bool) throws -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(input, $0.baseAddress, $0.count) }
      if count >= 0 {
        rest = rest.dropFirst(count)
        continue
      }
      switch errno {
      case EINTR: continue
      case EPIPE: return false
      case EAGAIN:
        let ready = cposix_poll_pair(output, input, -1)
        guard ready >= 0 else { throw PosixError("poll") }
        // End of the answer while the layer is still being sent: nobody reads it any more.
        if ready & 1 != 0, try !read(into: &answer, &isTooLong) { return false }
        if isTooLong {
          kill()
          return false
        }
      default: throw PosixError("write to a worker")
      }
    }
    return true
  }

  /// Waits for more of the answer; false at its end.
  private func take(_ answer: inout [UInt8], _ isTooLong: inout Bool) throws -> Bool {
    guard cposix_poll_pair(output, -1, -1) >= 0 else { throw PosixError("poll") }
    return try read(into: &answer, &isTooLong)
  }

  private func read(into answer: inout [UInt8], _ isTooLong: inout Bool) throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: Self.readSize)
    while true {
      let count = chunk.withUnsafeMutableBytes { Glibc.read(output, $0.baseAddress, $0.count) }
      if count == 0 { return false }
      if count < 0 {
        switch errno {
        case EINTR: continue
        case EAGAIN: return true
        default: throw PosixError("read from a worker")
        }
      }
      guard answer.count + count <= answerBytesMaximum else {
        isTooLong = true
        return true
      }
      answer.append(contentsOf: chunk[..<count])
    }
  }

  private func reap() throws -> End {
    let pid = state.withLock { $0.pid }
    guard cposix_wait_zombie(pid) == 0 else { throw PosixError("wait for worker \(pid)") }
    var kind = cposix_exited
    var value: Int32 = 0
    // Under the lock, so that `kill` cannot reach a process that got the number after us.
    let status = state.withLock { state in
      state.pid = 0
      return cposix_reap(pid, &kind, &value)
    }
    guard status == 0 else { throw PosixError("reap worker \(pid)") }
    return kind == cposix_signalled ? .signalled(value) : .exited(value)
  }
}
