import CPosix
import Glibc
import Posix
import Synchronization

/// One worker process: bytes of a layer in, the bytes of its answer out (D14). `run` starts it, blocks until it has ended
/// and leaves neither process nor descriptor behind; only `kill` may come from another thread.
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
    /// 0 before the start and once reaped: its number may belong to another process by then.
    var pid: pid_t = 0
    var isKilled = false
  }

  /// Our ends of the pipes to a started worker, closed once each.
  private struct Pipes {
    /// -1 once closed.
    var input: Int32
    let output: Int32

    mutating func closeInput() {
      if input >= 0 { close(input) }
      input = -1
    }
  }

  private struct Answer {
    let bytesMaximum: Int
    var bytes: [UInt8] = []
    var isTooLong = false
  }

  private let program: String
  private let answerBytesMaximum: Int
  private let state = Mutex(State())

  /// `program` is an absolute path.
  init(program: String, answerBytesMaximum: Int) {
    self.program = program
    self.answerBytesMaximum = answerBytesMaximum
  }

  /// Ends the worker, or keeps it from starting; from any thread, at any time.
  func kill() {
    state.withLock { state in
      state.isKilled = true
      if state.pid > 0 { Glibc.kill(state.pid, SIGKILL) }
    }
  }

  var isKilled: Bool { state.withLock { $0.isKilled } }

  /// Starts the worker, feeds it what `next` returns until that returns nil, then takes the answer and reaps the process,
  /// whatever happens. Throws what `next` throws, and `PosixError` where the worker cannot be started or spoken to. A
  /// worker that stops reading does not stop `next`: the caller's digest needs every byte.
  ///
  /// The kernel ends a worker with the thread that started it, so that is the one that waits for it here, and never one of
  /// Swift's pool, which come and go. Called once.
  func run(_ next: () throws -> [UInt8]?) throws -> Result<[UInt8], End> {
    var pipes = try start()
    defer {
      pipes.closeInput()
      close(pipes.output)
    }
    var answer = Answer(bytesMaximum: answerBytesMaximum)
    do {
      while let bytes = try next() {
        if pipes.input >= 0, try !feed(bytes, pipes, &answer) { pipes.closeInput() }
      }
      pipes.closeInput()
      while !answer.isTooLong, try take(pipes.output, &answer) {}
    } catch {
      pipes.closeInput()
      kill()
      _ = try reap()
      throw error
    }
    if answer.isTooLong { kill() }
    let end = try reap()
    if answer.isTooLong { return .failure(.answerTooLong) }
    return end == .exited(0) ? .success(answer.bytes) : .failure(end)
  }

  private func start() throws(PosixError) -> Pipes {
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
    cposix_set_nonblocking(ourOutput)
    cposix_set_nonblocking(ourInput)
    state.withLock { state in
      state.pid = pid
      if state.isKilled { Glibc.kill(pid, SIGKILL) }
    }
    return Pipes(input: ourOutput, output: ourInput)
  }

  /// Writes `bytes`, reading the answer meanwhile, so that neither side waits for the other. False when the worker does
  /// not read any more.
  private func feed(_ bytes: [UInt8], _ pipes: Pipes, _ answer: inout Answer) throws(PosixError) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(pipes.input, $0.baseAddress, $0.count) }
      if count >= 0 {
        rest = rest.dropFirst(count)
        continue
      }
      switch errno {
      case EINTR: continue
      case EPIPE: return false
      case EAGAIN:
        let ready = cposix_poll_pair(pipes.output, pipes.input, -1)
        guard ready >= 0 else { throw PosixError("poll") }
        // End of the answer while the layer is still being sent: nobody reads it any more.
        if ready & 1 != 0, try !read(pipes.output, &answer) { return false }
        if answer.isTooLong {
          kill()
          return false
        }
      default: throw PosixError("write to a worker")
      }
    }
    return true
  }

  /// Waits for more of the answer; false at its end.
  private func take(_ output: Int32, _ answer: inout Answer) throws(PosixError) -> Bool {
    guard cposix_poll_pair(output, -1, -1) >= 0 else { throw PosixError("poll") }
    return try read(output, &answer)
  }

  /// Takes what there is of the answer; false at its end.
  private func read(_ output: Int32, _ answer: inout Answer) throws(PosixError) -> Bool {
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
      guard answer.bytes.count + count <= answer.bytesMaximum else {
        answer.isTooLong = true
        return true
      }
      answer.bytes.append(contentsOf: chunk[..<count])
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
