import Model
import StorageMessages
import Testing

@testable import Matching

/// Advisories held in memory.
private struct Advisories: AdvisorySource {
  private var records: [String: AdvisoryRecord] = [:]
  private var ecosystems: [String: UInt64] = [:]

  /// Puts in an advisory on one package for each name.
  mutating func add(
    _ id: String, _ ecosystem: String, _ names: String..., fixed: String?,
    change: (inout AdvisoryRecord) -> Void = { _ in }
  ) {
    var record = records[id] ?? AdvisoryRecord()
    record.id = id
    for name in names {
      var entry = AffectedRecord()
      (entry.ecosystem, entry.name) = (ecosystem, name)
      var range = RangeRecord()
      range.type = "ECOSYSTEM"
      for kind in [.introduced("0"), fixed.map { RangeEvent.Event.fixed($0) }].compactMap({ $0 }) {
        var event = RangeEvent()
        event.event = kind
        range.events.append(event)
      }
      entry.ranges = [range]
      record.affected.append(entry)
    }
    change(&record)
    records[id] = record
    ecosystems[ecosystem, default: 0] += 1
  }

  func entries(ecosystem: String, package: String) -> [PackageAdvisory] {
    records.values.compactMap { record in
      let entries = record.affected.filter { $0.ecosystem == ecosystem && $0.name == package }
      return entries.isEmpty ? nil : PackageAdvisory(id: record.id, entries: entries)
    }
  }
  func advisory(id: String) -> AdvisoryRecord? { records[id] }
  func advisoryCount(ecosystem: String) -> UInt64 { ecosystems[ecosystem] ?? 0 }
}

@Suite struct MatcherTests {
  private func os(_ id: String, _ version: String) -> OSRelease {
    var os = OSRelease()
    (os.id, os.versionId) = (id, version)
    return os
  }

  private func item(
    _ type: String, _ name: String, _ version: String, source: (String, String) = ("", ""), arch: String = "amd64",
    layer: UInt32 = 0
  ) -> InventoryPackage {
    var package = Package()
    (package.type, package.name, package.version, package.arch) = (type, name, version, arch)
    (package.sourceName, package.sourceVersion) = source
    var item = InventoryPackage()
    (item.package, item.layer) = (package, layer)
    return item
  }

  private func pairs(_ result: MatchResult) -> [String] { result.findings.map { "\($0.id) \($0.package)" } }

  @Test func aFindingSaysEverything() throws {
    var advisories = Advisories()
    advisories.add("DSA-1", "Debian:12", "openssl", fixed: "3.0.11-1~deb12u2") { record in
      record.summary = "openssl - security update"
      record.aliases = ["ALIAS-1", "DSA-1"]
      record.upstream = ["CVE-2024-1", "CVE-2024-2"]
      record.related = ["CVE-2024-2", "CVE-2024-3", "GHSA-x"]
      var vector = SeverityVector()
      (vector.type, vector.score) = ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")
      record.severities = [vector]
    }
    let packages = [
      item("deb", "libssl3", "3.0.11-1~deb12u1+b1", source: ("openssl", "3.0.11-1~deb12u1"), layer: 4),
      item("deb", "openssl", "3.0.11-1~deb12u2"),
    ]
    let result = try Matcher.match(os: os("debian", "12"), packages: packages, advisories: advisories)
    #expect(result.notes.isEmpty)
    let finding = try #require(result.findings.first)
    #expect(result.findings.count == 1)
    #expect(finding.kind == .vulnerability && finding.id == "DSA-1" && finding.package == "libssl3")
    #expect(finding.installedVersion == "3.0.11-1~deb12u1+b1")
    #expect(finding.fixedVersions == ["3.0.11-1~deb12u2"])
    #expect(finding.aliases == ["ALIAS-1", "CVE-2024-1", "CVE-2024-2", "CVE-2024-3"])
    #expect(finding.severity == Severity.critical.rawValue && finding.score == 9.8)
    #expect(finding.cvssVector == "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")
    #expect(finding.layer == 4 && finding.title == "openssl - security update" && finding.packageType == "deb")
  }

  @Test func withdrawnAdvisoriesNeverMatch() throws {
    var advisories = Advisories()
    advisories.add("A", "Debian:12", "tar", fixed: nil) { $0.withdrawnAt = 1 }
    let result = try Matcher.match(os: os("debian", "12"), packages: [item("deb", "tar", "1")], advisories: advisories)
    #expect(result == MatchResult())
  }

  @Test func eachPackageIsMatchedOnceForEachArchitecture() throws {
    var advisories = Advisories()
    advisories.add("A", "Debian:12", "tar", "tar", fixed: "2")
    advisories.add("A", "Debian:12", "tar", fixed: "3")
    let packages = [
      item("deb", "tar", "1"), item("deb", "tar", "1"), item("deb", "tar", "1", arch: "arm64"),
      item("deb", "tar", "1.1"),
    ]
    let result = try Matcher.match(os: os("debian", "12"), packages: packages, advisories: advisories)
    #expect(result.findings.map(\.installedVersion) == ["1", "1", "1.1"])
    #expect(result.findings.allSatisfy { $0.fixedVersions == ["2", "3"] })
  }

  @Test func findingsAreSortedBySeverityThenName() throws {
    var advisories = Advisories()
    for (id, word) in [("B", "Important"), ("A", "Low"), ("C", "Important"), ("D", "Critical"), ("E", "No word")] {
      advisories.add(id, "AlmaLinux:9", "tar", "zlib", fixed: nil) { $0.summary = "\(word): something" }
    }
    let packages = [item("rpm", "zlib", "1-1"), item("rpm", "tar", "1-1")]
    let result = try Matcher.match(os: os("almalinux", "9.3"), packages: packages, advisories: advisories)
    #expect(
      pairs(result) == [
        "D tar", "D zlib", "B tar", "B zlib", "C tar", "C zlib", "A tar", "A zlib", "E tar", "E zlib",
      ])
  }

  @Test func tooManyAreLeftOutAndThatIsSaid() throws {
    var advisories = Advisories()
    for number in 0..<4 { advisories.add("A-\(number)", "Debian:12", "curl", fixed: nil) }
    let packages = ["1", "2"].map { item("deb", "curl", $0, source: ("curl", $0)) }
    let all = try Matcher.match(os: os("debian", "12"), packages: packages, advisories: advisories, findingsMax: 8)
    #expect(all.findings.count == 8 && all.findings.allSatisfy { $0.kind == .vulnerability })
    let cut = try Matcher.match(os: os("debian", "12"), packages: packages, advisories: advisories, findingsMax: 7)
    #expect(cut.findings.filter { $0.kind == .vulnerability }.count == 7)
    #expect(cut.findings.filter { $0.kind == .error }.map(\.id) == ["MATCH_LIMIT"])
  }

  @Test(arguments: [(50_000, [String]()), (50_001, ["MATCH_LIMIT"])])
  func fiftyThousandAreListed(count: Int, told: [String]) throws {
    var advisories = Advisories()
    for number in 0..<count { advisories.add("A-\(number)", "Debian:12", "curl", fixed: nil) }
    let result = try Matcher.match(
      os: os("debian", "12"), packages: [item("deb", "curl", "1", source: ("curl", "1"))], advisories: advisories)
    #expect(result.findings.filter { $0.kind == .vulnerability }.count == 50_000)
    #expect(result.findings.filter { $0.kind == .error }.map(\.id) == told)
  }

  @Test func bothNamesOfAnUbuntuReleaseCount() throws {
    var advisories = Advisories()
    advisories.add("A", "Ubuntu:22.04:LTS", "tar", fixed: "2")
    advisories.add("B", "Ubuntu:22.04", "tar", fixed: "2")
    advisories.add("C", "Ubuntu:Pro:22.04:LTS", "tar", fixed: "2")
    advisories.add("A", "Ubuntu:22.04", "tar", fixed: "2")
    let result = try Matcher.match(
      os: os("ubuntu", "22.04"), packages: [item("deb", "tar", "1")], advisories: advisories)
    #expect(pairs(result) == ["A tar", "B tar"])
  }

  @Test func almaLinuxNamesBinaryPackages() throws {
    var advisories = Advisories()
    advisories.add("A", "AlmaLinux:9", "openssl", "openssl-libs", fixed: "1:3.0.8-1.el9")
    advisories.add("S", "AlmaLinux:9", "openssl", fixed: "1:3.0.8-1.el9") { record in
      for index in record.affected.indices { record.affected[index].namesSource = true }
    }
    let packages = [
      item("rpm", "openssl-libs", "1:3.0.7-1.el9", source: ("openssl", "3.0.7-1.el9")),
      item("rpm", "openssl-fips", "1:3.0.7-1.el9", source: ("openssl", "3.0.7-1.el9")),
    ]
    let result = try Matcher.match(os: os("almalinux", "9.3"), packages: packages, advisories: advisories)
    #expect(pairs(result) == ["A openssl-libs", "S openssl-fips", "S openssl-libs"])
  }

  @Test func rockyNamesEither() throws {
    var advisories = Advisories()
    advisories.add("A", "Rocky Linux:9", "openssl", fixed: "1:3.0.8-1.el9")
    advisories.add("B", "Rocky Linux:9", "openssl-libs", fixed: "1:3.0.8-1.el9")
    let packages = [item("rpm", "openssl-libs", "1:3.0.7-1.el9", source: ("openssl", "3.0.7-1.el9"))]
    let result = try Matcher.match(os: os("rocky", "9.3"), packages: packages, advisories: advisories)
    #expect(pairs(result) == ["A openssl-libs", "B openssl-libs"])
  }

  @Test func theEpochOfAnRpmIsItsSources() throws {
    var advisories = Advisories()
    advisories.add("A", "Rocky Linux:9", "openssl", fixed: "1:3.0.7-1.el9")
    let packages = [item("rpm", "openssl-libs", "1:3.0.7-1.el9", source: ("openssl", "3.0.7-1.el9"))]
    #expect(try Matcher.match(os: os("rocky", "9.3"), packages: packages, advisories: advisories).findings.isEmpty)
  }

  @Test func moduleBuildsConcernOnlyPackagesOfModules() throws {
    var advisories = Advisories()
    advisories.add("A", "AlmaLinux:8", "nodejs", fixed: "1:18.0.0-1.module_el8.9.0+3704+f1f917ce")
    let plain = item("rpm", "nodejs", "1:10.0.0-1.el8")
    var labelled = plain
    labelled.package?.modularity = "nodejs:10:8090020231"
    let built = item("rpm", "nodejs", "1:10.0.0-1.module_el8.3.0+100+aaaaaaaa")
    for (package, count) in [(plain, 0), (labelled, 1), (built, 1)] {
      let result = try Matcher.match(os: os("almalinux", "8.9"), packages: [package], advisories: advisories)
      #expect(result.findings.count == count)
    }
  }

  @Test func whatCannotBeAnsweredIsSaid() throws {
    let tar = [item("deb", "tar", "1")]
    var advisories = Advisories()
    advisories.add("A", "Debian:11", "tar", fixed: nil)
    func notes(_ os: OSRelease?, _ packages: [InventoryPackage]) throws -> [String] {
      let result = try Matcher.match(os: os, packages: packages, advisories: advisories)
      #expect(result.findings.isEmpty)
      return result.notes
    }
    #expect(
      try notes(nil, tar) == ["unknown distribution: the image has no os-release file: 1 package not matched"])
    #expect(try notes(nil, []) == ["unknown distribution: the image has no os-release file"])
    #expect(
      try notes(os("plan9", "4"), tar)
        == ["unknown distribution: no advisories are known for \"plan9\": 1 package not matched"])
    #expect(
      try notes(os("debian", "12"), tar)
        == ["no advisories for Debian:12 in the advisory database: vulnerabilities of its packages are unknown"])
    #expect(
      try notes(os("debian", "11"), [item("apk", "tar", "1")])
        == ["1 apk package not matched: debian is made of deb packages"])
    #expect(
      try notes(os("debian", "11"), [item("npm", "a", "1"), item("npm", "b", "1")])
        == ["2 npm packages not matched: only packages of distributions are, so far"])
  }

  @Test(arguments: [
    ("alpine", "3.18.9", ["Alpine:v3.18"]), ("alpine", "3.21_alpha20240807", ["Alpine:v3.21"]),
    ("debian", "12", ["Debian:12"]), ("debian", "", ["Debian:sid"]), ("ubuntu", "23.10", ["Ubuntu:23.10"]),
    ("ubuntu", "22.04", ["Ubuntu:22.04:LTS", "Ubuntu:22.04"]), ("ubuntu", "21.04", ["Ubuntu:21.04"]),
    ("almalinux", "9.3", ["AlmaLinux:9"]), ("rocky", "8.10", ["Rocky Linux:8"]), ("wolfi", "20230201", ["Wolfi"]),
    ("azurelinux", "3.0", ["Azure Linux:3"]), ("photon", "5.0", ["Photon OS:5.0"]),
  ])
  func distributionsHaveTheirNamesInOSV(_ id: String, _ version: String, _ names: [String]) {
    #expect(Distribution(os(id, version))?.ecosystems == names)
  }

  @Test func suseIsNamedAsForPeople() {
    var release = os("sles", "15.3")
    release.prettyName = "SUSE Linux Enterprise Server 15 SP3"
    #expect(Distribution(release)?.ecosystems == ["SUSE:Linux Enterprise Server 15 SP3"])
    release.id = "opensuse-leap"
    release.prettyName = "openSUSE Leap 15.4"
    #expect(Distribution(release)?.ecosystems == ["openSUSE:Leap 15.4"])
  }
}
