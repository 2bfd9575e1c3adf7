import SecretRules

/// Readers of passwords in URLs and in .netrc files.
extension PatternMatcher {
  private static let schemeBytes = 24
  private static let userBytes = 128
  private static let passwordBytes = 256

  private static let scheme: ByteSet = {
    var set = ByteSet.alphanumeric
    "+.-".utf8.forEach { set.insert($0) }
    return set
  }()
  /// All that needs no encoding in user information and is no bracket of a template; `:` and `@` end its parts.
  private static let userInformation: ByteSet = {
    var set = ByteSet.alphanumeric
    "-._~!$&*+,;=%^#?".utf8.forEach { set.insert($0) }
    return set
  }()

  /// The password before a host, where the scheme is a database's or where it is none.
  mutating func urlPassword(at anchor: Range<Int>, ofDatabase: Bool) -> SecretMatch? {
    // Most URLs have no user: sorted out first.
    let userEnd = endOfRun(Self.userInformation, from: anchor.upperBound, atMost: Self.userBytes)
    guard byte(at: userEnd) == UInt8(ascii: ":") else { return nil }
    let passwordEnd = endOfRun(Self.userInformation, from: userEnd + 1, atMost: Self.passwordBytes)
    guard byte(at: passwordEnd) == UInt8(ascii: "@"), passwordEnd - userEnd > 4 else { return nil }
    let schemeStart = startOfRun(Self.scheme, to: anchor.lowerBound, atMost: Self.schemeBytes)
    let hostEnd = endOfRun(.identifier, from: passwordEnd + 1, atMost: 255)
    let scheme = slice(schemeStart..<anchor.lowerBound)
    let user = slice(anchor.upperBound..<userEnd)
    let password = slice((userEnd + 1)..<passwordEnd)
    let host = slice((passwordEnd + 1)..<hostEnd)
    guard !scheme.isEmpty, !host.isEmpty, !user.elementsEqual(password), !Allowances.isPlaceholder(password),
      !Self.isExampleHost(host), !holds(password, "..."),
      Self.databases.contains(where: { $0.elementsEqual(scheme) }) == ofDatabase
    else { return nil }
    return SecretMatch(whole: schemeStart..<hostEnd, value: (userEnd + 1)..<passwordEnd)
  }

  private func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }

  private func holds(_ text: UnsafeRawBufferPointer, _ part: StaticString) -> Bool {
    TokenChecks.contains(Array(text), part)
  }

  private static let databases: [[UInt8]] = [
    "postgres", "postgresql", "mysql", "mysql2", "mariadb", "mongodb", "mongodb+srv", "redis", "rediss", "amqp",
    "amqps", "mssql",
    "sqlserver", "clickhouse", "oracle", "cockroachdb", "couchdb", "cassandra", "neo4j", "bolt", "influxdb", "ldap",
    "ldaps",
    "postgresql+psycopg2", "postgresql+asyncpg", "mysql+pymysql", "nats", "memcached",
  ].map { Array($0.utf8) }

  /// Names that documents use: RFC 2606's, and those that stand for any.
  private static func isExampleHost(_ host: UnsafeRawBufferPointer) -> Bool {
    let name = host.map(\.asciiLowercased)
    let isReserved = ["example.com", "example.org", "example.net", "domain.com", "domain.tld"].contains {
      name.elementsEqual($0.utf8) || name.suffix($0.utf8.count + 1).elementsEqual(".\($0)".utf8)
    }
    return isReserved
      || ["host", "hostname", "server", "domain", "proxy", "foo", "bar", "ip"].contains { name.elementsEqual($0.utf8) }
  }

  /// `machine NAME login NAME password SECRET`, on one line or several.
  mutating func netrcPassword(at anchor: Range<Int>) -> SecretMatch? {
    var words: [Range<Int>] = []
    var position = anchor.upperBound
    while words.count < 5 {
      let start = endOfRun(Self.blanks, from: position, atMost: 16)
      let end = endOfRun(Self.visible, from: start, atMost: Self.passwordBytes)
      guard start > position, end > start else { return nil }
      words.append(start..<end)
      position = end
    }
    // Machine, "login", name, "password", secret.
    guard slice(words[1]).elementsEqual("login".utf8), slice(words[3]).elementsEqual("password".utf8),
      words[4].count >= 4, !Self.isTerm(slice(words[4])), !Allowances.isPlaceholder(slice(words[4]))
    else { return nil }
    return SecretMatch(whole: anchor.lowerBound..<position, value: words[4])
  }

  private static let blanks: ByteSet = {
    var set = ByteSet()
    [0x20, 0x09, 0x0a, 0x0d].forEach { set.insert($0) }
    return set
  }()
  private static let visible: ByteSet = {
    var set = ByteSet()
    set.insert(0x21...0x7e)
    return set
  }()
}
