import RPC
import Synchronization

/// The methods that are served, for those of them that tell of the others.
package final class Catalogue: Sendable {
  private let list = Mutex<[RPCMethod]>([])

  package init() {}

  package var methods: [RPCMethod] { list.withLock { $0 } }

  /// Once, before the first call.
  func publish(_ methods: [RPCMethod]) { list.withLock { $0 = methods.sorted { $0.fullName < $1.fullName } } }
}
