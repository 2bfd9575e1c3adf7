import Model
import Posix
import Registry
import Selection
import StorageMessages
import Store
import Synchronization

/// One walk over a registry's repositories, for a poll or a preview. A repository that fails is told and does not stop the
/// others; a listing that fails, a registry that goes down or wants to be left alone ends the walk.
struct RegistryWalk: Sendable {
  /// Repositories looked at side by side, at most; the client bounds the requests.
  private static let repositoriesMaximum = 16
  /// Repositories in a row that a registry fails to answer for, before the walk ends.
  private static let failuresMaximum = 20

  /// The registry wants to be left alone for so long that a walk ends and goes on then.
  struct Suspended: Error {
    let wait: Duration
    let reason: RegistryError

    /// Where neither the answer nor those before it say for how long.
    private static let waitByDefault = Duration.seconds(60)

    /// Nil for an error that says something else.
    init?(_ error: any Error, _ client: RegistryClient) {
      if let suspended = error as? Suspended {
        self = suspended
        return
      }
      guard let error = error as? RegistryError, error.code == .rateLimited else { return nil }
      wait = [error.retryAfter, client.throttle].compactMap(\.self).max() ?? Self.waitByDefault
      reason = error
    }
  }

  /// What the walk is for. Everything is called from several tasks at once.
  protocol Visitor: Sendable {
    /// A repository was listed.
    func found(_ repository: ListedRepository)
    /// Looks at one repository. Throws `RegistryError` for what concerns it alone.
    func visit(_ repository: ListedRepository) async throws
    /// It has been looked at, or could not be.
    func left(_ repository: ListedRepository, _ failure: RegistryError?) async throws
  }

  let client: RegistryClient
  let criteria: Criteria

  /// What came of the listing.
  struct Outcome: Sendable {
    let summary: ListingSummary
    /// Names of the repositories that were listed, by hash.
    let names: Set<Int>
    /// The registry lists nothing to this credential: the repositories that the criteria name in full were looked at.
    let closed: RegistryError?

    /// Whether a repository that is not among `names` is not in the listing.
    var isComplete: Bool { summary.incomplete == nil && closed == nil }
  }

  /// How a walk goes.
  private final class Course: Sendable {
    private let first = Mutex<(any Error)?>(nil)
    private let found = Mutex<Set<Int>>([])
    let failures = FailureRow(maximum: RegistryWalk.failuresMaximum)

    /// Why no repository can be looked at any more, the first reason.
    var error: (any Error)? { first.withLock { $0 } }
    var names: Set<Int> { found.withLock { $0 } }
    /// False for one that was listed before: a registry that changes between two pages may list it twice.
    @discardableResult
    func add(_ name: String) -> Bool { found.withLock { $0.insert(name.hashValue).inserted } }
    func record(_ error: any Error) { first.withLock { $0 = $0 ?? error } }
  }

  func run(_ visitor: some Visitor) async throws -> Outcome {
    let course = Course()
    do {
      let summary = try await walkListed(visitor, course)
      return Outcome(summary: summary, names: course.names, closed: nil)
    } catch let error as RegistryError where error.isClosedListing && course.names.isEmpty && course.error == nil {
      try await walkNamed(visitor, course, insteadOf: error)
      return Outcome(summary: ListingSummary(), names: course.names, closed: error)
    } catch let error as RegistryError {
      throw Suspended(error, client) ?? error
    }
  }

  /// Looks at every repository that the registry lists.
  private func walkListed(_ visitor: some Visitor, _ course: Course) async throws -> ListingSummary {
    let permits = Permits(max(4, min(client.endpoint.concurrentRequestsMax, Self.repositoriesMaximum)))
    let summary = try await withThrowingTaskGroup(of: Void.self) { group in
      // The listing waits while enough repositories are on their way, so that memory does not grow with the registry.
      let (repositories, found) = AsyncStream<ListedRepository>.makeStream()
      group.addTask {
        await withDiscardingTaskGroup { inner in
          for await repository in repositories {
            inner.addTask {
              if course.error == nil { await look(at: repository, visitor, course) }
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
          guard course.add(repository.repository.path) else { return permits.release() }
          visitor.found(repository)
          found.yield(repository)
        }
        found.finish()
      } catch {
        found.finish()
        // Where one of those on their way has met what stops all, the others end what they have begun: a registry that
        // grants a few requests at a time is got through only if each of them counts.
        if course.error == nil || Task.isCancelled { group.cancelAll() } else { try await group.waitForAll() }
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
  private func walkNamed(_ visitor: some Visitor, _ course: Course, insteadOf error: RegistryError) async throws {
    let names = criteria.fullNames.compactMap { Repository($0) }
    guard !names.isEmpty else { throw error }
    for (index, name) in names.enumerated() {
      try Task.checkCancellation()
      let listed = ListedRepository(name)
      course.add(name.path)
      visitor.found(listed)
      do {
        try await visitor.visit(listed)
        try await visitor.left(listed, nil)
      } catch let failure as RegistryError {
        // A credential that opens nothing is not tried on every name.
        if index == 0, failure.code == .unauthorized { throw error }
        if let suspension = Suspended(failure, client) { throw suspension }
        try await visitor.left(listed, failure)
      }
    }
  }

  private func look(at listed: ListedRepository, _ visitor: some Visitor, _ course: Course) async {
    do {
      do {
        try await visitor.visit(listed)
        try course.failures.note(nil)
        try await visitor.left(listed, nil)
      } catch let error as RegistryError {
        if let suspension = Suspended(error, client) { throw suspension }
        try await visitor.left(listed, error)
        try course.failures.note(error)
      }
    } catch {
      if !Task.isCancelled { course.record(error) }
    }
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
