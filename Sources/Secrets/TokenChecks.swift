import SecretRules

/// What must hold of a secret beyond its form, by the format's own rules.
enum TokenChecks {
  enum Verdict {
    case holds
    /// It has the form, but was altered or made up.
    case altered
    case isNone
  }

  static func verdict(_ check: SecretRule.Check, of value: UnsafeRawBufferPointer) -> Verdict {
    switch check {
    case .none: .holds
    case .base62CRC32: hasBase62CRC32(value) ? .holds : .altered
    case .hexCRC32: hasHexCRC32(value) ? .holds : .altered
    case .bech32: hasBech32(value) ? .holds : .altered
    case .jwt: isJWT(value) ? .holds : .isNone
    case .kubernetesJWT: isKubernetesJWT(value) ? .holds : .isNone
    case .basicAuthentication: isBasicAuthentication(value) ? .holds : .isNone
    case .encodedPEM: isEncodedPEM(value) ? .holds : .isNone
    case .mixed: isMixed(value) ? .holds : .isNone
    }
  }

  static func isMixed(_ value: UnsafeRawBufferPointer) -> Bool {
    value.contains { (0x30...0x39).contains($0) } && value.contains { (0x41...0x5a).contains($0 & 0xdf) }
  }

  // MARK: - Checksums

  private static let base62 = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

  private static func hasBase62CRC32(_ value: UnsafeRawBufferPointer) -> Bool {
    guard let underscore = value.firstIndex(of: UInt8(ascii: "_")), value.count > underscore + 7 else { return false }
    let body = value[(underscore + 1)..<(value.count - 6)]
    var sum = crc32(UnsafeRawBufferPointer(rebasing: body))
    for position in stride(from: value.count - 1, to: value.count - 7, by: -1) {
      guard value[position] == base62[Int(sum % 62)] else { return false }
      sum /= 62
    }
    return true
  }

  /// The sum's bytes are written the lowest first.
  private static func hasHexCRC32(_ value: UnsafeRawBufferPointer) -> Bool {
    guard value.count > 9 else { return false }
    let sum = crc32(UnsafeRawBufferPointer(rebasing: value[..<(value.count - 9)])).byteSwapped
    let digits = value[(value.count - 8)...].reduce(UInt32(0)) { $0 << 4 | UInt32(hexDigit($1)) }
    return digits == sum
  }

  private static func hexDigit(_ byte: UInt8) -> UInt8 { byte <= 0x39 ? byte & 0xf : (byte & 0xf) + 9 }

  static func crc32(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    var sum: UInt32 = ~0
    for byte in bytes {
      sum ^= UInt32(byte)
      for _ in 0..<8 { sum = sum >> 1 ^ (sum & 1 == 1 ? 0xedb8_8320 : 0) }
    }
    return ~sum
  }

  private static let bech32 = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l".utf8)

  /// BIP 173: the characters before the last `1`, in two halves, and those after it leave 1 behind.
  private static func hasBech32(_ value: UnsafeRawBufferPointer) -> Bool {
    guard let separator = value.lastIndex(of: UInt8(ascii: "1")) else { return false }
    var sum: UInt32 = 1
    func add(_ digit: UInt8) {
      let top = sum >> 25
      sum = (sum & 0x1ff_ffff) << 5 ^ UInt32(digit)
      let generator: [UInt32] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3]
      for bit in 0..<5 where top >> UInt32(bit) & 1 == 1 { sum ^= generator[bit] }
    }
    let prefix = value[..<separator].map { $0.asciiLowercased }
    prefix.forEach { add($0 >> 5) }
    add(0)
    prefix.forEach { add($0 & 31) }
    for byte in value[(separator + 1)...] {
      guard let digit = bech32.firstIndex(of: byte.asciiLowercased) else { return false }
      add(UInt8(digit))
    }
    return sum == 1
  }

  // MARK: - What is encoded in base64

  private static func isJWT(_ value: UnsafeRawBufferPointer) -> Bool {
    guard let (header, payload) = parts(value) else { return false }
    return payload.first == UInt8(ascii: "{") && contains(header, "\"alg\"") && !contains(header, "\"none\"")
  }

  private static func isKubernetesJWT(_ value: UnsafeRawBufferPointer) -> Bool {
    guard isJWT(value), let (_, payload) = parts(value) else { return false }
    return contains(payload, "kubernetes/serviceaccount") || contains(payload, "\"kubernetes.io\"")
      || contains(payload, "system:serviceaccount:")
  }

  private static func parts(_ value: UnsafeRawBufferPointer) -> (header: [UInt8], payload: [UInt8])? {
    let parts = value.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 3, let header = Base64.decode(parts[0]), let payload = Base64.decode(parts[1]) else {
      return nil
    }
    return (header, payload)
  }

  /// `user:password`, both in printable ASCII, the password no placeholder.
  private static func isBasicAuthentication(_ value: UnsafeRawBufferPointer) -> Bool {
    guard let decoded = Base64.decode(value[...]), decoded.allSatisfy({ (0x20...0x7e).contains($0) }),
      let colon = decoded.firstIndex(of: UInt8(ascii: ":")), colon > 0
    else { return false }
    let password = decoded[(colon + 1)...]
    return password.count >= 4 && password.withUnsafeBytes { !Allowances.isPlaceholder($0) }
  }

  private static func isEncodedPEM(_ value: UnsafeRawBufferPointer) -> Bool {
    guard let decoded = Base64.decode(value[...]) else { return false }
    return contains(Array(decoded.prefix(64)), "PRIVATE KEY")
  }

  static func contains(_ bytes: [UInt8], _ text: StaticString) -> Bool {
    text.withUTF8Buffer { text in
      bytes.count >= text.count
        && (0...(bytes.count - text.count)).contains { bytes[$0...].starts(with: text) }
    }
  }
}
