import CCurl
import CCurlShim
import Posix

/// A handle of libcurl's, and what it points to. What does not differ between requests of one kind is set once: a handle
/// is used for one request after another, since making one costs as much as a request. Used by the curl thread alone.
final class EasyHandle {
  /// What a handle cannot change.
  struct Kind: Equatable {
    /// Whether bodies are streamed.
    let streams: Bool
    let scheme: WebAddress.Scheme
    /// Whether the server may see the integration's client certificate.
    let showsIdentity: Bool
    /// The proxy on the way; nil for none.
    let proxy: ProxyServer?

    /// Whether a certificate is to be looked at on the way.
    var usesTLS: Bool { scheme == .https || proxy?.scheme == .https }
  }

  let easy: UnsafeMutableRawPointer
  let group: GroupConnections
  let kind: Kind
  /// Whether another request may follow the last one: none after what only one request sets.
  private(set) var isReusable: Bool

  private let policy: UnsafeMutablePointer<ccurl_address_policy>
  /// libcurl's own words for a failure.
  private let words: UnsafeMutablePointer<CChar>
  /// Of what servers show; nil where nothing is to be seen.
  private let observer: OpaquePointer?
  private var headers: UnsafeMutablePointer<curl_slist>?
  /// What `headers` holds, where the next request may have the same: never a secret.
  private var listed: [(name: String, value: String)]?
  private var mappings: UnsafeMutablePointer<curl_slist>?
  private var acceptsGzip = false

  init(_ kind: Kind, in group: GroupConnections, connectTimeout: Duration) throws(RegistryError) {
    let trust = kind.usesTLS ? try group.trusted() : nil
    guard let easy = curl_easy_init() else {
      throw RegistryError(.unreachable, "out of memory for a request", isTransient: true)
    }
    self.easy = easy
    observer = trust.flatMap { ccurl_observe_tls(easy, $0) }
    precondition((observer == nil) == (trust == nil), "out of memory")
    self.kind = kind
    self.group = group
    isReusable = !kind.streams
    policy = .allocate(capacity: 1)
    policy.initialize(to: ccurl_address_policy())
    words = .allocate(capacity: Int(CURL_ERROR_SIZE))
    words.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    set(CURLOPT_NOSIGNAL, 1)
    // A cancelled look-up must not hold up everybody else's transfers until the resolver gives up.
    set(CURLOPT_QUICK_EXIT, 1)
    set(CURLOPT_FOLLOWLOCATION, 0)
    set(CURLOPT_NETRC, Int(CURL_NETRC_IGNORED.rawValue))
    if kind.streams { set(CURLOPT_BUFFERSIZE, HTTPTransport.receiveBytes) }
    set(CURLOPT_CONNECTTIMEOUT_MS, Int(clamping: connectTimeout.milliseconds))
    set(CURLOPT_PROTOCOLS_STR, "http,https")
    set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https")
    // Headers meant for the registry do not go to a proxy's CONNECT.
    set(CURLOPT_HEADEROPT, Int(CURLHEADER_SEPARATE))
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
    set(CURLOPT_HTTP_VERSION, kind.streams ? Int(CURL_HTTP_VERSION_1_1) : Int(CURL_HTTP_VERSION_2TLS))
    set(CURLOPT_PIPEWAIT, kind.streams || kind.scheme == .http ? 0 : 1)
    set(CURLOPT_USERAGENT, "tidewaiter")
    check(ccurl_set_pointer(easy, CURLOPT_SHARE, group.share(forStreams: kind.streams)))
    check(ccurl_set_address_policy(easy, policy))
    check(ccurl_set_error_buffer(easy, words))
    configureTLS()
    configureProxy()
  }

  deinit {
    curl_easy_cleanup(easy)
    curl_slist_free_all(headers)
    curl_slist_free_all(mappings)
    if let observer { ccurl_observer_free(observer) }
    words.deallocate()
    policy.deallocate()
  }

  private func configureTLS() {
    let tls = group.settings.tls
    if tls.isInsecure {
      set(CURLOPT_SSL_VERIFYPEER, 0)
      set(CURLOPT_SSL_VERIFYHOST, 0)
    }
    // The group's trust takes their place. libcurl's cache of authorities knows no groups.
    set(CURLOPT_CA_CACHE_TIMEOUT, 0)
    for option in [CURLOPT_CAINFO, CURLOPT_CAPATH, CURLOPT_PROXY_CAINFO, CURLOPT_PROXY_CAPATH] {
      check(ccurl_set_string(easy, option, nil))
    }
    guard kind.showsIdentity, let identity = tls.identity else { return }
    // The group, which lives longer, keeps the bytes in place.
    identity.certificate.withBytes { bytes in
      if let base = bytes.baseAddress { check(ccurl_set_blob(easy, CURLOPT_SSLCERT_BLOB, base, bytes.count)) }
    }
    identity.key.withBytes { bytes in
      if let base = bytes.baseAddress { check(ccurl_set_blob(easy, CURLOPT_SSLKEY_BLOB, base, bytes.count)) }
    }
  }

  private func configureProxy() {
    // An empty name keeps libcurl from asking the environment.
    set(CURLOPT_PROXY, kind.proxy?.description ?? "")
    set(CURLOPT_NOPROXY, "")
    if let user = kind.proxy?.user { set(CURLOPT_PROXYUSERNAME, user) }
    if let password = kind.proxy?.password { set(CURLOPT_PROXYPASSWORD, password.revealed) }
  }

  // MARK: requests

  /// Sets everything that one request may have otherwise than the last one. `allowed` are the kinds of address that a
  /// socket may be made for.
  func prepare(_ request: HTTPRequest, allowed: UInt32, hosts: [HostMapping]) {
    policy.pointee = ccurl_address_policy(
      allowed: allowed, refused: 0, refused_address: ccurl_address_policy().refused_address)
    words.pointee = 0
    if let observer { ccurl_observer_reset(observer) }
    set(CURLOPT_URL, request.url.text)
    switch request.method {
    case .get: set(CURLOPT_HTTPGET, 1)
    case .head: set(CURLOPT_NOBODY, 1)
    case .post: post(request.content)
    }
    if request.acceptsGzip != acceptsGzip {
      acceptsGzip = request.acceptsGzip
      check(ccurl_set_string(easy, CURLOPT_ACCEPT_ENCODING, acceptsGzip ? "gzip" : nil))
    }
    setHeaders(request)
    if !hosts.isEmpty { map(hosts, for: request.url) }
  }

  /// Takes out of it what the request sent that nobody may see.
  func retire() {
    guard listed == nil else { return }
    check(ccurl_set_list(easy, CURLOPT_HTTPHEADER, nil))
    curl_slist_free_all(headers)
    headers = nil
  }

  private func setHeaders(_ request: HTTPRequest) {
    if let listed, request.authorization == nil, request.signature == nil,
      listed.elementsEqual(request.headers, by: { $0 == $1 })
    {
      return
    }
    curl_slist_free_all(headers)
    headers = nil
    for (name, value) in request.headers { addHeader(name, value) }
    if let authorization = request.authorization { addHeader(authorization.name, authorization.value.revealed) }
    if let signature = request.signature { sign(signature) }
    listed = request.authorization == nil && request.signature == nil ? request.headers : nil
    check(ccurl_set_list(easy, CURLOPT_HTTPHEADER, headers))
  }

  private func map(_ hosts: [HostMapping], for url: WebAddress) {
    curl_slist_free_all(mappings)
    mappings = nil
    for mapping in hosts where mapping.host == url.host && mapping.port == url.port {
      mappings = curl_slist_append(mappings, mapping.connectTo)
    }
    check(ccurl_set_list(easy, CURLOPT_CONNECT_TO, mappings))
  }

  private func post(_ content: Secret) {
    isReusable = false
    // Of a HEAD before: it would make one of this, too.
    set(CURLOPT_NOBODY, 0)
    content.withBytes { bytes in
      // The size comes first: libcurl copies at once.
      set(CURLOPT_POSTFIELDSIZE, bytes.count)
      guard !bytes.isEmpty, let base = bytes.baseAddress else { return set(CURLOPT_COPYPOSTFIELDS, "") }
      check(ccurl_set_pointer(easy, CURLOPT_COPYPOSTFIELDS, UnsafeMutableRawPointer(mutating: base)))
    }
  }

  private func sign(_ signature: AWSSignature) {
    isReusable = false
    set(CURLOPT_AWS_SIGV4, "aws:amz:\(signature.region):\(signature.service)")
    set(CURLOPT_USERNAME, signature.keyID)
    set(CURLOPT_PASSWORD, signature.key.revealed)
    if let token = signature.sessionToken { addHeader("X-Amz-Security-Token", token.revealed) }
  }

  private func addHeader(_ name: String, _ value: String) {
    precondition(!value.utf8.contains { $0 < 0x20 }, "a control character in the header \(name)")
    headers = curl_slist_append(headers, "\(name): \(value)")
  }

  private func set(_ option: CURLoption, _ value: Int) { check(ccurl_set_long(easy, option, value)) }

  private func set(_ option: CURLoption, _ value: String) { check(ccurl_set_string(easy, option, value)) }

  /// Options fail only when libcurl was built without them or memory is out.
  func check(_ code: CURLcode) {
    precondition(code == CURLE_OK, "libcurl refuses an option: \(String(cString: curl_easy_strerror(code)))")
  }

  // MARK: what came of it

  var allowed: UInt32 { policy.pointee.allowed }
  var addressPolicy: ccurl_address_policy { policy.pointee }
  var failureWords: String { String(cString: words) }

  /// What the server showed when this request made a connection; nil where it made none over TLS.
  var chain: PeerChain? {
    guard let observer else { return nil }
    let chain = ccurl_observed_chain(observer)
    return chain.pointee.count > 0 ? PeerChain(chain.pointee) : nil
  }

  func number(_ info: CURLINFO) -> Int {
    var value = 0
    ccurl_get_long(easy, info, &value)
    return value
  }

  var peerAddress: UnsafePointer<CChar>? { ccurl_get_string(easy, CURLINFO_PRIMARY_IP) }
}
