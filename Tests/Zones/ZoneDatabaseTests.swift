import Glibc
import Model
import Posix
import TestSupport
import Testing

@testable import Zones

/// Names, files, and which zone is the node's.
struct ZoneDatabaseTests {
  private let directory: TemporaryDirectory
  private var folder: String { directory.path + "/zoneinfo" }
  private var localFile: String { directory.path + "/localtime" }

  init() throws {
    directory = try TemporaryDirectory()
    for name in ["Europe/Berlin", "Europe/Berne", "America/Berlin_City", "America/Argentina/Salta", "UTC"] {
      try put(name, offset: 3_600)
    }
    try put("right/Europe/Berlin", offset: 1)
  }

  private func put(_ name: String, offset: Int32) throws {
    let parent = name.lastIndex(of: "/").map { String(name[..<$0]) }
    try File.createDirectories(folder + (parent.map { "/" + $0 } ?? ""), mode: 0o700)
    _ = try directory.write("zoneinfo/" + name, ZoneBytes(offsets: [offset], footer: "\n\n").bytes)
  }

  private func database(_ variable: String? = nil) -> ZoneDatabase {
    ZoneDatabase(folder: folder, localFile: localFile, variable: variable)
  }

  private func failure(_ name: String, _ database: ZoneDatabase) -> ZoneError? {
    do {
      _ = try database.zone(name)
      return nil
    } catch {
      return error
    }
  }

  @Test(arguments: [
    "../Europe/Berlin", "Europe/../UTC", "/etc/passwd", "Europe/", "/UTC", "a/b/c/d", "Europe//Berlin", ".hidden", "-x",
    "Europe/Bérlin", "Europe/Berlin\n", "Europe Berlin", "zone.tab", String(repeating: "a", count: 65),
  ])
  func `A text that could lead elsewhere is no name`(name: String) {
    #expect(failure(name, database())?.code == .notAName)
  }

  @Test(arguments: [
    ("europe/berlin", "Europe/Berlin"), ("Europe/Berlni", "Europe/Berlin"), ("Asia/Berlin", "Europe/Berlin"),
    ("berlin", "Europe/Berlin"), ("Europe/Bern", "Europe/Berne"),
    ("America/Argentina/Salto", "America/Argentina/Salta"),
    ("utc", "UTC"),
  ])
  func `An unknown name is told what is near`(name: String, near: String) {
    let error = failure(name, database())
    #expect(error?.code == .unknown)
    #expect(error?.hint.hasPrefix("perhaps \(near)") == true, "\(error?.hint ?? "")")
  }

  @Test func `A name like no other is told how names are`() {
    #expect(failure("Mars/Olympus_Mons", database())?.hint == "use a name such as Europe/Berlin or UTC")
    let empty = ZoneDatabase(folder: directory.path + "/none", localFile: localFile, variable: nil)
    #expect(failure("Europe/Berlin", empty)?.hint.contains("install the package tzdata") == true)
    #expect(failure("Europe", database())?.code == .unknown)
  }

  @Test func `A file that is none, or too long, is refused with its path`() throws {
    _ = try directory.write("zoneinfo/Text", "hello".utf8)
    _ = try directory.write("zoneinfo/Long", [UInt8](repeating: 0, count: ZoneFile.bytesMaximum + 1))
    #expect(failure("Text", database())?.code == .damaged)
    #expect(failure("Text", database())?.message.contains("zoneinfo/Text") == true)
    #expect(failure("Long", database())?.code == .unreadable)
  }

  @Test func `The node's zone is what TZ names, else the local file, else UTC`() throws {
    #expect(try database().zone("") == .utc)
    #expect(symlink(folder + "/Europe/Berlin", localFile) == 0)
    let local = try database().zone("")
    #expect(local.name == "Europe/Berlin" && local.offset(at: 0) == 3_600)
    try put("Asia/Tokyo", offset: 32_400)
    for variable in ["Asia/Tokyo", ":Asia/Tokyo", folder + "/Asia/Tokyo"] {
      let zone = try database(variable).zone("")
      #expect(zone.name == "Asia/Tokyo" && zone.offset(at: 0) == 32_400)
    }
    #expect(try database("").zone("") == .utc)
    #expect(try database("EST5").zone("").offset(at: 0) == -18_000)
    for variable in ["../Asia/Tokyo", "Nowhere", ":" + localFile] {
      #expect(try database(variable).zone("").name == "Europe/Berlin")
    }
  }

  @Test func `A file that was replaced is read again`() throws {
    let database = database()
    func replace(_ offset: Int32) throws {
      let path = try directory.write("new", ZoneBytes(offsets: [offset], footer: "\n\n").bytes)
      #expect(rename(path, localFile) == 0)
    }
    try replace(60)
    #expect(try database.zone("").offset(at: 0) == 60)
    #expect(try database.zone("").name.isEmpty)
    try replace(120)
    #expect(try database.zone("").offset(at: 0) == 120)
  }

  @Test func `A copy that has the same file keeps its own name`() throws {
    let database = database()
    #expect(symlink(folder + "/Europe/Berlin", folder + "/Europe/Bonn") == 0)
    #expect(try database.zone("Europe/Berlin").name == "Europe/Berlin")
    #expect(try database.zone("Europe/Bonn").name == "Europe/Bonn")
  }
}
