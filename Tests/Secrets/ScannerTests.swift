import Inventory
import Model
import SecretRules
import Secrets
import StorageMessages
import TestSupport
import Testing

@Suite("Scanner of secrets")
struct ScannerTests {
  static let keyID = "AKIAQ6KBNXJBTFQXKWOV"

  @Test("a finding names its rule, line and path, and shows nothing of the secret but its public prefix")
  func finding() {
    let scanned = Scanned("DEBUG=1\nregion=x\nAWS_ACCESS_KEY_ID=\(Self.keyID)\n", path: "app/.env")
    #expect(scanned.error == nil)
    #expect(scanned.rules == ["aws-access-key-id"])
    #expect(scanned.records.first?.line == 3)
    #expect(scanned.records.first?.path == Array("app/.env".utf8))
    #expect(scanned.records.first?.excerpt == "AWS_ACCESS_KEY_ID=AKIA********")
    #expect(scanned.records.first?.value == Array(Self.keyID.utf8))
  }

  @Test("an excerpt shows nothing of other secrets on its line")
  func otherSecrets() {
    let password = "Qia1ID6vW5dql05"
    let scanned = Scanned("url=postgres://app:\(password)@db.corp/x id=\(Self.keyID) pass_word=\(password)\n")
    #expect(scanned.rules == ["database-url", "aws-access-key-id"])
    for record in scanned.records {
      #expect(!record.excerpt.contains(password) && !record.excerpt.contains(Self.keyID), "\(record.excerpt)")
    }
  }

  @Test("no planted secret stands in an excerpt, but for four bytes of its prefix")
  func excerpts() {
    for file in PlantedCorpus(seed: 7, samplesOfKind: 2).files {
      for record in Scanned(file.text, path: file.path).records {
        let value = Array(record.value.dropFirst(4).prefix(12))
        let excerpt = Array(record.excerpt.utf8)
        let isShown = excerpt.indices.contains { excerpt[$0...].starts(with: value) }
        #expect(!isShown, "\(record.rule): \(record.excerpt)")
        #expect(excerpt.count <= 80)
      }
    }
  }

  @Test("a secret that stands ten thousand times in a file is one finding, at its first line")
  func duplicates() {
    let scanned = Scanned("x\n" + String(repeating: "id \(Self.keyID)\n", count: 10_000))
    #expect(scanned.error == nil)
    #expect(scanned.records.map(\.line) == [2])
  }

  @Test("thousands of secrets on one line end at the bound of a file, and say so")
  func boundOfFile() {
    var random = Seeded(3)
    var text = ""
    for _ in 0..<2_000 { text += "AKIA" + random.text(16, Letters.upper + "234567") + " " }
    let scanned = Scanned(text)
    #expect(scanned.records.count == AnalysisLimits.standard.secretsOfFile)
    #expect(scanned.error?.code == .secretLimit)
  }

  @Test("the bound of a layer holds over its files")
  func boundOfLayer() {
    var limits = AnalysisLimits.standard
    limits.secrets = 3
    let scanner = SecretScanner(limits: limits)
    var random = Seeded(4)
    var counts: [Int] = []
    var errors: [LayerError.Code?] = []
    for number in 0..<3 {
      let text = (0..<2).map { _ in "AKIA" + random.text(16, Letters.upper + "234567") }.joined(separator: "\n")
      let scanned = Scanned(Array(text.utf8), path: "app/\(number)", by: scanner)
      counts.append(scanned.records.count)
      errors.append(scanned.error?.code)
    }
    #expect(counts == [2, 1, 0])
    #expect(errors == [nil, .secretLimit, nil])
  }

  @Test(
    "files made to be slow end in bounded work",
    arguments: [
      "-----BEGIN PRIVATE KEY-----", "-eyJ", "\"auth\": \"", "password", "://a:", "machine ", "PuTTY-User-Key-File-2",
      "password=aB3$",
      "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: x\n", "&sig=",
    ])
  func slowFiles(_ piece: String) {
    let scanned = Scanned(String(repeating: piece, count: 1_000_000 / piece.utf8.count))
    #expect(scanned.error == nil || scanned.error?.code == .secretLimit)
  }

  @Test("nothing is found in nothing")
  func empty() {
    #expect(Scanned("", path: "").records.isEmpty)
  }

  @Test("bytes that are no UTF-8 are read as any others, and their excerpt is text")
  func invalidText() {
    let scanned = Scanned([0xff, 0xfe, 0x1b] + Array("=\(Self.keyID) ".utf8) + [0xc3], path: "app/x")
    #expect(scanned.rules == ["aws-access-key-id"])
    #expect(scanned.records.first?.excerpt == "???=AKIA********")
  }

  @Test(
    "a path says how much is looked for",
    arguments: [
      ("srv/app/.env", true, true), ("usr/lib/python3/dist-packages/x/config.yaml", true, false),
      ("srv/node_modules/x/index.json", true, false), ("srv/node_modules/x/test/index.json", false, false),
      ("usr/share/doc/x/README", false, false), ("srv/app/package-lock.json", true, false),
      ("srv/app/main.min.js", true, false),
    ])
  func paths(_ path: String, ofForm: Bool, byName: Bool) {
    #expect(Scanned(Self.keyID, path: path).records.isEmpty != ofForm)
    #expect(Scanned("db_password=Qia1ID6vW5dql05\n", path: path).records.isEmpty != byName)
  }

  @Test("a token whose checksum is wrong was altered or made up")
  func altered() {
    let text = "GITHUB_TOKEN: ghp_GOeMVNen5n1Ae6pWzpF1qH6YytwMe4LbyoVF"
    #expect(Scanned(text).rules == ["github-pat-altered"])
    #expect(SecretRules.summary(of: "github-pat-altered")?.severity == .low)
    #expect(Scanned("GITHUB_TOKEN: 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").rules == ["github-pat"])
    #expect(SecretRules.summary(of: "github-pat")?.severity == .critical)
    #expect(SecretRules.summary(of: "jwt-altered") == nil)
  }

  @Test("a key is the same in a file of its own and in a string")
  func keysInStrings() {
    var random = Seeded(5)
    let pem = Encodings.pem("PRIVATE KEY", &random)
    let escaped = "{\"tls\": \"\(pem.replacing("\n", with: "\\n"))\\n\"}"
    let values = [Scanned(pem), Scanned(escaped)].map { $0.records.first?.value }
    #expect(values[0] != nil && values[0] == values[1])
  }

  @Test("every kind is told of, and every pattern has an anchor")
  func rules() {
    #expect(Set(SecretRules.all.map(\.id.description)).count >= 60)
    for rule in SecretRules.all {
      #expect(rule.pattern.anchor.count >= 3)
      #expect(SecretRules.summary(of: rule.id.description)?.title == rule.title.description, "\(rule.id)")
    }
  }
}
