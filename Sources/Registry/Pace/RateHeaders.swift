import CCurl

/// What the headers of an answer say of the registry's patience. Every vendor has its own spelling.
struct RateHeaders: Sendable, Equatable {
  /// Larger numbers are moments since 1970, smaller ones seconds from now.
  private static let epochMin: Int64 = 100_000_000

  private(set) var limit: Int64?
  private(set) var remaining: Int64?
  private(set) var window: Duration?
  /// From now; not bounded.
  private(set) var resetsIn: Duration?
  /// How long to wait, held between a second and an hour; nil when nothing readable was said.
  private(set) var retryAfter: Duration?

  /// How long to ask for nothing: what was asked for, or until the end of a period of which nothing is left.
  var wait: Duration? { retryAfter ?? emptyFor }

  /// Until the end of a period of which nothing is left; nil where something is, or the end was not told.
  var emptyFor: Duration? { remaining == 0 ? resetsIn.map(Self.bounded) : nil }

  /// Whether anything of a budget was told.
  var isBudget: Bool { limit != nil || remaining != nil || resetsIn != nil }

  init(_ headers: HTTPHeaders, now: Int64) {
    guard headers.hasName(beginningWith: ["ratelimit", "x-ratelimit", "retry-after", "x-retry-after"]) else { return }
    retryAfter =
      headers["retry-after"].flatMap { Self.retryAfter($0, now: now) }
      ?? headers["x-retry-after"].flatMap { Self.moment($0, now: now) }.map(Self.bounded)
    for (name, prefix) in [("ratelimit", "ratelimit-"), ("x-ratelimit", "x-ratelimit-")] where !isBudget {
      if let combined = headers[name] { readCombined(combined, now: now) }
      let policy = Self.tightest(headers.all(prefix + "remaining"))
      remaining = policy?.count ?? remaining
      let ceiling = Self.tightest(headers.all(prefix + "limit"))
      limit = ceiling?.count ?? limit
      window = (policy?.window ?? ceiling?.window).map { .seconds($0) } ?? window
      resetsIn = headers[prefix + "reset"].flatMap { Self.moment($0, now: now) } ?? resetsIn
    }
  }

  /// `Retry-After` in seconds or as a date.
  static func retryAfter(_ text: String, now: Int64) -> Duration? {
    if let seconds = number(text.hasPrefix("-") ? text.dropFirst() : text[...]) {
      return bounded(.seconds(text.hasPrefix("-") ? 0 : seconds))
    }
    let date = text.utf8.count <= 64 ? curl_getdate(text, nil) : -1
    return date >= 0 ? bounded(.seconds(Int64(date) - now)) : nil
  }

  static func bounded(_ wait: Duration) -> Duration {
    min(max(wait, RateLimiter.throttleMin), RateLimiter.throttleMax)
  }

  /// "limit=100, remaining=50, reset=30", or "policy";r=50;t=30.
  private mutating func readCombined(_ text: String, now: Int64) {
    guard text.utf8.count <= 1024 else { return }
    for part in text.split(whereSeparator: { $0 == "," || $0 == ";" }) {
      let sides = part.split(separator: "=", maxSplits: 1).map { LinkHeader.trimmed($0) }
      guard sides.count == 2 else { continue }
      switch sides[0].lowercased() {
      case "limit", "q": limit = Self.number(sides[1][...])
      case "remaining", "r": remaining = Self.number(sides[1][...])
      case "reset", "t": resetsIn = Self.moment(sides[1], now: now)
      default: break
      }
    }
  }

  /// Of "76;w=21600, 5;w=60" the lowest.
  private static func tightest(_ headers: [String]) -> (count: Int64, window: Int64?)? {
    headers.filter { $0.utf8.count <= 1024 }.flatMap { $0.split(separator: ",") }.compactMap { item in
      let parts = item.split(separator: ";").map { LinkHeader.trimmed($0) }
      guard let count = parts.first.flatMap({ number($0[...]) }) else { return nil }
      return (count, parts.first { $0.hasPrefix("w=") }.flatMap { number($0.dropFirst(2)) })
    }.min { $0.count < $1.count }
  }

  private static func moment(_ text: String, now: Int64) -> Duration? {
    number(text[...]).map { .seconds(max(0, $0 >= epochMin ? $0 - now : $0)) }
  }

  /// Digits alone; more than fit are a great number.
  private static func number(_ text: Substring) -> Int64? {
    guard !text.isEmpty, text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
      return nil
    }
    return min(Int64(text) ?? .max, 1 << 40)
  }
}
