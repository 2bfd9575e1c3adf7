import Foundation
import Logging
import Posix
import Testing

@testable import Daemon

/// H130: one event a line, whatever its values hold.
struct LogOutputTests {
  private static let hostile = [
    "two\nlines", "\r\nInjected: yes", "\u{1b}[2J", "\u{0}", "quote \" and \\ slash",
    "\u{2028}\u{2029}\u{85}\u{0b}\u{0c}",
    "\u{202e}txt.exe", "\u{200b}zero", "\u{e0041}tag", "é 漢 👍", "", " ", "a=b", "\\u000a",
  ]

  private func line(_ message: String, _ metadata: Logger.Metadata, _ format: Configuration.LogFormat) -> String {
    LogOutput(LogSettings(level: .info, format: format)).line(
      LogEvent(
        level: .info, message: "\(message)", metadata: metadata, source: "", file: "", function: "", line: 0))
  }

  @Test(arguments: hostile)
  func `A value never ends its line, nor starts a sequence of the terminal`(text: String) throws {
    for format in Configuration.LogFormat.allCases {
      for line in [line("said", ["value": "\(text)"], format), line(text, [:], format)] {
        let body = line.dropLast()
        #expect(line.last == "\n")
        #expect(!body.contains { $0.isNewline })
        #expect(
          body.unicodeScalars.allSatisfy { scalar in
            ![.control, .format, .lineSeparator, .paragraphSeparator].contains(scalar.properties.generalCategory)
          })
      }
    }
  }

  @Test(arguments: hostile)
  func `A line of JSON gives the value back`(text: String) throws {
    let line = line("said", ["value": "\(text)"], .json)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
    #expect(object["value"]?.unicodeScalars.elementsEqual(text.unicodeScalars) == true)
    #expect(object["message"] == "said")
    #expect(object["level"] == "info")
  }

  @Test func `Text quotes what is not plain, and orders by key`() {
    let line = line("poll ended", ["b": "two words", "a": "plain", "c": ""], .text)
    #expect(line.hasSuffix("Z info poll ended a=plain b=\"two words\" c=\"\"\n"))
  }

  @Test(
    arguments: [
      (0, "1970-01-01T00:00:00.000Z"), (951_827_696_007_999_999, "2000-02-29T12:34:56.007Z"),
      (1_798_761_599_999_000_000, "2026-12-31T23:59:59.999Z"),
    ] as [(Int64, String)])
  func `The time is that of UTC to the millisecond`(nanoseconds: Int64, text: String) {
    let settings = LogSettings(level: .info, format: .text)
    let event = LogEvent(level: .info, message: "m", metadata: [:], source: "", file: "", function: "", line: 0)
    #expect(LogOutput(settings, clock: WallClock { nanoseconds }).line(event) == "\(text) info m\n")
  }

  @Test func `Two values cannot be made to look like one another`() {
    #expect(line("m", ["v": "a\nb"], .text).hasSuffix("v=\"a\\nb\"\n"))
    #expect(line("m", ["v": "a\\nb"], .text).hasSuffix("v=\"a\\\\nb\"\n"))
  }

  @Test func `A long value is cut`() {
    #expect(line("m", ["v": "\(String(repeating: "x", count: 1 << 20))"], .json).utf8.count < 8192)
    #expect(line("m", ["v": "\(String(repeating: "x", count: 1 << 20))"], .text).utf8.count < 8192)
  }
}
