import CCurl
import CCurlShim
import Posix

/// One request inside libcurl: the handle that it uses, and what has come so far. Used by the curl thread alone.
final class Transfer {
  let id: UInt64
  let handle: EasyHandle
  var easy: UnsafeMutableRawPointer { handle.easy }
  var group: GroupConnections { handle.group }

  private let request: HTTPRequest
  private let timeouts: TransportTimeouts
  /// Nil once the head of a stream, or everything, has been handed over.
  private var continuation: CheckedContinuation<OpenedResponse, any Error>?
  private let buffer: StreamBuffer?
  /// Kept so that its connections are not closed under the transfer.
  private let owner: ConnectionGroup
  /// Where the permit goes at the end.
  private let permits: Permits?
  private let agenda: TransferAgenda

  private var head = ResponseHead()
  private var body: [UInt8] = []
  private var isStreaming = false
  /// Its reader is behind.
  private var isFull = false
  /// Until then, to keep to the integration's pace, no more bytes are taken.
  private var pacedUntil: ContinuousClock.Instant? { didSet { agenda.lookAgain(by: wakesAt) } }
  /// libcurl was told to take no more bytes.
  private var isPaused = false
  /// The rest of an error's body is not wanted: libcurl's complaint about that is no failure.
  private var isCut = false
  /// Why a callback of ours stopped the transfer.
  private var failure: RegistryError?

  private let started: ContinuousClock.Instant
  private(set) var deadline: ContinuousClock.Instant { didSet { agenda.lookAgain(by: wakesAt) } }
  private var bytesInPeriod = 0

  private var proxy: ProxyServer? { handle.kind.proxy }

  init(
    _ start: StartCommand, on handle: EasyHandle, buffer: StreamBuffer?, outside: TransportOutside,
    agenda: TransferAgenda
  )
    throws
  {
    self.handle = handle
    self.buffer = buffer
    self.agenda = agenda
    timeouts = outside.timeouts
    id = start.id
    request = start.request
    owner = start.group
    permits = start.permits
    continuation = start.continuation
    started = ContinuousClock.now
    // Until the connection is ready, libcurl's own limit comes first.
    deadline = started + outside.timeouts.connect + outside.timeouts.firstByte
    agenda.lookAgain(by: deadline)
    let allowed = Self.allowedKinds(for: start.request, in: handle.group)
    // The socket callback would find it too, unless a proxy made the connection.
    let literal = request.url.unbracketedHost
    let kind = ccurl_address_kind(literal)
    if kind != 0, kind & allowed == 0 {
      throw RegistryError.addressRefused(host: request.url.host, address: literal, kinds: kind)
    }
    // A proxy may live anywhere: it is the user who named it.
    handle.prepare(request, allowed: handle.kind.proxy == nil ? allowed : .max, hosts: outside.mappings)
    let context = Unmanaged.passUnretained(self).toOpaque()
    handle.check(ccurl_set_header(easy, receiveHeader, context))
    handle.check(ccurl_set_write(easy, receiveBody, context))
    handle.check(ccurl_set_ready(easy, connectionReady, context))
  }

  // MARK: set-up

  /// The kind of handle that a request needs.
  static func kind(of start: StartCommand, _ outside: TransportOutside) throws -> EasyHandle.Kind {
    let request = start.request
    return EasyHandle.Kind(
      streams: start.streams, scheme: request.url.scheme, showsIdentity: request.destination != .namedByAnswer,
      proxy: try proxy(for: request.url, start.group.settings.proxy, outside.proxies))
  }

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

  // MARK: callbacks

  /// False to send nothing: a kept connection was made under a rule that is not this request's.
  fileprivate func ready(at peer: UnsafePointer<CChar>?) -> Bool {
    deadline = ContinuousClock.now + timeouts.firstByte
    if let chain = handle.chain { group.remember(chain, of: request.url.origin) }
    guard proxy == nil, let peer else { return true }
    let kind = ccurl_address_kind(peer)
    guard kind & handle.allowed == 0 else { return true }
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
    if proxy == nil, request.destination == .registry, let address = handle.peerAddress {
      group.registryAddressKinds |= ccurl_address_kind(address)
    }
    if let buffer, head.status == 200 || head.status == 206 {
      isStreaming = true
      beginPeriod(ContinuousClock.now)
      let response = response(body: [])
      owner.limiter.note(response, from: request.url.origin)
      continuation?.resume(returning: .stream(HTTPStream(response: response, buffer: buffer)))
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
        agenda.flush(id)
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

  /// Wakes a reader that waits for what has come.
  func flush() { buffer?.flush() }

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
    defer { beginPeriod(now) }
    if isPaused { return nil }
    if bytesInPeriod == 0 {
      return RegistryError(
        .timeout, "\(request.subject) brought nothing in \(timeouts.idle)", isTransient: true)
    }
    let bytesMin = timeouts.idle * timeouts.bytesPerSecondMin / .seconds(1)
    if Double(bytesInPeriod) < bytesMin {
      return RegistryError(
        .stalled,
        "\(request.subject) brought \(bytesInPeriod) bytes in \(timeouts.idle), fewer than"
          + " \(timeouts.bytesPerSecondMin) a second", isTransient: true)
    }
    return nil
  }

  func outcome(of code: CURLcode) -> Result<Void, any Error> {
    if let failure { return .failure(failure) }
    if code == CURLE_OK || isCut { return .success(()) }
    let failure = CurlFailure(
      code: code, request: request, policy: handle.addressPolicy, hasHead: head.isFinal, proxy: proxy,
      connectStatus: handle.number(CURLINFO_HTTP_CONNECTCODE), chain: handle.chain, words: handle.failureWords,
      hasIdentity: group.settings.tls.identity != nil)
    return .failure(failure.error)
  }

  /// Tells whoever waits, and lets the next request go: it must know what this answer said of the registry's patience.
  func finish(_ outcome: Result<Void, any Error>) {
    buffer?.finish(outcome)
    defer { permits?.release() }
    switch outcome {
    case .success where head.status == 407 && proxy != nil:
      // Only over plain HTTP: a refused tunnel is libcurl's to report.
      continuation?.resume(throwing: RegistryError.proxyRefused(proxy, status: 407, request))
    case .success where continuation != nil:
      let response = response(body: body)
      owner.limiter.note(response, from: request.url.origin)
      continuation?.resume(returning: .response(response))
    case .success: break
    case .failure(let error): continuation?.resume(throwing: error)
    }
    continuation = nil
  }

  private func response(body: [UInt8]) -> HTTPResponse {
    HTTPResponse(
      status: head.status, headers: head.headers, body: body,
      connection: ConnectionInfo(
        address: handle.peerAddress.map { String(cString: $0) } ?? "", port: handle.number(CURLINFO_PRIMARY_PORT),
        version: handle.number(CURLINFO_HTTP_VERSION), proxy: proxy,
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
