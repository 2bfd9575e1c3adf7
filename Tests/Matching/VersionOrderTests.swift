import Posix
import TestSupport
import Testing

@testable import Matching

@Suite struct VersionOrderTests {
  static let all: [VersionOrder] = [.apk, .dpkg, .rpm]

  @Test(arguments: [
    ("1.0", "1.0-0"), ("0:1.0", "1.0"), ("1.00", "1.0"), ("1.2a", "1.2a-0"),
  ])
  func dpkgCallsTheseTheSame(_ a: String, _ b: String) {
    #expect(VersionOrder.dpkg.compare(a, b) == .same)
  }

  @Test(arguments: [
    ("1.0~rc1", "1.0"), ("1.0", "1.0+dfsg"), ("1.0a", "1.0+"), ("9.9", "1:0"), ("1.0-1", "1.0-1+b1"),
    ("1.0-1~bpo", "1.0-1"), ("1.9", "1.10"), ("1.0~~", "1.0~"), ("99999999999999999999", "100000000000000000000"),
    ("3.0.11-1~deb12u1", "3.0.11-1~deb12u2"),
  ])
  func dpkgOrdersThese(_ older: String, _ newer: String) {
    #expect(VersionOrder.dpkg.compare(older, newer) == .older)
    #expect(VersionOrder.dpkg.compare(newer, older) == .newer)
  }

  @Test(arguments: [
    ("1.0-1", "1:0.5-1"), ("1.0~rc1-1", "1.0-1"), ("1.0-1", "1.0^git1-1"), ("1.0^git1-1", "1.0.1-1"), ("1.a", "1.1"),
    ("1.0-1.el9", "1.0-1.el9_2"), ("2.34-83.el9_3.7", "2.34-100.el9_4.2"), ("1.0", "1.0-0"),
  ])
  func rpmOrdersThese(_ older: String, _ newer: String) {
    #expect(VersionOrder.rpm.compare(older, newer) == .older)
    #expect(VersionOrder.rpm.compare(newer, older) == .newer)
  }

  @Test func rpmReadsAMissingEpochAsZero() {
    #expect(VersionOrder.rpm.compare("0:1.0-1", "1.0-1") == .same)
    #expect(VersionOrder.rpm.compare("1.0.0-1", "1_0+0-1") == .same)
  }

  @Test(arguments: [
    ("1.1.1d-r0", "1.1.1g-r0"), ("1.0_rc1", "1.0"), ("1.0", "1.0_p1"), ("1.0_alpha", "1.0_beta"), ("1.05", "1.5"),
    ("1.0-r9", "1.0-r10"), ("1.36.1-r1", "1.36.1_git-r1"), ("2.13.0", "2.13.0-r0"), ("1.2_pre", "1.2b"),
  ])
  func apkOrdersThese(_ older: String, _ newer: String) {
    #expect(VersionOrder.apk.compare(older, newer) == .older)
    #expect(VersionOrder.apk.compare(newer, older) == .newer)
  }

  @Test(.enabled(if: Oracle.dpkgModule != nil, "libdpkg-perl is not installed"))
  func dpkgAgreesWithItsModule() throws {
    var generator = VersionGenerator.dpkg(seed: 1)
    try expectAgreement(.dpkg, generator.pairs(20_000), try #require(Oracle.dpkgModule))
  }

  @Test(.enabled(if: Oracle.dpkg != nil, "dpkg is not installed"))
  func dpkgAgreesWithItself() throws {
    var generator = VersionGenerator.dpkg(seed: 2)
    // dpkg refuses an empty or non-numeric revision: such a pair says nothing.
    let pairs = generator.pairs(300).filter { !$0.0.hasSuffix("-") && !$0.1.hasSuffix("-") }
    try expectAgreement(.dpkg, pairs, try #require(Oracle.dpkg))
  }

  @Test(.enabled(if: Oracle.rpm != nil, "python3-rpm is not installed"))
  func rpmAgreesWithItsLibrary() throws {
    var generator = VersionGenerator.rpm(seed: 3)
    try expectAgreement(.rpm, generator.pairs(20_000), try #require(Oracle.rpm))
  }

  @Test(.enabled(if: Corpus.directory != nil, "the corpus is not beside this checkout"))
  func apkAgreesWithItsRecordedAnswers() throws {
    let path = try #require(Corpus.path("versions/apk.tsv"))
    let text = String(decoding: try File.read(path, limit: 16 << 20), as: UTF8.self)
    var compared = 0
    var wrong: [String] = []
    for line in text.split(separator: "\n").dropFirst() {
      let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
      try #require(fields.count == 5)
      let answer = VersionOrder.apk.compare(fields[0], fields[2])
      guard fields[3] == "1", fields[4] == "1" else { continue }
      compared += 1
      let expected: VersionComparison = fields[1] == "<" ? .older : fields[1] == ">" ? .newer : .same
      if answer != expected { wrong.append(String(line)) }
    }
    #expect(wrong.isEmpty)
    #expect(compared > 10_000)
  }

  private func expectAgreement(_ order: VersionOrder, _ pairs: [(String, String)], _ oracle: Oracle) throws {
    let answers = try oracle.answers(pairs)
    var compared = 0
    var wrong: [String] = []
    for (pair, answer) in zip(pairs, answers) {
      guard let answer else { continue }
      compared += 1
      if order.compare(pair.0, pair.1).rawValue != answer { wrong.append("\(pair)") }
    }
    #expect(wrong.isEmpty)
    #expect(compared > pairs.count / 3)
  }

  /// Versions no packaging system would make, and long ones.
  private static let odd: [String] = [
    "", "0", "1:1:1", ":", ":1", "-", "--", "1-", "-r", "-r1", "1-r", "a:1", "~", "^", "_", "1_", "1._rc", "1__rc",
    "1_rc_", "..",
    "é", "\u{FFFD}", "1.\u{202E}2", "\0", "1\0", "1 2", " 1", "01", "001", "1.0", "1.00", "1.0-0", "1.0-r0", "1:0",
    "00:1",
    String(repeating: "9", count: 40), String(repeating: "0", count: 40) + "1",
  ]

  @Test(arguments: all) func orderIsTotalOverOddVersions(_ order: VersionOrder) {
    var wrong: [String] = []
    for a in Self.odd {
      if order.compare(a, a) != .same { wrong.append(a) }
      for b in Self.odd {
        let ab = order.compare(a, b)
        if order.compare(b, a).rawValue != -ab.rawValue { wrong.append("\(a) \(b)") }
        for c in Self.odd where ab != .newer && order.compare(b, c) != .newer {
          if order.compare(a, c) == .newer { wrong.append("\(a) ≤ \(b) ≤ \(c)") }
        }
      }
    }
    #expect(wrong.isEmpty)
  }

  @Test(arguments: all) func orderIsTransitiveOverMadeUpVersions(_ order: VersionOrder) {
    var generator = order == .dpkg ? VersionGenerator.dpkg(seed: 4) : VersionGenerator.rpm(seed: 5)
    let versions = generator.pairs(60).flatMap { [$0.0, $0.1] }
    let sorted = versions.sorted { order.compare($0, $1) == .older }
    var wrong: [String] = []
    for (index, a) in sorted.enumerated() {
      for b in sorted[index...] where order.compare(a, b) == .newer { wrong.append("\(a) \(b)") }
    }
    #expect(wrong.isEmpty)
  }

  @Test(arguments: all) func longVersionsAreCompared(_ order: VersionOrder) {
    let digits = String(repeating: "1", count: 1_000_000)
    #expect(order.compare(digits, digits + "0") == .older)
    for (unit, count) in [
      ("1", 1 << 20), (".", 1 << 20), ("a", 1 << 16), ("~", 1 << 16), ("1.", 1 << 16), ("_rc1", 1 << 14),
      ("-r1", 1 << 14),
      ("a1", 1 << 14), ("-", 1 << 16), (":", 1 << 16),
    ] {
      let long = String(repeating: unit, count: count)
      let once = order.compare(long, long + "1")
      #expect(order.compare(long + "1", long).rawValue == -once.rawValue)
      #expect(order.compare(long, long) == .same)
    }
  }
}
