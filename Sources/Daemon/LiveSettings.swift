import Glibc
import Logging
import Synchronization

/// What a reload changes while the daemon runs.
package final class LiveSettings: Sendable {
  private struct State {
    var access: Access
    var drainSeconds: Int
  }

  private let state: Mutex<State>

  init(access: Access, drainSeconds: Int) { state = Mutex(State(access: access, drainSeconds: drainSeconds)) }

  var access: Access { state.withLock(\.access) }
  var drain: Duration { .seconds(state.withLock(\.drainSeconds)) }

  func set(access: Access, drainSeconds: Int) {
    state.withLock { state in
      state.access = access
      state.drainSeconds = drainSeconds
    }
  }
}
