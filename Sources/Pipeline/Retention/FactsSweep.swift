import StorageMessages
import Store

/// Gives up what was read of digests that are no images of ours and that no tag points to any more.
///
/// Losing a row costs no more than to read the image anew, so nothing is looked at again when it is removed. A repository's
/// tags are read once, and only where there is something to ask them.
struct FactsSweep: Sendable {
  /// The digests that a repository's tags point to, by hash: two of one hash are kept both.
  private struct Pointed: Sendable {
    let repository: RepositoryKey
    let digests: Set<Int>
  }

  private struct Step: Sendable {
    var doomed: [ImageKey] = []
    var position: ImageKey?
    var pointed: Pointed?
  }

  let sweeper: Sweeper
  let before: Int64

  func run() async throws -> UInt64 {
    var removed: UInt64 = 0
    var step = Step()
    repeat {
      step = try await sweeper.look { [self, step] transaction in try look(after: step, in: transaction) }
      removed += UInt64(step.doomed.count)
      if sweeper.isDryRun || step.doomed.isEmpty { continue }
      try await sweeper.store.write { [step] transaction in
        for key in step.doomed { try transaction.delete(StateStore.imageFacts, key) }
      }
    } while step.position != nil
    return removed
  }

  private func look(after last: Step, in transaction: ReadTransaction) throws -> Step {
    var step = Step(pointed: last.pointed)
    step.position = try transaction.step(
      StateStore.imageFacts, prefix: { _ in }, after: last.position, limit: Sweeper.step
    ) { key, facts in
      guard facts.firstSeenAt < before, try !transaction.has(StateStore.images, key) else { return true }
      let repository = RepositoryKey(integration: key.integration, repository: key.repository)
      if step.pointed?.repository != repository {
        step.pointed = Pointed(repository: repository, digests: try digests(of: repository, in: transaction))
      }
      if step.pointed?.digests.contains(key.digest.hashValue) != true { step.doomed.append(key) }
      return step.doomed.count < Sweeper.batch
    }
    return step
  }

  private func digests(of repository: RepositoryKey, in transaction: ReadTransaction) throws -> Set<Int> {
    var found: Set<Int> = []
    try sweeper.store.tags(of: repository, in: transaction) { _, tag in
      found.insert(tag.digest.hashValue)
      return true
    }
    return found
  }
}
