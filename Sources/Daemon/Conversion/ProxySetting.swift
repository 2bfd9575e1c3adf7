import Registry

/// A proxy's address as it is set: `http://`, `https://` or `socks5://`, a user name if the proxy wants one, and never its
/// password, which is kept apart with the secrets.
struct ProxySetting {
  struct Malformed: Error { let reason: String }

  static let schemes = ["http", "https", "socks5"]

  let user: String?

  init(_ text: String) throws(Malformed) {
    guard let scheme = Self.schemes.first(where: { text.lowercased().hasPrefix($0 + "://") }) else {
      throw Malformed(reason: "must begin with http://, https:// or socks5://")
    }
    var rest = text.dropFirst(scheme.utf8.count + 3)
    if rest.hasSuffix("/") { rest = rest.dropLast() }
    if rest.contains(where: { "/?#".contains($0) }) {
      throw Malformed(reason: "must end after the host and port: a proxy has no path")
    }
    if let at = rest.lastIndex(of: "@") {
      let user = rest[..<at]
      guard !user.contains(":") else { throw Malformed(reason: "cannot hold a password: give it apart") }
      guard !user.isEmpty, user.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "@") }) else {
        throw Malformed(reason: "has no user name that can be used: percent-encode what is not plain ASCII")
      }
      self.user = String(user)
      rest = rest[rest.index(after: at)...]
    } else {
      user = nil
    }
    do {
      _ = try WebAddress("http://" + rest)
    } catch {
      throw Malformed(reason: error.reason)
    }
  }
}
