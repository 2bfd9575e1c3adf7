import Posix

/// A proxy on the way to a registry.
package struct ProxyServer: Sendable, Hashable, CustomStringConvertible {
  package enum Scheme: String, Sendable, CaseIterable {
    case http, https
    /// Names are resolved here, by `socks5h` at the proxy.
    case socks5, socks5h

    var defaultPort: Int {
      switch self {
      case .http: 3128
      case .https: 443
      case .socks5, .socks5h: 1080
      }
    }
  }

  let scheme: Scheme
  /// Lower case; an IPv6 literal in brackets.
  let host: String
  let port: Int
  package let user: String?
  let password: Secret?

  /// Where it is, without who we are there.
  package var description: String { "\(scheme.rawValue)://\(host):\(port)" }

  private init(scheme: Scheme, host: String, port: Int, user: String?, password: Secret?) {
    self.scheme = scheme
    self.host = host
    self.port = port
    self.user = user
    self.password = password
  }

  /// Reads `scheme://[user@]host[:port]`. Throws with the field `proxy`.
  package init(_ text: String, password: Secret? = nil) throws(RegistryEndpoint.Malformed) {
    let parsed = try Self.parse(text)
    guard parsed.password == nil else {
      throw Self.malformed("a password cannot be part of it: give it apart")
    }
    guard password == nil || parsed.user != nil else {
      throw Self.malformed("it has a password and no user name: write it as scheme://user@host:port")
    }
    self.init(scheme: parsed.scheme, host: parsed.host, port: parsed.port, user: parsed.user, password: password)
  }

  /// As a variable of the environment has it: the password may be part of it, and the scheme may be left out.
  static func inEnvironment(_ text: String) throws(RegistryEndpoint.Malformed) -> ProxyServer {
    try parse(text.contains("://") ? text : "http://" + text)
  }

  private static func parse(_ text: String) throws(RegistryEndpoint.Malformed) -> ProxyServer {
    guard text.utf8.count <= 2048 else { throw malformed("longer than 2048 bytes") }
    guard let separator = text.firstRange(of: "://"),
      let scheme = Scheme(rawValue: text[..<separator.lowerBound].lowercased())
    else {
      throw malformed("the full address is expected, beginning with http://, https://, socks5:// or socks5h://")
    }
    var rest = text[separator.upperBound...]
    if rest.hasSuffix("/") { rest = rest.dropLast() }
    var user: String?
    var password: Secret?
    if let at = rest.lastIndex(of: "@") {
      let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      rest = rest[rest.index(after: at)...]
      user = try decoded(parts[0])
      guard user?.isEmpty == false else { throw malformed("the user name is empty") }
      if parts.count > 1 { password = Secret(try decoded(parts[1])) }
    }
    // The rest is read as the authority of a web address, by the same parser as all others.
    let address: WebAddress
    do {
      address = try WebAddress("http://" + rest)
    } catch {
      throw malformed(error.reason)
    }
    guard address.path == "/", address.query == nil, !address.hasFragment else {
      throw malformed("nothing can follow its port")
    }
    let afterLiteral = rest.lastIndex(of: "]").map { rest[$0...] } ?? rest
    let hasPort = afterLiteral.contains(":")
    return ProxyServer(
      scheme: scheme, host: address.host, port: hasPort ? address.port : scheme.defaultPort, user: user,
      password: password)
  }

  private static func decoded(_ text: Substring) throws(RegistryEndpoint.Malformed) -> String {
    var bytes: [UInt8] = []
    var rest = Substring(text).utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16), rest.count >= 2 else {
        throw malformed("\"%\" must be followed by two hexadecimal digits")
      }
      bytes.append(value)
      rest = rest.dropFirst(2)
    }
    guard let text = String(validating: bytes, as: UTF8.self), text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
      throw malformed("user name and password must be UTF-8 without control characters")
    }
    return text
  }

  private static func malformed(_ reason: String) -> RegistryEndpoint.Malformed {
    RegistryEndpoint.Malformed(field: "proxy", reason: reason)
  }
}

/// What an integration says of proxies.
package enum ProxyChoice: Sendable, Hashable {
  /// As the daemon's environment says: `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`.
  case environment
  /// None, whatever the environment says.
  case direct
  /// This one, to every host.
  case proxy(ProxyServer)

  /// Reads the setting: empty for the environment's, "none", or an address. Throws with the field `proxy`.
  package init(_ text: String, password: Secret? = nil) throws(RegistryEndpoint.Malformed) {
    switch text {
    case "": self = .environment
    case "none": self = .direct
    default: self = .proxy(try ProxyServer(text, password: password))
    }
  }

  /// Who we are at the proxy; nil where no user name is set.
  package var user: String? {
    if case .proxy(let server) = self { return server.user }
    return nil
  }
}
