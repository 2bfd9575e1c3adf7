import Foundation
import Testing

/// proto/PROTOCOL.md names a test for each of its rules: the test must exist.
@Suite("The protocol's document") struct ProtocolDocumentTests {
  private static let tests = URL(filePath: #filePath).deletingLastPathComponent()

  @Test("each rule has a row, each row names tests that exist") func rules() throws {
    let text = try String(contentsOf: Self.tests.appending(path: "../../proto/PROTOCOL.md"), encoding: .utf8)
    let parts = text.split(separator: "## Where each rule is tested", maxSplits: 1)
    #expect(parts.count == 2)
    let rules = Set(parts[0].matches(of: /\*\*(M\d+)\*\*/).map { String($0.1) })
    #expect(rules.count == 32)
    var rows: Set<String> = []
    let sources = try Self.sources()
    for row in parts[1].split(separator: "\n") where row.hasPrefix("| M") {
      let cells = row.split(separator: "|")
      let numbers = cells[0].matches(of: /M(\d+)/).compactMap { Int($0.1) }
      if cells[0].contains("to"), numbers.count == 2 {
        rows.formUnion((numbers[0]...numbers[1]).map { "M\($0)" })
      } else {
        rows.formUnion(numbers.map { "M\($0)" })
      }
      for name in cells[1].matches(of: /"([^"]+)"/) {
        let isFound = sources.contains("\"\(name.1)")
        #expect(isFound, "no test begins with “\(name.1)”")
      }
      #expect(cells[1].contains("\"") || cells[1].contains("fixtures"))
    }
    #expect(rules == rows)
  }

  private static func sources() throws -> String {
    let folders = [tests, tests.appending(path: "../ProtobufRuntime")]
    return try folders.flatMap { folder in
      try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
    }.filter { $0.pathExtension == "swift" }.map { try String(contentsOf: $0, encoding: .utf8) }.joined()
  }
}
