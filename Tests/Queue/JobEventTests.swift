import Queue
import StorageMessages
import Testing

@Suite("States of a job") struct JobEventTests {
  /// Every state and event; what is not listed cannot happen.
  private static let allowed: [JobState: [JobEvent: JobState]] = [
    .pending: [.lease: .inProgress, .fail: .error, .cancel: .cancelled],
    .inProgress: [.parse: .parsingResults, .giveBack: .pending, .fail: .error, .cancel: .cancelled],
    .parsingResults: [.finish: .finished, .giveBack: .pending, .fail: .error, .cancel: .cancelled],
    .finished: [.retry: .pending],
    .error: [.retry: .pending],
    .cancelled: [.retry: .pending],
  ]

  @Test("every event in every state leads where the table says, or nowhere", arguments: JobEvent.allCases)
  func table(event: JobEvent) {
    for state in JobState.all {
      #expect(event.next(from: state) == Self.allowed[state]?[event], "\(event) in \(state.name)")
    }
    // States of a later version.
    #expect(event.next(from: .unspecified) == nil)
    #expect(event.next(from: JobState(rawValue: 77)) == nil)
  }

  @Test("three states are final, and only a retry leaves them") func finals() {
    #expect(JobState.all.filter(\.isFinal) == [.finished, .error, .cancelled])
    #expect(JobState.all.count == Self.allowed.count)
    for state in JobState.all where state.isFinal {
      #expect(JobEvent.allCases.filter { $0.next(from: state) != nil } == [.retry])
    }
  }
}
