import Foundation
import Posix

/// A folder of one test, removed with everything in it when the test ends.
struct Folder: ~Copyable {
  let path: String

  init() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tidewaiter-cli-\(UUID().uuidString)")
    path = folder.path
    try File.createDirectories(path, mode: 0o700)
  }

  deinit {
    do {
      try FileManager.default.removeItem(atPath: path)
    } catch {
      print("left behind: \(path): \(error)")
    }
  }

  /// Writes `text` to `name`, making the folders on the way.
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
