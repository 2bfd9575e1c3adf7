import CLIKit
import Glibc
import Posix
import TestSupport
import Testing

@Suite("Files that people name")
struct FileTests {
  @Test(
    "One line end is cut from a secret",
    arguments: [
      ("secret", "secret"), ("secret\n", "secret"), ("secret\r\n", "secret"), ("secret\r", "secret"),
      ("secret\n\n", "secret\n"), ("a\nb\n", "a\nb"), ("\n", ""), ("\r\n", ""), ("", ""), (" s \n", " s "),
    ])
  func cutsLineEnd(text: String, expected: String) {
    #expect(Array(SecretInput.withoutLineEnd(Array(text.utf8)[...])) == Array(expected.utf8))
  }

  @Test("A secret is read up to its bound, its line end not counted")
  func readsSecrets() throws {
    let folder = try TemporaryDirectory()
    let longest = [UInt8](repeating: UInt8(ascii: "x"), count: SecretInput.maximumLength)
    let fits = try folder.write(longest + [13, 10], to: "fits")
    #expect(try SecretInput.read(file: fits) == Secret(longest))
    let over = try folder.write(longest + [UInt8(ascii: "x")], to: "over")
    #expect(throws: (any Error).self) { try SecretInput.read(file: over) }
    let empty = try folder.write("\n", to: "empty")
    #expect(throws: (any Error).self) { try SecretInput.read(file: empty) }
  }

  @Test("What never ends, is absent or is no file is no secret", arguments: ["/dev/zero", "/nonexistent", "/tmp"])
  func refusesSecrets(path: String) {
    #expect(throws: (any Error).self) { try SecretInput.read(file: path) }
  }

  @Test("A report replaces a file whole and keeps its mode")
  func replaces() throws {
    let folder = try TemporaryDirectory()
    let path = try folder.write("old", to: "report")
    try FileReplacement.write(Array("new".utf8), to: path)
    #expect(try File.read(path, limit: 100) == Array("new".utf8))
    #expect(try File.status(path).st_mode & 0o777 == 0o600)
  }

  @Test("A link is neither followed nor replaced, and a device is left alone")
  func refusesLinks() throws {
    let folder = try TemporaryDirectory()
    let target = try folder.write("kept", to: "target")
    let link = folder.path + "/link"
    #expect(symlink("target", link) == 0)
    #expect(throws: (any Error).self) { try FileReplacement.write(Array("new".utf8), to: link) }
    #expect(try File.read(target, limit: 100) == Array("kept".utf8))
    let pipe = folder.path + "/pipe"
    #expect(mkfifo(pipe, 0o600) == 0)
    #expect(throws: (any Error).self) { try FileReplacement.write(Array("new".utf8), to: pipe) }
    #expect(throws: (any Error).self) { try FileReplacement.write(Array("new".utf8), to: folder.path) }
  }

  @Test("A write that fails leaves nothing behind")
  func leavesNothing() throws {
    let folder = try TemporaryDirectory()
    // The last part of the name fits, the temporary name does not.
    let name = String(repeating: "n", count: 255)
    #expect(throws: (any Error).self) { try FileReplacement.write(Array("new".utf8), to: "\(folder.path)/\(name)") }
    #expect(access("\(folder.path)/\(name)", F_OK) != 0)
  }
}
