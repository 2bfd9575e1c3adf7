import CCurl
import CCurlShim

/// The curl thread. Everything here is used by that thread alone.
final class CurlLoop {
  /// How long the thread sleeps when nothing is due.
  private static let sleepMax = Duration.seconds(60)

  private let mailbox: TransportMailbox
  private let outside: TransportOutside
  private let stores: TrustStores
  private let multi: UnsafeMutableRawPointer
  private var transfers: [UInt64: Transfer] = [:]
  private var transferIDs: [UnsafeMutableRawPointer: UInt64] = [:]
  private var groups: [UInt64: GroupConnections] = [:]

  init(mailbox: TransportMailbox, outside: TransportOutside) {
    guard let multi = curl_multi_init() else { preconditionFailure("out of memory") }
    self.mailbox = mailbox
    self.outside = outside
    stores = TrustStores(outside.environment)
    self.multi = multi
    ccurl_multi_set_long(multi, CURLMOPT_PIPELINING, Int(CURLPIPE_MULTIPLEX))
    mailbox.attach(multi)
  }

  func run() {
    while true {
      let (commands, isStopped) = mailbox.take()
      for command in commands { obey(command) }
      if isStopped { break }
      var running: Int32 = 0
      let code = curl_multi_perform(multi, &running)
      precondition(code == CURLM_OK, "libcurl: \(String(cString: curl_multi_strerror(code)))")
      collectEnded()
      for transfer in transfers.values { transfer.flush() }
      let wait = enforceDeadlines()
      curl_multi_poll(multi, nil, 0, Int32(clamping: wait.milliseconds), nil)
    }
    mailbox.detach()
    for id in Array(transfers.keys) { end(id, .failure(CancellationError())) }
    groups.removeAll()
    curl_multi_cleanup(multi)
  }

  private func obey(_ command: TransportMailbox.Command) {
    switch command {
    case .start(let start): self.start(start)
    case .resume(let id): transfers[id]?.resume()
    case .cancel(let id): end(id, .failure(CancellationError()))
    case .closeGroup(let id):
      guard let group = groups[id] else { return }
      group.isClosing = true
      if group.transferCount == 0 { groups[id] = nil }
    }
  }

  private func start(_ start: StartCommand) {
    guard !start.isCancelled.isSet else { return start.continuation.resume(throwing: CancellationError()) }
    do {
      let group = try groups[start.group.id] ?? GroupConnections(start.group.settings, stores: stores)
      groups[start.group.id] = group
      let buffer =
        start.streams
        ? StreamBuffer(
          resume: { [mailbox] in mailbox.post(.resume(start.id)) },
          stop: { [mailbox] in mailbox.post(.cancel(start.id)) }) : nil
      let transfer = try Transfer(start, in: group, buffer: buffer, outside: outside)
      let code = curl_multi_add_handle(multi, transfer.easy)
      precondition(code == CURLM_OK, "libcurl: \(String(cString: curl_multi_strerror(code)))")
      group.transferCount += 1
      transfers[start.id] = transfer
      transferIDs[transfer.easy] = start.id
    } catch {
      start.continuation.resume(throwing: error)
    }
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

  private func enforceDeadlines() -> Duration {
    let now = ContinuousClock.now
    var next = now + Self.sleepMax
    for (id, transfer) in transfers {
      if let error = transfer.checkDeadline(now) {
        end(id, .failure(error))
      } else {
        transfer.resumePaced(now)
        next = min(next, transfer.wakesAt)
      }
    }
    return now.duration(to: next)
  }

  /// Takes the handle out of libcurl and tells whoever waits.
  private func end(_ id: UInt64, _ outcome: Result<Void, any Error>) {
    guard let transfer = transfers.removeValue(forKey: id) else { return }
    transferIDs[transfer.easy] = nil
    curl_multi_remove_handle(multi, transfer.easy)
    let group = transfer.group
    transfer.finish(outcome)
    group.transferCount -= 1
    if group.isClosing, group.transferCount == 0, let key = groups.first(where: { $0.value === group })?.key {
      groups[key] = nil
    }
  }
}

extension Duration {
  /// Rounded up, so that a sleep does not end just before what it was for.
  var milliseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
  }
}
