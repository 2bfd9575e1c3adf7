import Glibc
import Inventory
import Posix
import Synchronization
import TestSupport
import Testing

@testable import Pipeline

/// H134: a worker may do anything at all; what comes of it is a result, and nothing of it is left.
@Suite(.timeLimit(.minutes(1)))
struct WorkerProcessTests {
  private static let piece = [UInt8](repeating: 7, count: 256 * 1024)

  init() { signal(SIGPIPE, SIG_IGN) }

  private struct Ended: Sendable {
    let result: Result<[UInt8], WorkerProcess.End>
    /// How many pieces were asked for.
    let pieces: Int
  }

  /// Runs `worker` on a thread of its own, with `pieces` pieces of a layer.
  private func run(_ worker: WorkerProcess, pieces: Int = 20) async throws -> Ended {
    try await onThread {
      var given = 0
      let result = try worker.run {
        if given == pieces { return nil }
        given += 1
        return Self.piece
      }
      return Ended(result: result, pieces: given)
    }
  }

  private func onThread<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await withCheckedThrowingContinuation { continuation in
      startThread(named: "test") { continuation.resume(with: Result { try body() }) }
    }
  }

  private func worker(
    _ kind: FakeWorker, answerBytesMaximum: Int = 64 << 20, patience: WorkerPatience.Limits = .standard
  ) -> WorkerProcess {
    WorkerProcess(program: kind.path, answerBytesMaximum: answerBytesMaximum, patience: patience)
  }

  @Test func `A worker that reads all gives its whole answer`() async throws {
    let ended = try await run(worker(.echo))
    #expect(try ended.result.get() == Array(repeatElement(Self.piece, count: 20).joined()))
  }

  @Test(arguments: [
    (FakeWorker.crash, WorkerProcess.End.signalled(SIGSEGV)), (.status, .exited(71)),
  ])
  func `A worker that ends badly gives no answer, and the layer is read to its end all the same`(
    kind: FakeWorker, end: WorkerProcess.End
  ) async throws {
    let ended = try await run(worker(kind))
    #expect(ended.result == .failure(end))
    #expect(ended.pieces == 20)
  }

  @Test func `A worker that answers early is heard, and the layer is read to its end`() async throws {
    let ended = try await run(worker(.early))
    #expect(ended.result == .success(Array("early".utf8)))
    #expect(ended.pieces == 20)
  }

  @Test func `A worker that wants a larger window is asked for nothing, and the layer is not read on`() async throws {
    let ended = try await run(worker(.wanting), pieces: 1_000)
    #expect(ended.result == .failure(.exited(WorkerProtocol.exitNeedsLargeWindow)))
    // What the pipe takes, and what was on its way.
    #expect(ended.pieces < 20)
  }

  @Test func `An answer without end is cut and the worker is ended`() async throws {
    let ended = try await run(worker(.endless, answerBytesMaximum: 3 << 20))
    #expect(ended.result == .failure(.answerTooLong))
    #expect(ended.pieces == 20)
  }

  @Test func `An answer as long as the bound is taken, one byte more is not`() async throws {
    let size = 20 * Self.piece.count
    #expect(try await run(worker(.echo, answerBytesMaximum: size)).result.get().count == size)
    #expect(try await run(worker(.echo, answerBytesMaximum: size - 1)).result == .failure(.answerTooLong))
  }

  @Test(arguments: [FakeWorker.asleep, .deaf])
  func `A worker that never reads and never ends is ended by kill`(kind: FakeWorker) async throws {
    let worker = worker(kind)
    let ended = try await onThread {
      var isFirst = true
      // More than both pipes take; the thread that kills comes when the feeding has begun.
      return try worker.run {
        if isFirst { startThread(named: "kill") { worker.kill() } }
        isFirst = false
        return worker.isKilled ? nil : Self.piece
      }
    }
    #expect(ended == .failure(.signalled(SIGKILL)))
  }

  @Test(arguments: [FakeWorker.asleep, .deaf, .lingering], [0, 20])
  func `A worker that stands still is ended, and the layer is read to its end`(
    kind: FakeWorker, pieces: Int
  ) async throws {
    let still = Duration.milliseconds(100)
    let ended = try await run(
      worker(kind, patience: .init(still: still, whole: .seconds(600))), pieces: pieces)
    #expect(ended.result == .failure(.gaveUp(.stoodStill(still))))
    #expect(ended.pieces == pieces)
  }

  @Test func `A worker that is busy for ever is ended when it was waited for long enough`() async throws {
    let whole = Duration.milliseconds(300)
    let ended = try await run(worker(.busy, patience: .init(still: .seconds(600), whole: whole)))
    #expect(ended.result == .failure(.gaveUp(.tookTooLong(whole))))
    #expect(ended.pieces == 20)
  }

  @Test func `Who waits for somebody else does not stand still`() {
    var patience = WorkerPatience(.init(still: .milliseconds(20), whole: .milliseconds(60)), of: getpid())
    var excused = Duration.zero
    for _ in 0..<20 {
      _ = patience.millisecondsToWait()
      // The wait itself: what is judged is how long it was, and nothing is to happen meanwhile.
      usleep(10_000)
      // More than there was: what it waited for is over only now.
      excused += .seconds(1)
      #expect(patience.ends(afterWait: false, excused: excused) == nil)
    }
  }

  @Test func `Who uses the processor does not stand still`() {
    let still = Duration.milliseconds(50)
    var patience = WorkerPatience(.init(still: still, whole: .seconds(600)), of: getpid())
    for _ in 0..<20 {
      _ = patience.millisecondsToWait()
      let start = clock()
      while clock() - start < 10_000 {}
      #expect(patience.ends(afterWait: false) == nil)
    }
  }

  @Test func `A program that tells nothing of its sandbox is an error`() async {
    for kind in [FakeWorker.garbage, .status, .crash, .early] {
      await #expect(throws: WorkerSandbox.Unknown.self) { _ = try await WorkerSandbox.probe(program: kind.path) }
    }
    await #expect(throws: PosixError.self) { _ = try await WorkerSandbox.probe(program: "/nowhere/worker") }
  }

  @Test func `A worker that was killed before it started does not live`() async throws {
    let worker = worker(.asleep)
    worker.kill()
    #expect(try await run(worker).result == .failure(.signalled(SIGKILL)))
  }

  @Test func `What the source throws ends the worker`() async throws {
    struct Broken: Error {}
    let worker = worker(.asleep)
    await #expect(throws: Broken.self) {
      try await onThread { _ = try worker.run { throw Broken() } }
    }
    #expect(worker.isKilled)
  }

  @Test func `A program that is not there is an error, and the source is not asked`() async throws {
    let worker = WorkerProcess(program: "/nowhere/worker", answerBytesMaximum: 10)
    let error = await #expect(throws: PosixError.self) {
      try await onThread {
        _ = try worker.run {
          Issue.record("asked for bytes")
          return nil
        }
      }
    }
    #expect(error?.errno == ENOENT)
  }
}

/// Looks at the process as a whole, so nothing else may start or open anything meanwhile: in a process of its own.
@Suite(.timeLimit(.minutes(1)))
struct WorkerRemainsTests {
  @Test func `Nothing is left of any worker, neither process nor descriptor`() async throws {
    await #expect(processExitsWith: .success) {
      signal(SIGPIPE, SIG_IGN)
      // The test's own runtime opens timers and sockets as it likes; a worker's ends are pipes.
      func pipes() -> [String] {
        TemporaryDirectory.names(in: "/proc/self/fd").filter { descriptor in
          var target = [CChar](repeating: 0, count: 64)
          let count = readlink("/proc/self/fd/\(descriptor)", &target, target.count)
          return target.prefix(max(0, count)).starts(with: "pipe:".utf8.map { CChar(bitPattern: $0) })
        }
      }
      let before = pipes()
      for kind in FakeWorker.allCases {
        for fails in [false, true] {
          let worker = WorkerProcess(program: kind.path, answerBytesMaximum: 1 << 20)
          var given = 0
          let killing = [.asleep, .deaf, .busy, .lingering].contains(kind)
          _ = try? worker.run {
            given += 1
            if fails && given == 2 { throw PosixError("test", errno: EIO) }
            if killing && given == 3 { worker.kill() }
            return given > 3 ? nil : [UInt8](repeating: 1, count: 64 * 1024)
          }
        }
      }
      for _ in 0..<3 { _ = try? WorkerProcess(program: "/nowhere", answerBytesMaximum: 1).run { nil } }
      precondition(pipes() == before, "pipes: \(pipes()) after, \(before) before")
      precondition(childProcesses().isEmpty, "children: \(childProcesses())")
    }
  }
}
