import ProtobufRuntime
import TidewaiterClient

/// Values as people read them.
package enum People {
  /// `2025-01-31 12:00:00Z`; empty for none.
  static func time(_ timestamp: Timestamp?) -> String {
    guard case .string(let text) = timestamp?.json else { return "" }
    return text.replacing("T", with: " ")
  }

  /// `512 B`, `1.5 KiB`, `64 GiB`.
  package static func size(_ bytes: UInt64) -> String {
    guard bytes >= 1024 else { return "\(bytes) B" }
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var tenths = bytes / 1024 * 10 + bytes % 1024 * 10 / 1024
    var unit = 0
    while tenths >= 10_240 && unit < units.count - 1 {
      tenths /= 1024
      unit += 1
    }
    let fraction = tenths % 10 == 0 ? "" : ".\(tenths % 10)"
    return "\(tenths / 10)\(fraction) \(units[unit])"
  }

  /// `1 job`, `12 jobs`.
  static func jobs(_ count: UInt64) -> String { count == 1 ? "1 job" : "\(count) jobs" }

  /// `0.52`, `7.6`, `120`: three digits at most before they become whole.
  package static func decimal(_ number: Double) -> String {
    guard number.isFinite, number >= 0, number < 1e15 else { return "-" }
    let factor = number < 1 ? 100.0 : number < 100 ? 10 : 1
    let rounded = (number * factor).rounded()
    let (whole, rest) = Int(rounded).quotientAndRemainder(dividingBy: Int(factor))
    if rest == 0 { return String(whole) }
    if factor == 100 && rest % 10 != 0 { return rest < 10 ? "\(whole).0\(rest)" : "\(whole).\(rest)" }
    return "\(whole).\(factor == 100 ? rest / 10 : rest)"
  }

  static func name(_ state: JobState) -> String { state.name.replacing("_", with: " ") }

  /// The first twelve digits of a digest; the text itself when it is none.
  package static func shortDigest(_ digest: String) -> String {
    guard let colon = digest.firstIndex(of: ":") else { return digest }
    return String(digest[digest.index(after: colon)...].prefix(12))
  }

  /// A reference without its digest where a tag names it already.
  package static func shortReference(_ reference: String) -> String {
    guard let at = reference.lastIndex(of: "@") else { return reference }
    let named = reference[..<at]
    let lastPart = named.lastIndex(of: "/").map { named[$0...] } ?? named
    return lastPart.contains(":") ? String(named) : reference
  }

  static func colour(_ state: JobState) -> Colour? {
    switch state {
    case .finished: .green
    case .error: .red
    case .cancelled: .yellow
    case .inProgress, .parsingResults: .cyan
    default: nil
    }
  }

  static func colour(_ severity: Severity) -> Colour? {
    switch severity {
    case .critical: .boldRed
    case .high: .red
    case .medium: .yellow
    case .low: .cyan
    default: .dim
    }
  }

  /// `1 critical, 2 high`; `none` when all are zero.
  static func counts(_ counts: SeverityCounts?) -> String {
    guard let counts else { return "none" }
    let named = [
      (counts.critical, "critical"), (counts.high, "high"), (counts.medium, "medium"), (counts.low, "low"),
      (counts.unknown, "unknown"),
    ]
    let parts = named.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
    return parts.isEmpty ? "none" : parts.joined(separator: ", ")
  }
}
