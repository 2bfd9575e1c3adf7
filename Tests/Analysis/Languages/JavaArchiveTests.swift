import Inventory
import StorageMessages
import Testing

@testable import Analysis

@Suite("Packages in Java archives")
struct JavaArchiveTests {
  private func properties(_ name: String, version: String = "1.0") -> ZipBuilder.Member {
    ZipBuilder.Member(
      "META-INF/maven/org.example/\(name)/pom.properties",
      "groupId=org.example\nartifactId=\(name)\nversion=\(version)\n")
  }

  private func jar(_ archive: ZipBuilder, name: String = "opt/x.jar", limits: AnalysisLimits = .standard) -> Listing {
    list(.javaArchive, archive.bytes, path: name, limits: limits)
  }

  @Test(
    "archives in archives, packed and stored, shaded and with manifests alone",
    arguments: ["all-1.0.ear", "stored-1.0.ear"])
  func nested(name: String) throws {
    #expect(
      list(.javaArchive, try fixture("languages/" + name), path: "srv/" + name)
        == Listing(
          packages: [
            // The file's name has the version; nothing in it says more.
            String(name.prefix { $0 != "-" }) + " 1.0", "com.google.guava:guava 31.1-jre", "log4j-1.2-api 2.17.1",
            "org.example.bundles:a-bundle 7.8.9.Final", "org.example:plain 1.2.3", "org.example:shaded 2.0",
            "org.example:web 1.0", "org.titled:Titled 4.5.6",
          ].sorted()))
  }

  @Test("data descriptors, zip64 fields and a script before the archive", arguments: ["described", "wide", "launcher"])
  func layouts(name: String) throws {
    #expect(list(.javaArchive, try fixture("languages/\(name).jar")) == Listing(packages: ["org.example:plain 1.2.3"]))
  }

  @Test("members that are encrypted or packed in other ways are said")
  func unreadable() throws {
    #expect(list(.javaArchive, try fixture("languages/encrypted.jar")) == Listing(codes: ["ARCHIVE_MALFORMED"]))
    var member = properties("a")
    member.method = 12
    #expect(
      jar(ZipBuilder(member, properties("b"))) == Listing(packages: ["org.example:b 1.0"], codes: ["ARCHIVE_MALFORMED"])
    )
  }

  @Test("what is no archive, or cut, is said")
  func malformed() throws {
    for bytes in [Array("just text".utf8), [], Array(try fixture("languages/all-1.0.ear").prefix(2_000))] {
      #expect(list(.javaArchive, bytes).codes == ["ARCHIVE_MALFORMED"])
    }
    #expect(list(.javaArchive, Array("text".utf8), size: 70 << 20).codes == ["FILE_TOO_LARGE"])
  }

  @Test("one bad archive in another hides nothing of those beside it")
  func badInner() {
    let good = ZipBuilder.Member("lib/good.jar", ZipBuilder(properties("good")).bytes)
    var wrong = ZipBuilder.Member("lib/wrong.jar", ZipBuilder(properties("wrong")).bytes)
    wrong.checksum = 7
    let found = parse(
      .javaArchive, ZipBuilder(ZipBuilder.Member("lib/bad.jar", "text"), wrong, good, properties("own")).bytes)
    #expect(found.packages.map(\.name) == ["org.example:good", "org.example:own"])
    #expect(found.errors.map(\.code.rawValue) == ["ARCHIVE_MALFORMED", "ARCHIVE_MALFORMED"])
    #expect(found.errors[0].message.hasPrefix("lib/bad.jar: "))
  }

  @Test("50 archives in each other are read to the bound, which is said")
  func deep() {
    var inner = ZipBuilder(properties("level50")).bytes
    for level in (1..<50).reversed() {
      inner = ZipBuilder(properties("level\(level)"), ZipBuilder.Member("inner.jar", inner)).bytes
    }
    #expect(
      list(.javaArchive, inner)
        == Listing(packages: (1...4).map { "org.example:level\($0) 1.0" }, codes: ["ARCHIVE_LIMIT"]))
  }

  @Test("members that overlap are refused, and a false count is said")
  func overlapping() {
    var second = properties("b")
    second.offset = 0
    #expect(jar(ZipBuilder(properties("a"), second)) == Listing(codes: ["ARCHIVE_MALFORMED"]))
    var counted = ZipBuilder(properties("a"))
    counted.claimed = 65_535
    #expect(jar(counted) == Listing(packages: ["org.example:a 1.0"], codes: ["ARCHIVE_MALFORMED"]))
  }

  @Test("the directory may list them in another order")
  func unordered() {
    var archive = ZipBuilder(properties("a"), properties("b"))
    // Both names and bodies are of one length, so that each can stand where the other was.
    let second = UInt32(30 + archive.members[0].name.count + archive.members[0].contents.count)
    (archive.members[0].offset, archive.members[1].offset) = (second, 0)
    archive.members[0].checksum = ZipBuilder.crc32(archive.members[1].contents)
    archive.members[1].checksum = ZipBuilder.crc32(archive.members[0].contents)
    #expect(jar(archive) == Listing(packages: ["org.example:a 1.0", "org.example:b 1.0"]))
  }

  /// A deflated member of one block that repeats a byte: 258 of it in a bit or two.
  private func zeros(_ name: String, _ megabytes: Int) -> ZipBuilder.Member {
    var member = ZipBuilder.Member(name, [])
    member.method = 8
    let body = [UInt8](repeating: 0, count: 1 << 20)
    // Stored blocks of 64 KiB less one byte are deflate, too.
    var packed: [UInt8] = []
    var rest = megabytes << 20
    while rest > 0 {
      let length = UInt16(min(rest, 65_535))
      rest -= Int(length)
      packed += [rest == 0 ? 1 : 0] + ZipBuilder.little(length) + ZipBuilder.little(~length) + body.prefix(Int(length))
    }
    member.packed = packed
    member.size = UInt32(megabytes << 20)
    member.checksum = 0
    return member
  }

  @Test("bombs end at the bounds of an archive and of a layer")
  func bombs() {
    let large = zeros("META-INF/MANIFEST.MF", 17)
    #expect(
      jar(ZipBuilder(large, properties("a"))) == Listing(packages: ["org.example:a 1.0"], codes: ["ARCHIVE_LIMIT"]))
    // A size that the packed bytes cannot reach is no reason to ask for memory.
    var liar = properties("b")
    liar.method = 8
    liar.packed = [3, 0]
    liar.size = 15 << 20
    #expect(
      jar(ZipBuilder(liar, properties("a"))) == Listing(packages: ["org.example:a 1.0"], codes: ["ARCHIVE_MALFORMED"]))
    var limits = AnalysisLimits()
    limits.archiveBytes = 1 << 20
    let two = ZipBuilder(zeros("a/pom.properties", 1), zeros("META-INF/MANIFEST.MF", 1), zeros("b.jar", 1))
    #expect(jar(two, limits: limits).codes == ["ARCHIVE_MALFORMED", "ARCHIVE_LIMIT"])
    limits.archiveBytes = 8 << 20
    limits.layerArchiveBytes = 1 << 20
    #expect(jar(two, limits: limits).codes == ["ARCHIVE_MALFORMED", "ARCHIVE_LIMIT"])
    limits.fileBytes = 1_000
    #expect(jar(ZipBuilder(zeros("b.jar", 1)), limits: limits).codes == ["ARCHIVE_LIMIT"])
  }

  @Test("more members than the bound, and more faults than are kept")
  func many() {
    var archive = ZipBuilder()
    for index in 0..<200 { archive.members.append(ZipBuilder.Member("\(index).jar", "text")) }
    let codes = jar(archive).codes
    #expect(codes == [String](repeating: "ARCHIVE_MALFORMED", count: 16) + ["LAYER_FAULT_LIMIT"])
    var limits = AnalysisLimits()
    limits.archiveMembers = 100
    #expect(jar(archive, limits: limits).codes.contains("ARCHIVE_LIMIT"))
  }

  @Test("hostile names name nothing")
  func names() {
    let archive = ZipBuilder(
      ZipBuilder.Member("../../META-INF/maven/a/b/pom.properties", "groupId=a\nartifactId=b\nversion=1"),
      ZipBuilder.Member("META-INF/maven/\0/pom.properties", "groupId=\0\nartifactId=\u{1b}[2J\nversion=..\n"))
    #expect(jar(archive) == Listing(packages: ["\u{fffd}:\u{1b}[2J ..", "a:b 1"].sorted()))
  }

  @Test(
    "a file's name tells artifact and version where nothing else does",
    arguments: [
      ("guava-31.1-jre", "guava", "31.1-jre"), ("log4j-1.2-api-2.17.1", "log4j-1.2-api", "2.17.1"),
      ("a-1.0-beta-2", "a", "1.0-beta-2"), ("a-1.0-20200101.120000-1", "a", "1.0-20200101.120000-1"),
      ("commons-io", "commons-io", ""), ("1.0", "1.0", ""), ("-1", "", "1"), ("", "", ""), ("a--1", "a-", "1"),
    ])
  func stems(stem: String, artifact: String, version: String) {
    let found = JavaCoordinates(stem: stem)
    #expect(found.artifact == artifact)
    #expect(found.version == version)
  }

  @Test(
    "manifests tell group, artifact and version in many ways",
    arguments: [
      (
        "Implementation-Title: spring-core\r\nImplementation-Version: 5.3.20\r\n", "spring-core-5.3.20",
        "org.springframework:spring-core 5.3.20"
      ),
      (
        "Bundle-SymbolicName: org.apache.commons.lang3\nBundle-Version: 3.12.0\n", "commons-lang3-3.12.0",
        "org.apache.commons:commons-lang3 3.12.0"
      ),
      (
        "Implementation-Vendor-Id: org.bouncycastle\nBundle-Version: 1.7\n", "bcprov-jdk15on",
        "org.bouncycastle:bcprov-jdk15on 1.7"
      ),
      (
        "Group-Id: org.jenkins-ci.plugins\nShort-Name: git\nPlugin-Version: 4.11.0\n", "git",
        "org.jenkins-ci.plugins:git 4.11.0"
      ),
      ("Implementation-Title: Java Runtime\nImplementation-Version: 17.0.\n 15\n", "jrt-fs", "jrt-fs 17.0.15"),
      ("Created-By: x\n\nImplementation-Version: 9\n", "a", ""), ("Implementation-Version: \n", "a-2", "a 2"),
    ])
  func manifests(text: String, stem: String, expected: String) {
    let archive = ZipBuilder(ZipBuilder.Member("META-INF/MANIFEST.MF", text))
    #expect(jar(archive, name: "opt/\(stem).jar") == Listing(packages: expected.isEmpty ? [] : [expected]))
  }
}
