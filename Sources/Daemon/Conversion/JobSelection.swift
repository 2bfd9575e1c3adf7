import API
import Model
import Pipeline
import Queue
import RPC
import StorageMessages
import Store

/// Which jobs a request is about.
enum JobSelection: Sendable, Equatable {
  case named([UInt64])
  case all(JobQueue.Selection)
}

/// Reads a request's selection of jobs, and gathers everything that is wrong with it.
struct JobSelectionReader {
  static let namedMaximum = 1_000
  private static let codesMaximum = 32
  private static let codeLengthMaximum = 64

  let store: StateStore
  let poller: Poller
  private var violations: [(field: String, description: String)] = []

  init(store: StateStore, poller: Poller) {
    self.store = store
    self.poller = poller
  }

  /// `states` are those that the call can change; `takesErrors`: it may choose by what went wrong. Throws
  /// `IntegrationError`, and `RPCError` for the rest.
  mutating func read(_ wanted: JobSelector?, states: Set<StorageMessages.JobState>, takesErrors: Bool) throws
    -> JobSelection
  {
    let wanted = wanted ?? JobSelector()
    let hasFilter =
      !wanted.integration.isEmpty || wanted.pollId != 0 || !wanted.repository.isEmpty || !wanted.states.isEmpty
      || !wanted.errorCodes.isEmpty
    if wanted.jobIds.isEmpty && !wanted.all && !hasFilter {
      refuse("jobs", "names none: give job_ids, or filters, or all for all of them")
    }
    if !wanted.jobIds.isEmpty && (wanted.all || hasFilter) {
      refuse("jobs.job_ids", "stand alone: neither filters nor all go with them")
    }
    if wanted.all && hasFilter { refuse("jobs.all", "stands alone: filters take all that they match") }
    if wanted.jobIds.count > Self.namedMaximum {
      refuse("jobs.job_ids", "has \(wanted.jobIds.count) ids; at most \(Self.namedMaximum)")
    }
    var selection = JobQueue.Selection()
    selection.states = self.states(wanted.states, allowed: states)
    selection.errorCodes = codes(wanted.errorCodes, areTaken: takesErrors)
    if let problem = ImagesHandler.repositoryProblem(wanted.repository) { refuse("jobs.repository", problem) }
    selection.repository = wanted.repository
    if wanted.pollId != 0 && wanted.integration.isEmpty {
      refuse("jobs.poll_id", "needs the integration it belongs to beside it")
    }
    guard violations.isEmpty else { throw RPCError.invalidArgument(violations) }
    if !wanted.integration.isEmpty {
      let integration = try store.integration(named: wanted.integration).id
      selection.integration = integration
      if wanted.pollId != 0 {
        guard try poller.poll(PollKey(integration: integration, poll: wanted.pollId)) != nil else {
          throw IntegrationsHandler.unknownPoll(wanted.pollId, of: wanted.integration)
        }
        selection.poll = wanted.pollId
      }
    }
    return wanted.jobIds.isEmpty ? .all(selection) : .named(wanted.jobIds)
  }

  private mutating func refuse(_ field: String, _ description: String) { violations.append((field, description)) }

  /// Of what is wrong with them the first is told: there may be any number.
  private mutating func states(_ wanted: [API.JobState], allowed: Set<StorageMessages.JobState>) -> Set<
    StorageMessages.JobState
  > {
    var found: Set<StorageMessages.JobState> = []
    for state in wanted {
      let state = StorageMessages.JobState(rawValue: state.rawValue)
      guard StorageMessages.JobState.all.contains(state) else {
        refuse("jobs.states", "\(state.rawValue) is no state of a job")
        return []
      }
      guard allowed.contains(state) else {
        let names = StorageMessages.JobState.all.filter(allowed.contains).map(\.name).joined(separator: ", ")
        refuse("jobs.states", "\(state.name) is none that this can change: \(names)")
        return []
      }
      found.insert(state)
    }
    return found
  }

  private mutating func codes(_ wanted: [String], areTaken: Bool) -> Set<String> {
    guard !wanted.isEmpty else { return [] }
    if !areTaken { refuse("jobs.error_codes", "are of jobs that have ended, which this does not change") }
    if wanted.count > Self.codesMaximum { refuse("jobs.error_codes", "has more than \(Self.codesMaximum) codes") }
    for (index, code) in wanted.prefix(Self.codesMaximum).enumerated() {
      let isCode = code.utf8.allSatisfy { ("A"..."Z").contains(UnicodeScalar($0)) || $0 == UInt8(ascii: "_") }
      if code.isEmpty || code.utf8.count > Self.codeLengthMaximum || !isCode {
        refuse("jobs.error_codes[\(index)]", "\"\(code.excerpt())\" is no code such as SCAN_TIMEOUT")
      }
    }
    return Set(wanted)
  }

}
