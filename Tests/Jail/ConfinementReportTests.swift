import Inventory
import Testing

struct ConfinementReportTests {
  private let report = ConfinementReport(pieces: [
    .init(name: "landlock", holds: false, isRequired: true, detail: "no: such\tcall"),
    .init(name: "network", holds: false, isRequired: false, detail: ""),
    .init(name: "seccomp", holds: true, isRequired: true, detail: "14 calls"),
  ])

  @Test func `What a worker says is what the daemon reads`() throws {
    #expect(try ConfinementReport(text: report.text) == report)
    #expect(report.missing.map(\.name) == ["landlock"])
  }

  @Test(arguments: [
    "", "\n", "holds", "holds\trequired\tname", "Holds\trequired\tname\tdetail", "holds\tneeded\tname\tdetail",
    "TWA1\0\0\0\0",
    String(repeating: "holds\textra\tx\t\n", count: 65),
  ])
  func `Anything else is refused`(text: String) {
    #expect(throws: ConfinementReport.Malformed.self) { try ConfinementReport(text: text) }
  }
}
