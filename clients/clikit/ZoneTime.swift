import Model
import Zones

/// An instant as the clocks of a time zone show it. Where the zone is not known here, or is UTC, that is UTC alone.
package struct ZoneTime: Sendable {
  /// As the database names it; empty where that is not known.
  package let zone: String
  private let utc: Model.Timestamp
  /// What clocks show, as if they showed UTC.
  private let shown: Model.Timestamp
  private let offset: Int64

  /// `zone` is a name of the database; empty for this computer's own, as `TZ` or `/etc/localtime` say.
  package init(seconds: Int64, zone name: String, database: ZoneDatabase = .system) {
    // A daemon may know a zone that its client does not; the time in UTC is right all the same.
    let zone = (try? database.zone(name)) ?? .utc
    self.zone = zone.name
    utc = Model.Timestamp(seconds: seconds)
    offset = zone.offset(at: seconds)
    shown = utc.advanced(bySeconds: offset)
  }

  /// `2026-03-29 03:00:00 +02:00 (2026-03-29 01:00:00Z)`
  package var long: String {
    let utc = Self.spaced(utc)
    return offset == 0 ? utc : "\(Self.spaced(shown).dropLast()) \(offsetText) (\(utc))"
  }

  /// `2026-03-29 03:00 +02:00 (01:00Z)`
  package var short: String {
    let utc = Self.spaced(utc).dropLast(4)
    return offset == 0 ? "\(utc)Z" : "\(Self.spaced(shown).dropLast(4)) \(offsetText) (\(utc.suffix(5))Z)"
  }

  private static func spaced(_ time: Model.Timestamp) -> String { time.description.replacing("T", with: " ") }

  /// In minutes: no clock has had seconds of its own for long.
  private var offsetText: String {
    let minutes = abs(offset) / 60
    func padded(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(offset < 0 ? "-" : "+")\(padded(minutes / 60)):\(padded(minutes % 60))"
  }
}
