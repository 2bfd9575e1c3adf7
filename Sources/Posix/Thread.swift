import CPosix
import Glibc

/// Starts a detached thread for blocking C (LMDB's fsync, curl's poll, a child's end) that Swift's own pool must never
/// wait for. `name` shows in `ps -L` (15 bytes). For the daemon's few lasting threads: without them it cannot do anything,
/// and it is better to end than to hang with a queue nobody drains. What comes and goes with work uses
/// `startThreadIfPossible`.
///
/// Not Dispatch: its pool grows without a bound that we choose, and a thread per blocking owner is exactly what is meant.
package func startThread(named name: String, stackSize: Int = 1 << 20, _ body: @escaping @Sendable () -> Void) {
  do throws(PosixError) {
    try startThreadIfPossible(named: name, stackSize: stackSize, body)
  } catch {
    preconditionFailure(error.description)
  }
}

/// As `startThread`, and throws where the system has no thread left to give; `body` is then never run.
package func startThreadIfPossible(
  named name: String, stackSize: Int = 1 << 20, _ body: @escaping @Sendable () -> Void
) throws(PosixError) {
  final class Start {
    let name: String
    let body: @Sendable () -> Void
    init(_ name: String, _ body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }
  var attributes = pthread_attr_t()
  pthread_attr_init(&attributes)
  pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
  pthread_attr_setstacksize(&attributes, stackSize)
  defer { pthread_attr_destroy(&attributes) }
  var thread = pthread_t()
  let start = Unmanaged.passRetained(Start(name, body))
  let status = pthread_create(
    &thread, &attributes,
    { context in
      guard let context else { return nil }
      let start = Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
      cposix_name_thread(start.name)
      start.body()
      return nil
    }, start.toOpaque())
  if status != 0 {
    start.release()
    throw PosixError("start thread \(name)", errno: status)
  }
}
