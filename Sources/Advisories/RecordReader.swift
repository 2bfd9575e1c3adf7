import FoundationEssentials
import Matching
import Model
import StorageMessages

/// Bounds on the fields of a record. A record beyond one of them is skipped by name, not cut.
package enum RecordLimits {
  /// Bytes of an ID, of an alias, of an ecosystem and of a severity's type.
  package static let identifier = 200
  package static let identifiers = 1_000
  /// Bytes of a version.
  package static let version = 1_024
  package static let versions = 200_000
  package static let affected = 50_000
  package static let events = 20_000
  package static let severities = 100
  /// Bytes of a CVSS vector or a priority word.
  package static let score = 512
  /// Characters kept of a summary.
  package static let summary = 500
  /// Objects and arrays inside each other.
  package static let depth = 64
}

/// Turns the JSON of one OSV record into what is stored of it.
struct RecordReader {
  private let decoder = JSONDecoder()

  /// Throws when the text is no OSV record, or one beyond the limits.
  func read(_ text: [UInt8]) throws(EntryFault) -> AdvisoryRecord {
    guard JSONShape.isNested(text, atMost: RecordLimits.depth) else {
      throw EntryFault("is nested more than \(RecordLimits.depth) deep")
    }
    let record: OSVRecord
    do {
      record = try decoder.decode(OSVRecord.self, from: Data(text))
    } catch {
      throw EntryFault(Self.reason(error))
    }
    return try Self.advisory(record)
  }

  private static func advisory(_ record: OSVRecord) throws(EntryFault) -> AdvisoryRecord {
    var advisory = AdvisoryRecord()
    advisory.id = try text(record.id, "id")
    advisory.modifiedAt = try time(record.modified, "modified")
    if let published = record.published { advisory.publishedAt = try time(published, "published") }
    if let withdrawn = record.withdrawn {
      // Zero says "in force": the one moment that would read so is moved by a nanosecond.
      let moment = try time(withdrawn, "withdrawn")
      advisory.withdrawnAt = moment == 0 ? 1 : moment
    }
    advisory.aliases = try texts(record.aliases, "aliases")
    advisory.upstream = try texts(record.upstream, "upstream")
    advisory.related = try texts(record.related, "related")
    advisory.summary = oneLine(record.summary ?? "")
    advisory.severities = try severities(record.severity)
    let affected = record.affected ?? []
    guard affected.count <= RecordLimits.affected else {
      throw tooMany("affected", affected.count, RecordLimits.affected)
    }
    for entry in affected {
      if let kept = try affectedEntry(entry, of: advisory.id) { advisory.affected.append(kept) }
    }
    return advisory
  }

  /// Nil for an entry that concerns no package version: without a package, or with ranges of commits alone.
  private static func affectedEntry(
    _ entry: OSVRecord.Affected, of id: String
  ) throws(EntryFault) -> AffectedRecord? {
    guard let package = entry.package else { return nil }
    var affected = AffectedRecord()
    affected.ecosystem = try text(package.ecosystem, "affected.package.ecosystem")
    affected.name = try text(package.name, "affected.package.name", limit: IndexKey.maximumLength)
    if affected.ecosystem.prefix(while: { $0 != ":" }) == "PyPI" {
      affected.name = PythonName.normalised(affected.name)
    }
    guard IndexKey(ecosystem: affected.ecosystem, package: affected.name, id: id).isValid else {
      throw EntryFault("names a package too long for the index: \(affected.name.excerpt())")
    }
    affected.namesSource = package.purl.map(namesSource) ?? false
    let versions = entry.versions ?? []
    guard versions.count <= RecordLimits.versions else {
      throw tooMany("versions", versions.count, RecordLimits.versions)
    }
    for version in versions {
      affected.versions.append(try text(version, "affected.versions", limit: RecordLimits.version))
    }
    for range in entry.ranges ?? [] where range.type == "ECOSYSTEM" || range.type == "SEMVER" {
      affected.ranges.append(try rangeRecord(range))
    }
    affected.severities = try severities(entry.severity)
    return affected.versions.isEmpty && affected.ranges.isEmpty ? nil : affected
  }

  private static func rangeRecord(_ range: OSVRecord.Affected.Range) throws(EntryFault) -> RangeRecord {
    var record = RangeRecord()
    record.type = range.type
    guard range.events.count <= RecordLimits.events else {
      throw tooMany("events", range.events.count, RecordLimits.events)
    }
    for event in range.events {
      let kinds: [(String?, (String) -> RangeEvent.Event)] = [
        (event.introduced, { .introduced($0) }), (event.fixed, { .fixed($0) }),
        (event.lastAffected, { .lastAffected($0) }), (event.limit, { .limit($0) }),
      ]
      for case (let version?, let make) in kinds {
        var kept = RangeEvent()
        kept.event = make(try text(version, "affected.ranges.events", limit: RecordLimits.version))
        record.events.append(kept)
      }
    }
    return record
  }

  private static func severities(_ list: [OSVRecord.Severity]?) throws(EntryFault) -> [SeverityVector] {
    let list = list ?? []
    guard list.count <= RecordLimits.severities else { throw tooMany("severity", list.count, RecordLimits.severities) }
    var kept: [SeverityVector] = []
    for severity in list {
      var vector = SeverityVector()
      vector.type = try text(severity.type, "severity.type")
      vector.score = try text(severity.score, "severity.score", limit: RecordLimits.score)
      kept.append(vector)
    }
    return kept
  }

  /// Whether a package URL says that it names source: `pkg:deb/debian/tar?arch=source`, `pkg:rpm/…?arch=src`.
  private static func namesSource(_ purl: String) -> Bool {
    guard let question = purl.firstIndex(of: "?") else { return false }
    return purl[question...].dropFirst().prefix { $0 != "#" }.split(separator: "&")
      .contains { $0 == "arch=source" || $0 == "arch=src" }
  }

  // MARK: - Texts

  /// A text without control characters, neither empty nor longer than `limit` bytes.
  private static func text(
    _ text: String, _ field: String, limit: Int = RecordLimits.identifier
  ) throws(EntryFault) -> String {
    guard !text.isEmpty else { throw EntryFault("has an empty \(field)") }
    guard text.utf8.count <= limit else {
      throw EntryFault("has a \(field) of \(text.utf8.count) bytes, more than \(limit)")
    }
    guard !text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
      throw EntryFault("has a control character in its \(field)")
    }
    return text
  }

  private static func texts(_ list: [String]?, _ field: String) throws(EntryFault) -> [String] {
    let list = list ?? []
    guard list.count <= RecordLimits.identifiers else { throw tooMany(field, list.count, RecordLimits.identifiers) }
    var kept: [String] = []
    for item in list { kept.append(try text(item, field)) }
    return kept
  }

  /// A summary is for people: cut to a bound, control characters made spaces.
  private static func oneLine(_ summary: String) -> String {
    var line = ""
    for scalar in summary.excerpt(maximumScalars: RecordLimits.summary).unicodeScalars {
      line.unicodeScalars.append(scalar.value < 0x20 || scalar.value == 0x7F ? " " : scalar)
    }
    return line
  }

  private static func time(_ text: String, _ field: String) throws(EntryFault) -> Int64 {
    guard let moment = Timestamp(rfc3339: text) else {
      throw EntryFault("has a \(field) that is no time: \(text.excerpt())")
    }
    return moment.nanosecondsSince1970
  }

  private static func tooMany(_ field: String, _ count: Int, _ limit: Int) -> EntryFault {
    EntryFault("has \(count) \(field), more than \(limit)")
  }

  /// What the decoder objects to, in few words that name the field.
  private static func reason(_ error: any Error) -> String {
    guard let error = error as? DecodingError else { return "is not JSON" }
    func path(_ context: DecodingError.Context) -> String {
      context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
    }
    return switch error {
    case .keyNotFound(let key, let context): "is no OSV record: \(path(context, key)) is missing"
    case .typeMismatch(_, let context): "is no OSV record: \(name(path(context))) has the wrong type"
    case .valueNotFound(_, let context): "is no OSV record: \(name(path(context))) is null"
    default: "is not JSON"
    }
    func name(_ path: String) -> String { path.isEmpty ? "the record" : path.excerpt() }
    func path(_ context: DecodingError.Context, _ key: any CodingKey) -> String {
      (path(context).isEmpty ? "" : path(context) + ".") + key.stringValue
    }
  }
}

/// A look at JSON text before it is parsed.
enum JSONShape {
  /// Whether no more than `depth` arrays and objects are open at a time. Linear, and does not recurse: the parser does.
  static func isNested(_ text: [UInt8], atMost depth: Int) -> Bool {
    var open = 0
    var isInText = false
    var isEscaped = false
    for byte in text {
      if isInText {
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          isInText = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\""): isInText = true
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        open += 1
        if open > depth { return false }
      case UInt8(ascii: "}"), UInt8(ascii: "]"): open -= 1
      default: break
      }
    }
    return true
  }

  /// Whether the text begins as an object, after white space and a byte order mark.
  static func beginsObject(_ text: [UInt8]) -> Bool {
    let start = text.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    return text[start...].first { !" \t\r\n".utf8.contains($0) } == UInt8(ascii: "{")
  }
}
