import CPosix
import Glibc
import Logging
import Posix

/// Tells the service manager what the daemon is doing (the protocol of `sd_notify`): datagrams to `$NOTIFY_SOCKET`. Without
/// one it does nothing.
package struct ServiceNotifier: Sendable {
  private let path: String?
  private let log: Logger

  package init(path: String?, log: Logger) {
    self.path = path
    self.log = log
  }

  package func ready(_ status: String) { send(["READY=1", "STATUS=\(status)"]) }
  package func stopping(_ status: String) { send(["STOPPING=1", "STATUS=\(status)"]) }
  package func status(_ status: String) { send(["STATUS=\(status)"]) }

  /// The manager waits for the next `ready`.
  package func reloading() {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    let microseconds = Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    send(["RELOADING=1", "MONOTONIC_USEC=\(microseconds)", "STATUS=reading the settings anew"])
  }

  private func send(_ lines: [String]) {
    guard let path else { return }
    // A line's end would begin another assignment.
    let text = lines.map { $0.replacing("\n", with: " ") }.joined(separator: "\n")
    let status = text.withCString { cposix_send_datagram(path, $0, text.utf8.count) }
    if status < 0 {
      log.warning("the service manager cannot be told", metadata: ["error": "\(PosixError("send to \(path)"))"])
    }
  }
}
