import Model
import StorageMessages
import Testing

@testable import Matching

@Suite struct RatingTests {
  private static let high = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:N"
  private static let low = "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"
  private static let version4 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H"

  private func rating(_ vectors: [(String, String)], _ summary: String = "") -> Rating {
    let vectors = vectors.map { type, score in
      var vector = SeverityVector()
      (vector.type, vector.score) = (type, score)
      return vector
    }
    return Rating(vectors: vectors, summary: summary)
  }

  @Test func theHighestScoreCounts() {
    let both = rating([("CVSS_V3", Self.low), ("CVSS_V3", Self.high)])
    #expect(both.score == 7.5 && both.severity == .high && both.vector == Self.high)
    let newer = rating([("CVSS_V3", Self.high), ("CVSS_V4", Self.version4)])
    #expect(newer.score == 10 && newer.severity == .critical && newer.vector == Self.version4)
  }

  @Test func aVectorIsBelievedBeforeAWord() {
    #expect(rating([("Ubuntu", "critical"), ("CVSS_V3", Self.high)], "Low: x").severity == .high)
  }

  @Test func aBadVectorCountsAsAbsent() {
    for text in ["", "7.5", "CVSS:3.1/AV:N", "CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:N", "\u{1B}[2J"] {
      #expect(rating([("CVSS_V3", text)]) == Rating(vectors: [], summary: ""))
    }
    #expect(rating([("CVSS_V3", "bad"), ("Ubuntu", "medium")]).severity == .medium)
  }

  @Test(arguments: [
    ("negligible", Severity.low), ("low", .low), ("medium", .medium), ("high", .high), ("critical", .critical),
    ("untriaged", .unknown), ("", .unknown),
  ])
  func ubuntusPriorities(_ word: String, _ severity: Severity) {
    #expect(rating([("Ubuntu", word)]).severity == severity)
  }

  @Test(arguments: [
    ("Critical: a", Severity.critical), ("Important: a", .high), ("Moderate: a: b", .medium), ("Low: a", .low),
    ("important: a", .unknown), ("openssl - security update", .unknown), ("Very Important: a", .unknown),
    (":", .unknown),
  ])
  func wordsBeforeTheColon(_ summary: String, _ severity: Severity) {
    #expect(rating([], summary).severity == severity)
    #expect(rating([], summary).score == 0)
  }
}
