import Model
import Posix

extension Timestamp {
  /// This machine's clock.
  static var now: Timestamp { Timestamp(nanosecondsSince1970: WallClock.system.now) }

  /// Seconds since 1970 with a fraction, as AWS writes times; nil for what is no moment.
  init?(unixSeconds: Double) {
    guard unixSeconds.isFinite, abs(unixSeconds) < 1e12 else { return nil }
    let whole = unixSeconds.rounded(.down)
    self.init(seconds: Int64(whole), nanoseconds: Int32((unixSeconds - whole) * 1e9))
  }
}
