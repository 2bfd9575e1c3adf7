import Inventory
import SecretRules
import Secrets
import StorageMessages
import Testing

@Suite("Scanner of secrets")
struct ScannerTests {
  @Test("a finding names its rule, line and path, and shows nothing of the secret but its public prefix")
  func finding() {
    let scanned = Scanned("DEBUG=1\nregion=x\nAWS_ACCESS_KEY_ID=AKIAQ6KBNXJBTFQXKWOV\n", path: "app/.env")
    #expect(scanned.error == nil)
    #expect(scanned.rules == ["aws-access-key-id"])
    #expect(scanned.records.first?.line == 3)
    #expect(scanned.records.first?.path == Array("app/.env".utf8))
    #expect(scanned.records.first?.excerpt == "AWS_ACCESS_KEY_ID=AKIA********")
    #expect(scanned.records.first?.value == Array("AKIAQ6KBNXJBTFQXKWOV".utf8))
  }
}
