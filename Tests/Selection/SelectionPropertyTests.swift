import Model
import Selection
import Testing

/// Random settings and repositories against a plain reference. Every failure names the seed that repeats it.
struct SelectionPropertyTests {
  private static let repositories = [
    "app", "alpine", "team/app", "team/api", "library/alpine", "mirror/library/alpine", "docker-local/team/app", "4",
  ]
  private static let names = [
    "app", "alpine", "team/app", "team/*", "*", "*/alpine", "library/alpine", "al*ne", "a*", "*a*p*", "docker-local*",
  ]
  private static let tags = [
    "1.9", "1.10", "1.10.0", "01.10", "2", "10", "latest", "stable", "1.10-rc1", "1.10-rc10", "main-dev", "v2", "V2",
    "2-dev",
  ]
  private static let tagPatterns = [
    "*", "1.*", "*-dev", "*-rc*", "stable", "latest", "v*", "*1*0*", "2", "1.10", "*.*", "la*st",
  ]

  private static func patterns(_ random: inout SeededGenerator, atMost count: Int) -> [String] {
    (0..<Int.random(in: 0...count, using: &random)).map { _ in
      let name = names.randomElement(using: &random) ?? ""
      let tag = tagPatterns.randomElement(using: &random) ?? ""
      switch Int.random(in: 0..<4, using: &random) {
      case 0: return name
      case 1: return ":" + tag
      case 2: return ["4", "1.*", "*.10", "2", "1.10*"].randomElement(using: &random) ?? ""
      default: return name + ":" + tag
      }
    }
  }

  private static func date(_ random: inout SeededGenerator, now: Timestamp) -> Timestamp? {
    switch Int.random(in: 0..<10, using: &random) {
    case 0: nil
    case 1: Timestamp.earliest
    case 2: Timestamp(seconds: Int64.random(in: -1...631_152_000, using: &random))
    case 3: now.advanced(bySeconds: Int64.random(in: 86_399...86_401, using: &random))
    case 4: now.advanced(bySeconds: -86_400 * Int64.random(in: 0...62, using: &random))
    case 5: Timestamp(seconds: Int64.random(in: 631_152_000...now.seconds, using: &random))
    default: now.advanced(bySeconds: -3_600 * 24 * Int64.random(in: 0...5, using: &random))
    }
  }

  private static func images(_ random: inout SeededGenerator, now: Timestamp) -> [TaggedImage] {
    tags.shuffled(using: &random).prefix(Int.random(in: 0...tags.count, using: &random)).map { tag in
      let configs = (0..<Int.random(in: 1...3, using: &random)).map { _ in date(&random, now: now) }
      let seen = now.advanced(bySeconds: -Int64.random(in: 0...400_000, using: &random))
      return TaggedImage(tag: tag, configs: configs, pushed: date(&random, now: now), firstSeen: seen)
    }
  }

  private static func condition(
    _ random: inout SeededGenerator
  ) throws -> (Condition, SheetReference.Asked) {
    switch Int.random(in: 0..<5, using: &random) {
    case 0: return (.none, .nothing)
    case 1:
      let count = Int.random(in: 1...70, using: &random)
      return (.createdWithin(try CalendarPeriod(count, .days)), .days(count))
    case 2:
      let count = Int.random(in: 1...30, using: &random)
      return (.createdWithin(try CalendarPeriod(count, .months)), .months(count))
    case 3:
      let count = Int.random(in: 1...9, using: &random)
      return (.createdWithin(try CalendarPeriod(count, .years)), .years(count))
    default:
      let count = Int.random(in: 1...6, using: &random)
      return (.latest(try LatestCount(count)), .latest(count))
    }
  }

  @Test(arguments: UInt64(1)...8)
  func theWholeAgreesWithTheReference(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var outcomes: Set<Reason.Code> = []
    var wholes = 0
    for round in 0..<250 {
      let now = Timestamp(seconds: Int64.random(in: 1_600_000_000...1_800_000_000, using: &random))
      let (condition, asked) = try Self.condition(&random)
      let reference = SheetReference(
        criteria: Self.patterns(&random, atMost: 4), never: Self.patterns(&random, atMost: 3),
        always: Self.patterns(&random, atMost: 2), condition: asked)
      let criteria = try Criteria(
        reference.criteria, never: reference.never, always: reference.always, condition: condition)
      let repository = try #require(Self.repositories.randomElement(using: &random))
      let images = Self.images(&random, now: now)
      let decisions = criteria.decisions(repository: repository, images, now: now)
      let expected = try reference.decisions(repository: repository, images, now: now)
      guard decisions.map(\.shown) == expected else {
        Issue.record(
          "seed \(seed), round \(round): \(reference) on \(repository) at \(now), \(images): \(decisions.map(\.shown)), expected \(expected)"
        )
        return
      }
      if criteria.narrowed(to: repository).rejectsEveryTag != nil {
        wholes += 1
        #expect(expected.allSatisfy { $0.hasPrefix("-") }, "seed \(seed), round \(round)")
      }
      outcomes.formUnion(decisions.map(\.reason.code))
    }
    #expect(outcomes == Set(Reason.Code.allCases), "seed \(seed): not every decision was met")
    #expect(wholes > 0, "seed \(seed): no whole repository was rejected")
  }

  /// With nothing but the glob: patterns of few letters and many stars, texts that are made of them half of the time.
  @Test(arguments: UInt64(21)...24)
  func theMatcherAgreesWithRegularExpressions(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var matched = 0
    for round in 0..<1_500 {
      let tag = random.text(of: ["a", "b", "*", "1", ".", "-", "_", "B"], count: 1...10)
      // Texts that are no patterns are another test's; `matched` says below that enough were.
      guard let pattern = try? Pattern(parsing: ":" + tag) else { continue }
      let text =
        Bool.random(using: &random)
        ? random.text(of: ["a", "b", "1", ".", "-", "_", "B"], count: 0...14)
        : tag.split(separator: "*", omittingEmptySubsequences: false)
          .joined(separator: random.text(of: ["a", "b", "-"], count: 0...3))
      let expected = try SheetReference.matches(tag, text)
      guard pattern.matches(tag: text) == expected else {
        Issue.record("seed \(seed), round \(round): \(pattern) and \(text): expected \(expected)")
        return
      }
      if expected { matched += 1 }
    }
    #expect((300...1_400).contains(matched), "seed \(seed)")
  }

  @Test(arguments: UInt64(31)...34)
  func namesAgreeWithRegularExpressions(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var matched = 0
    for round in 0..<1_500 {
      let text = random.text(of: ["a", "b", "*", "/", "1", ":", "*"], count: 1...8)
      // As above.
      guard let pattern = try? Pattern(parsing: text) else { continue }
      let repository = random.text(of: ["a", "b", "/", "1"], count: 1...6)
      let tag = random.text(of: ["a", "b", "1"], count: 1...3)
      let expected = try SheetReference.matches(text, repository: repository, tag: tag)
      guard pattern.matches(repository: repository, tag: tag) == expected else {
        Issue.record("seed \(seed), round \(round): \(text) and \(repository):\(tag): expected \(expected)")
        return
      }
      if expected { matched += 1 }
    }
    #expect(matched > 50, "seed \(seed)")
  }

  /// Many tags, few dates: ties everywhere.
  @Test(arguments: UInt64(41)...46)
  func latestAgreesWithASort(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let now = Timestamp(seconds: 1_750_000_000)
    for round in 0..<100 {
      let names = Set((0..<60).map { _ in random.text(of: ["0", "1", "2", "10", ".", "-", "a", "rc"], count: 1...5) })
      let images = names.sorted().shuffled(using: &random).map { name in
        let seen = now.advanced(bySeconds: -Int64.random(in: 0...200_000, using: &random))
        let config =
          Int.random(in: 0..<3, using: &random) == 0
          ? nil : now.advanced(bySeconds: -86_400 * Int64.random(in: 0...3, using: &random))
        return TaggedImage(tag: name, configs: [config], firstSeen: seen)
      }
      let count = Int.random(in: 1...70, using: &random)
      let decisions = try LatestCount(count).decide(
        images.map { image in
          let created = CreationDate(configs: image.configs, pushed: nil, firstSeen: image.firstSeen, now: now)
          return DatedTag(tag: image.tag, created: created)
        })
      let selected = zip(images, decisions).filter(\.1.isSelected).map(\.0.tag)
      let expected = SheetReference().newestFirst(images, now).prefix(count).map(\.tag)
      #expect(Set(selected) == Set(expected), "seed \(seed), round \(round)")
      #expect(selected.count == min(count, images.count), "seed \(seed), round \(round)")
    }
  }

  /// Time linear in the text: were it not, these would take hours.
  @Test(arguments: [
    (":*a*a*a*a*b", true), (":*a*a*a*a*a*a*a*a*a*a*ab", true), (":" + String(repeating: "*a", count: 120) + "*b", true),
    (":*" + String(repeating: "a", count: 126) + "b*", false),
    (":*" + String(repeating: "ab", count: 60) + "aa*", false),
  ])
  func hostilePatternsAreLinear(text: String, matchesAlternation: Bool) throws {
    let pattern = try Pattern(parsing: text)
    let name = try Pattern(parsing: String(text.dropFirst()))
    let same = String(repeating: "a", count: 1 << 20)
    let alternating = String(repeating: "ab", count: 1 << 19)
    #expect(!pattern.matches(tag: same))
    #expect(!name.matches(repository: same + "/" + same))
    #expect(pattern.matches(tag: alternating) == matchesAlternation)
    #expect(name.matches(repository: same + "/" + alternating) == matchesAlternation)
  }
}
