/// Runs `body` for each of `items`, at most `limit` at a time. The results are in the order of the items; the first error
/// cancels the rest and is thrown.
func concurrentMap<Item: Sendable, Result: Sendable>(
  _ items: [Item], limit: Int, _ body: @escaping @Sendable (Item) async throws -> Result
) async throws -> [Result] {
  var results = [Result?](repeating: nil, count: items.count)
  try await withThrowingTaskGroup(of: (Int, Result).self) { group in
    var next = 0
    func begin() {
      guard next < items.count else { return }
      let (index, item) = (next, items[next])
      group.addTask { (index, try await body(item)) }
      next += 1
    }
    for _ in 0..<max(1, limit) { begin() }
    while let (index, result) = try await group.next() {
      results[index] = result
      begin()
    }
  }
  return results.compactMap(\.self)
}
