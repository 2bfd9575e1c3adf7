import Logging
import Synchronization

/// What happened, by name: what a test waits for instead of sleeping.
package final class Events: Sendable {
  private struct State {
    var counts: [String: Int] = [:]
    var waiters: [Waiter] = []
    var lastID: UInt64 = 0
  }

  private struct Waiter {
    let id: UInt64
    let name: String
    let count: Int
    let continuation: CheckedContinuation<Void, Never>
  }

  private let state = Mutex(State())

  package init() {}

  package func record(_ name: String) {
    let ready = state.withLock { state in
      state.counts[name, default: 0] += 1
      let count = state.counts[name, default: 0]
      let ready = state.waiters.filter { $0.name == name && $0.count <= count }
      state.waiters.removeAll { $0.name == name && $0.count <= count }
      return ready.map(\.continuation)
    }
    for waiter in ready { waiter.resume() }
  }

  /// Everything that was recorded, each name once.
  package var names: Set<String> { state.withLock { Set($0.counts.keys) } }

  package func count(_ name: String) -> Int { state.withLock { $0.counts[name, default: 0] } }

  /// Returns when `name` has happened `count` times in all; also when the test was given up by then, which it says.
  package func wait(for name: String, count: Int = 1) async {
    let id = state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state -> Bool in
          if state.counts[name, default: 0] >= count || Task.isCancelled { return true }
          state.waiters.append(Waiter(id: id, name: name, count: count, continuation: continuation))
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      let waiter = state.withLock { state in
        state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
      }
      if waiter != nil { print("given up: \(count) of \"\(name)\" did not come; there were \(names.sorted())") }
      waiter?.continuation.resume()
    }
  }

  /// A logger whose messages are events.
  package var logger: Logger {
    Logger(label: "test") { _ in EventHandler(events: self) }
  }
}

private struct EventHandler: LogHandler {
  let events: Events
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.trace

  init(events: Events) { self.events = events }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) { events.record("\(event.message)") }
}
