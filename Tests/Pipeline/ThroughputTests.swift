import Testing

@testable import Pipeline

struct ThroughputTests {
  private func end(
    _ integration: UInt64 = 1, ends: Bool = true, took: Duration? = .seconds(4), bytes: UInt64 = 100
  ) -> Throughput.End {
    Throughput.End(integration: integration, endsJob: ends, finishedIn: took, bytes: bytes)
  }

  @Test func `Jobs, bytes and times are counted for each integration and over all`() {
    var throughput = Throughput()
    throughput.record(end(1), at: .seconds(10))
    throughput.record(end(1, took: .seconds(8)), at: .seconds(70))
    throughput.record(end(2, ends: false, took: nil, bytes: 7), at: .seconds(99))
    throughput.record(end(2, ends: true, took: nil, bytes: 7), at: .seconds(100))
    let all = throughput.overall(at: .seconds(100))
    #expect((all.jobsEnded, all.bytes, all.finished) == (3, 214, 2))
    #expect(all.meanDuration == .seconds(6))
    #expect(all.period == .seconds(100))
    #expect(abs(all.jobsPerSecond - 0.03) < 1e-9)
    let second = throughput.of(2, at: .seconds(100))
    #expect((second.jobsEnded, second.bytes, second.meanDuration) == (1, 14, nil))
    #expect(throughput.integrations == [1, 2])
  }

  @Test func `What is older than an hour is forgotten, minute by minute`() {
    var throughput = Throughput()
    for minute in 0..<200 { throughput.record(end(), at: .seconds(minute * 60 + 30)) }
    let now = Duration.seconds(199 * 60 + 30)
    #expect(throughput.overall(at: now).jobsEnded == 60)
    #expect(throughput.overall(at: now).period == .seconds(59 * 60 + 30))
    #expect(throughput.overall(at: now + .seconds(30 * 60)).jobsEnded == 30)
    #expect(throughput.overall(at: now + .seconds(24 * 3600)).jobsEnded == 0)
    #expect(throughput.of(1, at: now + .seconds(59 * 60)).jobsEnded == 1)
    // A minute of an hour ago leaves nothing behind for the minute at its place.
    throughput.record(end(), at: now + .seconds(60 * 60))
    #expect(throughput.overall(at: now + .seconds(60 * 60)).jobsEnded == 1)
  }

  @Test func `Integrations without a scan cost no memory`() {
    var throughput = Throughput()
    for integration in 1...1000 { throughput.record(end(UInt64(integration)), at: .zero) }
    #expect(throughput.integrations.count == 1000)
    throughput.record(end(5000), at: .seconds(3600))
    #expect(throughput.integrations == [5000])
  }

  @Test func `Nothing yet`() {
    let throughput = Throughput()
    #expect(throughput.overall(at: .zero) == Throughput.Summary())
    #expect(throughput.overall(at: .zero).jobsPerSecond == 0)
    #expect(throughput.of(7, at: .seconds(10)).meanDuration == nil)
  }
}
