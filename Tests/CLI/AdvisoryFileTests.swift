import CLIKit
import Glibc
import TestSupport
import Testing

@Suite("Advisory files on their way to the daemon")
struct AdvisoryFileTests {
  private static let zip: [UInt8] = [0x50, 0x4b, 3, 4, 1, 2, 3]

  private static func upload(_ source: AdvisorySource, chunk: Int) throws -> [UInt8] {
    var stream = AdvisoryStream(source)
    var bytes: [UInt8] = []
    while true {
      let part = try stream.next(atMost: chunk)
      #expect(part.count <= chunk)
      if part.isEmpty { return bytes }
      bytes += part
    }
  }

  @Test(
    "A folder of records becomes one bundle, byte for byte, whatever the size of the chunks", arguments: [1, 7, 4096])
  func bundles(chunk: Int) throws {
    let folder = try TemporaryDirectory()
    try folder.write("{}", to: "Set/b/2.json")
    try folder.write("", to: "Set/1.json")
    try folder.write("not a record", to: "Set/README")
    var discovery = AdvisoryDiscovery()
    try discovery.add(folder.path + "/Set/")
    let source = try #require(discovery.sources.first)
    #expect(discovery.sources.count == 1 && discovery.warnings.isEmpty)
    #expect(source.name == "Set")
    var expected = Array("TWOSVB1\n".utf8)
    expected += [0, 0, 0, 6] + Array("1.json".utf8) + [0, 0, 0, 0, 0, 0, 0, 0]
    expected += [0, 0, 0, 8] + Array("b/2.json".utf8) + [0, 0, 0, 0, 0, 0, 0, 2] + Array("{}".utf8)
    #expect(try Self.upload(source, chunk: chunk) == expected)
    #expect(source.size == UInt64(expected.count))
  }

  @Test("An archive goes as it is, under the name of its ecosystem")
  func archives() throws {
    let folder = try TemporaryDirectory()
    let path = try folder.write(Self.zip, to: "Debian/all.zip")
    try folder.write(Self.zip, to: "alpine-edge.zip")
    var discovery = AdvisoryDiscovery()
    try discovery.add(path)
    try discovery.add(folder.path + "/alpine-edge.zip")
    #expect(discovery.sources.map(\.name) == ["Debian", "alpine-edge"])
    for source in discovery.sources {
      #expect(try Self.upload(source, chunk: 3) == Self.zip)
      #expect(source.size == 7)
    }
  }

  @Test("A folder laid out as OSV.dev does gives a set for each ecosystem")
  func layouts() throws {
    let folder = try TemporaryDirectory()
    try folder.write(Self.zip, to: "osv/Debian/all.zip")
    try folder.write("{}", to: "osv/Debian/DSA-1.json")
    try folder.write(Self.zip, to: "osv/Red Hat/all.zip")
    try folder.write("{}", to: "osv/loose/x.json")
    var discovery = AdvisoryDiscovery()
    try discovery.add(folder.path + "/osv")
    #expect(discovery.sources.map(\.name) == ["Debian", "Red Hat"])
    #expect(discovery.warnings.count == 1 && discovery.warnings.first?.contains("x.json") == true)
  }

  @Test("Links and special files in a folder are left out and named")
  func leavesOut() throws {
    let folder = try TemporaryDirectory()
    try folder.write("{}", to: "set/a.json")
    #expect(symlink("/etc/passwd", folder.path + "/set/l.json") == 0)
    #expect(symlink("/", folder.path + "/set/root") == 0)
    #expect(mkfifo(folder.path + "/set/f.json", 0o600) == 0)
    var discovery = AdvisoryDiscovery()
    try discovery.add(folder.path + "/set")
    guard case .bundle(let files) = try #require(discovery.sources.first).content else {
      Issue.record("no bundle")
      return
    }
    #expect(files.map(\.name) == ["a.json"])
    #expect(discovery.warnings.count == 3)
  }

  @Test(
    "What is nothing to import is refused", arguments: ["empty", "text.txt", "broken/all.zip", "missing", "broken"])
  func refuses(name: String) throws {
    let folder = try TemporaryDirectory()
    #expect(mkdir(folder.path + "/empty", 0o700) == 0)
    try folder.write("hello", to: "text.txt")
    try folder.write("hello", to: "broken/all.zip")
    let path = folder.path + "/" + name
    var discovery = AdvisoryDiscovery()
    #expect(throws: (any Error).self) { try discovery.add(path) }
    #expect(discovery.sources.isEmpty)
  }

  @Test("Two sets of one name are refused")
  func refusesTwins() throws {
    let folder = try TemporaryDirectory()
    let one = try folder.write(Self.zip, to: "a/Debian/all.zip")
    let other = try folder.write(Self.zip, to: "b/Debian/all.zip")
    var discovery = AdvisoryDiscovery()
    try discovery.add(one)
    #expect(throws: (any Error).self) { try discovery.add(other) }
  }

  @Test("A file that changed since it was found stops the upload", arguments: [0, 1, 5])
  func noticesChanges(size: Int) throws {
    let folder = try TemporaryDirectory()
    let path = try folder.write("{}", to: "set/a.json")
    var discovery = AdvisoryDiscovery()
    try discovery.add(path)
    let source = try #require(discovery.sources.first)
    #expect(truncate(path, size) == 0)
    #expect(throws: (any Error).self) { try Self.upload(source, chunk: 100) }
  }
}
