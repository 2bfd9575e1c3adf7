import Model

/// What can be wrong with an entry of a layer by its header alone. The raw value is the finding's `id`: stable.
package enum FileCheck: String, Sendable, CaseIterable {
  case setuidRoot = "SETUID_FILE"
  case setgid = "SETGID_FILE"
  case worldWritableFile = "WORLD_WRITABLE_FILE"
  case worldWritableDirectory = "WORLD_WRITABLE_DIRECTORY"

  package var title: String {
    switch self {
    case .setuidRoot: "runs with its owner's rights, whoever starts it (setuid)"
    case .setgid: "runs with its group's rights, whoever starts it (setgid)"
    case .worldWritableFile: "a system file that every user of the container may change"
    case .worldWritableDirectory: "a directory whose files every user may replace: it has no sticky bit"
    }
  }

  package var severity: Severity {
    switch self {
    case .setuidRoot, .setgid: .low
    case .worldWritableFile, .worldWritableDirectory: .medium
    }
  }

  package var remedy: String {
    switch self {
    case .setuidRoot, .setgid: "remove the bit (chmod a-s) in the layer that brings the file, or remove the file"
    case .worldWritableFile: "take the right away in the layer that brings the file (chmod o-w)"
    case .worldWritableDirectory: "set the sticky bit (chmod +t) or take the right away (chmod o-w)"
    }
  }

  private static let sticky: UInt16 = 0o1000
  private static let setgidBit: UInt16 = 0o2000
  private static let setuidBit: UInt16 = 0o4000
  private static let othersWrite: UInt16 = 0o002
  private static let anyExecute: UInt16 = 0o111
  /// Where programs and what they are told lie.
  private static let systemDirectories = ["bin", "sbin", "lib", "lib32", "lib64", "usr", "etc", "boot", "root", "opt"]
    .map { Array($0.utf8) }

  /// What is wrong with a regular file of these permission bits.
  package static func ofFile(_ path: UnsafeRawBufferPointer, mode: UInt16) -> [FileCheck] {
    if mode & (setuidBit | setgidBit | othersWrite) == 0 { return [] }
    var found: [FileCheck] = []
    // Without the right to be run the bits do nothing.
    if mode & anyExecute != 0 {
      if mode & setuidBit != 0 { found.append(.setuidRoot) }
      if mode & setgidBit != 0 { found.append(.setgid) }
    }
    if mode & othersWrite != 0 && isSystem(path) { found.append(.worldWritableFile) }
    return found
  }

  package static func ofDirectory(_ path: UnsafeRawBufferPointer, mode: UInt16) -> [FileCheck] {
    mode & othersWrite != 0 && mode & sticky == 0 ? [.worldWritableDirectory] : []
  }

  private static func isSystem(_ path: UnsafeRawBufferPointer) -> Bool {
    guard let slash = path.firstIndex(of: UInt8(ascii: "/")) else { return false }
    return systemDirectories.contains { $0.elementsEqual(path[..<slash]) }
  }
}
