import Posix
import Synchronization

/// Replaces what must not be seen in texts that a registry had a hand in: it may echo the header it was sent, whole, in
/// JSON's spelling, or so that our own cutting leaves its beginning.
struct Redactor: Sendable {
  private static let mark = Array("[redacted]".utf8)
  /// Shorter secrets are not searched for in our own sentences, which hold every letter there is.
  private static let needleBytesMin = 4
  /// How much of a secret before a cut counts as the secret.
  private static let headBytesMin = 8
  private static let cut = Array("…".utf8)

  /// Made when there is something to redact, which of most answers there is not.
  private final class Needles: Sendable {
    private let secrets: @Sendable () -> [Secret]
    private let made = Mutex<[[UInt8]]?>(nil)

    init(_ secrets: @escaping @Sendable () -> [Secret]) { self.secrets = secrets }

    /// The longest first: one may be part of another.
    var all: [[UInt8]] {
      made.withLock { made in
        if let made { return made }
        let spellings = secrets().filter { !$0.isEmpty }.flatMap { secret in
          let text = secret.revealed
          let inJSON = text.split(separator: "/", omittingEmptySubsequences: false).joined(separator: "\\/")
          return [text, inJSON, ForeignText.escaped(text, lengthMax: .max)].map { Array($0.utf8) }
        }
        let new = Set(spellings).sorted { $0.count > $1.count }
        made = new
        return new
      }
    }
  }

  private let needles: Needles

  init(_ secrets: @escaping @autoclosure @Sendable () -> [Secret]) { needles = Needles(secrets) }

  /// For a message of ours with foreign words in it.
  func redact(_ text: String) -> String { redact(text, isForeign: false) }

  /// For foreign words alone: with a secret of a few letters in them, nothing is left of them.
  func redactForeign(_ text: String) -> String { redact(text, isForeign: true) }

  private func redact(_ text: String, isForeign: Bool) -> String {
    var bytes = Array(text.utf8)
    for pattern in needles.all {
      if pattern.count < Self.needleBytesMin {
        if isForeign, Self.first(of: pattern, in: bytes[...]) != nil { return "[redacted]" }
      } else {
        bytes = Self.replacingHeads(of: pattern, in: Self.replacing(pattern, in: bytes))
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func replacing(_ pattern: [UInt8], in text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    var rest = text[...]
    while let start = first(of: pattern, in: rest) {
      result += rest[..<start] + mark
      rest = rest[(start + pattern.count)...]
    }
    return result + rest
  }

  /// Replaces the beginning of `pattern` where it stands before "…".
  private static func replacingHeads(of pattern: [UInt8], in text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    var rest = text[...]
    while let end = first(of: cut, in: rest) {
      let before = rest[..<end]
      let longest = min(pattern.count, before.count)
      let head = stride(from: longest, through: headBytesMin, by: -1).first {
        before.suffix($0).elementsEqual(pattern.prefix($0))
      }
      result += before.dropLast(head ?? 0) + (head == nil ? [] : mark) + cut
      rest = rest[(end + cut.count)...]
    }
    return result + rest
  }

  private static func first(of pattern: [UInt8], in text: ArraySlice<UInt8>) -> Int? {
    guard text.count >= pattern.count else { return nil }
    return (text.startIndex...(text.endIndex - pattern.count)).first { start in
      text[start] == pattern[0] && text[start..<(start + pattern.count)].elementsEqual(pattern)
    }
  }
}
