#if THREAD_SANITIZER
  import Glibc

  /// Stands in for Synchronization's `Mutex`, whose slow path lies in a library that the thread sanitizer does not see
  /// into: under contention it reports what the lock guards as races. It does see pthread's. Built with
  /// `-Xswiftc -DTHREAD_SANITIZER` alone, as `make tsan` does. Each module that the sanitizer watches has a link to this
  /// file: what a module declares itself goes before what it imports.
  struct Mutex<Value>: ~Copyable, Sendable {
    /// Sendable since `value` is touched under the lock only.
    private final class Box: @unchecked Sendable {
      let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
      var value: Value

      init(_ value: consuming sending Value) {
        self.value = value
        pthread_mutex_init(lock, nil)
      }

      deinit {
        pthread_mutex_destroy(lock)
        lock.deallocate()
      }
    }

    private let box: Box

    init(_ value: consuming sending Value) { box = Box(value) }

    borrowing func withLock<R, E: Error>(_ body: (inout Value) throws(E) -> R) throws(E) -> R {
      pthread_mutex_lock(box.lock)
      defer { pthread_mutex_unlock(box.lock) }
      return try body(&box.value)
    }
  }
#endif
