/// All that a version of Landlock can deny. As no rule allows any of it anywhere, it is what the worker cannot do.
struct Landlock: CustomStringConvertible {
  let files: UInt64
  let network: UInt64
  let scopes: UInt64
  let description: String

  /// Each row: the version from which on the kernel knows these bits of linux/landlock.h.
  private static let fileRights: [(abi: Int32, bits: UInt64)] = [
    (1, 0x1FFF),  // execute, write, read, list, remove and make of every kind
    (2, 1 << 13),  // link and rename across directories
    (3, 1 << 14),  // truncate
    (5, 1 << 15),  // ioctl of devices
  ]
  private static let networkRights: [(abi: Int32, bits: UInt64)] = [(4, 0b11)]  // bind and connect TCP
  private static let scopeRights: [(abi: Int32, bits: UInt64)] = [(6, 0b11)]  // abstract Unix sockets, signals

  init(abi: Int32) {
    func all(_ rights: [(abi: Int32, bits: UInt64)]) -> UInt64 {
      rights.reduce(0) { $1.abi <= abi ? $0 | $1.bits : $0 }
    }
    files = all(Self.fileRights)
    network = all(Self.networkRights)
    scopes = all(Self.scopeRights)
    let parts = [("files", files), ("TCP", network), ("signals and abstract sockets", scopes)]
    description = "no " + parts.filter { $0.1 != 0 }.map(\.0).joined(separator: ", no ")
  }
}
