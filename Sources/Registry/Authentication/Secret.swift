import CCrypto

/// Bytes nobody may see: every way of printing it gives "[redacted]", and the memory is wiped when the last copy goes.
package struct Secret: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  /// Unchecked because of the pointer: the bytes are written in `init`, before anybody else can hold the object, and
  /// wiped in `deinit`, when nobody does.
  private final class Storage: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer

    init(_ text: some Collection<UInt8>) {
      bytes = .allocate(byteCount: text.count, alignment: 1)
      bytes.copyBytes(from: text)
    }

    deinit {
      if let base = bytes.baseAddress { OPENSSL_cleanse(base, bytes.count) }
      bytes.deallocate()
    }
  }

  private let storage: Storage

  package init(_ text: String) { storage = Storage(text.utf8) }

  package init(_ bytes: [UInt8]) { storage = Storage(bytes) }

  /// The secret itself: for a header that is about to be sent, or for sealing. Copies live as long as the caller's.
  package var revealed: String { String(decoding: storage.bytes, as: UTF8.self) }

  package var isEmpty: Bool { storage.bytes.isEmpty }

  package static func == (one: Secret, other: Secret) -> Bool {
    one.storage.bytes.elementsEqual(other.storage.bytes)
  }

  package func hash(into hasher: inout Hasher) { hasher.combine(bytes: UnsafeRawBufferPointer(storage.bytes)) }

  package var description: String { "[redacted]" }
  package var debugDescription: String { "[redacted]" }
  package var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// Replaces what must not be seen in texts that a registry had a hand in: it may echo the header it was sent.
struct Redactor: Sendable {
  private let needles: [Secret]

  init(_ secrets: [Secret]) {
    // JSON may write a slash as "\/"; an echo in that form must not slip through.
    needles = secrets.filter { !$0.isEmpty }.flatMap { secret in
      let escaped = secret.revealed.split(separator: "/", omittingEmptySubsequences: false).joined(separator: "\\/")
      return [secret, Secret(escaped)]
    }
  }

  func redact(_ text: String) -> String {
    var bytes = Array(text.utf8)
    for needle in needles {
      let pattern = Array(needle.revealed.utf8)
      guard Self.first(of: pattern, in: bytes[...]) != nil else { continue }
      // Replacing a secret of a few letters would tell which letters it has.
      guard pattern.count >= 4 else { return "[redacted]" }
      var result: [UInt8] = []
      var rest = bytes[...]
      while let start = Self.first(of: pattern, in: rest) {
        result += rest[..<start] + Array("[redacted]".utf8)
        rest = rest[(start + pattern.count)...]
      }
      bytes = result + rest
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func first(of pattern: [UInt8], in text: ArraySlice<UInt8>) -> Int? {
    guard text.count >= pattern.count else { return nil }
    return (text.startIndex...(text.endIndex - pattern.count)).first { start in
      text[start] == pattern[0] && text[start..<(start + pattern.count)].elementsEqual(pattern)
    }
  }
}
