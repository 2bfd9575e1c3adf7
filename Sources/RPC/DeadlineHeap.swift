/// Deadlines of calls, soonest first. A call that ended earlier leaves its entry; such entries are swept out whenever
/// they may be half of all, so that long deadlines on short calls cost no memory.
struct DeadlineHeap {
  struct Entry {
    let instant: ContinuousClock.Instant
    let connection: UInt64
    let stream: UInt32
  }

  private static let sweepMinimum = 1024

  private var entries: [Entry] = []
  private var sweepAt = sweepMinimum

  var next: ContinuousClock.Instant? { entries.first?.instant }
  var count: Int { entries.count }

  /// Adds `entry`; `isLive` says of another whether its call is still in flight.
  mutating func insert(_ entry: Entry, isLive: (Entry) -> Bool) {
    if entries.count >= sweepAt {
      // An ascending array is a heap.
      entries = entries.filter(isLive).sorted { $0.instant < $1.instant }
      sweepAt = max(Self.sweepMinimum, 2 * entries.count)
    }
    entries.append(entry)
    var child = entries.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard entries[child].instant < entries[parent].instant else { return }
      entries.swapAt(child, parent)
      child = parent
    }
  }

  mutating func popExpired(at now: ContinuousClock.Instant) -> Entry? {
    guard let first = entries.first, first.instant <= now else { return nil }
    entries.swapAt(0, entries.count - 1)
    entries.removeLast()
    var parent = 0
    while true {
      var smallest = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < entries.count {
        if entries[child].instant < entries[smallest].instant { smallest = child }
      }
      if smallest == parent { return first }
      entries.swapAt(parent, smallest)
      parent = smallest
    }
  }
}
