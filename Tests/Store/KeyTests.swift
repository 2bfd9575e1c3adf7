import Store
import TestSupport
import Testing

@testable import struct Store.KeyReader

@Suite("Keys and scans") struct KeyTests {
  /// Texts as they come from registries and people, ordered by their bytes; none holds a NUL.
  private static func text(_ generator: inout some RandomNumberGenerator) -> String {
    let alphabet = ["a", "b", "z", "/", "-", "\u{1}", "\u{7f}", "ä", "語", "😀", " "]
    return (0..<Int.random(in: 0...4, using: &generator)).map { _ in alphabet.randomElement(using: &generator) ?? "" }
      .joined()
  }

  private static func number(_ generator: inout some RandomNumberGenerator) -> UInt64 {
    let edges: [UInt64] = [0, 1, 255, 256, 1 << 32, .max - 1, .max]
    return edges.randomElement(using: &generator) ?? 0
  }

  private func encode(_ key: some TableKey) -> [UInt8] {
    var writer = KeyWriter()
    key.encode(into: &writer)
    return writer.bytes
  }

  private func decode<K: TableKey>(_: K.Type, _ bytes: [UInt8]) -> K? {
    bytes.withUnsafeBytes { buffer in
      var reader = KeyReader(buffer)
      return K(from: &reader)
    }
  }

  /// Checks for many random keys that they read back and that their bytes sort as their parts do.
  private func check<K: TableKey & Equatable>(
    _ make: (inout SystemRandomNumberGenerator) -> K, parts: (K) -> [[UInt8]]
  ) {
    var generator = SystemRandomNumberGenerator()
    let keys = (0..<300).map { _ in make(&generator) }
    for key in keys {
      #expect(decode(K.self, encode(key)) == key)
      for other in keys {
        let typed = parts(key).lexicographicallyPrecedes(parts(other)) { $0.lexicographicallyPrecedes($1) }
        let encoded = encode(key).lexicographicallyPrecedes(encode(other))
        #expect(typed == encoded, "\(key) and \(other)")
      }
    }
    for key in keys.prefix(20) {
      // A key cut anywhere does not read as a different complete one of the same length.
      for length in 0..<encode(key).count {
        let cut = Array(encode(key)[..<length])
        if let read = decode(K.self, cut) { #expect(encode(read) == cut) }
      }
    }
  }

  private func bytes(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

  @Test("bytes of keys sort as the keys' parts do, and read back: numbers and texts") func plain() {
    check {
      Self.number(&$0)
    } parts: {
      [bytes($0)]
    }
    check {
      Self.text(&$0)
    } parts: {
      [Array($0.utf8)]
    }
  }

  @Test("bytes of keys sort as the keys' parts do, and read back: the store's own tables") func composite() {
    check {
      SecretKey(integration: Self.number(&$0), field: Self.text(&$0))
    } parts: {
      [bytes($0.integration), Array($0.field.utf8)]
    }
    check {
      ImageKey(integration: Self.number(&$0), repository: Self.text(&$0), digest: Self.text(&$0))
    } parts: {
      [bytes($0.integration), Array($0.repository.utf8), Array($0.digest.utf8)]
    }
    check {
      TagKey(integration: Self.number(&$0), repository: Self.text(&$0), tag: Self.text(&$0))
    } parts: {
      [bytes($0.integration), Array($0.repository.utf8), Array($0.tag.utf8)]
    }
    check {
      let image = ImageKey(integration: Self.number(&$0), repository: Self.text(&$0), digest: Self.text(&$0))
      return ReportKey(image: image, platform: Self.text(&$0))
    } parts: {
      [
        bytes($0.image.integration), Array($0.image.repository.utf8), Array($0.image.digest.utf8),
        Array($0.platform.utf8),
      ]
    }
    check {
      LayerKey(analyserVersion: Self.number(&$0), digest: Self.text(&$0))
    } parts: {
      [bytes($0.analyserVersion), Array($0.digest.utf8)]
    }
    check {
      ConfirmationKey(
        integration: Self.number(&$0), generation: Self.number(&$0), repository: Self.text(&$0), digest: Self.text(&$0))
    } parts: {
      [bytes($0.integration), bytes($0.generation), Array($0.repository.utf8), Array($0.digest.utf8)]
    }
    check {
      PollKey(integration: Self.number(&$0), poll: Self.number(&$0))
    } parts: {
      [bytes($0.integration), bytes($0.poll)]
    }
  }

  @Test("the longest names a registry allows fit into a key") func lengths() {
    let image = ImageKey(
      integration: 1, repository: String(repeating: "r", count: 255),
      digest: "sha512:" + String(repeating: "0", count: 128))
    #expect(encode(ReportKey(image: image, platform: "linux/arm64/v8")).count <= 511)
    #expect(
      encode(ConfirmationKey(integration: 1, generation: 1, repository: image.repository, digest: image.digest)).count
        <= 511)
  }

  @Test("scans: from the start, from a key, backwards, by prefix, stopped") func scans() async throws {
    let scratch = try TemporaryDirectory()
    let environment = try Environment(scratch)
    defer { environment.close() }
    var generator = SystemRandomNumberGenerator()
    let keys = Set((0..<500).map { _ in Self.text(&generator) }).filter { !$0.isEmpty }
    try await environment.write { transaction in
      for key in keys { try transaction.put(names, key, UInt64(key.utf8.count)) }
    }
    let sorted = keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    func collect(_ scan: (ReadTransaction, (String, UInt64) -> Bool) throws -> Void) throws -> [String] {
      try environment.read { transaction in
        var found: [String] = []
        try scan(transaction) { key, length in
          #expect(length == UInt64(key.utf8.count))
          found.append(key)
          return true
        }
        return found
      }
    }
    #expect(try collect { try $0.scan(names, $1) } == sorted)
    #expect(try collect { try $0.scanBackwards(names, $1) } == sorted.reversed())
    for _ in 0..<100 {
      let key = Self.text(&generator)
      let utf8 = Array(key.utf8)
      #expect(
        try collect { try $0.scan(names, from: key, $1) } == sorted.filter { !$0.utf8.lexicographicallyPrecedes(utf8) })
      if !key.isEmpty {
        let below = sorted.filter { !utf8.lexicographicallyPrecedes($0.utf8) }
        #expect(try collect { try $0.scanBackwards(names, from: key, $1) } == below.reversed())
      }
      let withPrefix = sorted.filter { $0.utf8.starts(with: utf8) }
      #expect(try collect { try $0.scan(names, prefix: { $0.append(last: key) }, $1) } == withPrefix)
      if let middle = withPrefix.dropFirst(withPrefix.count / 2).first {
        #expect(
          try collect { try $0.scan(names, prefix: { $0.append(last: key) }, startingAt: middle, $1) }
            == Array(withPrefix.dropFirst(withPrefix.count / 2)))
      }
    }
    let first = try environment.read { transaction in
      var found: [String] = []
      try transaction.scan(names) { key, _ in
        found.append(key)
        return found.count < 3
      }
      return found
    }
    #expect(first == Array(sorted.prefix(3)))
  }
}
