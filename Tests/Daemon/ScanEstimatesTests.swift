import Testing

@testable import Daemon

@Suite struct ScanEstimatesTests {
  private static let second: Int64 = 1_000_000_000
  private static let now: Int64 = 1_700_000_000 * second

  private func estimates(mean: Duration? = .seconds(60), slots: Int = 4, running: Int = 0) -> ScanEstimates {
    ScanEstimates(now: Self.now, mean: mean, slots: slots, running: running)
  }

  /// Seconds from now.
  private func seconds(_ instant: Int64?) -> Int64? { instant.map { ($0 - Self.now) / Self.second } }

  @Test func `Nothing is said before something was measured`() {
    let none = estimates(mean: nil)
    #expect(none.start(position: 1) == nil)
    #expect(none.end(startingAt: Self.now) == nil)
    #expect(none.end(ofPending: 10) == nil)
    #expect(none.end(startedAt: Self.now, done: 0, total: 10, limit: .seconds(9)) == nil)
    #expect(estimates().start(position: 0) == nil)
    #expect(estimates().end(ofPending: 0) == nil)
  }

  @Test func `A free slot is taken at once, and others in turn`() {
    #expect(seconds(estimates().start(position: 4)) == 0)
    #expect(seconds(estimates(running: 4).start(position: 1)) == 15)
    #expect(seconds(estimates(running: 4).start(position: 40)) == 600)
    #expect(seconds(estimates().end(startingAt: Self.now + 600 * Self.second)) == 660)
    #expect(seconds(estimates(running: 4).end(ofPending: 38)) == 600)
    #expect(seconds(estimates(running: 1).end(ofPending: 0)) == 60)
    // A mean that would lead beyond every calendar.
    #expect(estimates(mean: .seconds(86_400)).start(position: .max) == nil)
  }

  @Test func `What runs goes on at its rate, and no longer than its limit`() {
    let started = Self.now - 30 * Self.second
    #expect(seconds(estimates().end(startedAt: started, done: 25, total: 100, limit: .seconds(1800))) == 90)
    #expect(seconds(estimates().end(startedAt: started, done: 1, total: 100, limit: .seconds(60))) == 30)
    #expect(seconds(estimates().end(startedAt: started, done: 0, total: 100, limit: nil)) == 30)
    #expect(estimates(mean: .seconds(10)).end(startedAt: started, done: 0, total: 100, limit: nil) == nil)
    #expect(seconds(estimates().end(startedAt: started, done: 100, total: 100, limit: .seconds(1))) == 0)
  }
}
