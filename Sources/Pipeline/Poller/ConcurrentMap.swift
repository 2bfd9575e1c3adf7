/// Runs `body` for each of `items`, at most `limit` at a time, which is asked before each. The results are in the order of
/// the items; the first error cancels the rest and is thrown.
func concurrentMap<Item: Sendable, Result: Sendable>(
  _ items: [Item], limit: () -> Int, _ body: @escaping @Sendable (Item) async throws -> Result
) async throws -> [Result] {
  var results = [Result?](repeating: nil, count: items.count)
  try await withThrowingTaskGroup(of: (Int, Result).self) { group in
    var next = 0
    var running = 0
    func fill() {
      while next < items.count, running == 0 || running < limit() {
        let (index, item) = (next, items[next])
        group.addTask { (index, try await body(item)) }
        next += 1
        running += 1
      }
    }
    fill()
    while let (index, result) = try await group.next() {
      results[index] = result
      running -= 1
      fill()
    }
  }
  return results.compactMap(\.self)
}
