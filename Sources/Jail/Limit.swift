import Glibc
import Inventory

extension Jail {
  /// A bound that the kernel keeps the process to. What it inherited stays where it is lower.
  struct Limit: Sendable {
    let name: String
    let resource: __rlimit_resource
    let value: UInt64

    var description: String { "\(name) \(value)" }

    static func all(handsBack: Bool) -> [Limit] {
      [
        Limit(name: "address space", resource: RLIMIT_AS, value: WorkerProtocol.addressSpaceBytes),
        Limit(name: "CPU seconds", resource: RLIMIT_CPU, value: WorkerProtocol.cpuSeconds),
        Limit(name: "core", resource: RLIMIT_CORE, value: 0),
        Limit(
          name: "descriptors", resource: RLIMIT_NOFILE, value: WorkerProtocol.openFiles(handsBack: handsBack)),
        // Of regular files; there is none to write to but where a person puts the answer into one.
        Limit(
          name: "file size", resource: RLIMIT_FSIZE,
          value: UInt64(WorkerProtocol.headerBytes + WorkerProtocol.answerBytesMax)),
        Limit(name: "new processes", resource: __RLIMIT_NPROC, value: 0),
        Limit(name: "locked memory", resource: __RLIMIT_MEMLOCK, value: 0),
        Limit(name: "message queues", resource: __RLIMIT_MSGQUEUE, value: 0),
      ]
    }

    func set() throws(Failure) {
      let number = __rlimit_resource_t(resource.rawValue)
      var bounds = rlimit()
      try check("read the limit of \(name)", getrlimit(number, &bounds))
      bounds.rlim_max = min(bounds.rlim_max, rlim_t(value))
      bounds.rlim_cur = min(bounds.rlim_cur, bounds.rlim_max)
      try check("limit \(name) (setrlimit)", setrlimit(number, &bounds))
    }
  }
}
