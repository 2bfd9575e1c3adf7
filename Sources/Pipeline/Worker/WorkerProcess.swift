import CPosix
import Glibc
import Inventory
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
    case gaveUp(WorkerPatience.End)

    var description: String {
      switch self {
      case .exited(WorkerProtocol.exitUnconfined): "the worker found that its sandbox does not hold, and refused to run"
      case .exited(let status): "the worker ended with status \(status)"
      case .signalled(let signal): "the worker was ended by signal \(signal) (\(String(cString: strsignal(signal))))"
      case .answerTooLong: "the worker's answer is too long"
      case .gaveUp(let end): end.description
      }
    }

    /// The daemon ended the worker, for what it did.
    var isVerdict: Bool {
      switch self {
      case .exited, .signalled: false
      case .answerTooLong, .gaveUp: true
      }
    }
  }

  static let pipeCapacity = 1 << 20
  private static let readSize = 256 * 1024

  private struct State {
    /// 0 before the start and once reaped: its number may belong to another process by then.
    var pid: pid_t = 0
    var isKilled = false
  }

  /// Our ends of the pipes to a started worker, closed once each, and what becomes readable when it has ended.
  private struct Ends {
    /// -1 once closed.
    var input: Int32
    let output: Int32
    let life: Int32

    mutating func closeInput() {
      if input >= 0 { close(input) }
      input = -1
    }

    mutating func closeAll() {
      closeInput()
      close(output)
      close(life)
    }
  }

  /// What came of it so far.
  private struct Outcome {
    let bytesMaximum: Int
    var answer: [UInt8] = []
    var patience: WorkerPatience
    /// Why the worker is to be ended.
    var verdict: End?
  }

  private let program: String
  private let arguments: [WorkerProtocol.Argument]
  private let relay: MalwareRelay?
  private let answerBytesMaximum: Int
  private let patience: WorkerPatience.Limits
  private let state = Mutex(State())

  /// `program` is an absolute path. A worker with a `relay`, which is its alone, hands file bytes back to it.
  init(
    program: String, arguments: [WorkerProtocol.Argument] = [], relay: MalwareRelay? = nil, answerBytesMaximum: Int,
    patience: WorkerPatience.Limits = .standard
  ) {
    self.program = program
    self.arguments = arguments
    self.relay = relay
    self.answerBytesMaximum = answerBytesMaximum
    self.patience = patience
  }

  /// Ends the worker, or keeps it from starting; from any thread, at any time.
  func kill() {
    state.withLock { $0.isKilled = true }
    end()
    relay?.stop()
  }

  /// Ends the worker for what it did; what it handed back is still looked into.
  private func end() {
    state.withLock { state in
      if state.pid > 0 { Glibc.kill(state.pid, SIGKILL) }
    }
  }

  var isKilled: Bool { state.withLock { $0.isKilled } }

  /// Starts the worker, feeds it what `next` returns until that returns nil, then takes the answer, reaps the process and
  /// waits for the relay, whatever happens. Throws what `next` throws, and `PosixError` where the worker cannot be started or
  /// spoken to. A worker that stops reading, or has to be ended, does not stop `next`: the caller's digest needs every byte.
  /// One that says that the layer is to be read anew does.
  ///
  /// The kernel ends a worker with the thread that started it, so that is the one that waits for it here, and never one of
  /// Swift's pool, which come and go. Called once.
  func run(_ next: () throws -> [UInt8]?) throws -> Result<[UInt8], End> {
    var (pid, ends) = try start()
    defer { ends.closeAll() }
    // It ends once the worker has, and nobody else can write to it.
    defer { relay?.wait() }
    var outcome = Outcome(bytesMaximum: answerBytesMaximum, patience: WorkerPatience(patience, of: pid))
    let end: End
    do {
      end = try feedAll(next, &ends, &outcome)
    } catch {
      ends.closeInput()
      kill()
      if state.withLock({ $0.pid }) > 0 { _ = try reap() }
      throw error
    }
    if let verdict = outcome.verdict { return .failure(verdict) }
    return end == .exited(0) ? .success(outcome.answer) : .failure(end)
  }

  private func feedAll(
    _ next: () throws -> [UInt8]?, _ ends: inout Ends, _ outcome: inout Outcome
  ) throws -> End {
    var end: End?
    while let bytes = try next() {
      if ends.input >= 0, try !feed(bytes, ends, &outcome) { ends.closeInput() }
      // Who reads no more may have ended already, to say that the layer is to be read anew.
      guard end == nil, ends.input < 0, cposix_poll_pair(ends.life, -1, 0) == 1 else { continue }
      let early = try finish(&ends, &outcome)
      if early == .exited(WorkerProtocol.exitNeedsLargeWindow) {
        // Nor is anybody to look into what it handed back.
        relay?.stop()
        return early
      }
      end = early
    }
    return try end ?? finish(&ends, &outcome)
  }

  /// Takes what is left of the answer, and reaps the worker.
  private func finish(_ ends: inout Ends, _ outcome: inout Outcome) throws -> End {
    ends.closeInput()
    while outcome.verdict == nil, try take(ends.output, &outcome) {}
    // Who has answered ends at once, or is ended.
    while outcome.verdict == nil, try wait(ends.life, -1, &outcome) == 0 {}
    if outcome.verdict != nil { end() }
    return try reap()
  }

  /// A pipe, of which the worker gets one end.
  private struct Pipe {
    let reading: Int32
    let writing: Int32

    init() throws(PosixError) {
      var (reading, writing): (Int32, Int32) = (-1, -1)
      guard cposix_pipe(&reading, &writing, Int32(pipeCapacity)) == 0 else { throw PosixError("pipe") }
      (self.reading, self.writing) = (reading, writing)
    }

    func closeBoth() {
      close(reading)
      close(writing)
    }
  }

  private func makePipes(_ count: Int) throws(PosixError) -> [Pipe] {
    var pipes: [Pipe] = []
    do throws(PosixError) {
      while pipes.count < count { pipes.append(try Pipe()) }
    } catch {
      pipes.forEach { $0.closeBoth() }
      throw error
    }
    return pipes
  }

  private func start() throws -> (pid: pid_t, Ends) {
    let pipes = try makePipes(relay == nil ? 2 : 3)
    let (layer, answer, contents) = (pipes[0], pipes[1], pipes.count > 2 ? pipes[2] : nil)
    var pid: pid_t = 0
    var life: Int32 = -1
    let status = spawn(layer.reading, answer.writing, contents?.writing ?? -1, &pid, &life)
    guard status == 0 else {
      pipes.forEach { $0.closeBoth() }
      throw PosixError("start \(program)", errno: status)
    }
    for end in [layer.reading, answer.writing, contents?.writing ?? -1] where end >= 0 { close(end) }
    cposix_set_nonblocking(layer.writing)
    cposix_set_nonblocking(answer.reading)
    state.withLock { state in
      state.pid = pid
      if state.isKilled { Glibc.kill(pid, SIGKILL) }
    }
    var ends = Ends(input: layer.writing, output: answer.reading, life: life)
    do throws(PosixError) {
      if let contents { try relay?.start(contents.reading) }
    } catch {
      if let contents { close(contents.reading) }
      kill()
      ends.closeAll()
      _ = try reap()
      throw error
    }
    return (pid, ends)
  }

  private func spawn(
    _ input: Int32, _ output: Int32, _ contents: Int32, _ pid: inout pid_t, _ life: inout Int32
  ) -> Int32 {
    var words = [program] + arguments.map(\.rawValue)
    if let relay { words.append(relay.clamd.settings.bounds.argument) }
    var copies = words.map { strdup($0) }
    defer { copies.forEach { free($0) } }
    copies.append(nil)
    return cposix_spawn_worker(program, copies, input, output, contents, &pid, &life)
  }

  /// Writes `bytes`, reading the answer meanwhile, so that neither side waits for the other. False when the worker does
  /// not read any more.
  private func feed(_ bytes: [UInt8], _ ends: Ends, _ outcome: inout Outcome) throws(PosixError) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(ends.input, $0.baseAddress, $0.count) }
      if count >= 0 {
        rest = rest.dropFirst(count)
        continue
      }
      switch errno {
      case EINTR: continue
      case EPIPE: return false
      case EAGAIN:
        let ready = try wait(ends.output, ends.input, &outcome)
        // End of the answer while the layer is still being sent: nobody reads it any more.
        if ready & 1 != 0, try !read(ends.output, &outcome) { return false }
        if outcome.verdict != nil {
          end()
          return false
        }
      default: throw PosixError("write to a worker")
      }
    }
    return true
  }

  /// Waits for more of the answer; false at its end.
  private func take(_ output: Int32, _ outcome: inout Outcome) throws(PosixError) -> Bool {
    try wait(output, -1, &outcome) == 0 ? true : try read(output, &outcome)
  }

  /// Waits for one of two descriptors, of which either may be -1: bit 0 says that the first can be read from, bit 1 that the
  /// second takes something. None for a while is for `outcome` to judge.
  private func wait(_ reading: Int32, _ writing: Int32, _ outcome: inout Outcome) throws(PosixError) -> Int32 {
    let ready = cposix_poll_pair(reading, writing, outcome.patience.millisecondsToWait())
    guard ready >= 0 else { throw PosixError("poll") }
    if let end = outcome.patience.ends(afterWait: ready != 0, excused: relay?.waited ?? .zero) {
      outcome.verdict = .gaveUp(end)
    }
    return ready
  }

  /// Takes what there is of the answer; false at its end.
  private func read(_ output: Int32, _ outcome: inout Outcome) throws(PosixError) -> Bool {
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
      guard outcome.answer.count + count <= outcome.bytesMaximum else {
        outcome.verdict = .answerTooLong
        return true
      }
      outcome.answer.append(contentsOf: chunk[..<count])
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
