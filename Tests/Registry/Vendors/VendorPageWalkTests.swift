import Testing

@testable import Registry

@Suite struct VendorPageWalkTests {
  private static let size = 2

  /// Walks pages that `serve` gives by number; nil is an end without a word. Gives what was new, in order.
  private func walk(
    _ serve: (_ number: Int, _ request: Int) -> (names: [String], total: Int?)?
  ) -> (names: [String], incomplete: String?, requests: [Int]) {
    var walk = VendorPageWalk()
    var names: [String] = []
    var requests: [Int] = []
    while let cursor = walk.cursor {
      let number = if case .number(let number) = cursor { number } else { 1 }
      let page = serve(number, requests.count) ?? ([], nil)
      requests.append(number)
      let fresh = walk.arrived(
        VendorPageWalk.Page(
          identities: page.names, malformed: 0, total: page.total, next: .numbered(size: Self.size)))
      names += fresh.map { page.names[$0] }
    }
    return (names, walk.incomplete, requests)
  }

  @Test func `Numbered pages end at the total`() {
    let pages = [["a", "b"], ["c", "d"]]
    let went = walk { number, _ in (pages[number - 1], 4) }
    #expect(went.names == ["a", "b", "c", "d"])
    #expect(went.requests == [1, 2])
    #expect(went.incomplete == nil)
  }

  @Test func `Without a total they end at a page that is not full`() {
    let pages = [["a", "b"], ["c", "d"], []]
    let went = walk { number, _ in (pages[number - 1], nil) }
    #expect(went.names == ["a", "b", "c", "d"])
    #expect(went.requests == [1, 2, 3])
    #expect(went.incomplete == nil)
  }

  @Test func `An end before the total is told`() {
    let pages = [["a", "b"], []]
    let went = walk { number, _ in (pages[number - 1], 4) }
    #expect(went.names == ["a", "b"])
    #expect(went.incomplete == "the registry counts 4 entries and sent 2")
  }

  @Test func `A page that comes again ends the walk and is told`() {
    let went = walk { _, _ in (["a", "b"], 6) }
    #expect(went.names == ["a", "b"])
    #expect(went.requests == [1, 2])
    #expect(went.incomplete == "the registry sent the same page again")
  }

  @Test func `What moved to an earlier page because others went is read there`() {
    // "a" goes after the first page was read: "c" moves to it.
    let went = walk { number, request in
      let left = request == 0 ? ["a", "b", "c", "d", "e"] : ["b", "c", "d", "e"]
      let start = (number - 1) * Self.size
      return (Array(left[min(start, left.count)..<min(start + Self.size, left.count)]), left.count)
    }
    #expect(went.names == ["a", "b", "d", "e", "c"])
    #expect(went.requests == [1, 2, 1])
    #expect(went.incomplete == nil)
  }

  @Test func `More losses than a page holds are told`() {
    let went = walk { number, request in
      let left = request == 0 ? ["a", "b", "c", "d", "e", "f", "g", "h"] : ["d", "e", "f", "g", "h"]
      let start = (number - 1) * Self.size
      return (Array(left[min(start, left.count)..<min(start + Self.size, left.count)]), left.count)
    }
    #expect(!went.names.contains("d"))
    #expect(went.incomplete == "entries were removed while it was listed")
  }

  @Test func `An entry that moves on to the next page comes once`() {
    let pages = [["a", "b"], ["b", "c"]]
    let went = walk { number, _ in (pages[number - 1], 3) }
    #expect(went.names == ["a", "b", "c"])
    #expect(went.incomplete == nil)
  }

  @Test func `A way that leads back ends the walk`() {
    var walk = VendorPageWalk()
    for name in ["a", "b"] {
      _ = walk.arrived(.init(identities: [name], malformed: 0, total: nil, next: .page(.token("x"))))
    }
    #expect(walk.cursor == nil)
    #expect(walk.incomplete == "the way to the next page leads back to an earlier one")
  }

  @Test func `A chain without an end is cut off`() {
    var walk = VendorPageWalk()
    var count = 0
    while walk.cursor != nil {
      count += 1
      _ = walk.arrived(.init(identities: ["\(count)"], malformed: 0, total: nil, next: .page(.token("\(count)"))))
    }
    #expect(count == RegistryClient.pagesMax)
    #expect(walk.incomplete == "there are more than \(RegistryClient.pagesMax) pages")
  }

  @Test func `More that is promised and not sent is told`() {
    var walk = VendorPageWalk()
    _ = walk.arrived(.init(identities: ["a"], malformed: 0, total: nil, next: .numbered(size: 0)))
    _ = walk.arrived(.init(identities: [], malformed: 0, total: nil, next: .numbered(size: 0)))
    #expect(walk.cursor == nil)
    #expect(walk.incomplete == "the registry says that there is more and sends nothing")
  }
}
