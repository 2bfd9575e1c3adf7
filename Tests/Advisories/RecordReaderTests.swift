import StorageMessages
import Testing

@testable import Advisories

@Suite struct RecordReaderTests {
  private func read(_ json: String) throws -> AdvisoryRecord { try RecordReader().read(Array(json.utf8)) }

  private func reason(_ json: String) -> String {
    do {
      _ = try read(json)
      return "read"
    } catch {
      return (error as? EntryFault)?.reason ?? "\(error)"
    }
  }

  private func record(_ more: String) -> String { #"{"id": "X-1", "modified": "2024-01-01T00:00:00Z", \#(more)}"# }

  private func affected(_ entry: String) -> String { record(#""affected": [\#(entry)]"#) }

  @Test func keepsWhatMatchingNeeds() throws {
    let kept = try read(
      record(
        #"""
        "published": "1970-01-01T00:00:01Z", "withdrawn": "1970-01-01T00:00:00Z", "aliases": ["A"], "upstream": null,
        "related": ["CVE-1"], "summary": "one\ntwo\u0000three", "details": 17, "credits": {"x": []},
        "severity": [{"type": "CVSS_V3", "score": "no vector", "extra": 1}],
        "affected": [{"package": {"ecosystem": "Debian:12", "name": "tar", "purl": "pkg:deb/debian/tar?arch=source"},
          "severity": [{"type": "Ubuntu", "score": "low"}], "versions": ["1.0", "1.1"],
          "ranges": [{"type": "GIT", "events": [{"introduced": "0"}]},
            {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2"}, {"introduced": "3"},
              {"last_affected": "4"}, {"limit": "5"}]}]}]
        """#))
    #expect(kept.id == "X-1")
    #expect(kept.modifiedAt == 1_704_067_200_000_000_000)
    #expect(kept.publishedAt == 1_000_000_000)
    #expect(kept.withdrawnAt != 0)
    #expect(kept.aliases == ["A"] && kept.upstream == [] && kept.related == ["CVE-1"])
    #expect(kept.summary == "one two three")
    #expect(kept.severities.map(\.score) == ["no vector"])
    let entry = try #require(kept.affected.first)
    #expect(entry.namesSource && entry.versions == ["1.0", "1.1"] && entry.severities.count == 1)
    #expect(
      entry.ranges.map { $0.events.map(\.event) } == [
        [.introduced("0"), .fixed("2"), .introduced("3"), .lastAffected("4"), .limit("5")]
      ])
  }

  @Test func dropsEntriesWithoutVersions() throws {
    let git = #"{"package": {"ecosystem": "Go", "name": "x"}, "ranges": [{"type": "GIT", "events": []}]}"#
    #expect(try read(affected(git)).affected.isEmpty)
    #expect(try read(affected(#"{"package": {"ecosystem": "Go", "name": "x"}}"#)).affected.isEmpty)
    #expect(try read(affected(#"{"versions": ["1"]}"#)).affected.isEmpty)
    #expect(try read(record(#""affected": null"#)).affected.isEmpty)
    #expect(try read(#"{"id": "X", "modified": "2024-01-01T00:00:00Z"}"#).affected.isEmpty)
  }

  @Test func normalisesPythonNames() throws {
    let entry = #"{"package": {"ecosystem": "PyPI", "name": "Ruamel_.yaml--X"}, "versions": ["1"]}"#
    #expect(try read(affected(entry)).affected.first?.name == "ruamel-yaml-x")
    let other = #"{"package": {"ecosystem": "npm", "name": "Foo_Bar"}, "versions": ["1"]}"#
    #expect(try read(affected(other)).affected.first?.name == "Foo_Bar")
  }

  @Test(arguments: [
    ("", "is not JSON"), ("{", "is not JSON"), ("[]", "the record has the wrong type"), ("{}", "id is missing"),
    (#"{"id": "X"}"#, "modified is missing"), (#"{"id": 7, "modified": ""}"#, "id has the wrong type"),
    (#"{"id": "X", "modified": "yesterday"}"#, "modified that is no time"),
    (#"{"id": "", "modified": "2024-01-01T00:00:00Z"}"#, "empty id"),
    (#"{"id": "a\u0000b", "modified": "2024-01-01T00:00:00Z"}"#, "control character in its id"),
    (#"{"id": "a\u001bb", "modified": "2024-01-01T00:00:00Z"}"#, "control character in its id"),
  ])
  func saysWhatIsWrong(_ json: String, _ part: String) {
    #expect(reason(json).contains(part), "\(reason(json))")
  }

  @Test func namesTheFieldOfAWrongType() {
    let event =
      #"{"package": {"ecosystem": "E", "name": "n"}, "ranges": [{"type": "SEMVER", "events": [{"fixed": 1}]}]}"#
    #expect(reason(affected(event)) == "is no OSV record: affected.0.ranges.0.events.0.fixed has the wrong type")
    #expect(
      reason(affected(#"{"package": {"ecosystem": "E"}}"#)) == "is no OSV record: affected.0.package.name is missing")
    #expect(reason(record(#""withdrawn": "soon""#)).contains("withdrawn that is no time"))
  }

  @Test func refusesWhatIsBeyondItsBounds() {
    let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
    #expect(reason(record(#""x": \#(deep)"#)).contains("deep"))
    let brackets = String(repeating: "[{", count: 1_000)
    #expect(reason(record(#""details": "\#(brackets)\"[[""#)) == "read")
    #expect(reason(record(#""aliases": ["\#(String(repeating: "a", count: 201))"]"#)).contains("201 bytes"))
    let aliases = Array(repeating: "\"a\"", count: 1_001).joined(separator: ",")
    #expect(reason(record(#""aliases": [\#(aliases)]"#)).contains("1001 aliases"))
    let name = String(repeating: "n", count: 505)
    let long = #"{"package": {"ecosystem": "npm", "name": "\#(name)"}, "versions": ["1"]}"#
    #expect(reason(affected(long)).contains("too long for the index"))
    let version = String(repeating: "1", count: 1_025)
    #expect(
      reason(affected(#"{"package": {"ecosystem": "npm", "name": "n"}, "versions": ["\#(version)"]}"#)).contains("1025")
    )
  }

  @Test func cutsLongSummaries() throws {
    let summary = try read(record(#""summary": "\#(String(repeating: "é", count: 5_000))""#)).summary
    #expect(summary.unicodeScalars.count <= RecordLimits.summary + 1)
    #expect(summary.hasSuffix("…"))
  }

  @Test func survivesOddText() throws {
    let good = #"{"id": "X-1", "modified": "2024-01-01T00:00:00Z"}"#
    #expect(try RecordReader().read([0xEF, 0xBB, 0xBF] + Array(good.utf8)).id == "X-1")
    for json in [good + "x", good + good, #"{"id": "\ud800", "modified": "2024-01-01T00:00:00Z"}"#, "\0\0\0\0"] {
      // Whatever becomes of it, it is a record with valid text or a fault.
      #expect(!reason(json).isEmpty)
    }
    #expect(throws: EntryFault.self) { try RecordReader().read([0x7B, 0x22, 0xFF, 0xFE, 0x22, 0x7D]) }
  }
}
