import TestSupport

/// A secret that was made up, and where it would stand.
struct Planted {
  /// As it would be written.
  var text: String
  /// The part that must be kept from others, where that is not all.
  var value: String
  /// Of the variable or field that holds it.
  var name: String

  init(_ text: String, value: String? = nil, name: String = "value") {
    self.text = text
    self.value = value ?? text
    self.name = name
  }
}

/// Makers of secrets by what their issuers say of their form; written without a look at the rules.
struct PlantedKind: Sendable {
  let rule: String
  let make: @Sendable (inout Seeded) -> Planted

  init(_ rule: String, _ make: @escaping @Sendable (inout Seeded) -> Planted) {
    self.rule = rule
    self.make = make
  }
}

enum Letters {
  static let digits = "0123456789"
  static let lower = "abcdefghijklmnopqrstuvwxyz"
  static let upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
  static let hex = digits + "abcdef"
  static let word = digits + lower + upper
  static let base64 = word + "+/"
  static let url = word + "-_"
}

extension Seeded {
  mutating func text(_ count: Int, _ letters: String = Letters.word) -> String {
    let letters = Array(letters)
    return String((0..<count).map { _ in letters[Int.random(in: letters.indices, using: &self)] })
  }

  mutating func text(_ counts: ClosedRange<Int>, _ letters: String = Letters.word) -> String {
    text(Int.random(in: counts, using: &self), letters)
  }

  mutating func uuid() -> String { [8, 4, 4, 4, 12].map { text($0, Letters.hex) }.joined(separator: "-") }

  mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }
}

/// Base64 as `base64(1)` writes it, and CRC-32 from its definition over polynomials: the tests' own.
enum Encodings {
  static func base64(_ bytes: [UInt8], url: Bool = false) -> String {
    let letters = Array(Letters.upper + Letters.lower + Letters.digits + (url ? "-_" : "+/"))
    var text = ""
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
      for index in 0...group.count { text.append(letters[bits >> (18 - 6 * index) & 63]) }
      if !url { text += String(repeating: "=", count: 3 - group.count) }
    }
    return text
  }

  static func crc32(_ text: String) -> UInt32 {
    var remainder: UInt64 = 0
    let message = text.utf8.enumerated().map { $0.offset < 4 ? $0.element ^ 0xff : $0.element } + [0, 0, 0, 0]
    for byte in message {
      for bit in 0..<8 {
        remainder = remainder << 1 | UInt64(byte >> UInt8(bit) & 1)
        if remainder >> 32 & 1 == 1 { remainder ^= 0x1_04c1_1db7 }
      }
    }
    var reflected: UInt32 = 0
    for bit in 0..<32 where remainder >> UInt64(bit) & 1 == 1 { reflected |= 1 << UInt32(31 - bit) }
    return ~reflected
  }

  static func base62(_ number: UInt32) -> String {
    let letters = Array(Letters.digits + Letters.upper + Letters.lower)
    var text = ""
    var rest = number
    for _ in 0..<6 {
      text = String(letters[Int(rest % 62)]) + text
      rest /= 62
    }
    return text
  }

  /// BIP 173.
  static func bech32(_ prefix: String, _ digits: [UInt8]) -> String {
    let letters = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l")
    let generators: [Int] = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
    let head = prefix.utf8.map { Int($0) >> 5 } + [0] + prefix.utf8.map { Int($0) & 31 }
    var sum = 1
    for digit in head + digits.map(Int.init) + Array(repeating: 0, count: 6) {
      let top = sum >> 25
      sum = (sum & 0x1ffffff) << 5 ^ digit
      for (bit, generator) in generators.enumerated() where top >> bit & 1 == 1 { sum ^= generator }
    }
    sum ^= 1
    let check = (0..<6).map { letters[sum >> (5 * (5 - $0)) & 31] }
    return prefix + "1" + String(digits.map { letters[Int($0)] } + check)
  }

  static func jwt(_ payload: String, _ random: inout Seeded) -> String {
    let parts = [#"{"alg":"RS256","kid":"\#(random.text(20))","typ":"JWT"}"#, payload].map {
      base64(Array($0.utf8), url: true)
    }
    return parts.joined(separator: ".") + "." + random.text(86, Letters.url)
  }

  static func pem(_ label: String, _ random: inout Seeded, bytes: Int = 600, headers: String = "") -> String {
    let body = Array(base64(random.bytes(bytes)))
    let lines = stride(from: 0, to: body.count, by: 64).map { String(body[$0..<min($0 + 64, body.count)]) }
    return (["-----BEGIN \(label)-----"] + (headers.isEmpty ? [] : [headers, ""]) + lines + ["-----END \(label)-----"])
      .joined(separator: "\n")
  }
}
