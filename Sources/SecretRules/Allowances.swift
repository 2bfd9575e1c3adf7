/// Values that have the form of a secret and are none: what documents show, and what is to be filled in.
package enum Allowances {
  /// Whether a text is in place of a value.
  package static func isPlaceholder(_ value: UnsafeRawBufferPointer) -> Bool {
    holdsExample(value) || isReference(value) || isCommonWord(value) || repeats(value)
  }

  /// Parts of values that vendors' documents show. Long enough that chance does not make them.
  private static let examples: [StaticString] = [
    "example", "placeholder", "changeme", "change-me", "change_me", "redacted", "xxxxx", "*****", ".....", "insert",
    "dummy",
    "your-", "your_", "yourto", "yourpa", "yourse", "yourap", "yourac", "replace", "notreal", "not-a-real",
    "0123456789",
    "123456789", "abcdefgh", "00000000", "ffffffff", "deadbeef", "qwertyui", "foobar", "lorem",
  ]

  package static func holdsExample(_ value: UnsafeRawBufferPointer) -> Bool {
    examples.contains { example in
      example.withUTF8Buffer { example in
        guard value.count >= example.count else { return false }
        return (0...(value.count - example.count)).contains { start in
          var index = 0
          while index < example.count && value[start + index].asciiLowercased == example[index] { index += 1 }
          return index == example.count
        }
      }
    }
  }

  /// A variable, a template's field, or an element of markup.
  private static func isReference(_ value: UnsafeRawBufferPointer) -> Bool {
    guard let first = value.first, let last = value.last else { return true }
    switch first {
    case UInt8(ascii: "$"), UInt8(ascii: "<"), UInt8(ascii: "{"), UInt8(ascii: "%"), UInt8(ascii: "&"),
      UInt8(ascii: "@"),
      UInt8(ascii: "["), UInt8(ascii: "("), UInt8(ascii: "!"), UInt8(ascii: "#"):
      // What is random begins with these too, but has no end to them.
      if first == UInt8(ascii: "!") || first == UInt8(ascii: "#") || first == UInt8(ascii: "@")
        || first == UInt8(ascii: "&")
      {
        return isWord(value.dropFirst())
      }
      return first != UInt8(ascii: "$") || last == UInt8(ascii: "}") || last == UInt8(ascii: ")")
        || isWord(value.dropFirst())
    default: break
    }
    for index in value.indices.dropLast() {
      let next = value[index + 1]
      switch value[index] {
      case UInt8(ascii: "$") where next == UInt8(ascii: "{") || next == UInt8(ascii: "("): return true
      case UInt8(ascii: "{") where next == UInt8(ascii: "{"): return true
      case UInt8(ascii: "%") where next == UInt8(ascii: "(") || next == UInt8(ascii: "s"): return true
      default: break
      }
    }
    return false
  }

  private static func isWord(_ bytes: Slice<UnsafeRawBufferPointer>) -> Bool {
    bytes.allSatisfy { ByteSet.identifier.contains($0) && !(0x30...0x39).contains($0) }
  }

  private static let commonWords: Set<[UInt8]> = Set(
    [
      "password", "passwd", "pass", "pwd", "secret", "token", "none", "null", "nil", "true", "false", "undefined",
      "test",
      "testing", "tests", "admin", "root", "user", "username", "guest", "default", "foo", "bar", "baz", "sample",
      "hunter2",
      "mypassword", "my-password", "mysecret", "my-secret", "yourpassword", "your-password", "unknown", "empty",
      "string",
      "optional", "required", "apikey", "api_key", "api-key", "postgres", "mysql", "mongo", "redis", "rabbitmq",
      "p@ssw0rd",
      "passw0rd", "password1", "password123", "secret123", "letmein", "s3cr3t", "s3cret", "test123", "test1234",
      "pass123",
      "pass1234", "pw", "qwerty", "abc123", "12345", "123456", "1234567", "12345678", "tiger", "scott", "toor",
      "welcome",
      "geheim",
    ].map { Array($0.utf8) })

  private static func isCommonWord(_ value: UnsafeRawBufferPointer) -> Bool {
    value.count <= 16 && commonWords.contains(value.map(\.asciiLowercased))
  }

  /// One or two characters over and over.
  private static func repeats(_ value: UnsafeRawBufferPointer) -> Bool {
    var seen = ByteSet()
    var distinct = 0
    for byte in value where !seen.contains(byte) {
      seen.insert(byte)
      distinct += 1
      if distinct > 3 { return false }
    }
    return true
  }
}
