import API
import Pipeline
import Posix
import Queue
import RPC
import StorageMessages
import Store

/// The queue in numbers.
extension QueueHandler {
  func getQueueStats(_ request: GetQueueStatsRequest, _ context: CallContext) async throws -> QueueStats {
    let integration = try integration(request.integration)
    return try await reader.run { [self] in try statistics(of: integration) }
  }

  private func statistics(of integration: UInt64?) throws -> QueueStats {
    var stats = QueueStats()
    let cancelling = try queue.cancelling().filter { integration == nil || $0.key == integration }
    stats.states = API.StateCount.all(
      of: try queue.counts(of: integration), cancelling: cancelling.values.reduce(0, +))
    let oldest = try queue.oldestPending(of: integration)
    stats.oldestPendingAt = API.Timestamp(nanoseconds: oldest.values.min() ?? 0)
    let failures = try queue.failureCounts(of: integration).filter { $0.value > 0 }
    stats.failures = failures.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { code, jobs in
      var failure = FailureCount()
      failure.code = code
      failure.jobs = jobs
      if let known = ScanErrors.entry(code) {
        failure.retry = known.retry.rawValue
        failure.hint = known.hint
      }
      return failure
    }
    let counts = try queue.integrationCounts().filter { integration == nil || $0.key == integration }
    stats.integrations = try store.read { transaction in
      try counts.filter { $0.value.values.contains { $0 > 0 } }.map { id, states in
        var one = IntegrationQueue()
        one.integration = try store.integrationName(id, in: transaction)
        one.states = API.StateCount.all(of: states, cancelling: cancelling[id] ?? 0)
        one.throughput = API.Throughput(scanner.throughput(of: id))
        one.oldestPendingAt = API.Timestamp(nanoseconds: oldest[id] ?? 0)
        return one
      }
    }
    .sorted { $0.integration < $1.integration }
    let name = try integration.flatMap { try store.integration(id: $0)?.name }
    stats.pauses = try describer.pauses().filter { name == nil || $0.integration.isEmpty || $0.integration == name }
    let load = scanner.load
    stats.scannerSlots = UInt32(load.slots)
    stats.slotsBusy = UInt32(max(load.running - load.stalled, 0))
    stats.slotsStalled = UInt32(load.stalled)
    stats.throughput = API.Throughput(scanner.throughput(of: integration))
    // Nobody knows when a pause ends.
    if !stats.pauses.contains(where: { $0.integration.isEmpty || $0.integration == name }) {
      let pending = stats.states.first { $0.state == .pending }?.count ?? 0
      let estimates = describer.estimates(of: try integration.flatMap { try store.integration(id: $0) })
      stats.estimatedEndAt = estimates.end(ofPending: pending).flatMap { API.Timestamp(nanoseconds: $0) }
    }
    return stats
  }
}

extension API.StateCount {
  /// One for each state, those without jobs too. `cancelling` are at most so many of the pending ones.
  static func all(of counts: [StorageMessages.JobState: UInt64], cancelling: UInt64) -> [StateCount] {
    StorageMessages.JobState.all.map { state in
      var count = StateCount()
      count.state = API.JobState(rawValue: state.rawValue)
      count.count = counts[state] ?? 0
      // Both are looked up one after the other.
      if state == .pending { count.cancellingMaximum = min(cancelling, count.count) }
      return count
    }
  }
}
