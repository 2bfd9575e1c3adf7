import CCurl
import CCurlShim

/// What libcurl's code means to us.
struct CurlFailure {
  let code: CURLcode
  let request: HTTPRequest
  let policy: ccurl_address_policy
  let hasHead: Bool

  var error: RegistryError {
    let origin = request.url.origin
    if policy.refused != 0, code == CURLE_COULDNT_CONNECT { return addressRefused }
    switch code {
    case CURLE_COULDNT_RESOLVE_HOST:
      return RegistryError(
        .unreachable, "the name \(origin.host) does not resolve", hint: "check the address, and DNS on this machine",
        isTransient: true)
    case CURLE_COULDNT_RESOLVE_PROXY:
      return RegistryError(
        .unreachable, "the name of the proxy for \(origin) does not resolve",
        hint: "check the proxy in the daemon's environment", isTransient: true)
    case CURLE_COULDNT_CONNECT:
      return RegistryError(
        .unreachable, "nothing accepts connections at \(origin)", hint: "check the address and port, and the firewall",
        isTransient: true)
    case CURLE_OPERATION_TIMEDOUT:
      return RegistryError(
        .timeout, "no connection to \(origin) in time", hint: "check the address and port, and the firewall",
        isTransient: true)
    case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_INVALIDCERTSTATUS:
      return RegistryError(
        .tlsFailed, "the certificate of \(origin) does not verify: \(reason)",
        hint: "give the registry's certificate authority with --ca-file; --insecure skips the check")
    case CURLE_SSL_CONNECT_ERROR:
      return RegistryError(
        .tlsFailed, "the TLS handshake with \(origin) failed", hint: "check that this port speaks TLS",
        isTransient: true)
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
      default: "the address of no host"
      }
    return RegistryError(
      .addressRefused, "\(host) leads to \(address), \(kind): nothing was sent there",
      hint: "a registry's answers may name such an address only when the registry itself lives at one")
  }
}
