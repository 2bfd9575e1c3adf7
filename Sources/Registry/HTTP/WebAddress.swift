import CCurl

/// An http or https address, read by libcurl's own parser so that what is checked is what is connected to.
package struct WebAddress: Hashable, Sendable, CustomStringConvertible {
  package enum Scheme: String, Sendable {
    case http, https

    var defaultPort: Int { self == .http ? 80 : 443 }
  }

  /// Who answers: two addresses with one origin may see the same credential.
  package struct Origin: Hashable, Sendable, CustomStringConvertible {
    package let scheme: Scheme
    package let host: String
    package let port: Int

    package var description: String {
      "\(scheme.rawValue)://\(host)" + (port == scheme.defaultPort ? "" : ":\(port)")
    }
  }

  package struct Malformed: Error, Equatable, CustomStringConvertible {
    package let reason: String
    package var description: String { reason }
  }

  /// Longer addresses are refused; signed ones of object stores stay well below.
  package static let lengthMax = 16 * 1024

  package let origin: Origin
  /// As it is sent: percent-encoded, beginning with "/".
  package let path: String
  package let query: String?
  package let hasFragment: Bool

  package var scheme: Scheme { origin.scheme }
  /// Lower case; an IPv6 literal in brackets.
  package var host: String { origin.host }
  package var port: Int { origin.port }

  /// Whether the host is an IP literal rather than a name.
  package var isLiteral: Bool {
    host.utf8.first == UInt8(ascii: "[")
      || host.utf8.allSatisfy { $0 == UInt8(ascii: ".") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }

  /// An IPv6 literal without its brackets.
  var unbracketedHost: String { host.utf8.first == UInt8(ascii: "[") ? String(host.dropFirst().dropLast()) : host }

  /// Reads an absolute address, or one relative to `base`. A user name or password in it is refused.
  package init(_ text: String, relativeTo base: WebAddress? = nil) throws(Malformed) {
    guard text.utf8.count <= Self.lengthMax else { throw Malformed(reason: "longer than \(Self.lengthMax) bytes") }
    guard !text.utf8.contains(0) else { throw Malformed(reason: "holds a NUL byte") }
    guard let url = curl_url() else { throw Malformed(reason: "out of memory") }
    defer { curl_url_cleanup(url) }
    if let base { try Self.set(url, base.text) }
    try Self.set(url, text)
    guard let scheme = Self.part(url, CURLUPART_SCHEME).flatMap({ Scheme(rawValue: $0.lowercased()) }) else {
      throw Malformed(reason: "the scheme must be http or https")
    }
    guard let host = Self.part(url, CURLUPART_HOST)?.lowercased(), !host.isEmpty else {
      throw Malformed(reason: "no host")
    }
    let port = Self.part(url, CURLUPART_PORT).flatMap { Int($0) } ?? scheme.defaultPort
    guard (1...65535).contains(port) else { throw Malformed(reason: "no such port") }
    origin = Origin(scheme: scheme, host: host, port: port)
    path = Self.part(url, CURLUPART_PATH) ?? "/"
    query = Self.part(url, CURLUPART_QUERY)
    hasFragment = Self.part(url, CURLUPART_FRAGMENT) != nil
  }

  /// The https address of a host whose name is known to be one, without a path.
  init(https host: String) {
    self.init(origin: Origin(scheme: .https, host: host, port: Scheme.https.defaultPort), path: "", query: nil)
  }

  private init(origin: Origin, path: String, query: String?) {
    self.origin = origin
    self.path = path
    self.query = query
    hasFragment = false
  }

  /// The same origin with another path and query, both already percent-encoded.
  func replacing(path: String, query: String? = nil) -> WebAddress {
    WebAddress(origin: origin, path: path, query: query)
  }

  /// Without the first of `tails` that its path ends in: what people paste after an address. No slash at the end.
  func withoutTail(_ tails: [String]) -> WebAddress {
    var path = Substring(path)
    while path.hasSuffix("/") { path = path.dropLast() }
    if let tail = tails.first(where: path.hasSuffix) { path = path.dropLast(tail.count) }
    return replacing(path: String(path))
  }

  /// The same with another host, and the same port.
  func replacing(host: String) -> WebAddress {
    WebAddress(origin: Origin(scheme: scheme, host: host, port: port), path: path, query: query)
  }

  var hasDefaultPort: Bool { port == scheme.defaultPort }

  var replacingDefaultPort: WebAddress {
    WebAddress(origin: Origin(scheme: scheme, host: host, port: scheme.defaultPort), path: path, query: query)
  }

  /// What is asked for, without the fragment.
  package var text: String { description + (query.map { "?" + $0 } ?? "") }

  /// Without the query, which may be a signature: for messages.
  package var description: String { origin.description + path }

  /// Percent-encodes `text` for one value of a query.
  static func encodedQueryValue(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        result.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        let hex = String(byte, radix: 16, uppercase: true)
        result += hex.utf8.count == 1 ? "%0" + hex : "%" + hex
      }
    }
    return result
  }

  /// Takes percent-encoding back; nil where that leaves no text.
  static func decoded(_ text: String) -> String? {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else {
        return nil
      }
      bytes.append(value)
      rest = rest.dropFirst(2)
    }
    return String(validating: bytes, as: UTF8.self)
  }

  /// Fields of a query or a form.
  static func encodedForm(_ fields: [(name: String, value: String)]) -> String {
    fields.map { "\($0.name)=\(encodedQueryValue($0.value))" }.joined(separator: "&")
  }

  private static func set(_ url: OpaquePointer, _ text: String) throws(Malformed) {
    let code = curl_url_set(url, CURLUPART_URL, text, UInt32(CURLU_DISALLOW_USER))
    guard code == CURLUE_OK else { throw Malformed(reason: String(cString: curl_url_strerror(code))) }
  }

  private static func part(_ url: OpaquePointer, _ part: CURLUPart) -> String? {
    var value: UnsafeMutablePointer<CChar>?
    guard curl_url_get(url, part, &value, 0) == CURLUE_OK, let value else { return nil }
    defer { curl_free(value) }
    return String(cString: value)
  }
}
