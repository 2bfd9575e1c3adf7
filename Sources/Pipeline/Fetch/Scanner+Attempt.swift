import Logging
import Posix
import Queue
import Registry
import StorageMessages
import Store
import Synchronization

/// One attempt at a job, and what is written of its end.
extension Scanner {
  func scan(_ lease: JobQueue.Lease, _ attempt: AttemptProgress) async {
    let job = lease.job
    var log = log
    log[metadataKey: "job"] = "\(job.id)"
    log[metadataKey: "image"] = "\(job.repository)@\(job.digest)"
    log.info("scan begins", metadata: ["attempt": "\(job.attempt)"])
    let begunAt = settings.clock.now
    var end = Throughput.End(integration: job.integrationId, endsJob: true, finishedIn: nil, bytes: 0)
    do {
      // It may have been cancelled before it began.
      try Task.checkCancellation()
      guard let integration = try store.integration(id: job.integrationId) else {
        throw ImageProblem(code: .integrationRemoved, message: "the image's integration was removed", hint: "")
      }
      let scan = ImageScan(
        lease: lease, integration: integration, client: try registries.client(for: integration), store: store,
        queue: queue, layers: layers, matcher: matcher, progress: attempt,
        admission: Admission(integration, daemonMaximum: settings.imageBytesMaximum), clock: clock)
      let limit = Duration.seconds(Int64(integration.scanTimeoutSeconds))
      let watchdog = watch(lease, attempt, limit, log)
      // Before what follows in `catch`, which may take as long as the store cannot be written.
      defer { watchdog.cancel() }
      try await withTimeLimit(limit, clock: settings.clock) { try await scan.run() }
      end.finishedIn = settings.clock.now - begunAt
      log.info("scan finished")
    } catch {
      end.endsJob = await settle(lease, attempt, error, log) == .error
    }
    end.bytes = attempt.counts.bytesFetched
    state.withLock { [end, now = settings.clock.now] in $0.throughput.record(end, at: now) }
  }

  /// Sees to it that no job is in progress for ever: an attempt that does not end though its time is over and it was told
  /// to end is given up. That is a defect, and its job is not to pay for it.
  private func watch(
    _ lease: JobQueue.Lease, _ attempt: AttemptProgress, _ limit: Duration, _ log: Logger
  ) -> Task<Void, Never> {
    Task {
      do { try await settings.clock.sleep(for: limit + settings.grace) } catch { return }
      log.error(
        "a scan did not end when its time was over, and is given up", metadata: ["limit": "\(limit)"])
      state.withLock { $0.running[lease.number]?.task }?.cancel()
      await settle(lease, attempt, TimeLimitExceeded(limit: limit), log)
      leave(lease, attempt)
    }
  }

  /// Writes down what became of an attempt that failed; tries until that has worked, or the daemon stops.
  /// Returns the state that the job is in, if it was written here.
  @discardableResult
  private func settle(
    _ lease: JobQueue.Lease, _ attempt: AttemptProgress, _ error: any Error, _ log: Logger
  ) async -> JobState? {
    while true {
      do {
        return try await record(lease, attempt, error, log)
      } catch let stale as JobQueue.StaleLease {
        log.info("the job was cancelled meanwhile", metadata: ["job": "\(stale.job)"])
        return nil
      } catch {
        log.error("what became of the job cannot be stored", metadata: ["error": "\(error)"])
        if isStopping { return nil }
        // In a task of its own: this one may be cancelled and must wait all the same.
        _ = await Task { [settings] in try await Task.sleep(for: settings.storeRetry) }.result
      }
    }
  }

  private func record(
    _ lease: JobQueue.Lease, _ attempt: AttemptProgress, _ error: any Error, _ log: Logger
  ) async throws -> JobState? {
    if state.withLock({ $0.running[lease.number]?.isDisowned }) ?? false {
      log.info("the job was cancelled meanwhile", metadata: ["job": "\(lease.job.id)"])
      return nil
    }
    let progress = attempt.reached
    // One whose time was over counts, whatever else has happened meanwhile.
    if Task.isCancelled && !(error is TimeLimitExceeded) {
      // Either the daemon stops, and the attempt does not count, or the job was cancelled, and its lease is gone.
      try await queue.interrupt(lease, progress)
      log.info("scan interrupted")
      return nil
    }
    if error is JobQueue.StaleLease { throw error }
    let verdict = ScanFailure(error, lease.job, settings.backOff)
    let state = try await store.write { [queue] transaction -> JobState in
      guard let delay = verdict.retryAfter else {
        try queue.fail(lease, verdict.failure, progress, in: transaction)
        return .error
      }
      return try queue.giveBack(
        lease, after: delay, verdict.failure, isTimeout: verdict.isTimeout, progress, in: transaction
      ).state
    }
    log.warning(
      state == .error ? "scan failed" : "scan failed and will be tried again",
      metadata: ["code": "\(verdict.failure.code)", "reason": "\(verdict.failure.message)"])
    return state
  }
}
