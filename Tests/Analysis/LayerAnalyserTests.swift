import Analysis
import Inventory
import StorageMessages
import Testing

@Suite("Layer analysis")
struct LayerAnalyserTests {
  static let apk = "lib/apk/db/installed"
  static let status = "var/lib/dpkg/status"

  @Test(
    "lists what dpkg and rpm list",
    arguments: [
      ("dpkg.tar.gz", "dpkg"), ("dpkg.tar.zst", "dpkg"), ("dpkg-upper.tar.gz", "dpkg-upper"), ("rpm.tar.zst", "rpm"),
    ])
  func tools(layer: String, table: String) throws {
    let analysis = analyse(try fixture(layer))
    #expect(analysis.faults.isEmpty)
    #expect(rows(analysis) == tableRows(try fixture("\(table).packages.tsv")))
  }

  @Test("rpm module labels are kept")
  func modularity() throws {
    let packages = analyse(try fixture("rpm.tar.zst")).databases.flatMap(\.packages)
    #expect(packages.first { $0.name == "modular" }?.modularity == "fixture:1:20240101:abcdef")
  }

  @Test("reads apk's list, with and without a last blank line")
  func apkInstalled() throws {
    let whole = try fixture("apk-installed")
    for bytes in [whole, Array(whole.dropLast(2))] {
      let analysis = analyse(TarBuilder.archive(TarBuilder.file(Self.apk, bytes)))
      #expect(analysis.faults.isEmpty)
      #expect(
        rows(analysis) == [
          "apk\talpine-baselayout\t3.4.3-r1\tx86_64\talpine-baselayout\t3.4.3-r1",
          "apk\talpine-baselayout-data\t3.4.3-r1\tx86_64\talpine-baselayout\t3.4.3-r1",
          "apk\talpine-keys\t2.4-r1\tx86_64\talpine-keys\t2.4-r1",
        ])
    }
  }

  @Test("a cut database keeps its whole stanzas")
  func cutDatabase() {
    let text = apkStanza + "P:second\nV:1.2"
    let whole = TarBuilder.header(Array(Self.apk.utf8), size: 5_000) + Array(text.utf8)
    let analysis = analyse(whole)
    #expect(codes(analysis) == ["LAYER_TRUNCATED"])
    #expect(rows(analysis).map { $0.split(separator: "\t")[1] } == ["musl"])
  }

  @Test("a file over its bound is read as far as it goes, and said")
  func oversize() {
    var limits = AnalysisLimits()
    limits.fileBytes = 100
    let text = apkStanza + String(repeating: "x", count: 200)
    let analysis = analyse(TarBuilder.archive(TarBuilder.file(Self.apk, text)), limits: limits)
    #expect(codes(analysis) == ["FILE_TOO_LARGE"])
    #expect(rows(analysis).count == 1)
  }

  @Test("malformed stanzas are counted; the good ones stay")
  func malformed() {
    let text =
      "Status: install ok installed\nVersion: 1\n\nPackage: noversion\nStatus: install ok installed\n\n"
      + "Package: nostatus\nVersion: 1\n\nPackage: long\nStatus: install ok installed\nVersion: "
      + String(repeating: "9", count: 2_000) + "\n\n" + dpkgStatus("good").dropLast()
      + String(repeating: "Version: 2\n", count: 10_000) + " folded\n for\n\tever\n"
    let analysis = analyse(TarBuilder.archive(TarBuilder.file(Self.status, text)))
    #expect(codes(analysis) == ["DATABASE_MALFORMED"])
    #expect(analysis.faults.first?.message.hasPrefix("4 records") == true)
    #expect(rows(analysis) == ["deb\tgood\t1.0\tall\tgood\t1.0"])
  }

  @Test("texts that are not UTF-8 or hold NUL come out as texts that can be stored")
  func text() throws {
    let bytes = Array("P:a\u{0}b".utf8) + [0xff] + Array("\nV:1\n\n".utf8)
    let analysis = analyse(TarBuilder.archive(TarBuilder.file(Self.apk, bytes)))
    #expect(rows(analysis).first?.hasPrefix("apk\ta\u{fffd}b\u{fffd}\t1") == true)
    let answer = try #require(WorkerProtocol.encodeAnswer(analysis))
    #expect(try WorkerProtocol.decodeAnswer(answer) == analysis)
  }

  @Test("control files of distroless images, without their checksums")
  func statusDirectory() {
    let analysis = analyse(
      TarBuilder.archive(
        TarBuilder.directory("var/lib/dpkg/status.d"),
        TarBuilder.file(
          "var/lib/dpkg/status.d/libc6", "Package: libc6\nVersion: 2\nArchitecture: amd64\nSource: glibc\n"),
        TarBuilder.file("var/lib/dpkg/status.d/libc6.md5sums", "Package: no\nVersion: 1\n")))
    #expect(analysis.faults.isEmpty)
    #expect(rows(analysis) == ["deb\tlibc6\t2\tamd64\tglibc\t2"])
  }

  @Test("the last entry of a path wins")
  func lastWins() {
    let twice = analyse(
      TarBuilder.archive(TarBuilder.file(Self.status, dpkgStatus("a")), TarBuilder.file(Self.status, dpkgStatus("b"))))
    #expect(rows(twice).map { $0.split(separator: "\t")[1] } == ["b"])
    let fileDirectoryFile = analyse(
      TarBuilder.archive(
        TarBuilder.file(Self.status, dpkgStatus("a")), TarBuilder.directory(Self.status),
        TarBuilder.file(Self.status, dpkgStatus("c"))))
    #expect(fileDirectoryFile.faults.isEmpty)
    #expect(rows(fileDirectoryFile).map { $0.split(separator: "\t")[1] } == ["c"])
    let hidden = analyse(
      TarBuilder.archive(TarBuilder.file(Self.status, dpkgStatus("a")), TarBuilder.symlink("var/lib/dpkg", "/opt")))
    #expect(hidden.databases.isEmpty)
  }

  @Test("a directory, FIFO or device is no database", arguments: ["5", "6", "3"] as [Character])
  func notAFile(type: Character) {
    let analysis = analyse(
      TarBuilder.archive(
        TarBuilder.file(Self.status, dpkgStatus("a")), TarBuilder.header(Array(Self.status.utf8), type: type)))
    #expect(codes(analysis) == ["DATABASE_NOT_A_FILE"])
    #expect(analysis.databases.isEmpty)
  }

  @Test("hard links to a database that came before, and to what was not kept")
  func hardLinks() {
    let linked = analyse(
      TarBuilder.archive(
        TarBuilder.file("lib/apk/db/installed", apkStanza),
        TarBuilder.hardLink("usr/lib/apk/db/installed", "./lib/apk/db/installed")))
    #expect(linked.faults.isEmpty)
    #expect(linked.databases.count == 2)
    let lost = analyse(
      TarBuilder.archive(TarBuilder.file("opt/db", apkStanza), TarBuilder.hardLink("lib/apk/db/installed", "opt/db")))
    #expect(codes(lost) == ["HARD_LINK_NOT_READ"])
  }

  @Test("whiteouts as the image specification has them")
  func whiteouts() {
    let analysis = analyse(
      TarBuilder.archive(
        TarBuilder.file("a/.wh.b"), TarBuilder.file(".wh.top"), TarBuilder.file("c/x"),
        TarBuilder.file("c/.wh..wh..opq"),
        TarBuilder.file("a/.wh."), TarBuilder.file("a/.wh.."), TarBuilder.file("a/.wh..."),
        TarBuilder.file(".wh..wh.plnk")))
    #expect(analysis.whiteouts.map { String(decoding: $0, as: UTF8.self) } == ["a/b", "top"])
    #expect(analysis.opaqueDirectories.map { String(decoding: $0, as: UTF8.self) } == ["c"])
    #expect(analysis.droppedNames == 3)
  }

  @Test("kept paths, packages and files are bounded")
  func bounds() {
    var limits = AnalysisLimits()
    limits.keptPathBytes = 100
    let removals = (0..<20).flatMap { TarBuilder.file(".wh.f\($0)") } + TarBuilder.end
    #expect(codes(analyse(removals, limits: limits)) == ["LAYER_PATH_LIMIT"])
    let modules = (0..<9).flatMap {
      TarBuilder.file("node_modules/m\($0)/package.json", "{\"name\":\"m\($0)\",\"version\":\"1\"}")
    }
    let cut = analyse(modules + TarBuilder.end, limits: limits)
    #expect(codes(cut) == ["LAYER_PATH_LIMIT"])
    #expect(rows(cut).count == 3)
    limits = AnalysisLimits()
    limits.packages = 2
    let packages = analyse(TarBuilder.archive(TarBuilder.file(Self.status, dpkgStatus("a", "b", "c"))), limits: limits)
    #expect(codes(packages) == ["LAYER_PACKAGE_LIMIT"])
    #expect(rows(packages).count == 2)
    limits = AnalysisLimits()
    limits.databaseFiles = 2
    let files = (0..<5).flatMap { TarBuilder.file("var/lib/dpkg/status.d/f\($0)", "Package: p\($0)\nVersion: 1\n") }
    #expect(codes(analyse(files + TarBuilder.end, limits: limits)) == ["LAYER_PACKAGE_LIMIT"])
  }

  @Test("os-release is data: quotes, escapes, comments, commands")
  func osRelease() {
    let text = """
      # ID=comment
      ID="alp\\"ine"
      VERSION_ID='3.18'
      PRETTY_NAME=$(rm -rf /)
      ID_LIKE="a b"
      NAME=\(String(repeating: "n", count: 5_000))
      """
    let os = analyse(TarBuilder.archive(TarBuilder.file("etc/os-release", text))).osReleases.first?.os
    #expect(os?.id == "alp\"ine")
    #expect(os?.versionId == "3.18")
    #expect(os?.prettyName == "$(rm -rf /)")
    #expect(os?.idLike == ["a", "b"])
    #expect(os?.name.utf8.count == 1_024)
  }
}
