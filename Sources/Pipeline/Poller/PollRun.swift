import Model
import Posix
import Registry
import Selection
import StorageMessages
import Store

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

  func run() async throws {
    let permits = Permits(Self.repositoriesAtOnce)
    let summary = try await withThrowingTaskGroup(of: Void.self) { group in
      // The listing waits while enough repositories are on their way, so that memory does not grow with the registry.
      let (repositories, found) = AsyncStream<Repository>.makeStream()
      group.addTask {
        await withDiscardingTaskGroup { inner in
          for await repository in repositories {
            inner.addTask {
              await look(at: repository)
              permits.release()
            }
          }
        }
      }
      let summary: ListingSummary
      do {
        summary = try await client.repositories { repository in
          try await permits.acquire()
          report { $0.repositories += 1 }
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
    report { record in
      for rejected in summary.rejectedExamples {
        record.note("repository \"\(rejected.name)\": \(rejected.reason)")
      }
      // The examples are noted one by one; the count tells of all.
      record.errorCount += UInt32(summary.rejected - summary.rejectedExamples.count)
      if let why = summary.incomplete { record.note("the list of repositories is incomplete: \(why)") }
    }
  }

  private func look(at repository: Repository) async {
    do {
      try await RepositoryPoll(run: self, repository: repository).run()
    } catch is CancellationError {
      return
    } catch {
      report { $0.note("\(repository): \((error as? RegistryError)?.message ?? "\(error)")") }
    }
    report { $0.repositoriesDone += 1 }
  }
}

extension PollRecord {
  private static let errorsMaximum = 100

  /// Counts an error of one repository or tag; the first hundred are kept.
  mutating func note(_ error: String) {
    errorCount += 1
    if errors.count < Self.errorsMaximum { errors.append(error) }
  }
}

