/// The fields of an OSV record that matching and reports need, as they stand in its JSON. Others are ignored; one of
/// these with another type makes the record unreadable.
struct OSVRecord: Decodable {
  struct Severity: Decodable {
    let type: String
    let score: String
  }

  struct Affected: Decodable {
    struct Package: Decodable {
      let ecosystem: String
      let name: String
      let purl: String?
    }

    struct Range: Decodable {
      struct Event: Decodable {
        let introduced: String?
        let fixed: String?
        let lastAffected: String?
        let limit: String?

        enum CodingKeys: String, CodingKey {
          case introduced, fixed, limit
          case lastAffected = "last_affected"
        }
      }

      let type: String
      let events: [Event]
    }

    let package: Package?
    let ranges: [Range]?
    let versions: [String]?
    let severity: [Severity]?
  }

  let id: String
  let modified: String
  let published: String?
  let withdrawn: String?
  let aliases: [String]?
  let upstream: [String]?
  let related: [String]?
  let summary: String?
  let severity: [Severity]?
  let affected: [Affected]?
}
