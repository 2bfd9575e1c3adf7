import Glibc
import Synchronization

/// Calls that fail for one file of a test. The functions below take the place of the C library's in this program, LMDB
/// included.
enum DiskFaults {
  enum Call: Hashable {
    /// `fdatasync`.
    case dataSync
    /// The write of a meta page by LMDB's synchronous descriptor; nothing is written.
    case metaWrite
    /// The same, but the page is in the file all the same, and the old one is not written back.
    case metaWriteThatLands
  }

  private struct Fault {
    let calls: Set<Call>
    let isLasting: Bool
  }

  private static let faults = Mutex<[String: Fault]>([:])

  /// The next commit of the file at `path` fails with EIO, by each of the calls.
  static func failOnce(_ call: Call, of path: String) {
    faults.withLock { $0[path] = Fault(calls: [call], isLasting: false) }
  }

  /// From now on the calls fail for the file at `path`.
  static func fail(_ calls: Set<Call>, of path: String) {
    faults.withLock { $0[path] = Fault(calls: calls, isLasting: true) }
  }

  static func end(of path: String) { faults.withLock { $0[path] = nil } }

  /// Whether a call on this descriptor fails; the last one of a fault that does not last.
  fileprivate static func fails(_ call: Call, on descriptor: Int32, isLast: Bool = true) -> Bool {
    guard faults.withLock({ !$0.isEmpty }) else { return false }
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/fd/\(descriptor)", &buffer, buffer.count)
    guard count > 0 else { return false }
    let path = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return faults.withLock { faults in
      guard let fault = faults[path], fault.calls.contains(call) else { return false }
      if isLast && !fault.isLasting { faults[path] = nil }
      return true
    }
  }

  fileprivate static func next<F>(_ name: String, as type: F.Type) -> F {
    // RTLD_NEXT: the C library's.
    guard let found = dlsym(UnsafeMutableRawPointer(bitPattern: -1), name) else { preconditionFailure("no \(name)") }
    return unsafeBitCast(found, to: type)
  }
}

private typealias DataSync = @convention(c) (Int32) -> Int32
private typealias PositionedWrite = @convention(c) (Int32, UnsafeRawPointer?, Int, off_t) -> Int
private let realDataSync = DiskFaults.next("fdatasync", as: DataSync.self)
private let realWrite = DiskFaults.next("pwrite", as: PositionedWrite.self)
/// The part of a meta page that LMDB writes in a commit.
private let metaBytes = 120

@_cdecl("fdatasync") func faultyDataSync(_ descriptor: Int32) -> Int32 {
  guard DiskFaults.fails(.dataSync, on: descriptor) else { return realDataSync(descriptor) }
  errno = EIO
  return -1
}

@_cdecl("pwrite") func faultyWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int, _ place: off_t) -> Int
{
  guard count == metaBytes else { return realWrite(descriptor, bytes, count, place) }
  let isSynchronous = fcntl(descriptor, F_GETFL) & O_DSYNC != 0
  if DiskFaults.fails(.metaWriteThatLands, on: descriptor, isLast: !isSynchronous) {
    if isSynchronous { _ = realWrite(descriptor, bytes, count, place) }
  } else if !isSynchronous || !DiskFaults.fails(.metaWrite, on: descriptor) {
    return realWrite(descriptor, bytes, count, place)
  }
  errno = EIO
  return -1
}
