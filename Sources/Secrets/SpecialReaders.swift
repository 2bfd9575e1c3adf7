import SecretRules

/// Readers of secrets that are no single token.
extension PatternMatcher {
  // MARK: - Keys

  struct Key {
    var match: SecretMatch
    var isEncrypted: Bool
    /// Without what only breaks its lines, so that a key is the same in a file of its own and in a string of JSON.
    var value: [UInt8]
  }

  /// Bytes of a key's body; those of 16,384 bits of RSA are 12,700.
  private static let keyBytes = 16_384
  /// A shorter body is an example: Ed25519 in PKCS #8 has 64.
  private static let keyBytesLeast = 60
  private static let headerLines = 8

  /// The key after a PEM header; `anchor` is that header.
  mutating func pem(at anchor: Range<Int>) -> Key? {
    var position = anchor.upperBound
    var value: [UInt8] = []
    var isEncrypted = false
    var headers = 0
    while value.count <= Self.keyBytes {
      let lineStart = skipLineBreak(from: position)
      let lineEnd = endOfRun(.base64, from: lineStart, atMost: Self.keyBytes)
      let isHeader =
        byte(at: lineEnd) == UInt8(ascii: ":") || byte(at: lineEnd) == UInt8(ascii: "-") && lineEnd > lineStart
      if isHeader, value.isEmpty, headers < Self.headerLines {
        // `Proc-Type: 4,ENCRYPTED`, `DEK-Info: …`, `Version: …`.
        headers += 1
        let end = endOfHeader(from: lineStart)
        isEncrypted = isEncrypted || holds("ENCRYPTED", in: lineStart..<end)
        position = end
        continue
      }
      value.append(contentsOf: bytes[lineStart..<lineEnd])
      position = endOfRun(Self.padding, from: lineEnd, atMost: 8)
      if position == lineStart { break }
    }
    // A key that the file ends in counts as well; what goes on with anything else is a text about keys.
    guard value.count >= Self.keyBytesLeast,
      position == bytes.count || starts(with: "-----END", at: position)
        || starts(with: "\"", at: position) || starts(with: "'", at: position)
    else { return nil }
    value.withUnsafeBytes { value in
      isEncrypted = isEncrypted || value.starts(with: Self.openSSHStart) && !value.starts(with: Self.openSSHPlain)
    }
    let isSound = value.withUnsafeBytes { !Allowances.holdsExample($0) && Randomness.entropy($0) >= 4.5 }
    guard isSound else { return nil }
    return Key(
      match: SecretMatch(whole: anchor.lowerBound..<position, value: anchor.upperBound..<position),
      isEncrypted: isEncrypted,
      value: value)
  }

  private static let padding: ByteSet = {
    var set = ByteSet()
    set.insert(UInt8(ascii: "="))
    return set
  }()
  /// "openssh-key-v1" and the length of a cipher's name, in base64; and the same with the cipher "none".
  private static let openSSHStart = Array("b3BlbnNzaC1rZXktdjEAAAA".utf8)
  private static let openSSHPlain = Array("b3BlbnNzaC1rZXktdjEAAAAABG5vbmU".utf8)

  /// Over line breaks and indentation, and line breaks as strings write them.
  private func skipLineBreak(from start: Int) -> Int {
    var position = start
    while position < start + 64, let next = byte(at: position) {
      if next == 0x0a || next == 0x0d || next == 0x20 || next == 0x09 {
        position += 1
      } else if next == UInt8(ascii: "\\"), let escaped = byte(at: position + 1), "nr\\".utf8.contains(escaped) {
        position += escaped == UInt8(ascii: "\\") ? 1 : 2
      } else {
        break
      }
    }
    return position
  }

  private mutating func endOfHeader(from start: Int) -> Int {
    var position = start
    while position < start + 120, let next = byte(at: position), next != 0x0a, next != UInt8(ascii: "\\") {
      position += 1
    }
    cost += position - start
    return position
  }

  private func holds(_ text: StaticString, in range: Range<Int>) -> Bool {
    range.contains { starts(with: text, at: $0) }
  }

  /// The key of a service account: the anchor is the name of its field.
  mutating func serviceAccountKey(at anchor: Range<Int>) -> Key? {
    guard let value = assignedValue(after: anchor.upperBound) else { return nil }
    let header: StaticString = "-----BEGIN PRIVATE KEY-----"
    guard starts(with: header, at: value.start) else { return nil }
    return pem(at: value.start..<(value.start + header.utf8CodeUnitCount))
  }

  /// The private lines of a PuTTY key file.
  mutating func puttyKey(at anchor: Range<Int>) -> Key? {
    let end = min(bytes.count, anchor.upperBound + Self.keyBytes)
    let marker: StaticString = "\nPrivate-Lines: "
    var isEncrypted = true
    var position = anchor.upperBound
    while position < end && !starts(with: marker, at: position) {
      if starts(with: "Encryption: none", at: position) { isEncrypted = false }
      // The next file's beginning: this one has no private part.
      if starts(with: "PuTTY-User-Key-File-", at: position) { return nil }
      position += 1
    }
    cost += position - anchor.upperBound
    guard position < end else { return nil }
    let countEnd = endOfRun(.digits, from: position + marker.utf8CodeUnitCount, atMost: 5)
    var value: [UInt8] = []
    position = countEnd
    while value.count <= Self.keyBytes {
      let lineStart = skipLineBreak(from: position)
      let lineEnd = endOfRun(.base64, from: lineStart, atMost: Self.keyBytes)
      // The line after them is `Private-MAC: …`.
      guard lineEnd > lineStart, byte(at: lineEnd) != UInt8(ascii: "-") else { break }
      value.append(contentsOf: bytes[lineStart..<lineEnd])
      position = endOfRun(Self.padding, from: lineEnd, atMost: 4)
    }
    guard value.count >= 40 else { return nil }
    return Key(
      match: SecretMatch(whole: anchor.lowerBound..<position, value: countEnd..<position), isEncrypted: isEncrypted,
      value: value)
  }
}
