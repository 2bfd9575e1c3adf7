import CLIKit
import ProtobufRuntime
import Testing
import TidewaiterClient

@Suite("What people write and read")
struct TextTests {
  @Test(
    "Spans of time are read",
    arguments: [
      ("500ms", Duration.milliseconds(500)), ("30s", .seconds(30)), ("5m", .seconds(300)), ("2h", .seconds(7200)),
      ("87600h", .seconds(315_360_000)),
    ])
  func readsDurations(text: String, expected: Duration) throws {
    #expect(try DurationText.parse(text) == expected)
  }

  @Test(
    "What is no span of time is refused",
    arguments: [
      "", "5", "s", "-5s", "5 s", "1.5h", "0s", "5x", "5S", "87601h", "9223372036854775807s", "99999999999999999999s",
      "5s5m", "٣s",
    ])
  func refusesDurations(text: String) {
    #expect(throws: MalformedText.self) { try DurationText.parse(text) }
  }

  @Test("Seconds are described by their two largest units")
  func describesSeconds() {
    #expect(DurationText.describe(seconds: 0) == "0s")
    #expect(DurationText.describe(seconds: 1800) == "30m")
    #expect(DurationText.describe(seconds: 93_784) == "1d 2h")
    #expect(DurationText.describe(seconds: -5) == "0s")
  }

  @Test("Calendar periods are read")
  func readsPeriods() throws {
    let days = try Period(parsing: "60d")
    #expect(days.count == 60 && days.unit == .days)
    let months = try Period(parsing: "2mo")
    #expect(months.count == 2 && months.unit == .months)
    let years = try Period(parsing: "1y")
    #expect(years.count == 1 && years.unit == .years)
  }

  @Test("What is no calendar period is refused", arguments: ["", "60", "0d", "2m", "1 y", "36501d", "-1d", "d"])
  func refusesPeriods(text: String) {
    #expect(throws: MalformedText.self) { try Period(parsing: text) }
  }

  @Test("Sizes are rounded down to a tenth")
  func describesSizes() {
    #expect(People.size(0) == "0 B")
    #expect(People.size(1023) == "1023 B")
    #expect(People.size(1536) == "1.5 KiB")
    #expect(People.size(64 << 30) == "64 GiB")
    #expect(People.size(.max) == "15.9 EiB")
  }

  @Test(
    "Sizes are read",
    arguments: [
      ("0", UInt64(0)), ("none", 0), ("1048576", 1 << 20), ("512B", 512), ("64KiB", 64 << 10), ("500MB", 500_000_000),
      ("20GiB", 20 << 30), ("2tb", 2_000_000_000_000), ("15EiB", 15 << 60), ("18446744073709551615", .max),
    ])
  func readsSizes(text: String, expected: UInt64) throws {
    #expect(try SizeText.parse(text) == expected)
  }

  @Test(
    "What is no size is refused",
    arguments: ["", "GiB", "-1", "1.5GiB", "20 GiB", "20G", "16EiB", "19EB", "18446744073709551616", "5ZiB", "٣MB"])
  func refusesSizes(text: String) {
    #expect(throws: MalformedText.self) { try SizeText.parse(text) }
  }

  @Test("A tag makes the digest of a reference dispensable, a port of a name does not")
  func shortensReferences() {
    #expect(People.shortReference("hub/team/app:1.0@sha256:abc") == "hub/team/app:1.0")
    #expect(People.shortReference("hub/team/app@sha256:abc") == "hub/team/app@sha256:abc")
    #expect(People.shortReference("hub/team/app:1.0") == "hub/team/app:1.0")
    #expect(People.shortDigest("sha256:0123456789abcdef") == "0123456789ab")
    #expect(People.shortDigest("nothing") == "nothing")
  }

  @Test(
    "The output format is found in arguments that do not parse",
    arguments: [
      ([], OutputFormat.table), (["-o", "json", "nonsense"], .json), (["x", "-ojsonl"], .jsonl),
      (["--output=json"], .json), (["--output", "bogus"], .table), (["-o", "json", "-o", "table"], .table),
      (["--", "-o", "json"], .table), (["-o"], .table),
    ])
  func findsFormat(arguments: [String], expected: OutputFormat) {
    #expect(CommandLineClient.format(in: arguments) == expected)
  }

  @Test("Each pattern shows how it was read")
  func describesPatterns() {
    var pattern = Pattern()
    pattern.pattern = "team/*:1.*"
    pattern.name = "team/*"
    pattern.tag = "1.*"
    #expect(IntegrationView.describe(pattern) == "team/*:1.*  (name team/*, tag 1.*)")
    pattern.tag = ""
    #expect(IntegrationView.describe(pattern).hasSuffix("(name team/*, any tag)"))
    pattern.name = ""
    pattern.tag = "4"
    #expect(IntegrationView.describe(pattern).hasSuffix("(any name, tag 4)"))
  }

  @Test("The document of an integration holds only the number that its condition uses")
  func writesConditions() {
    var integration = Integration()
    #expect(integration.clientJSON["condition"]?.text() == #"{"kind":"none"}"#)
    #expect(integration.clientJSON["schedule"]?.text() == "null")
    var condition = Condition()
    condition.kind = .createdWithin
    condition.months = 2
    integration.condition = condition
    #expect(integration.clientJSON["condition"]?.text() == #"{"kind":"created_within","months":2}"#)
    condition = Condition()
    condition.kind = .latest
    condition.count = 5
    integration.condition = condition
    #expect(integration.clientJSON["condition"]?.text() == #"{"kind":"latest","count":5}"#)
  }
}
