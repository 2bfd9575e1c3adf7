import CPosix
import Glibc
import Posix

/// A listening socket that the service manager made and handed over at start (`LISTEN_FDS`).
package struct InheritedSocket: Sendable, Equatable {
  package let descriptor: Int32
  /// Where it is bound, "" for nowhere that can be named.
  package let path: String

  /// Its name where several are handed over: as systemd names that of a unit `tidewaiter.socket`, or by hand.
  private static let names: Set<String> = ["tidewaiter", "tidewaiter.socket", "tidewaiterd.socket"]
  private static let firstDescriptor: Int32 = 3
  private static let descriptorsMaximum: Int32 = 64

  package struct Unusable: Error, Equatable, CustomStringConvertible {
    package let description: String
    package let hint: String
  }

  /// The socket that `environment` says was handed over to this process; nil when none was. Call it before anything is
  /// opened or started, and unset the variables after, so that no child takes them for its own. Throws `Unusable`.
  package static func take(from environment: [String: String], process: pid_t = getpid()) throws(Unusable)
    -> InheritedSocket?
  {
    guard let owner = environment["LISTEN_PID"], let text = environment["LISTEN_FDS"] else { return nil }
    // Variables that were meant for another process, and went on to its children.
    guard owner == "\(process)" else { return nil }
    guard let count = Int32(text), (0...descriptorsMaximum).contains(count) else {
      throw Unusable(description: "LISTEN_FDS: \"\(text)\" is no number of sockets", hint: "check the service manager")
    }
    if count == 0 { return nil }
    let names = environment["LISTEN_FDNAMES"]?.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    var chosen: Int32?
    for index in 0..<count {
      let descriptor = firstDescriptor + index
      let name = names.flatMap { $0.indices.contains(Int(index)) ? $0[Int(index)] : nil } ?? ""
      if chosen == nil && (count == 1 || Self.names.contains(name)) {
        chosen = descriptor
      } else {
        // Not ours to serve, and nobody's who is started from here.
        close(descriptor)
      }
    }
    guard let chosen else {
      throw Unusable(
        description: "\(count) sockets were handed over, and none of them is named tidewaiter",
        hint: "name the one to serve on: FileDescriptorName=tidewaiter")
    }
    guard cposix_take_listener(chosen) == 0 else {
      throw Unusable(
        description: "descriptor \(chosen), handed over by the service manager, is no listening Unix stream socket",
        hint: "use ListenStream= with the path of a Unix socket, and Accept=no")
    }
    return InheritedSocket(descriptor: chosen, path: path(of: chosen))
  }

  private static func path(of descriptor: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard cposix_bound_path(descriptor, &buffer, buffer.count) == 0 else { return "" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
