import Glibc
import Posix
import Testing

/// A directory of a test's own, removed with the value.
final class Scratch: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/tidewaiter-advisories-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  deinit { Self.remove(path) }

  var database: String { path + "/advisories" }

  /// Writes a file and returns its path.
  func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    let file = path + "/" + name
    unlink(file)
    try File.create(file, mode: 0o600, contents: bytes)
    return file
  }

  /// Names in the database's directory, in order.
  func databaseFiles() throws -> [String] { try Self.names(database).sorted() }

  private static func names(_ directory: String) throws -> [String] {
    let stream = try #require(opendir(directory))
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }

  private static func remove(_ path: String) {
    if unlink(path) == 0 { return }
    for name in (try? names(path)) ?? [] { remove(path + "/" + name) }
    rmdir(path)
  }
}
