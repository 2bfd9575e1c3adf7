import CCurl
import CCurlShim
import Posix

/// One request inside libcurl: its easy handle, what the handle points to, and what has come so far. Used by the curl
/// thread alone.
final class Transfer {
  let easy: UnsafeMutableRawPointer
  let group: GroupConnections

  private let id: UInt64
  private let request: HTTPRequest
  private let outside: TransportOutside
  /// The proxy on the way; nil for none.
  private let proxy: ProxyServer?
  private let policy: UnsafeMutablePointer<ccurl_address_policy>
  /// libcurl's own words for a failure.
  private let words: UnsafeMutablePointer<CChar>
  private var observer: OpaquePointer?
  private var requestHeaders: UnsafeMutablePointer<curl_slist>?
  private var mappings: UnsafeMutablePointer<curl_slist>?
  /// Nil once the head of a stream, or everything, has been handed over.
  private var continuation: CheckedContinuation<OpenedResponse, any Error>?
  private let buffer: StreamBuffer?
  /// Kept so that its connections are not closed under the transfer.
  private let owner: ConnectionGroup

  private var head = ResponseHead()
  private var body: [UInt8] = []
  private var isStreaming = false
  /// Its reader is behind.
  private var isFull = false
  /// Until then, to keep to the integration's pace, no more bytes are taken.
  private var pacedUntil: ContinuousClock.Instant?
  /// libcurl was told to take no more bytes.
  private var isPaused = false
  /// The rest of an error's body is not wanted: libcurl's complaint about that is no failure.
  private var isCut = false
  /// Why a callback of ours stopped the transfer.
  private var failure: RegistryError?

  private let started = ContinuousClock.now
  private(set) var deadline: ContinuousClock.Instant
  private var bytesInPeriod = 0

  private var timeouts: TransportTimeouts { outside.timeouts }

  init(_ start: StartCommand, in group: GroupConnections, buffer: StreamBuffer?, outside: TransportOutside) throws {
    proxy = try Self.proxy(for: start.request.url, group.settings.proxy, outside.proxies)
    guard let easy = curl_easy_init() else {
      throw RegistryError(.unreachable, "out of memory for a request", isTransient: true)
    }
    self.easy = easy
    self.group = group
    self.buffer = buffer
    self.outside = outside
    id = start.id
    request = start.request
    owner = start.group
    continuation = start.continuation
    policy = .allocate(capacity: 1)
    policy.initialize(to: ccurl_address_policy())
    let allowed = Self.allowedKinds(for: start.request, in: group)
    // A proxy may live anywhere: it is the user who named it.
    policy.pointee.allowed = proxy == nil ? allowed : .max
    words = .allocate(capacity: Int(CURL_ERROR_SIZE))
    words.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    // Until the connection is ready, libcurl's own limit comes first.
    deadline = started + outside.timeouts.connect + outside.timeouts.firstByte
    configure(isBlob: start.streams)
    // The socket callback would find it too, unless a proxy made the connection.
    let literal = request.url.host.filter { $0 != "[" && $0 != "]" }
    let kind = ccurl_address_kind(literal)
    if kind != 0, kind & allowed == 0 {
      throw RegistryError.addressRefused(host: request.url.host, address: literal, kinds: kind)
    }
  }

  deinit {
    curl_easy_cleanup(easy)
    curl_slist_free_all(requestHeaders)
    curl_slist_free_all(mappings)
    if let observer { ccurl_observer_free(observer) }
    words.deallocate()
    policy.deallocate()
  }

  // MARK: set-up

  private static func allowedKinds(for request: HTTPRequest, in group: GroupConnections) -> UInt32 {
    let everyday = ccurl_address_ordinary | ccurl_address_private | ccurl_address_loopback
    // Networks that are nearer than the registry's own are out of an answer's reach.
    let near = group.registryAddressKinds
    let reach = near & ccurl_address_loopback != 0 ? near | ccurl_address_private : near
    switch request.destination {
    case .registry:
      // A literal is what the user wrote and meant; a name may lead where its owner likes.
      let everything = everyday | ccurl_address_link_local | ccurl_address_unspecified
      return request.url.isLiteral ? everything : everyday
    case .allowedByName: return ccurl_address_ordinary | ccurl_address_private | reach
    case .namedByAnswer:
      // Storage of a public registry may have a name of its own inside the network; a literal there is no name.
      return ccurl_address_ordinary | reach | (request.url.isLiteral ? 0 : ccurl_address_private)
    }
  }

  private static func proxy(
    for url: WebAddress, _ setting: ProxyChoice, _ environment: EnvironmentProxies
  ) throws -> ProxyServer? {
    switch setting {
    case .direct: return nil
    case .proxy(let proxy): return proxy
    case .environment:
      do {
        return try environment.proxy(for: url)
      } catch {
        throw RegistryError(
          .proxyFailed, "the proxy that the daemon's environment names for \(url.origin) cannot be used: \(error)",
          hint: "correct the variable \(error.field), or give the integration a proxy of its own")
      }
    }
  }

  private func configure(isBlob: Bool) {
    set(CURLOPT_NOSIGNAL, 1)
    // A cancelled look-up must not hold up everybody else's transfers until the resolver gives up.
    set(CURLOPT_QUICK_EXIT, 1)
    set(CURLOPT_FOLLOWLOCATION, 0)
    set(CURLOPT_NETRC, Int(CURL_NETRC_IGNORED.rawValue))
    if isBlob { set(CURLOPT_BUFFERSIZE, HTTPTransport.receiveBytes) }
    set(CURLOPT_CONNECTTIMEOUT_MS, Int(clamping: timeouts.connect.milliseconds))
    set(CURLOPT_PROTOCOLS_STR, "http,https")
    set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https")
    // Headers meant for the registry do not go to a proxy's CONNECT.
    set(CURLOPT_HEADEROPT, Int(CURLHEADER_SEPARATE))
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
    set(CURLOPT_HTTP_VERSION, isBlob ? Int(CURL_HTTP_VERSION_1_1) : Int(CURL_HTTP_VERSION_2TLS))
    set(CURLOPT_PIPEWAIT, isBlob || request.url.scheme == .http ? 0 : 1)
    set(CURLOPT_USERAGENT, "tidewaiter")
    set(CURLOPT_URL, request.url.text)
    if request.method == .head { set(CURLOPT_NOBODY, 1) }
    if request.acceptsGzip { set(CURLOPT_ACCEPT_ENCODING, "gzip") }
    check(ccurl_set_pointer(easy, CURLOPT_SHARE, group.share(forStreams: isBlob)))
    configureTLS()
    configureWay()
    let context = Unmanaged.passUnretained(self).toOpaque()
    check(ccurl_set_header(easy, receiveHeader, context))
    check(ccurl_set_write(easy, receiveBody, context))
    check(ccurl_set_ready(easy, connectionReady, context))
    for (name, value) in request.headers { addHeader(name, value) }
    if let authorization = request.authorization { addHeader(authorization.name, authorization.value.revealed) }
    if let signature = request.signature { sign(signature) }
    if request.method == .post { post(request.content) }
    check(ccurl_set_list(easy, CURLOPT_HTTPHEADER, requestHeaders))
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
    observer = ccurl_observe_tls(easy, group.trust)
    precondition(observer != nil, "out of memory")
    guard request.destination != .namedByAnswer, let identity = tls.identity else { return }
    // The group, which lives longer, keeps the bytes in place.
    identity.certificate.withBytes { bytes in
      if let base = bytes.baseAddress { check(ccurl_set_blob(easy, CURLOPT_SSLCERT_BLOB, base, bytes.count)) }
    }
    identity.key.withBytes { bytes in
      if let base = bytes.baseAddress { check(ccurl_set_blob(easy, CURLOPT_SSLKEY_BLOB, base, bytes.count)) }
    }
  }

  /// Proxy, mapped hosts, and the check of addresses.
  private func configureWay() {
    // An empty name keeps libcurl from asking the environment.
    set(CURLOPT_PROXY, proxy?.description ?? "")
    set(CURLOPT_NOPROXY, "")
    if let user = proxy?.user { set(CURLOPT_PROXYUSERNAME, user) }
    if let password = proxy?.password { set(CURLOPT_PROXYPASSWORD, password.revealed) }
    for mapping in outside.mappings where mapping.host == request.url.host && mapping.port == request.url.port {
      mappings = curl_slist_append(mappings, mapping.connectTo)
    }
    check(ccurl_set_list(easy, CURLOPT_CONNECT_TO, mappings))
    check(ccurl_set_address_policy(easy, policy))
    check(ccurl_set_error_buffer(easy, words))
  }

  private func post(_ content: Secret) {
    content.withBytes { bytes in
      // The size comes first: libcurl copies at once.
      set(CURLOPT_POSTFIELDSIZE, bytes.count)
      guard !bytes.isEmpty, let base = bytes.baseAddress else { return set(CURLOPT_COPYPOSTFIELDS, "") }
      check(ccurl_set_pointer(easy, CURLOPT_COPYPOSTFIELDS, UnsafeMutableRawPointer(mutating: base)))
    }
  }

  private func sign(_ signature: AWSSignature) {
    set(CURLOPT_AWS_SIGV4, "aws:amz:\(signature.region):\(signature.service)")
    set(CURLOPT_USERNAME, signature.keyID)
    set(CURLOPT_PASSWORD, signature.key.revealed)
    if let token = signature.sessionToken { addHeader("X-Amz-Security-Token", token.revealed) }
  }

  private func addHeader(_ name: String, _ value: String) {
    precondition(!value.utf8.contains { $0 < 0x20 }, "a control character in the header \(name)")
    requestHeaders = curl_slist_append(requestHeaders, "\(name): \(value)")
  }

  private func set(_ option: CURLoption, _ value: Int) { check(ccurl_set_long(easy, option, value)) }

  private func set(_ option: CURLoption, _ value: String) { check(ccurl_set_string(easy, option, value)) }

  /// Options fail only when libcurl was built without them or memory is out.
  private func check(_ code: CURLcode) {
    precondition(code == CURLE_OK, "libcurl refuses an option: \(String(cString: curl_easy_strerror(code)))")
  }

  // MARK: callbacks

  /// False to send nothing: a kept connection was made under a rule that is not this request's.
  fileprivate func ready(at peer: UnsafePointer<CChar>?) -> Bool {
    deadline = ContinuousClock.now + timeouts.firstByte
    if let observer, let chain = PeerChain(ccurl_observed_chain(observer).pointee) {
      group.remember(chain, of: request.url.origin)
    }
    guard proxy == nil, let peer else { return true }
    let kind = ccurl_address_kind(peer)
    guard kind & policy.pointee.allowed == 0 else { return true }
    failure = RegistryError.addressRefused(
      host: request.url.host, address: String(cString: peer), kinds: kind)
    return false
  }

  fileprivate func received(header line: UnsafeRawBufferPointer) -> Int {
    head.byteCount += line.count
    guard head.byteCount <= HTTPTransport.headerBytesMax else {
      failure = RegistryError(
        .tooLarge, "\(request.url.origin) sent more than \(HTTPTransport.headerBytesMax) bytes of headers")
      return 0
    }
    // Trailers come after the body and are not wanted.
    if head.isFinal { return line.count }
    if head.add(line), head.status >= 200 {
      head.isFinal = true
      headEnded()
    }
    return line.count
  }

  private func headEnded() {
    if proxy == nil, request.destination == .registry, let address = ccurl_get_string(easy, CURLINFO_PRIMARY_IP) {
      group.registryAddressKinds |= ccurl_address_kind(address)
    }
    if let buffer, head.status == 200 || head.status == 206 {
      isStreaming = true
      beginPeriod(ContinuousClock.now)
      continuation?.resume(returning: .stream(HTTPStream(response: response(body: []), buffer: buffer)))
      continuation = nil
    } else {
      deadline = started + timeouts.total
    }
  }

  fileprivate func received(body bytes: UnsafeRawBufferPointer) -> Int {
    if isStreaming, let buffer {
      // libcurl hands the same bytes over again after a pause.
      if pacedUntil != nil {
        isPaused = true
        return ccurl_write_pause
      }
      switch buffer.append(bytes) {
      case .taken:
        bytesInPeriod += bytes.count
        let pause = owner.limiter.spend(bytes.count)
        if pause > .zero { pacedUntil = ContinuousClock.now + pause }
        return bytes.count
      case .full:
        isFull = true
        isPaused = true
        return ccurl_write_pause
      case .abandoned: return 0
      }
    }
    _ = owner.limiter.spend(bytes.count)
    let isSuccess = (200..<300).contains(head.status)
    let limit = isSuccess ? request.bodyMax : min(request.bodyMax, HTTPTransport.errorBodyBytesMax)
    guard body.count + bytes.count <= limit else {
      if isSuccess {
        failure = RegistryError(.tooLarge, "the answer to \(request.subject) is longer than \(limit) bytes")
      } else {
        body.append(contentsOf: bytes.prefix(limit - body.count))
        isCut = true
      }
      return 0
    }
    body.append(contentsOf: bytes)
    return bytes.count
  }

  // MARK: the loop

  func flush() {
    if isStreaming { buffer?.flush() }
  }

  /// When the loop is to look at it again.
  var wakesAt: ContinuousClock.Instant { min(deadline, pacedUntil ?? deadline) }

  func resumePaced(_ now: ContinuousClock.Instant) {
    guard let pacedUntil, now >= pacedUntil else { return }
    self.pacedUntil = nil
    goOn()
  }

  func resume() {
    isFull = false
    goOn()
  }

  private func goOn() {
    guard isPaused, !isFull, pacedUntil == nil else { return }
    isPaused = false
    beginPeriod(ContinuousClock.now)
    // May call `received(body:)` before it returns. Its own failures end the transfer in the next perform.
    curl_easy_pause(easy, CURLPAUSE_RECV_CONT | CURLPAUSE_SEND_CONT)
  }

  private func beginPeriod(_ now: ContinuousClock.Instant) {
    bytesInPeriod = 0
    deadline = now + timeouts.idle
  }

  /// The error when time is up; else sets the next `deadline`.
  func checkDeadline(_ now: ContinuousClock.Instant) -> RegistryError? {
    guard now >= deadline else { return nil }
    guard isStreaming else {
      let what = head.isFinal ? "did not finish its answer" : "did not answer"
      return RegistryError(
        .timeout, "\(request.url.origin) \(what) to \(request.subject) in time",
        isTransient: true)
    }
    // A reader that is busy does not make the registry slow.
    guard isPaused || bytesInPeriod >= timeouts.idleBytesMin else {
      return RegistryError(
        .timeout,
        "\(request.subject) brought \(bytesInPeriod) bytes in \(timeouts.idle), too few to go on",
        isTransient: true)
    }
    beginPeriod(now)
    return nil
  }

  func outcome(of code: CURLcode) -> Result<Void, any Error> {
    if let failure { return .failure(failure) }
    if code == CURLE_OK || isCut { return .success(()) }
    var connectStatus = 0
    ccurl_get_long(easy, CURLINFO_HTTP_CONNECTCODE, &connectStatus)
    let failure = CurlFailure(
      code: code, request: request, policy: policy.pointee, hasHead: head.isFinal, proxy: proxy,
      connectStatus: connectStatus, chain: observer.flatMap { PeerChain(ccurl_observed_chain($0).pointee) },
      words: String(cString: words), hasIdentity: group.settings.tls.identity != nil)
    return .failure(failure.error)
  }

  func finish(_ outcome: Result<Void, any Error>) {
    buffer?.finish(outcome)
    switch outcome {
    case .success where head.status == 407 && proxy != nil:
      // Only over plain HTTP: a refused tunnel is libcurl's to report.
      continuation?.resume(throwing: RegistryError.proxyRefused(proxy, status: 407, request))
    case .success: continuation?.resume(returning: .response(response(body: body)))
    case .failure(let error): continuation?.resume(throwing: error)
    }
    continuation = nil
  }

  private func response(body: [UInt8]) -> HTTPResponse {
    var port = 0
    var version = 0
    ccurl_get_long(easy, CURLINFO_PRIMARY_PORT, &port)
    ccurl_get_long(easy, CURLINFO_HTTP_VERSION, &version)
    let address = ccurl_get_string(easy, CURLINFO_PRIMARY_IP).map { String(cString: $0) } ?? ""
    return HTTPResponse(
      status: head.status, headers: head.headers, body: body,
      connection: ConnectionInfo(
        address: address, port: port, version: version, proxy: proxy,
        certificates: group.chain(of: request.url.origin)?.certificates ?? []))
  }
}

private func connectionReady(
  _ context: UnsafeMutableRawPointer?, _ peer: UnsafeMutablePointer<CChar>?, _ local: UnsafeMutablePointer<CChar>?,
  _ peerPort: Int32, _ localPort: Int32
) -> Int32 {
  guard let context else { return CURL_PREREQFUNC_ABORT }
  let isFine = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().ready(at: peer)
  return isFine ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
}

private func receiveHeader(
  _ bytes: UnsafeMutablePointer<CChar>, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer
) -> Int {
  Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    .received(header: UnsafeRawBufferPointer(start: bytes, count: size * count))
}

private func receiveBody(
  _ bytes: UnsafeMutablePointer<CChar>, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer
) -> Int {
  Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    .received(body: UnsafeRawBufferPointer(start: bytes, count: size * count))
}
