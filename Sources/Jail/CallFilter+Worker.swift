import CJail
import Glibc
import Inventory

extension CallFilter {
  /// What a worker calls from its first byte of input to its end, an end by a trap or for want of memory included. What
  /// nobody was seen to call is not here: neither `mprotect` (the loader's), nor `madvise` (of a second heap), nor
  /// `rt_sigaction` and `rt_sigreturn` (no signal is handled), nor `close` and `lseek`.
  /// `handsBack`: it has a descriptor for the bytes of files.
  static func workerRules(process: pid_t, handsBack: Bool = false) -> [Rule] {
    let own = UInt32(bitPattern: process)
    let outputs = [WorkerProtocol.outputDescriptor, 2] + (handsBack ? [WorkerProtocol.contentsDescriptor] : [])
    return [
      // How much CPU time the analysis has used.
      .allow(__NR_clock_gettime),
      // The layer's bytes.
      .allow(__NR_read, .isOneOf(argument: 0, [UInt32(WorkerProtocol.inputDescriptor)])),
      // The answer, the bytes of files, and what a trap says on standard error.
      .allow(__NR_write, .isOneOf(argument: 0, outputs.map(UInt32.init))),
      // Memory: the heap, and blocks of 128 KiB and more. Nothing is mapped from a file or made executable; and what is
      // mapped so already stays as it is.
      .allow(__NR_brk),
      .allow(
        __NR_mmap, .hasNone(argument: 2, UInt32(PROT_EXEC)), .hasAll(argument: 3, UInt32(MAP_ANONYMOUS))),
      .allow(__NR_munmap),
      // Large blocks that libraries in C enlarge (`realloc`).
      .allow(__NR_mremap),
      // Seeds of hash tables.
      .allow(__NR_getrandom),
      // `pthread_once` wakes those who wait, though there are none.
      .allow(__NR_futex, .isOneOf(argument: 1, [futexWakePrivate])),
      // `abort`, where memory has run out.
      .allow(__NR_rt_sigprocmask),
      .allow(__NR_getpid),
      .allow(__NR_gettid),
      .allow(
        __NR_tgkill, .isOneOf(argument: 0, [own]), .isOneOf(argument: 1, [own]),
        .isOneOf(argument: 2, [UInt32(SIGABRT)])),
      .allow(__NR_exit_group),
      // The C library tries `clone` then, which is not in this list. No argument in memory can be looked at from here, so
      // that flags of this call could not be told apart.
      .fail(__NR_clone3, ENOSYS),
    ]
  }

  /// FUTEX_WAKE | FUTEX_PRIVATE_FLAG of linux/futex.h.
  private static let futexWakePrivate: UInt32 = 1 | 128
}
