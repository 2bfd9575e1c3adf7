import Model

/// All kinds of secrets that are looked for. Where two claim the same bytes, the one that stands first has them.
package enum SecretRules {
  package static let all: [SecretRule] =
    privateKeys + cloud + codeHosting + packageRegistries + messaging + machineLearning + payment + services
    + monitoring
    + files + named + general

  /// Ends the name of a kind where a token's checksum is wrong: altered, or made up in its likeness.
  package static let alteredSuffix = "-altered"
  /// Takes the place of a private key's own kind where a passphrase is needed to use it.
  package static let encryptedKey = "private-key-encrypted"

  /// What people are told about a kind; nil where there is none of this name.
  package static func summary(of id: String) -> (title: String, severity: Severity)? {
    let isAltered = id.hasSuffix(alteredSuffix)
    let name = isAltered ? String(id.dropLast(alteredSuffix.count)) : id
    guard let rule = firstByID[name] else { return nil }
    if !isAltered { return (rule.title.description, rule.severity) }
    guard rule.hasChecksum else { return nil }
    return ("\(rule.title) with a wrong checksum: altered, or made up", .low)
  }

  /// Rules of one name say the same of it.
  private static let firstByID = Dictionary(
    all.map { ($0.id.description, $0) }, uniquingKeysWith: { first, _ in first })
}
