import Logging
import Synchronization

/// How and how much is logged, for all loggers at once; a reload changes it.
package final class LogSettings: Sendable {
  private struct State {
    var level: Logger.Level
    var format: Configuration.LogFormat
  }

  private let state: Mutex<State>

  package init(level: Configuration.LogLevel, format: Configuration.LogFormat) {
    state = Mutex(State(level: level.level, format: format))
  }

  var level: Logger.Level { state.withLock(\.level) }
  var format: Configuration.LogFormat { state.withLock(\.format) }

  func set(level: Configuration.LogLevel, format: Configuration.LogFormat) {
    state.withLock { $0 = State(level: level.level, format: format) }
  }
}

extension Configuration.LogLevel {
  fileprivate var level: Logger.Level {
    switch self {
    case .debug: .debug
    case .info: .info
    case .warning: .warning
    case .error: .error
    }
  }
}
