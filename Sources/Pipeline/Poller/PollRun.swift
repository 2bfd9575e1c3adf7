import Model
import Posix
import Registry
import Selection
import StorageMessages
import Store
import Synchronization

/// One run over a registry. A repository that fails is recorded and does not stop the others; a listing that fails ends
/// the run.
struct PollRun: Sendable {
  /// Repositories looked at side by side; the client bounds the requests.
  private static let repositoriesAtOnce = 4

  let integration: IntegrationRecord
  let client: RegistryClient
  let criteria: Criteria
  let store: StateStore
  let intake: Intake
  let clock: WallClock
  let poll: UInt64
  /// Changes the poll's record, which clients see at once.
  let report: @Sendable ((inout PollRecord) -> Void) -> Void

  /// Why no repository can be looked at any more: the first reason.
  private final class Breakage: Sendable {
    private let first = Mutex<(any Error)?>(nil)
    var error: (any Error)? { first.withLock { $0 } }
    func record(_ error: any Error) { first.withLock { $0 = $0 ?? error } }
  }

  func run() async throws {
    let permits = Permits(Self.repositoriesAtOnce)
    let breakage = Breakage()
    let summary = try await withThrowingTaskGroup(of: Void.self) { group in
      // The listing waits while enough repositories are on their way, so that memory does not grow with the registry.
      let (repositories, found) = AsyncStream<ListedRepository>.makeStream()
      group.addTask {
        await withDiscardingTaskGroup { inner in
          for await repository in repositories {
            inner.addTask {
              if breakage.error == nil, let error = await look(at: repository) { breakage.record(error) }
              permits.release()
            }
          }
        }
      }
      let summary: ListingSummary
      do {
        summary = try await client.repositories { repository in
          try await permits.acquire()
          if let error = breakage.error { throw error }
          report { $0.repositories.add(1) }
          found.yield(repository)
        }
        found.finish()
      } catch {
        found.finish()
        group.cancelAll()
        throw error
      }
      try await group.waitForAll()
      return summary
    }
    try Task.checkCancellation()
    if let error = breakage.error { throw error }
    report { record in
      for rejected in summary.rejectedExamples {
        record.note("repository \"\(rejected.name)\": \(rejected.reason)")
      }
      // The examples are noted one by one; the count tells of all.
      record.errorCount.add(summary.rejected - summary.rejectedExamples.count)
      if let why = summary.incomplete { record.note("partial: the list of repositories: \(why)") }
    }
  }

  /// Returns what stands in the way of the whole poll: a store that takes nothing, an integration that is being removed.
  private func look(at listed: ListedRepository) async -> (any Error)? {
    do {
      var poll = RepositoryPoll(run: self, listed: listed)
      try await poll.run()
    } catch let error as RegistryError {
      report { $0.note("\(listed.repository): \(error.message)") }
    } catch {
      return Task.isCancelled ? nil : error
    }
    report { $0.repositoriesDone.add(1) }
    return nil
  }
}

extension PollRecord {
  private static let errorsMaximum = 100

  /// Counts an error of one repository or tag; the first hundred are kept.
  mutating func note(_ error: String) {
    errorCount.add(1)
    if errors.count < Self.errorsMaximum { errors.append(error) }
  }
}

extension UInt32 {
  /// Counts on; a registry that lists more than can be counted stays at the end.
  mutating func add(_ count: Int) {
    let (sum, isTooLarge) = addingReportingOverflow(UInt32(clamping: count))
    self = isTooLarge ? .max : sum
  }
}
