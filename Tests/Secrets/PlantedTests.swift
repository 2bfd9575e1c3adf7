import Inventory
import SecretRules
import Secrets
import StorageMessages
import TestSupport
import Testing

@Suite("Planted secrets")
struct PlantedTests {
  @Test("of made-up secrets at least 97 % are found, and of what is found at least 97 % are such")
  func recallAndPrecision() {
    let corpus = PlantedCorpus(seed: 20_240_501, samplesOfKind: 8)
    var planted = 0
    var recalled = 0
    var reported = 0
    var right = 0
    var missed: [String: Int] = [:]
    var wrong: [String: Int] = [:]
    for file in corpus.files {
      let scanned = Scanned(file.text, path: file.path)
      #expect(scanned.error == nil)
      planted += file.planted.count
      reported += scanned.records.count
      for expected in file.planted {
        let isFound = scanned.records.contains { Self.isFinding($0, of: expected) }
        recalled += isFound ? 1 : 0
        if !isFound { missed["\(expected.rule) as \(scanned.rules): \(file.text.prefix(400))", default: 0] += 1 }
      }
      for record in scanned.records {
        let isRight = file.planted.contains { Self.isFinding(record, of: $0) }
        right += isRight ? 1 : 0
        if !isRight { wrong["\(record.rule): \(record.excerpt)", default: 0] += 1 }
      }
    }
    let recall = Double(recalled) / Double(planted)
    let precision = Double(right) / Double(reported)
    let kinds = Set(PlantedKind.all.map(\.rule)).count
    print(
      "planted secrets: \(planted) of \(kinds) kinds in \(corpus.files.count) files, recall \(recall), precision \(precision)"
    )
    for (what, count) in missed.sorted(by: { $0.key < $1.key }) { print("missed \(count): \(what)") }
    for (what, count) in wrong.sorted(by: { $0.key < $1.key }) { print("wrong \(count): \(what)") }
    #expect(kinds == Set(SecretRules.all.map(\.id.description)).count)
    #expect(recall >= 0.97)
    #expect(precision >= 0.97)
  }

  /// Keys are kept without their line breaks, which their maker writes.
  static func isFinding(_ record: SecretRecord, of expected: (rule: String, value: String)) -> Bool {
    guard record.rule == expected.rule else { return false }
    let isKey = expected.rule.hasPrefix("private-key") || expected.rule == "gcp-service-account"
    return isKey || record.value == Array(expected.value.utf8)
  }
}
