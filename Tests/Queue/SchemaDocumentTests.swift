import Posix
import Queue
import Store
import TestSupport
import Testing

/// `Sources/Store/SCHEMA.md` lists every table of the state environment. It is here because this target sees them all.
@Suite("The schema document") struct SchemaDocumentTests {
  private static let tables = StateStore.ownTables + QueueTables.all

  private static func document() throws -> String {
    String(decoding: try File.read(Corpus.checkout + "/Sources/Store/SCHEMA.md", limit: 1 << 20), as: UTF8.self)
  }

  @Test("its list of tables is the code's; when it is stale, this shows what belongs there") func tables() throws {
    let rows = Self.tables.map { "| `\($0.name)` | \($0.key) | \($0.value) | \($0.purpose) |\n" }.joined()
    let expected =
      "<!-- tables -->\n| table | key | value | holds |\n| --- | --- | --- | --- |\n\(rows)<!-- /tables -->"
    if try !Self.document().contains(expected) {
      Issue.record("this belongs into Sources/Store/SCHEMA.md:\n\(expected)")
    }
  }

  @Test("it names the schema version, and every message that a table holds is in the storage schema") func versions()
    throws
  {
    let isNamed = try Self.document().contains("Schema version: **\(StateStore.schemaVersion)**")
    #expect(isNamed)
    let schema = String(
      decoding: try File.read(Corpus.checkout + "/proto/storage.proto", limit: 1 << 20), as: UTF8.self)
    for table in Self.tables where table.value.hasPrefix("message ") {
      let name = table.value.split(separator: ".").last ?? ""
      #expect(schema.contains("message \(name) {"), "\(table.name)")
    }
  }

  @Test("no two tables have one name") func names() {
    #expect(Set(Self.tables.map(\.name)).count == Self.tables.count)
  }
}
