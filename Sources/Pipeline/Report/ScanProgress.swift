import Synchronization

/// How far the scans that run are: for clients to watch, and lost with the process.
package final class ScanProgress: Sendable {
  package struct Counts: Sendable, Equatable {
    package var bytesFetched: UInt64 = 0
    package var layersDone: UInt32 = 0
  }

  /// By job: its newest attempt.
  private let attempts = Mutex<[UInt64: AttemptProgress]>([:])

  package init() {}

  /// Nil for a job that does not run.
  package func counts(of job: UInt64) -> Counts? { attempts.withLock { $0[job] }?.counts }

  func begin(_ attempt: AttemptProgress, of job: UInt64) { attempts.withLock { $0[job] = attempt } }

  /// Does nothing where the job has begun another attempt.
  func end(_ attempt: AttemptProgress, of job: UInt64) {
    attempts.withLock { attempts in
      if attempts[job] === attempt { attempts[job] = nil }
    }
  }
}
