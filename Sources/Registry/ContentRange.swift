/// The header `Content-Range` of a partial answer: "bytes 100-199/200".
struct ContentRange: Equatable {
  let first: Int64
  let last: Int64
  /// Nil when it was not told ("*").
  let total: Int64?

  /// Nil when it is not of that form, or says what cannot be.
  init?(_ text: String) {
    guard text.utf8.count <= 128 else { return nil }
    let words = text.split(separator: " ")
    guard words.count == 2, words[0].lowercased() == "bytes" else { return nil }
    let sides = words[1].split(separator: "/", omittingEmptySubsequences: false)
    let ends = (sides.first ?? "").split(separator: "-", omittingEmptySubsequences: false)
    guard sides.count == 2, ends.count == 2, let first = Self.number(ends[0]), let last = Self.number(ends[1]),
      first <= last
    else { return nil }
    let total = Self.number(sides[1])
    guard sides[1] == "*" || (total ?? 0) > last else { return nil }
    self.first = first
    self.last = last
    self.total = total
  }

  private static func number(_ text: Substring) -> Int64? {
    text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int64(text) : nil
  }
}
