import StorageMessages

/// Which jobs a watcher asked for.
struct JobFilter: Sendable {
  /// Ascending; empty for all.
  var ids: [UInt64] = []
  var integration: UInt64?
  /// 0 for all.
  var poll: UInt64 = 0
  /// Numbers of states; empty for all.
  var states: Set<Int32> = []
  /// Jobs up to this id cannot match.
  var after: UInt64 = 0

  /// Whether the watcher asked for this job, whatever its state.
  func concerns(_ job: JobRecord) -> Bool {
    (ids.isEmpty || contains(job.id)) && (integration.map { $0 == job.integrationId } ?? true)
      && (poll == 0 || poll == job.pollId)
  }

  /// Whether jobs in this state are told.
  func shows(_ state: JobState) -> Bool { states.isEmpty || states.contains(state.rawValue) }

  /// Whether none but jobs that run are told of as they stand.
  var isOfRunning: Bool {
    !states.isEmpty && states.isSubset(of: [JobState.inProgress.rawValue, JobState.parsingResults.rawValue])
  }

  private func contains(_ id: UInt64) -> Bool {
    var range = 0..<ids.count
    while !range.isEmpty {
      let middle = range.lowerBound + range.count / 2
      if ids[middle] == id { return true }
      range = ids[middle] < id ? middle + 1..<range.upperBound : range.lowerBound..<middle
    }
    return false
  }
}
