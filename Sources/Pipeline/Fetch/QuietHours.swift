import Model
import Zones

/// The hours of every day in which an integration's scans do not start by themselves; what a person asks for starts all the
/// same. They are what the node's clocks show: where clocks are set back over the end of the window, it is quiet again until
/// they show the end a second time, and an end that clocks skip is when they skip it.
struct QuietHours: Sendable, Equatable {
  private static let day: Int64 = 86_400

  let window: DailyWindow

  /// Whether clocks that show `time`, in seconds, are within the window.
  private func contains(_ time: Int64) -> Bool {
    let minute = Int((((time % Self.day) + Self.day) % Self.day) / 60)
    return window.start < window.end
      ? (window.start..<window.end).contains(minute) : minute >= window.start || minute < window.end
  }

  /// The first second after the window that `instant` is in; nil when it is in none. Seconds since 1970.
  func end(at instant: Int64, in zone: Zone) -> Int64? {
    var instant = instant
    var end: Int64?
    // A change of the clocks within the window leads to one more round: far fewer than these even where they change daily.
    for _ in 0..<8 {
      let span = zone.span(at: instant)
      let shown = instant + span.offset
      guard contains(shown) else { return end }
      let midnight = shown - ((shown % Self.day) + Self.day) % Self.day
      let endToday = midnight + Int64(window.end) * 60
      let shownAtEnd = endToday > shown ? endToday : endToday + Self.day
      instant = min(shownAtEnd - span.offset, span.end)
      end = instant
    }
    return end
  }
}
