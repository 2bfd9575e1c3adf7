import Inventory
import SecretRules
import StorageMessages

/// The search through one file: what its anchors turned out to be.
struct SecretSearch {
  /// Why it did not go on.
  enum End {
    case tooMany
    case tooCostly

    func error(path: UnsafeRawBufferPointer, limits: AnalysisLimits) -> LayerError {
      switch self {
      case .tooMany:
        LayerError(
          .secretLimit, "the file holds more secrets than the \(limits.secretsOfFile) that are kept of one",
          path: Array(path))
      case .tooCostly:
        LayerError(
          .secretLimit, "the file was made to be slow to search for secrets, and was not searched whole",
          path: Array(path))
      }
    }
  }

  /// Bytes that may be looked at again for each byte of the file, and those that are free. Real files stay below one.
  private static let costOfByte = 16
  private static let freeCost = 1 << 20
  /// What the checks of a match cost beside reading it, for each of its bytes.
  private static let costOfCheck = 16

  private let limits: AnalysisLimits
  private var matcher: PatternMatcher
  private var candidates: [FoundSecret] = []
  /// Of what was found, so that a secret that occurs a million times is kept once.
  private var seen: Set<Int> = []
  private(set) var end: End?

  init(_ bytes: UnsafeRawBufferPointer, limits: AnalysisLimits) {
    self.limits = limits
    matcher = PatternMatcher(bytes)
  }

  /// Looks at one anchor. False when the search is to end.
  mutating func take(
    _ number: Int, _ rule: SecretRule, _ pattern: SecretPattern, _ rules: PathRules, anchorEnd: Int
  ) -> Bool {
    let anchor = (anchorEnd - pattern.anchor.count)..<anchorEnd
    if let secret = secret(rule, pattern, rules, anchor, rank: number) { add(secret) }
    if matcher.cost > Self.freeCost + Self.costOfByte * matcher.bytes.count { end = .tooCostly }
    return end == nil
  }

  private func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: matcher.bytes[range])
  }

  private mutating func secret(
    _ rule: SecretRule, _ pattern: SecretPattern, _ rules: PathRules, _ anchor: Range<Int>, rank: Int
  ) -> FoundSecret? {
    switch rule.form {
    case .pattern:
      guard let match = matcher.match(pattern, at: anchor) else { return nil }
      return token(rule, match, rules, rank: rank, showsPrefix: pattern.hasPrefix)
    case .pem: return matcher.pem(at: anchor).map { key($0, rule, rank) }
    case .puttyKey: return matcher.puttyKey(at: anchor).map { key($0, rule, rank) }
    case .serviceAccount: return matcher.serviceAccountKey(at: anchor).map { key($0, rule, rank) }
    case .urlPassword(let ofDatabase):
      return matcher.urlPassword(at: anchor, ofDatabase: ofDatabase).map { found(rule, $0, rank) }
    case .assignment(let isPassword):
      return matcher.assignment(at: anchor, isPassword: isPassword, isConfiguration: rules.isConfiguration)
        .map { found(rule, $0, rank) }
    case .netrc: return matcher.netrcPassword(at: anchor).map { found(rule, $0, rank) }
    }
  }

  private mutating func token(
    _ rule: SecretRule, _ match: SecretMatch, _ rules: PathRules, rank: Int, showsPrefix: Bool
  )
    -> FoundSecret?
  {
    let value = slice(match.value)
    matcher.cost += Self.costOfCheck * value.count
    guard Randomness.entropy(value) >= rule.entropy, !Allowances.isPlaceholder(value) else { return nil }
    let verdict = TokenChecks.verdict(rule.check, of: value)
    if verdict == .isNone || verdict == .altered && rules.scope == .provenOnly { return nil }
    var secret = found(rule, match, rank)
    if verdict == .altered { secret.rule += SecretRules.alteredSuffix }
    if showsPrefix && match.whole == match.value { secret.shown = FoundSecret.shownBytes }
    return secret
  }

  private func key(_ key: PatternMatcher.Key, _ rule: SecretRule, _ rank: Int) -> FoundSecret {
    var secret = found(rule, key.match, rank)
    if key.isEncrypted { secret.rule = SecretRules.encryptedKey }
    secret.bytes = key.value
    return secret
  }

  private func found(_ rule: SecretRule, _ match: SecretMatch, _ rank: Int) -> FoundSecret {
    FoundSecret(rule: rule.id.description, rank: rank, match: match, bytes: Array(slice(match.value)))
  }

  private mutating func add(_ secret: FoundSecret) {
    var hasher = Hasher()
    hasher.combine(secret.rank)
    hasher.combine(secret.bytes)
    guard seen.insert(hasher.finalize()).inserted else { return }
    candidates.append(secret)
    // Some of them are the same in other words.
    if candidates.count > 2 * limits.secretsOfFile { end = .tooMany }
  }

  /// What was found, in the order of the file: of what claims the same bytes, the most telling.
  mutating func finish() -> [FoundSecret] {
    var kept: [FoundSecret] = []
    var values: Set<[UInt8]> = []
    for secret in candidates.sorted(by: { ($0.rank, $0.match.whole.lowerBound) < ($1.rank, $1.match.whole.lowerBound) })
    where !kept.contains(where: { $0.match.value.overlaps(secret.match.value) }) && values.insert(secret.bytes).inserted
    {
      kept.append(secret)
    }
    kept.sort { $0.match.value.lowerBound < $1.match.value.lowerBound }
    if kept.count > limits.secretsOfFile {
      end = .tooMany
      kept.removeLast(kept.count - limits.secretsOfFile)
    }
    let masked = kept.map(\.match.value)
    var line = 1
    var counted = 0
    for index in kept.indices {
      let start = kept[index].match.whole.lowerBound
      if start > counted {
        line += matcher.bytes[counted..<start].reduce(0) { $0 &+ ($1 == 0x0a ? 1 : 0) }
        counted = start
      }
      kept[index].line = line
      kept[index].excerpt = Excerpt.of(kept[index], in: matcher.bytes, masking: masked)
    }
    return kept
  }
}
