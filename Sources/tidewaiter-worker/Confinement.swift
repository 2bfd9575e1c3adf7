import CPosix
import Glibc
import Inventory

/// What the worker gives up, and the bounds it sets on itself, before it reads its first byte.
enum Confinement {
  /// A step that the kernel refused; the worker then reads nothing.
  struct Failure: Error, CustomStringConvertible {
    let step: String
    let reason: String
    var description: String { "\(step): \(reason)" }
  }

  /// The bounds hold for this process alone and cannot be raised again. A parent that dies before its death is asked
  /// to be reported closes the input, which ends the worker as well.
  static func enter() throws(Failure) {
    try check("tie the worker's life to its parent's", cposix_die_with_parent())
    try check("make the worker not dumpable", cposix_not_dumpable())
    try limit("address space", RLIMIT_AS, WorkerProtocol.addressSpaceBytes)
    try limit("CPU time", RLIMIT_CPU, WorkerProtocol.cpuSeconds)
    try limit("core files", RLIMIT_CORE, 0)
    try limit("open files", RLIMIT_NOFILE, WorkerProtocol.openFiles)
    try limit("file size", RLIMIT_FSIZE, UInt64(WorkerProtocol.headerBytes + WorkerProtocol.answerBytesMax))
    try check("give up new privileges", cposix_no_new_privileges())
  }

  private static func limit(_ what: String, _ resource: __rlimit_resource, _ value: UInt64) throws(Failure) {
    var bounds = rlimit(rlim_cur: rlim_t(value), rlim_max: rlim_t(value))
    try check("bound the worker's \(what)", setrlimit(__rlimit_resource_t(resource.rawValue), &bounds))
  }

  private static func check(_ step: String, _ status: Int32) throws(Failure) {
    if status != 0 { throw Failure(step: step, reason: String(cString: strerror(errno))) }
  }
}
