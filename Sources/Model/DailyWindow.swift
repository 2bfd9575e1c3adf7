/// Hours of every day, as people write them: `22:00-06:00`. One that ends before it begins goes over midnight.
package struct DailyWindow: Sendable, Hashable {
  /// Minutes after midnight.
  package let start: Int
  /// Minutes after midnight; the first that is outside again.
  package let end: Int

  /// Nil for a text of another form, an hour that no day has, and a window without length.
  package init?(_ text: String) {
    let times = text.split(separator: "-", omittingEmptySubsequences: false).map(Self.minutes)
    guard times.count == 2, let start = times[0], let end = times[1], start != end else { return nil }
    self.start = start
    self.end = end
  }

  private static func minutes(_ text: Substring) -> Int? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, parts.allSatisfy({ $0.utf8.count == 2 && $0.allSatisfy { ("0"..."9").contains($0) } }),
      let hour = Int(parts[0]), let minute = Int(parts[1]), hour < 24, minute < 60
    else { return nil }
    return hour * 60 + minute
  }
}
