import Posix
import TestSupport

extension TemporaryDirectory {
  /// Writes `text` to `name`, making the folders on the way; returns its path.
  @discardableResult
  func write(_ text: String, to name: String) throws -> String { try write(Array(text.utf8), to: name) }

  @discardableResult
  func write(_ bytes: [UInt8], to name: String) throws -> String {
    let file = "\(path)/\(name)"
    try File.createDirectories(String(file[..<(file.lastIndex(of: "/") ?? file.startIndex)]), mode: 0o700)
    try File.create(file, mode: 0o600, contents: bytes)
    return file
  }
}
