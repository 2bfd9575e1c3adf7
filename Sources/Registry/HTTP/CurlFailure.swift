import CCurl
import CCurlShim

/// What libcurl's code means to us.
struct CurlFailure {
  let code: CURLcode
  let request: HTTPRequest
  let policy: ccurl_address_policy
  let hasHead: Bool
  let proxy: ProxyServer?
  /// What the proxy answered to a wish for a tunnel; 0 for nothing.
  let connectStatus: Int
  let chain: PeerChain?
  /// libcurl's own, in which no answer is quoted but the TLS library's alerts.
  let words: String
  let hasIdentity: Bool

  var error: RegistryError {
    let origin = request.url.origin
    if policy.refused != 0, code == CURLE_COULDNT_CONNECT { return addressRefused }
    if proxy != nil, connectStatus >= 300 { return .proxyRefused(proxy, status: connectStatus, request) }
    // Servers that want a certificate say so when they refuse what came without.
    if origin.scheme == .https,
      words.contains("certificate required") || (words.contains("handshake failure") && !hasIdentity)
    {
      return RegistryError(
        .tlsFailed, "\(origin) refused the TLS handshake: \(ForeignText.escaped(words))",
        hint: "if it asks for a client certificate, give one with --client-cert and --client-key")
    }
    switch code {
    case CURLE_COULDNT_RESOLVE_HOST:
      return RegistryError(
        .unreachable, "the name \(origin.host) does not resolve", hint: "check the address, and DNS on this machine",
        isTransient: true)
    case CURLE_COULDNT_RESOLVE_PROXY:
      return RegistryError(
        .unreachable, "the name of the proxy \(proxy?.host ?? "") for \(origin) does not resolve",
        hint: proxyHint, isTransient: true)
    case CURLE_PROXY:
      return RegistryError(
        .proxyFailed, "\(proxyName) does not lead to \(origin): \(ForeignText.escaped(words))", hint: proxyHint,
        isTransient: !words.contains("authentication") && !words.contains("rejected"))
    case CURLE_COULDNT_CONNECT where proxy != nil:
      return RegistryError(
        .unreachable, "nothing accepts connections at \(proxyName)", hint: proxyHint, isTransient: true)
    case CURLE_COULDNT_CONNECT:
      return RegistryError(
        .unreachable, "nothing accepts connections at \(origin)", hint: "check the address and port, and the firewall",
        isTransient: true)
    case CURLE_OPERATION_TIMEDOUT:
      return RegistryError(
        .timeout, "no connection to \(origin) in time", hint: "check the address and port, and the firewall",
        isTransient: true)
    case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_INVALIDCERTSTATUS:
      return unverified
    case CURLE_SSL_CONNECT_ERROR:
      return RegistryError(
        .tlsFailed, "the TLS handshake with \(origin) failed: \(ForeignText.escaped(words))",
        hint: "check that this port speaks TLS", isTransient: true)
    case CURLE_PARTIAL_FILE, CURLE_GOT_NOTHING, CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_HTTP2, CURLE_HTTP2_STREAM:
      let when = hasHead ? "in the middle of the answer" : "before it answered"
      return RegistryError(
        .connectionLost, "\(origin) ended the connection \(when) to \(request.subject)",
        isTransient: true)
    case CURLE_UNSUPPORTED_PROTOCOL, CURLE_WEIRD_SERVER_REPLY:
      return RegistryError(
        .malformed, "what \(origin) answers is not HTTP", hint: "check the address and port", isTransient: true)
    case CURLE_BAD_CONTENT_ENCODING:
      return RegistryError.malformed("the answer to \(request.subject) is not compressed as it says")
    default:
      return RegistryError(
        .connectionLost, "\(request.subject) failed: \(reason)", isTransient: true)
    }
  }

  /// The chain that the server showed was refused, or is for another name.
  private var unverified: RegistryError {
    let origin = request.url.origin
    guard let chain else {
      return RegistryError(
        .tlsFailed, "the certificate of \(origin) does not verify: \(reason)",
        hint: "give the registry's certificate authority with --ca-file; --insecure skips the check")
    }
    let what: String
    let hint: String
    switch chain.error {
    case 0:
      what = "is not for the name \(request.url.host)"
      hint = "write the url with a name that the certificate has; --insecure skips the check"
    case ccurl_verify_expired:
      what = "does not verify: \(chain.reason)"
      hint = "renew the registry's certificate, or check this machine's clock; --insecure skips the check"
    case ccurl_verify_not_yet_valid:
      what = "does not verify: \(chain.reason)"
      hint = "check this machine's clock and that of who made the certificate"
    default:
      what = "does not verify: \(chain.reason)"
      hint = "give the registry's certificate authority with --ca-file; --insecure skips the check"
    }
    return RegistryError(
      .tlsFailed, "the certificate of \(origin) \(what)\(chain.shown)", hint: hint,
      certificates: chain.certificates)
  }

  private var proxyName: String { "the proxy \(proxy?.description ?? "")" }
  private var proxyHint: String { "check the integration's proxy, or the one in the daemon's environment" }

  private var addressRefused: RegistryError {
    let address = withUnsafeBytes(of: policy.refused_address) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    return .addressRefused(host: request.url.host, address: address, kinds: policy.refused)
  }

  private var reason: String { String(cString: curl_easy_strerror(code)) }
}

extension RegistryError {
  /// `kinds` as `ccurl_address_kind` gives them.
  static func addressRefused(host: String, address: String, kinds: UInt32) -> RegistryError {
    let kind =
      switch kinds {
      case ccurl_address_loopback: "this machine's own"
      case ccurl_address_link_local: "a link-local or metadata address"
      case ccurl_address_private: "an address of a private network"
      default: "the address of no host"
      }
    return RegistryError(
      .addressRefused, "\(host) leads to \(address), \(kind): nothing was sent there",
      hint: "a registry's answers may name such an address only when the registry itself lives at one")
  }

  /// What a proxy answered in place of the registry.
  static func proxyRefused(_ proxy: ProxyServer?, status: Int, _ request: HTTPRequest) -> RegistryError {
    let name = "the proxy \(proxy?.description ?? "")"
    guard status != 407 else {
      return RegistryError(
        .proxyFailed,
        "\(name) "
          + (proxy?.user == nil
            ? "asks for a user name and password" : "refuses the user name and password given for it"),
        hint: "write the proxy as scheme://user@host:port and give its password")
    }
    return RegistryError(
      .proxyFailed, "\(name) refuses the way to \(request.url.origin) (status \(status))",
      hint: "look at what the proxy allows, and at its log", isTransient: status >= 500)
  }
}
