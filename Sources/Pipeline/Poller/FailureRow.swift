import Registry
import Synchronization

/// Counts what fails in a row, so that a registry that is going down is not asked for everything it has.
final class FailureRow: Sendable {
  private let maximum: Int
  private let count = Atomic(0)

  init(maximum: Int) { self.maximum = maximum }

  /// Throws the failure once there were too many.
  func note(_ failure: RegistryError?) throws(RegistryError) {
    guard let failure, failure.isTransient else { return count.store(0, ordering: .relaxed) }
    if count.wrappingAdd(1, ordering: .relaxed).newValue >= maximum { throw failure }
  }
}
