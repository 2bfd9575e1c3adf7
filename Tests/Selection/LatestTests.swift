import Glibc
import Model
import Selection
import Testing

struct LatestTests {
  static func tag(_ name: String, _ day: Int) -> DatedTag {
    let moment = Timestamp(seconds: 1_700_000_000 + Int64(day) * Timestamp.secondsPerDay)
    return DatedTag(tag: name, created: CreationDate(config: moment, pushed: nil, firstSeen: moment, now: .latest))
  }

  static func selected(_ count: Int, _ tags: [DatedTag]) throws -> [String] {
    let decisions = try LatestCount(count).decide(tags)
    #expect(decisions.count == tags.count)
    return zip(tags, decisions).filter { $0.1.isSelected }.map(\.0.tag)
  }

  @Test func takesTheNewest() throws {
    let tags = [Self.tag("c", 1), Self.tag("a", 3), Self.tag("b", 2), Self.tag("d", 0)]
    #expect(try Self.selected(1, tags) == ["a"])
    #expect(try Self.selected(2, tags) == ["a", "b"])
    #expect(try Self.selected(4, tags) == ["c", "a", "b", "d"])
    #expect(try Self.selected(10_000, tags).count == 4)
    #expect(try Self.selected(1, []).isEmpty)
  }

  @Test func tiesGoToTheHigherVersion() throws {
    let tags = [Self.tag("1.9", 1), Self.tag("1.10", 1), Self.tag("1.2", 1), Self.tag("2.0", 0)]
    #expect(try Self.selected(1, tags) == ["1.10"])
    #expect(try Self.selected(2, tags) == ["1.9", "1.10"])
    #expect(try Self.selected(3, tags) == ["1.9", "1.10", "1.2"])
  }

  @Test func reasonsNameNoRanks() throws {
    let tags = [Self.tag("a", 0), Self.tag("b", 1)]
    let decisions = try LatestCount(1).decide(tags)
    #expect(decisions.map(\.reason.code) == [.notLatest, .latest])
    #expect(decisions[0].reason.text == "not among the newest 1 (created 2023-11-14, from the image config)")
    #expect(decisions[1].reason.text == "among the newest 1 (created 2023-11-15, from the image config)")
    let more = try LatestCount(1).decide(tags + [Self.tag("c", -1), Self.tag("0", -2)])
    #expect(more.prefix(2) == decisions[...])
  }

  @Test(arguments: [0, -1, 10_001, .max, .min])
  func refusesCounts(count: Int) {
    let error = #expect(throws: ConditionError.self) { try LatestCount(count) }
    #expect(error?.code == .outOfRange && error?.part == .count)
    #expect(error?.description == "\(count) newest tags cannot be selected; write 1 to 10000")
  }

  /// The order of input does not matter.
  @Test func isIndependentOfTheOrderGiven() throws {
    var random = SeededGenerator(seed: 7)
    for _ in 0..<200 {
      let tags = (0..<20).map { Self.tag("1.\($0)", Int.random(in: 0...4, using: &random)) }
      let count = Int.random(in: 1...20, using: &random)
      let expected = try Self.selected(count, tags)
      #expect(expected.count == count)
      #expect(try Set(Self.selected(count, tags.shuffled(using: &random))) == Set(expected))
    }
  }
}

struct NaturalOrderTests {
  @Test(arguments: [
    ["", "0", "1", "2", "10", "a"], ["1", "1.0", "1.0.1", "1.2", "1.9", "1.10", "1.10.1", "2"],
    ["1.0", "1.0-rc1", "1.0-rc2", "1.0-rc10"], ["v1", "v2", "v10"], ["01", "1", "02", "2"], ["2024-9-1", "2024-10-1"],
    ["A", "B", "a", "b", "latest"], ["99999999999999999999999999", "100000000000000000000000000"],
    ["0", "00a", "0b"], ["1a", "1a1", "01b"],
  ])
  func orders(ascending: [String]) {
    for (i, a) in ascending.enumerated() {
      for (j, b) in ascending.enumerated() {
        #expect(NaturalOrder.precedes(a, b) == (i < j), "\(a) and \(b)")
      }
    }
  }

  @Test func isATotalOrder() {
    var random = SeededGenerator(seed: 11)
    let texts = (0..<60).map { _ in random.text(of: ["0", "1", "2", "a", ".", "-"], count: 0...5) }
    for a in texts {
      for b in texts {
        #expect(a == b ? !NaturalOrder.precedes(a, b) : NaturalOrder.precedes(a, b) != NaturalOrder.precedes(b, a))
        for c in texts where NaturalOrder.precedes(a, b) && NaturalOrder.precedes(b, c) {
          guard NaturalOrder.precedes(a, c) else {
            Issue.record("\(a) < \(b) < \(c) but not \(a) < \(c)")
            return
          }
        }
      }
    }
  }

  /// glibc's strverscmp has the same order as long as no number begins with a zero, which it takes for a fraction.
  @Test func agreesWithTheSystemsVersionOrder() throws {
    // Swift does not see the GNU extensions of string.h.
    typealias Compare = @convention(c) (UnsafePointer<CChar>, UnsafePointer<CChar>) -> CInt
    let strverscmp = unsafeBitCast(try #require(dlsym(nil, "strverscmp")), to: Compare.self)
    var random = SeededGenerator(seed: 13)
    for _ in 0..<20_000 {
      let (a, b) = (
        random.text(of: ["1", "2", "19", ".", "-", "a", "rc"], count: 1...6),
        random.text(of: ["1", "2", "19", ".", "-", "a", "rc"], count: 1...6)
      )
      guard NaturalOrder.precedes(a, b) == (strverscmp(a, b) < 0) else {
        Issue.record("\(a) and \(b)")
        return
      }
    }
  }

  @Test func longTextsEnd() {
    let zeros = String(repeating: "0", count: 1 << 18)
    #expect(NaturalOrder.precedes(zeros + "1", "2"))
    #expect(!NaturalOrder.precedes(String(repeating: "9", count: 1 << 18), "8" + zeros.dropLast()))
  }
}
