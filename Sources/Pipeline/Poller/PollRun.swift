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

  /// How a run goes: why no repository can be looked at any more, the first reason.
  private final class Course: Sendable {
    private let first = Mutex<(any Error)?>(nil)
    private let listed = Atomic(false)
    var error: (any Error)? { first.withLock { $0 } }
    /// Whether the listing has given anything.
    var hasListed: Bool { listed.load(ordering: .relaxed) }
    func setListed() { listed.store(true, ordering: .relaxed) }
    func record(_ error: any Error) { first.withLock { $0 = $0 ?? error } }
  }

  func run() async throws {
    report { $0.notes = integration.exposures }
    let course = Course()
    let summary: ListingSummary
    do {
      summary = try await pollListed(course)
    } catch let error as RegistryError where error.isClosedListing && !course.hasListed {
      return try await pollNamed(insteadOf: error)
    }
    report { record in
      for rejected in summary.rejectedExamples {
        record.note("repository \"\(rejected.name)\": \(rejected.reason)")
      }
      // The examples are noted one by one; the count tells of all.
      record.errorCount.add(summary.rejected - summary.rejectedExamples.count)
      record.skipped.add(summary.notImages)
      if let why = summary.incomplete { record.note("partial: the list of repositories: \(why)") }
      record.noteSkipped(summary)
    }
  }

  /// Looks at every repository that the registry lists.
  private func pollListed(_ course: Course) async throws -> ListingSummary {
    let permits = Permits(Self.repositoriesAtOnce)
    let summary = try await withThrowingTaskGroup(of: Void.self) { group in
      // The listing waits while enough repositories are on their way, so that memory does not grow with the registry.
      let (repositories, found) = AsyncStream<ListedRepository>.makeStream()
      group.addTask {
        await withDiscardingTaskGroup { inner in
          for await repository in repositories {
            inner.addTask {
              if course.error == nil, let error = await look(at: repository) { course.record(error) }
              permits.release()
            }
          }
        }
      }
      let summary: ListingSummary
      do {
        summary = try await client.repositories { repository in
          try await permits.acquire()
          if let error = course.error { throw error }
          course.setListed()
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
    if let error = course.error { throw error }
    return summary
  }

  /// Where the registry lists nothing to this credential: looks at the repositories that the criteria name in full.
  /// Throws the listing's error when there are none, or when they are closed too.
  private func pollNamed(insteadOf error: RegistryError) async throws {
    let names = criteria.fullNames.compactMap { Repository($0) }
    guard !names.isEmpty else { throw error }
    for (index, name) in names.enumerated() {
      try Task.checkCancellation()
      report { $0.repositories.add(1) }
      do {
        var poll = RepositoryPoll(run: self, listed: ListedRepository(name))
        try await poll.run()
      } catch let failure as RegistryError {
        // A credential that opens nothing is not tried on every name.
        if index == 0, failure.code == .unauthorized { throw error }
        report { $0.note("\(name): \(failure.message)") }
      }
      report { $0.repositoriesDone.add(1) }
    }
    report {
      $0.note("partial: only repositories that the criteria name in full were looked at: \(error.message)")
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

extension RegistryError {
  /// Whether the registry does not list its repositories to us, though it may let us read them.
  fileprivate var isClosedListing: Bool {
    switch code {
    case .unauthorized, .forbidden, .notFound, .requestRefused: true
    default: false
    }
  }
}

extension PollRecord {
  private static let errorsMaximum = 100

  /// Counts an error of one repository or tag; the first hundred are kept.
  mutating func note(_ error: String) {
    errorCount.add(1)
    if errors.count < Self.errorsMaximum { errors.append(error) }
  }

  /// What was passed over, so that nobody wonders where it is (D6).
  mutating func noteSkipped(_ summary: ListingSummary) {
    for kind in RepositoryKind.allCases {
      guard let count = summary.passedOver[kind], count > 0 else { continue }
      repositoriesSkipped.add(count)
      let examples = summary.passedOverExamples.filter { $0.kind == kind }.map(\.name)
      let why =
        kind == .remote
        ? "a remote repository's images are another registry's; --include-remote polls those that are cached"
        : "what is in a \(kind.rawValue) repository is listed where it really is"
      notes.append("not polled: \(count) \(kind.rawValue) (\(examples.joined(separator: ", "))): \(why)")
    }
  }
}

extension UInt32 {
  /// Counts on; a registry that lists more than can be counted stays at the end.
  mutating func add(_ count: Int) {
    let (sum, isTooLarge) = addingReportingOverflow(UInt32(clamping: count))
    self = isTooLarge ? .max : sum
  }
}
