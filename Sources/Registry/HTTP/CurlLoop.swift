import CCurl
import CCurlShim
import CPosix
import Glibc
import Posix

/// The curl thread: an epoll loop that tells libcurl which of its sockets are ready. Everything here is used by that
/// thread alone.
final class CurlLoop {
  /// How long the thread sleeps when nothing is due.
  private static let sleepMax = Duration.seconds(60)
  /// Handles that wait for another request, of all groups together: some 25 KiB each.
  private static let idleMax = 32
  private static let eventsMax = 64
  private static let connectionsMax = 64

  private let mailbox: TransportMailbox
  private let outside: TransportOutside
  private let stores: TrustStores
  private let multi: UnsafeMutableRawPointer
  private let epoll: Int32
  /// When libcurl wants to be called; nil for not at all.
  private var timer: ContinuousClock.Instant?
  private let agenda = TransferAgenda()
  private var transfers: [UInt64: Transfer] = [:]
  private var transferIDs: [UnsafeMutableRawPointer: UInt64] = [:]
  private var groups: [UInt64: GroupConnections] = [:]
  private var idle: [EasyHandle] = []

  init(mailbox: TransportMailbox, outside: TransportOutside) {
    guard let multi = curl_multi_init() else { preconditionFailure("out of memory") }
    self.mailbox = mailbox
    self.outside = outside
    stores = TrustStores(outside.environment)
    self.multi = multi
    epoll = cposix_epoll_create()
    precondition(epoll >= 0, "\(PosixError("epoll_create"))")
    Self.expect(cposix_epoll_add(epoll, mailbox.wake, cposix_event_in, UInt64(mailbox.wake)))
    let context = Unmanaged.passUnretained(self).toOpaque()
    ccurl_multi_set_long(multi, CURLMOPT_PIPELINING, Int(CURLPIPE_MULTIPLEX))
    // Of each group. libcurl's own rule, four for each request that runs, closes those of a poll whenever few run.
    ccurl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, Self.connectionsMax)
    ccurl_multi_set_socket(multi, socketChanged, context)
    ccurl_multi_set_timer(multi, timerChanged, context)
  }

  func run() {
    var events = [cposix_event](repeating: cposix_event(), count: Self.eventsMax)
    while true {
      let (commands, isStopped) = mailbox.take()
      for command in commands { obey(command) }
      if isStopped { break }
      let now = ContinuousClock.now
      if let due = timer, due <= now {
        timer = nil
        act(CURL_SOCKET_TIMEOUT, 0)
      }
      collectEnded()
      for id in agenda.takeFlushes() { transfers[id]?.flush() }
      if now >= agenda.nextLook { enforceDeadlines(now) }
      let next = min(agenda.nextLook, timer ?? agenda.nextLook)
      let sleep = mailbox.fallAsleep() ? max(.zero, ContinuousClock.now.duration(to: next)).milliseconds : 0
      let count = cposix_epoll_wait(epoll, &events, Int32(events.count), Int32(clamping: sleep))
      precondition(count >= 0, "\(PosixError("epoll_wait"))")
      for event in events.prefix(Int(count)) { handle(event) }
    }
    for id in Array(transfers.keys) { end(id, .failure(CancellationError())) }
    idle.removeAll()
    groups.removeAll()
    curl_multi_cleanup(multi)
    Glibc.close(epoll)
  }

  private func handle(_ event: cposix_event) {
    let socket = curl_socket_t(event.token)
    guard socket != mailbox.wake else { return mailbox.silence() }
    // libcurl finds out for itself what a hang-up means, by reading or writing.
    let isHungUp = event.events & cposix_event_hangup != 0
    var ready: Int32 = 0
    if isHungUp || event.events & cposix_event_in != 0 { ready |= CURL_CSELECT_IN }
    if isHungUp || event.events & cposix_event_out != 0 { ready |= CURL_CSELECT_OUT }
    act(socket, ready)
  }

  private func act(_ socket: curl_socket_t, _ ready: Int32) {
    var running: Int32 = 0
    let code = curl_multi_socket_action(multi, socket, ready, &running)
    precondition(code == CURLM_OK, "libcurl: \(String(cString: curl_multi_strerror(code)))")
  }

  private func obey(_ command: TransportMailbox.Command) {
    switch command {
    case .start(let start): self.start(start)
    case .resume(let id): transfers[id]?.resume()
    case .cancel(let id): end(id, .failure(CancellationError()))
    case .closeGroup(let id):
      guard let group = groups[id] else { return }
      group.isClosing = true
      if group.transferCount == 0 { close(group, id) }
    }
  }

  private func start(_ start: StartCommand) {
    guard !start.isCancelled.isSet else { return refuse(start, CancellationError()) }
    guard start.permits == nil || !start.group.limiter.isThrottled(start.request.url.origin) else {
      return refuse(start, StartCommand.TooSoon())
    }
    do {
      let group = groups[start.group.id] ?? GroupConnections(start.group.settings, stores: stores)
      groups[start.group.id] = group
      let buffer =
        start.streams
        ? StreamBuffer(
          resume: { [mailbox] in mailbox.post(.resume(start.id)) },
          stop: { [mailbox] in mailbox.post(.cancel(start.id)) }) : nil
      let handle = try handle(Transfer.kind(of: start, outside), in: group)
      let transfer = try Transfer(start, on: handle, buffer: buffer, outside: outside, agenda: agenda)
      let code = curl_multi_add_handle(multi, transfer.easy)
      precondition(code == CURLM_OK, "libcurl: \(String(cString: curl_multi_strerror(code)))")
      group.transferCount += 1
      transfers[start.id] = transfer
      transferIDs[transfer.easy] = start.id
    } catch {
      refuse(start, error)
    }
  }

  private func refuse(_ start: StartCommand, _ error: any Error) {
    start.permits?.release()
    start.continuation.resume(throwing: error)
  }

  private func handle(_ kind: EasyHandle.Kind, in group: GroupConnections) throws -> EasyHandle {
    if let index = idle.lastIndex(where: { $0.group === group && $0.kind == kind }) { return idle.remove(at: index) }
    return try EasyHandle(kind, in: group, connectTimeout: outside.timeouts.connect)
  }

  private func collectEnded() {
    var left: Int32 = 0
    while let message = curl_multi_info_read(multi, &left) {
      guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle, let id = transferIDs[easy],
        let transfer = transfers[id]
      else { continue }
      end(id, transfer.outcome(of: message.pointee.data.result))
    }
  }

  private func enforceDeadlines(_ now: ContinuousClock.Instant) {
    agenda.nextLook = now + Self.sleepMax
    for (id, transfer) in transfers {
      if let error = transfer.checkDeadline(now) {
        end(id, .failure(error))
      } else {
        transfer.resumePaced(now)
        agenda.lookAgain(by: transfer.wakesAt)
      }
    }
  }

  /// Takes the handle out of libcurl and tells whoever waits.
  private func end(_ id: UInt64, _ outcome: Result<Void, any Error>) {
    guard let transfer = transfers.removeValue(forKey: id) else { return }
    let handle = transfer.handle
    let group = handle.group
    transferIDs[handle.easy] = nil
    curl_multi_remove_handle(multi, handle.easy)
    transfer.finish(outcome)
    group.transferCount -= 1
    if group.isClosing {
      if group.transferCount == 0, let key = groups.first(where: { $0.value === group })?.key { close(group, key) }
    } else if handle.isReusable {
      handle.retire()
      if idle.count >= Self.idleMax { idle.removeFirst() }
      idle.append(handle)
    }
  }

  private func close(_ group: GroupConnections, _ id: UInt64) {
    idle.removeAll { $0.group === group }
    groups[id] = nil
  }

  // MARK: libcurl's wishes

  /// `known`: what the socket is watched for, which libcurl keeps for us and forgets with the socket; 0 for a new one.
  fileprivate func watch(_ socket: curl_socket_t, _ what: Int32, known: UInt32) {
    let wanted: UInt32
    switch what {
    case CURL_POLL_IN: wanted = cposix_event_in
    case CURL_POLL_OUT: wanted = cposix_event_out
    case CURL_POLL_INOUT: wanted = cposix_event_in | cposix_event_out
    default:
      // Closing it took it out as well: that it is not there is no failure.
      _ = cposix_epoll_remove(epoll, socket)
      return
    }
    guard wanted != known else { return }
    if known != 0 || cposix_epoll_add(epoll, socket, wanted, UInt64(socket)) != 0 {
      Self.expect(cposix_epoll_modify(epoll, socket, wanted, UInt64(socket)))
    }
    curl_multi_assign(multi, socket, UnsafeMutableRawPointer(bitPattern: UInt(wanted)))
  }

  fileprivate func setTimer(milliseconds: Int) {
    timer = milliseconds < 0 ? nil : ContinuousClock.now + .milliseconds(milliseconds)
  }

  private static func expect(_ code: Int32) { precondition(code == 0, "\(PosixError("epoll_ctl"))") }
}

/// What the curl thread has to do for its transfers after libcurl was called.
final class TransferAgenda {
  /// When a deadline may have passed.
  var nextLook = ContinuousClock.now
  private var flushes: [UInt64] = []

  func lookAgain(by moment: ContinuousClock.Instant) { nextLook = min(nextLook, moment) }

  /// Bytes of a stream have come.
  func flush(_ transfer: UInt64) { if flushes.last != transfer { flushes.append(transfer) } }

  func takeFlushes() -> [UInt64] {
    if flushes.isEmpty { return [] }
    defer { flushes.removeAll(keepingCapacity: true) }
    return flushes
  }
}

private func socketChanged(
  _ easy: UnsafeMutableRawPointer?, _ socket: curl_socket_t, _ what: Int32, _ context: UnsafeMutableRawPointer?,
  _ attached: UnsafeMutableRawPointer?
) -> Int32 {
  if let context {
    Unmanaged<CurlLoop>.fromOpaque(context).takeUnretainedValue()
      .watch(socket, what, known: UInt32(UInt(bitPattern: attached)))
  }
  return 0
}

private func timerChanged(
  _ multi: UnsafeMutableRawPointer?, _ milliseconds: Int, _ context: UnsafeMutableRawPointer?
) -> Int32 {
  if let context { Unmanaged<CurlLoop>.fromOpaque(context).takeUnretainedValue().setTimer(milliseconds: milliseconds) }
  return 0
}

extension Duration {
  /// Rounded up, so that a sleep does not end just before what it was for.
  var milliseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
  }
}
