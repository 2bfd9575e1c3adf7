import Testing

@testable import Daemon

struct JobIDSetTests {
  @Test func `It holds what a set would hold, near or far apart`() {
    var random = SystemRandomNumberGenerator()
    for near in [UInt64(130), .max] {
      var (ids, model) = (JobIDSet(), Set<UInt64>())
      let known = [0, 63, 64, .max] + (0..<200).map { _ in random.next(upperBound: near) }
      for _ in 0..<5_000 {
        let id = known.randomElement(using: &random) ?? 0
        if Bool.random(using: &random) {
          ids.insert(id)
          model.insert(id)
        } else {
          ids.remove(id)
          model.remove(id)
        }
        #expect(ids.contains(id) == model.contains(id))
      }
      #expect(known.allSatisfy { ids.contains($0) == model.contains($0) })
      for id in model { ids.remove(id) }
      #expect(ids.isEmpty)
    }
  }
}
