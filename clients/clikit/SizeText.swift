/// Numbers of bytes as people write them on the command line.
package enum SizeText {
  private static let units: [String: UInt64] = [
    "": 1, "b": 1,
    "kb": 1_000, "mb": 1_000_000, "gb": 1_000_000_000, "tb": 1_000_000_000_000, "pb": 1_000_000_000_000_000,
    "eb": 1_000_000_000_000_000_000,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "pib": 1 << 50, "eib": 1 << 60,
  ]

  /// A whole number with or without a unit (`20GiB`, `500MB`, `1048576`); 0 for `none`.
  package static func parse(_ text: String) throws(MalformedText) -> UInt64 {
    if text == "none" { return 0 }
    let digits = text.prefix { "0123456789".contains($0) }
    guard !digits.isEmpty else { throw MalformedText("write a whole number and a unit, such as 20GiB or 500MB") }
    let unit = text[digits.endIndex...]
    guard let factor = units[unit.lowercased()] else {
      throw MalformedText("\"\(unit)\" is no unit of size: use KiB, MiB, GiB, TiB, or kB, MB, GB, TB")
    }
    guard let number = UInt64(digits), case let (bytes, false) = number.multipliedReportingOverflow(by: factor) else {
      throw MalformedText("the number is too large")
    }
    return bytes
  }
}
