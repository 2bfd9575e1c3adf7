import CCurlShim
import Glibc

/// The proxies that the environment names, and the hosts it excepts. Read once: what libcurl would find out for itself is
/// decided here, so that the address checks know whether a connection leads to a proxy or to its target.
struct EnvironmentProxies: Sendable {
  private static let exceptionsMax = 1024

  private enum Exception: Sendable {
    case everything
    case name(String)
    case network(bytes: [UInt8], prefix: Int)
  }

  private let plain: Result<ProxyServer?, RegistryEndpoint.Malformed>
  private let secure: Result<ProxyServer?, RegistryEndpoint.Malformed>
  private let exceptions: [Exception]

  init(_ environment: [String: String]) {
    func proxy(_ names: [String]) -> Result<ProxyServer?, RegistryEndpoint.Malformed> {
      guard let name = names.first(where: { environment[$0]?.isEmpty == false }), let text = environment[name] else {
        return .success(nil)
      }
      do throws(RegistryEndpoint.Malformed) {
        return .success(try .inEnvironment(text))
      } catch {
        return .failure(RegistryEndpoint.Malformed(field: name, reason: error.reason))
      }
    }
    // Not HTTP_PROXY: where a web server starts programs, its clients set that one.
    plain = proxy(["http_proxy", "all_proxy", "ALL_PROXY"])
    secure = proxy(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
    let text = ["no_proxy", "NO_PROXY"].compactMap { environment[$0] }.first { !$0.isEmpty } ?? ""
    exceptions = text.split { $0 == "," || $0 == " " }.prefix(Self.exceptionsMax).map { Self.exception($0) }
  }

  /// The proxy for an address; nil for none. Throws when the variable that counts cannot be used.
  func proxy(for url: WebAddress) throws(RegistryEndpoint.Malformed) -> ProxyServer? {
    if exceptions.contains(where: { Self.matches($0, url.host) }) { return nil }
    return try (url.scheme == .http ? plain : secure).get()
  }

  private static func exception(_ text: Substring) -> Exception {
    if text == "*" { return .everything }
    var name = text.lowercased()[...]
    let parts = name.split(separator: "/", maxSplits: 1)
    if let first = parts.first, let bytes = addressBytes(first) {
      let bits = bytes.count * 8
      let prefix = parts.count > 1 ? Int(parts[1]) : bits
      if let prefix, (0...bits).contains(prefix) { return .network(bytes: bytes, prefix: prefix) }
    }
    while name.hasPrefix(".") { name = name.dropFirst() }
    while name.hasSuffix(".") { name = name.dropLast() }
    return .name(String(name))
  }

  private static func matches(_ exception: Exception, _ host: String) -> Bool {
    switch exception {
    case .everything: return true
    case .name(let name):
      let host = host.hasSuffix(".") ? host.dropLast() : host[...]
      return !name.isEmpty && (host == name || host.hasSuffix("." + name))
    case .network(let network, let prefix):
      guard let address = addressBytes(host[...]), address.count == network.count else { return false }
      return (0..<prefix).allSatisfy { bit in
        (address[bit / 8] ^ network[bit / 8]) & (0x80 >> UInt8(bit % 8)) == 0
      }
    }
  }

  private static func addressBytes(_ text: Substring) -> [UInt8]? {
    let text = text.filter { $0 != "[" && $0 != "]" }
    var bytes = [UInt8](repeating: 0, count: 16)
    if inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes.prefix(4)) }
    return inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil
  }
}
