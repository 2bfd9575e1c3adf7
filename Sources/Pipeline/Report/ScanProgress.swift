import Synchronization

/// How far the scans that run are: for clients to watch, and lost with the process.
package final class ScanProgress: Sendable {
  package struct Counts: Sendable, Equatable {
    package var bytesFetched: UInt64 = 0
    package var layersDone: UInt32 = 0
  }

  private let jobs = Mutex<[UInt64: Counts]>([:])

  package init() {}

  /// Nil for a job that does not run.
  package func counts(of job: UInt64) -> Counts? { jobs.withLock { $0[job] } }

  func begin(_ job: UInt64) { jobs.withLock { $0[job] = Counts() } }
  func end(_ job: UInt64) { jobs.withLock { _ = $0.removeValue(forKey: job) } }
  func add(bytes: Int, to job: UInt64) { jobs.withLock { $0[job]?.bytesFetched += UInt64(bytes) } }
  func addLayer(to job: UInt64) { jobs.withLock { $0[job]?.layersDone += 1 } }
}
