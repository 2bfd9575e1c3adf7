import Analysis
import Inventory
import StorageMessages
import Testing

@Suite("Merging layers")
struct InventoryMergerTests {
  static let apk = "lib/apk/db/installed"
  static let status = "var/lib/dpkg/status"
  static let alpine = TarBuilder.file("etc/os-release", "ID=alpine\nVERSION_ID=3.18.9\n")
  static let debian = TarBuilder.file("etc/os-release", "ID=debian\nVERSION_ID=12\n")

  func merge(_ layers: [UInt8]...) -> MergedInventory {
    InventoryMerger.merge(layers.map { analyse($0 + TarBuilder.end) })
  }

  func located(_ inventory: MergedInventory) -> [String] {
    inventory.packages.map { "\($0.package?.name ?? "") \($0.package?.version ?? "") \($0.layer)" }
  }

  @Test("layers made by dpkg: what was purged is gone, what was upgraded belongs to the upper layer")
  func dpkgLayers() throws {
    let layers = try ["dpkg.tar.gz", "dpkg-upper.tar.gz"].map { analyse(try fixture($0)) }
    let inventory = InventoryMerger.merge(layers)
    #expect(inventory.findings.isEmpty)
    #expect(rows(inventory) == tableRows(try fixture("dpkg-upper.packages.tsv")))
    #expect(located(inventory) == ["held 0.5 0", "plain 1.1-1 1", "unpacked 4.0 0"])
    #expect(inventory.os?.id == "debian")
    #expect(inventory.packages.first?.purl == "pkg:deb/debian/held@0.5?arch=amd64&distro=debian-12")
  }

  @Test("a package belongs to the first layer of its unbroken presence with that version")
  func attribution() {
    let inventory = merge(
      Self.debian + TarBuilder.file(Self.status, dpkgStatus("stays", "returns")),
      TarBuilder.file(Self.status, dpkgStatus("stays")),
      TarBuilder.file("unrelated"),
      TarBuilder.file(Self.status, dpkgStatus("stays", "returns", "new")))
    #expect(located(inventory) == ["new 1.0 3", "returns 1.0 3", "stays 1.0 0"])
    #expect(inventory.findings.isEmpty)
  }

  @Test("a layer without an analysis leaves the others as they are")
  func missingLayer() {
    let base = analyse(Self.debian + TarBuilder.file(Self.status, dpkgStatus("a")) + TarBuilder.end)
    let inventory = InventoryMerger.merge([nil, base, nil])
    #expect(located(inventory) == ["a 1.0 1"])
  }

  @Test(
    "whatever removes a database removes its packages, and that is a finding",
    arguments: [
      TarBuilder.file("var/lib/dpkg/.wh.status"), TarBuilder.file("var/lib/.wh.dpkg"), TarBuilder.file(".wh.var"),
      TarBuilder.file("var/lib/dpkg/.wh..wh..opq"), TarBuilder.file(".wh..wh..opq"),
      TarBuilder.file("var/lib/dpkg", "x"),
      TarBuilder.file("var/lib/dpkg/status"), TarBuilder.symlink("var/lib/dpkg", "../empty"),
    ])
  func databaseRemoved(removal: [UInt8]) {
    let inventory = merge(Self.debian + TarBuilder.file(Self.status, dpkgStatus("a", "b")), removal)
    #expect(inventory.packages.isEmpty)
    let finding = inventory.findings.first { $0.id == "PACKAGE_DATABASE_REMOVED" }
    #expect(finding?.kind == .error)
    #expect(finding?.layer == 1)
    #expect(finding?.title.contains("2 packages vanished") == true)
  }

  @Test("a database that is out of sight because a link to it went is a finding too")
  func linkRemoved() {
    let inventory = merge(
      Self.debian + TarBuilder.symlink("var/lib/dpkg", "../../opt/dpkg"),
      TarBuilder.file(Self.status, dpkgStatus("a", "b")), TarBuilder.file("var/lib/.wh.dpkg"))
    #expect(inventory.packages.isEmpty)
    #expect(codes(inventory) == ["PACKAGE_DATABASE_REMOVED"])
  }

  @Test("a database that is removed and written anew in one layer is no finding")
  func rewritten() {
    let base = Self.debian + TarBuilder.file(Self.status, dpkgStatus("a", "b"))
    for removal in ["var/lib/dpkg/.wh..wh..opq", "var/lib/.wh.dpkg", "var/lib/dpkg/.wh.status"] {
      let inventory = merge(base, TarBuilder.file(Self.status, dpkgStatus("b")) + TarBuilder.file(removal))
      #expect(located(inventory) == ["b 1.0 0"])
      #expect(inventory.findings.isEmpty)
    }
  }

  @Test("a database that moved is no finding, and its packages keep their layer")
  func moved() {
    let inventory = merge(
      Self.alpine + TarBuilder.file(Self.apk, apkStanza),
      TarBuilder.file("usr/lib/apk/db/installed", apkStanza) + TarBuilder.file(".wh.lib"))
    #expect(located(inventory) == ["musl 1.2.4-r2 0"])
    #expect(inventory.findings.isEmpty)
  }

  @Test("whiteouts of other files, of nothing, and odd ones change nothing")
  func harmless() {
    let inventory = merge(
      Self.debian + TarBuilder.file(Self.status, dpkgStatus("a")),
      TarBuilder.file("srv/.wh.nothere") + TarBuilder.file("var/lib/dpkg/.wh.statu")
        + TarBuilder.file("var/lib/dpkg/.wh.")
        + TarBuilder.file("var/lib/dpkg/.wh..") + TarBuilder.file("var/lib/dpkg/.wh..."))
    #expect(located(inventory) == ["a 1.0 0"])
    #expect(inventory.findings.isEmpty)
    #expect(inventory.notes.count == 1)
  }

  @Test("control files come and go one by one")
  func statusDirectory() {
    func control(_ name: String, _ version: String = "1") -> [UInt8] {
      TarBuilder.file("var/lib/dpkg/status.d/\(name)", "Package: \(name)\nVersion: \(version)\n")
    }
    let inventory = merge(
      Self.debian + control("a") + control("b") + control("c"),
      control("b", "2") + TarBuilder.file("var/lib/dpkg/status.d/.wh.c"))
    #expect(located(inventory) == ["a 1 0", "b 2 1"])
    #expect(codes(inventory) == ["PACKAGE_DATABASE_REMOVED"])
  }

  @Test("a directory that becomes a link and then a directory hides and shows what it should")
  func directoryChanges() {
    let inventory = merge(
      Self.alpine + TarBuilder.symlink("lib", "usr/lib") + TarBuilder.file("usr/lib/apk/db/installed", apkStanza),
      TarBuilder.directory("usr/lib/apk"))
    #expect(located(inventory) == ["musl 1.2.4-r2 0"])
    #expect(inventory.findings.isEmpty)
    // What is written through the link lands behind it.
    let through = merge(
      Self.alpine + TarBuilder.symlink("lib", "usr/lib"), TarBuilder.file("lib/apk/db/installed", apkStanza))
    #expect(located(through) == ["musl 1.2.4-r2 1"])
    let whiteoutThrough = merge(
      Self.alpine + TarBuilder.symlink("lib", "usr/lib") + TarBuilder.file("usr/lib/apk/db/installed", apkStanza),
      TarBuilder.file("lib/apk/db/.wh.installed"))
    #expect(codes(whiteoutThrough) == ["PACKAGE_DATABASE_REMOVED"])
  }

  @Test("os-release behind a link, across layers and from the root")
  func osReleaseLink() {
    for target in ["../usr/lib/os-release", "/usr/lib/os-release", "../../../usr/./lib/os-release"] {
      let inventory = merge(
        TarBuilder.file("usr/lib/os-release", "ID=debian\nVERSION_ID=11\n"),
        TarBuilder.symlink("etc/os-release", target),
        TarBuilder.file("usr/lib/os-release", "ID=debian\nVERSION_ID=12\n"))
      #expect(inventory.os?.versionId == "12")
      #expect(inventory.findings.isEmpty)
    }
  }

  @Test(
    "without an os-release file other files tell the release",
    arguments: [
      ("etc/alpine-release", "3.18.9\n", "alpine 3.18.9"), ("etc/debian_version", "8.11\n", "debian 8"),
      ("etc/debian_version", "trixie/sid\n", ""),
      ("etc/redhat-release", "CentOS release 6.10 (Final)\n", "centos 6.10"),
      ("etc/centos-release", "CentOS Linux release 7.9.2009 (Core)\n", "centos 7.9.2009"),
      ("etc/redhat-release", "Red Hat Enterprise Linux Server release 6.9 (Santiago)\n", "rhel 6.9"),
      ("etc/oracle-release", "Oracle Linux Server release 6.10\n", "ol 6.10"),
      ("etc/redhat-release", "release", ""), ("etc/redhat-release", "Nobody's release 1", ""),
      ("etc/redhat-release", "", ""),
      (
        "etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.04\nDISTRIB_DESCRIPTION=\"Ubuntu 10.04\"\n",
        "ubuntu 10.04"
      ),
      ("etc/lsb-release", "DISTRIB_ID=Other\nDISTRIB_RELEASE=1\n", ""),
    ])
  func otherReleases(path: String, text: String, release: String) {
    let inventory = merge(TarBuilder.file(path, text))
    #expect((inventory.os.map { "\($0.id) \($0.versionId)" } ?? "") == release)
    #expect(inventory.findings.isEmpty)
    #expect(
      release.isEmpty
        || inventory.notes == ["the image has no os-release file: it is taken for \(release), as \(path) says"])
    // An os-release file counts more.
    #expect(merge(TarBuilder.file(path, text) + Self.debian).os?.versionId == "12")
    let unlike = merge(TarBuilder.file(path, text) + TarBuilder.file(Self.apk, apkStanza))
    #expect(
      codes(unlike)
        == (release.isEmpty ? ["OS_RELEASE_MISSING"] : release.hasPrefix("alpine") ? [] : ["OS_RELEASE_MISMATCH"]))
  }

  @Test("a link to a release file that is not looked for is no finding")
  func releaseBehindLink() {
    let inventory = merge(Self.alpine + TarBuilder.symlink("etc/redhat-release", "rocky-release"))
    #expect(inventory.findings.isEmpty && inventory.os?.id == "alpine")
  }

  @Test("links that leave what was read, or go in circles, are findings")
  func badLinks() {
    let outside = merge(TarBuilder.symlink("etc/os-release", "../../../../etc/passwd"))
    #expect(outside.os == nil)
    #expect(codes(outside) == ["PACKAGE_DATABASE_BEHIND_LINK"])
    #expect(outside.findings.first?.path == "etc/os-release")
    let itself = merge(Self.alpine + TarBuilder.symlink(Self.status, "status"))
    #expect(codes(itself) == ["LINK_UNRESOLVABLE"])
    let hidden = merge(Self.debian + TarBuilder.symlink("var/lib/dpkg", "/opt/dpkg"))
    #expect(codes(hidden) == ["PACKAGE_DATABASE_BEHIND_LINK"])
    let circle = merge(TarBuilder.symlink("usr/lib", "../lib") + TarBuilder.symlink("lib", "usr/lib"))
    #expect(codes(circle).contains("LINK_UNRESOLVABLE"))
  }

  @Test("links that lead ever deeper are bounded")
  func deepLinks() {
    let deep = String(repeating: "d/", count: 45)
    let layers = (0..<50).map { _ in
      analyse(
        TarBuilder.archive(
          TarBuilder.symlink("usr", deep + "x"), TarBuilder.symlink("usr/lib", deep + "y"),
          TarBuilder.symlink("usr/lib/apk", deep + "z"), TarBuilder.file("usr/lib/apk/db/installed", apkStanza)))
    }
    #expect(codes(InventoryMerger.merge(layers)).contains("LINK_UNRESOLVABLE"))
  }

  @Test("one database under two names is listed once")
  func sameDatabase() {
    let inventory = merge(
      TarBuilder.file("etc/os-release", "ID=fedora\n") + TarBuilder.symlink("var/lib/rpm", "../../usr/lib/sysimage/rpm")
        + TarBuilder.directory("usr/lib/sysimage/rpm"))
    #expect(inventory.findings.isEmpty)
  }

  @Test("os-release is compared with the evidence")
  func evidence() {
    let mismatch = merge(Self.alpine + TarBuilder.file(Self.status, dpkgStatus("a")))
    #expect(codes(mismatch) == ["OS_RELEASE_MISMATCH"])
    #expect(mismatch.packages.first?.purl == "pkg:deb/a@1.0?arch=all")
    let missing = merge(TarBuilder.file(Self.status, dpkgStatus("a")))
    #expect(codes(missing) == ["OS_RELEASE_MISSING"])
    #expect(missing.packages.count == 1)
    let two = merge(Self.alpine + TarBuilder.file("usr/lib/os-release", "ID=debian\n"))
    #expect(codes(two) == ["OS_RELEASE_CONFLICT"])
    #expect(two.os?.id == "alpine")
    #expect(merge(TarBuilder.file("bin/sh")).notes.count == 1)
  }

  @Test("packages, secrets, odd modes and faults of all layers together are bounded")
  func bounds() {
    var limits = ImageLimits()
    limits.packages = 3
    var merger = InventoryMerger(limits: limits)
    for name in ["a", "b"] {
      let file = TarBuilder.file("var/lib/dpkg/status.d/\(name)", dpkgStatus("\(name)1", "\(name)2"))
      merger.add(analyse(Self.debian + file + TarBuilder.end))
    }
    let inventory = merger.result()
    #expect(located(inventory) == ["a1 1.0 0", "a2 1.0 0"])
    #expect(codes(inventory) == ["INVENTORY_LIMIT"])
    limits.secrets = 3
    limits.fileFindings = 3
    for (ofEach, isOver) in [(1, false), (2, true)] {
      var merger = InventoryMerger(limits: limits)
      for layer in 0..<3 {
        var telling = LayerAnalysis()
        telling.secrets = (0..<ofEach).map { number in
          var secret = SecretRecord()
          secret.path = Array("\(layer)-\(number)".utf8)
          return secret
        }
        telling.fileFindings = (0..<ofEach).map { number in
          var finding = FileFinding()
          finding.path = Array("\(layer)-\(number)".utf8)
          return finding
        }
        merger.add(telling)
      }
      let told = merger.result()
      #expect(told.secrets.count == 3 && told.fileFindings.count == 3)
      #expect(codes(told) == (isOver ? ["INVENTORY_LIMIT", "INVENTORY_LIMIT"] : []))
    }
    var faulty = LayerAnalysis()
    faulty.faults = Array(repeating: LayerFault(), count: 1_000)
    #expect(InventoryMerger.merge(Array(repeating: faulty, count: 9)).findings.count == 5_001)
  }

  @Test("faults of a layer become findings of kind error with its index")
  func faults() {
    let inventory = InventoryMerger.merge([
      analyse(Self.debian + TarBuilder.end), analyse(TarBuilder.file(Self.status, dpkgStatus("a"))),
    ])
    #expect(inventory.findings.map(\.id) == ["LAYER_TRUNCATED"])
    #expect(inventory.findings.first?.kind == .error)
    #expect(inventory.findings.first?.layer == 1)
    #expect(located(inventory) == ["a 1.0 1"])
  }

  @Test(
    "package URLs",
    arguments: [
      (
        "deb", "libstdc++6", "1:2.0~rc1+b1", "amd64",
        "pkg:deb/debian/libstdc%2B%2B6@1:2.0~rc1%2Bb1?arch=amd64&distro=debian-12"
      ),
      ("rpm", "NetworkManager", "1:1.2-3", "noarch", "pkg:rpm/NetworkManager@1.2-3?arch=noarch&epoch=1"),
      ("rpm", "gpg-pubkey", "a-b", "(none)", "pkg:rpm/gpg-pubkey@a-b"),
      ("deb", "a\nb/../c", "1 2", "", "pkg:deb/debian/a%0Ab%2F..%2Fc@1%202?distro=debian-12"),
    ])
  func packageURLs(type: String, name: String, version: String, arch: String, expected: String) {
    var os = OSRelease()
    os.id = "debian"
    os.versionId = "12"
    var package = Package()
    package.type = type
    package.name = name
    package.version = version
    package.arch = arch
    #expect(PackageURL(os: os).text(package) == expected)
  }
}
