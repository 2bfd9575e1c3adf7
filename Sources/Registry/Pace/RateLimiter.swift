import Model
import Synchronization

/// The pace of one integration, for everything that is asked of its hosts: our own limits of requests and bytes a second,
/// and what the registry says of its own. Listing and pulling go through the same one.
package final class RateLimiter: Sendable {
  /// What a registry asks us to wait is held between these.
  package static let throttleMin = Duration.seconds(1)
  package static let throttleMax = Duration.seconds(3600)
  /// Longer waits are not sat out: they fail with `RATE_LIMITED`, so that a place in the queue goes to somebody else.
  package static let patience = Duration.seconds(20)
  /// Refusals without a word of how long: doubled with each in a row.
  private static let backOffMin = Duration.seconds(2)
  private static let backOffMax = Duration.seconds(60)
  /// The same where the registry says that nothing is left.
  private static let emptyBackOffMin = Duration.seconds(60)
  private static let hostsMax = 16
  /// So much may be sent at once after a pause.
  private static let burst = Duration.milliseconds(250)

  private struct Host {
    var throttledUntil: Duration?
    var refusalsInARow = 0
    var told: RateHeaders?
    var toldAt: Timestamp?
    /// Of the last answer, to let the longest silent one go.
    var heardAt = Duration.zero
  }

  private struct State {
    var limits: RateLimits
    /// When the requests and bytes so far will have been paid for.
    var requestsPaidAt = Duration.zero
    var bytesPaidAt = Duration.zero
    var hosts: [WebAddress.Origin: Host] = [:]
    var refusals: UInt64 = 0
  }

  let clock: PacingClock
  private let state: Mutex<State>

  package init(_ limits: RateLimits = RateLimits(), clock: PacingClock = .system) {
    self.clock = clock
    state = Mutex(State(limits: limits))
  }

  /// Puts other limits of ours in force.
  package func update(_ limits: RateLimits) { state.withLock { $0.limits = limits } }

  /// The tightest budget that one of the hosts told of; nil while nothing was told and nothing refused.
  package var budget: RateBudget? {
    state.withLock { state in
      let now = clock.elapsed()
      let host = state.hosts.values.filter { $0.told != nil }.min {
        ($0.told?.remaining ?? .max) < ($1.told?.remaining ?? .max)
      }
      let throttle = state.hosts.values.compactMap(\.throttledUntil).filter { $0 > now }.max()
      guard host != nil || throttle != nil || state.refusals > 0 else { return nil }
      var budget = RateBudget()
      budget.limit = host?.told?.limit
      budget.remaining = host?.told?.remaining
      budget.window = host?.told?.window
      budget.observedAt = host?.toldAt
      if let resetsIn = host?.told?.resetsIn {
        budget.resetsAt = host?.toldAt?.advanced(bySeconds: resetsIn.components.seconds)
      }
      budget.throttledUntil = throttle.map {
        Timestamp(seconds: clock.wallSeconds()).advanced(bySeconds: ($0 - now).components.seconds)
      }
      budget.refusals = state.refusals
      return budget
    }
  }

  /// How long one of the hosts wants to be left alone; nil while none does.
  var throttle: Duration? {
    state.withLock { state in
      let now = clock.elapsed()
      return state.hosts.values.compactMap(\.throttledUntil).map { $0 - now }.filter { $0 > .zero }.max()
    }
  }

  // MARK: before a request

  /// Whether there are limits of our own.
  var hasLimits: Bool { state.withLock { $0.limits != RateLimits() } }

  /// Whether the registry wants to be left alone now.
  func isThrottled(_ origin: WebAddress.Origin) -> Bool {
    state.withLock { state in
      guard let until = state.hosts[origin]?.throttledUntil else { return false }
      return until > clock.elapsed()
    }
  }

  /// Waits until a request to this origin may go out. Throws `RATE_LIMITED` at once when the registry wants to be left
  /// alone for longer than `patience`, and `CancellationError` when cancelled.
  func admit(to origin: WebAddress.Origin) async throws {
    var slot: Duration?
    while true {
      try Task.checkCancellation()
      let wait = try state.withLock { state -> Duration in
        let now = clock.elapsed()
        let throttle = (state.hosts[origin]?.throttledUntil ?? .zero) - now
        guard throttle <= Self.patience else {
          throw RegistryError(
            .rateLimited, "\(origin) asks for no more requests for \(throttle.components.seconds) s",
            isTransient: true, retryAfter: min(throttle, Self.throttleMax))
        }
        return max(throttle, Self.slot(&slot, &state, now) - now, state.bytesPaidAt - Self.burst - now)
      }
      guard wait > .zero else { return }
      try await clock.sleep(wait)
    }
  }

  /// When our own limit of requests lets this one go: taken once, however often a throttle makes it wait after that.
  private static func slot(_ slot: inout Duration?, _ state: inout State, _ now: Duration) -> Duration {
    guard let perSecond = state.limits.requestsPerSecond else { return now }
    if let slot { return slot }
    let paidAt = max(state.requestsPaidAt, now)
    state.requestsPaidAt = paidAt + .seconds(1) / perSecond
    let taken = paidAt - burst
    slot = taken
    return taken
  }

  // MARK: after

  /// Takes note of bytes that came; how long to take no more.
  func spend(_ byteCount: Int) -> Duration {
    state.withLock { state in
      guard let perSecond = state.limits.bytesPerSecond else { return .zero }
      let now = clock.elapsed()
      state.bytesPaidAt = max(state.bytesPaidAt, now) + .seconds(Double(byteCount) / Double(perSecond))
      return max(.zero, state.bytesPaidAt - Self.burst - now)
    }
  }

  /// Takes note of what an answer says of the registry's patience.
  func note(_ response: HTTPResponse, from origin: WebAddress.Origin) {
    let wall = clock.wallSeconds()
    let headers = RateHeaders(response.headers, now: wall)
    let isThrottle = response.isThrottle
    let chance = isThrottle ? clock.random() : 0
    state.withLock { state in
      let now = clock.elapsed()
      var host = state.hosts[origin] ?? Host()
      host.heardAt = now
      if headers.isBudget {
        host.told = headers
        host.toldAt = Timestamp(seconds: wall)
      }
      if isThrottle {
        state.refusals += 1
        host.refusalsInARow += 1
      } else if response.status < 400 {
        host.refusalsInARow = 0
      }
      if let wait = Self.wait(after: isThrottle ? 429 : response.status, headers, host, chance) {
        host.throttledUntil = max(host.throttledUntil ?? .zero, now + wait)
      }
      if state.hosts[origin] == nil, state.hosts.count >= Self.hostsMax,
        let silent = state.hosts.min(by: { $0.value.heardAt < $1.value.heardAt })?.key
      {
        state.hosts[silent] = nil
      }
      state.hosts[origin] = host
    }
  }

  private static func wait(after status: Int, _ headers: RateHeaders, _ host: Host, _ chance: Double) -> Duration? {
    switch status {
    case 429:
      if let wait = headers.wait { return wait }
      let isEmpty = headers.remaining == 0
      let first = isEmpty ? emptyBackOffMin : backOffMin
      let last = isEmpty ? throttleMax : backOffMax
      return min(first * Double(1 << min(host.refusalsInARow - 1, 16)), last) * (0.75 + chance / 2)
    case 503: return headers.wait
    // What resets at a stated moment is waited for even before the first refusal.
    default: return headers.emptyFor
    }
  }

  /// Whether the same request may be sent to this origin again without a longer wait than `patience`.
  func isPatient(with origin: WebAddress.Origin) -> Bool {
    state.withLock { state in
      (state.hosts[origin]?.throttledUntil ?? .zero) - clock.elapsed() <= Self.patience
    }
  }
}
