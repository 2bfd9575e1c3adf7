import Model
import Selection
import Testing

/// D10 and D11, sentence by sentence: what becomes of the tags of one repository, and the reason.
struct SectionFourDecisionTests {
  static let now = "2026-03-31T12:00:00Z"

  struct Row: Sendable, CustomTestStringConvertible {
    let sentence: String
    var criteria: [String] = []
    var never: [String] = []
    var always: [String] = []
    var condition = Asked.nothing
    var repository = "team/app"
    let images: [Image]

    var testDescription: String { sentence }
  }

  /// The additional condition.
  enum Asked: Sendable {
    case nothing
    case within(Int, CalendarPeriod.Unit)
    case withinDefault
    case latest(Int)

    func condition() throws(ConditionError) -> Condition {
      switch self {
      case .nothing: .none
      case .within(let count, let unit): .createdWithin(try CalendarPeriod(count, unit))
      case .withinDefault: .createdWithin(try CalendarPeriod(days: 0, months: 0, years: 0))
      case .latest(let count): .latest(try LatestCount(count))
      }
    }
  }

  /// A tag, its dates, and the decision that is expected: `+` or `-`, and the reason.
  struct Image: Sendable {
    let tag: String
    var configs: [String?] = ["2026-01-05T08:00:00Z"]
    var pushed: String?
    var firstSeen = SectionFourDecisionTests.now
    let expected: String

    init(
      _ tag: String, configs: [String?], pushed: String? = nil, firstSeen: String = SectionFourDecisionTests.now,
      _ expected: String
    ) {
      self.tag = tag
      self.configs = configs
      self.pushed = pushed
      self.firstSeen = firstSeen
      self.expected = expected
    }

    init(
      _ tag: String, created: String? = "2026-01-05T08:00:00Z", pushed: String? = nil,
      firstSeen: String = SectionFourDecisionTests.now, _ expected: String
    ) {
      self.init(tag, configs: [created], pushed: pushed, firstSeen: firstSeen, expected)
    }
  }

  static let order = [
    Row(sentence: "D10: nothing is asked for", images: [Image("1", "+ no criteria: every tag is taken")]),
    Row(
      sentence: "D10, 1: always, whatever else holds", criteria: ["other"], never: ["*"], always: [":stable"],
      condition: .within(1, .days),
      images: [Image("stable", created: "2001-01-01T00:00:00Z", "+ always: \":stable\""), Image("1", "- never: \"*\"")]),
    Row(
      sentence: "D10, 1: always of tags, in a repository that never is pulled", never: ["team/app"],
      always: ["*:stable", ":lts-*"],
      images: [
        Image("stable", "+ always: \"*:stable\""), Image("lts-2", "+ always: \":lts-*\""),
        Image("1", "- never: \"team/app\""),
      ]),
    Row(
      sentence: "D10, 1: always is no criterion for other tags", always: [":stable"],
      images: [Image("stable", "+ always: \":stable\""), Image("1", "+ no criteria: every tag is taken")]),
    Row(
      sentence: "D10, 1: the first of several in the list is named", always: ["other", ":s*", ":stable"],
      images: [Image("stable", "+ always: \":s*\"")]),
    Row(
      sentence: "D10, 2: never before criteria and date", criteria: ["team/*"], never: [":*-dev"],
      condition: .within(100, .years), images: [Image("1-dev", "- never: \":*-dev\"")]),
    Row(
      sentence: "D10, 2: never a name", never: ["app"], images: [Image("1", "- never: \"app\"")]),
    Row(
      sentence: "D10, 2: never of another repository", never: ["team/other", "other:1"],
      images: [Image("1", "+ no criteria: every tag is taken")]),
    Row(
      sentence: "D10, 3: criteria that match", criteria: ["other", "team/*:1.*", "4"],
      images: [
        Image("1.2", "+ criteria: \"team/*:1.*\""), Image("4", "+ criteria: \"4\""),
        Image("2", "- no criteria matches"),
      ]),
    Row(
      sentence: "D10, 3: criteria of which none matches, whatever the date", criteria: ["other"],
      condition: .within(100, .years), images: [Image("1", "- no criteria matches")]),
  ]

  static let createdWithin = [
    Row(
      sentence: "D10, 4: created within days, its beginning included", criteria: ["team/*"],
      condition: .within(60, .days),
      images: [
        Image("a", created: "2026-01-30T12:00:00Z", "+ within 60 days (created 2026-01-30, from the image config)"),
        Image("b", created: "2026-01-30T11:59:59Z", "- older than 60 days (created 2026-01-30, from the image config)"),
      ]),
    Row(
      sentence: "D10, 4: calendar months, of which February is short", condition: .within(1, .months),
      images: [
        Image("a", created: "2026-02-28T12:00:00Z", "+ within 1 month (created 2026-02-28, from the image config)"),
        Image("b", created: "2026-02-28T11:59:59Z", "- older than 1 month (created 2026-02-28, from the image config)"),
      ]),
    Row(
      sentence: "D10, 4: calendar years", condition: .within(2, .years),
      images: [
        Image("a", created: "2024-03-31T12:00:00Z", "+ within 2 years (created 2024-03-31, from the image config)"),
        Image("b", created: "2024-03-31T11:59:59Z", "- older than 2 years (created 2024-03-31, from the image config)"),
      ]),
    Row(
      sentence: "section 3, additional condition: 60 days by default", condition: .withinDefault,
      images: [
        Image("a", created: "2026-01-31T00:00:00Z", "+ within 60 days (created 2026-01-31, from the image config)"),
        Image("b", created: "2026-01-30T00:00:00Z", "- older than 60 days (created 2026-01-30, from the image config)"),
      ]),
  ]

  static let latest = [
    Row(
      sentence: "D10, 4: latest, by creation date", condition: .latest(2),
      images: [
        Image(
          "1", created: "2026-01-01T00:00:00Z", "- not among the newest 2 (created 2026-01-01, from the image config)"),
        Image("2", created: "2026-01-03T00:00:00Z", "+ among the newest 2 (created 2026-01-03, from the image config)"),
        Image("3", created: "2026-01-02T00:00:00Z", "+ among the newest 2 (created 2026-01-02, from the image config)"),
      ]),
    Row(
      sentence: "D10, 4: latest, of the tags that reached this step", criteria: ["app"], never: [":*-dev"],
      always: [":stable"], condition: .latest(1),
      images: [
        Image("stable", created: "2026-01-05T00:00:00Z", "+ always: \":stable\""),
        Image("4-dev", created: "2026-01-04T00:00:00Z", "- never: \":*-dev\""),
        Image("3", created: "2026-01-03T00:00:00Z", "+ among the newest 1 (created 2026-01-03, from the image config)"),
        Image(
          "2", created: "2026-01-02T00:00:00Z", "- not among the newest 1 (created 2026-01-02, from the image config)"),
      ]),
    Row(
      sentence: "D10, 4: latest, ties by natural version order", condition: .latest(2),
      images: [
        Image("1.9", "+ among the newest 2 (created 2026-01-05, from the image config)"),
        Image("1.10", "+ among the newest 2 (created 2026-01-05, from the image config)"),
        Image("1.2", "- not among the newest 2 (created 2026-01-05, from the image config)"),
      ]),
    Row(
      sentence: "D10, 4: latest, fewer tags than N", condition: .latest(10_000),
      images: [Image("1", "+ among the newest 10000 (created 2026-01-05, from the image config)")]),
    Row(
      sentence: "D11, 2: first seen is a day, so versions decide within it", condition: .latest(1),
      images: [
        Image(
          "1.10", created: nil, firstSeen: "2026-03-01T08:00:00Z",
          "+ among the newest 1 (created 2026-03-01, first seen by the daemon)"),
        Image(
          "1.9", created: nil, firstSeen: "2026-03-01T09:00:00Z",
          "- not among the newest 1 (created 2026-03-01, first seen by the daemon)"),
      ]),
  ]

  private static let config = "from the image config)"
  private static let push = "+ within 60 days (created 2026-03-01, from the registry's push date)"
  private static let seen = "+ within 60 days (created 2026-03-20, first seen by the daemon)"

  private static func placeholder(_ what: String, _ created: String?) -> Row {
    Row(
      sentence: "D11, 2: a placeholder, \(what)", condition: .within(60, .days),
      images: [
        Image("a", created: created, pushed: "2026-03-01T00:00:00Z", firstSeen: "2026-03-20T00:00:00Z", push),
        Image("b", created: created, firstSeen: "2026-03-20T00:00:00Z", seen),
      ])
  }

  static let dates = [
    Row(
      sentence: "D11, 1: the config's date, not that of the push", condition: .within(60, .days),
      images: [
        Image(
          "a", created: "2026-02-01T00:00:00Z", pushed: "2026-03-01T00:00:00Z",
          "+ within 60 days (created 2026-02-01, \(config)"),
        Image(
          "b", created: "2025-02-01T00:00:00Z", pushed: "2026-03-01T00:00:00Z",
          "- older than 60 days (created 2025-02-01, \(config)"),
      ]),
    placeholder("absent", nil), placeholder("malformed", "yesterday"), placeholder("zero", "0001-01-01T00:00:00Z"),
    placeholder("zero", "1970-01-01T00:00:00Z"), placeholder("before 1990", "1989-12-31T23:59:59Z"),
    placeholder("far ahead", "9999-12-31T23:59:59Z"),
    Row(
      sentence: "D11, 2: a push date that is a placeholder itself", condition: .within(60, .days),
      images: [
        Image("a", created: nil, pushed: "0001-01-01T00:00:00Z", firstSeen: "2026-03-20T00:00:00Z", seen),
        Image("b", created: nil, pushed: "2027-01-01T00:00:00Z", firstSeen: "2026-03-20T00:00:00Z", seen),
      ]),
    Row(
      sentence: "D11, 3: an old push date rejects before the config is read", condition: .within(60, .days),
      images: [
        Image(
          "a", configs: [], pushed: "2026-01-30T11:59:59Z",
          "- older than 60 days (pushed 2026-01-30, from the registry's push date)"),
        Image(
          "b", configs: [], pushed: "2026-01-30T12:00:00Z",
          "+ within 60 days (created 2026-01-30, from the registry's push date)"),
      ]),
    Row(
      sentence: "D16, 4: an index, the newest among the selected platforms' configs", condition: .within(60, .days),
      images: [
        Image(
          "a", configs: ["2025-01-01T00:00:00Z", "2026-03-02T00:00:00Z", nil],
          "+ within 60 days (created 2026-03-02, \(config)"),
        Image(
          "b", configs: ["2025-01-01T00:00:00Z", "2030-03-02T00:00:00Z"],
          "- older than 60 days (created 2025-01-01, \(config)"),
      ]),
  ]

  /// Dates ahead that a later poll sees with other eyes.
  static let ahead = [
    placeholder("more than 24 hours ahead", "2026-04-01T12:00:01Z"),
    Row(
      sentence: "D11, 2: no placeholder at the edges", condition: .within(100, .years),
      images: [
        Image("a", created: "2026-04-01T12:00:00Z", "+ within 100 years (created 2026-04-01, \(config)"),
        Image("b", created: "1990-01-01T00:00:00Z", "+ within 100 years (created 1990-01-01, \(config)"),
      ]),
  ]

  private func decisions(_ row: Row, at now: Timestamp) throws -> [Decision] {
    let criteria = try Criteria(
      row.criteria, never: row.never, always: row.always, condition: row.condition.condition())
    let images = try row.images.map { image in
      TaggedImage(
        tag: image.tag, configs: image.configs.map { $0.flatMap { Timestamp(rfc3339: $0) } },
        pushed: image.pushed.flatMap { Timestamp(rfc3339: $0) },
        firstSeen: try #require(Timestamp(rfc3339: image.firstSeen)))
    }
    return criteria.decisions(repository: row.repository, images, now: now)
  }

  @Test(arguments: order + createdWithin + latest + dates + ahead)
  func decides(_ row: Row) throws {
    let now = try #require(Timestamp(rfc3339: Self.now))
    #expect(try decisions(row, at: now).map(\.shown) == row.images.map(\.expected))
  }

  /// D10, last: every decision carries its reason, and it stays the same while only time passes.
  @Test(arguments: order + createdWithin + latest + dates)
  func reasonsStayTheSame(_ row: Row) throws {
    let now = try #require(Timestamp(rfc3339: Self.now))
    let later = try decisions(row, at: now.advanced(bySeconds: Timestamp.secondsPerDay))
    for (before, after) in zip(try decisions(row, at: now), later) where before.isSelected == after.isSelected {
      #expect(before == after)
    }
  }
}
