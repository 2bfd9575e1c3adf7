import Glibc
import Posix
import Store
import TestSupport
import Testing

@Suite("Files that are damaged, and files that only look so") struct FileCheckTests {
  private let scratch: TemporaryDirectory
  private var file: String { scratch.path + "/test.mdb" }
  init() throws { scratch = try TemporaryDirectory() }

  /// A store in which the last pages of the map are free and were never written.
  private func makeShort() async throws -> Int {
    let environment = try Environment(scratch)
    try await environment.write { transaction in
      for number in 0..<200 as Range<UInt64> {
        try transaction.put(numbers, number, RawValue([UInt8](repeating: 1, count: 3000)))
      }
    }
    // Free pages between others: room for the tree, but not for long values.
    for rest in 0..<2 as Range<UInt64> {
      try await environment.write { transaction in
        for number in 2..<200 as Range<UInt64> where number % 4 == rest { try transaction.delete(numbers, number) }
      }
    }
    // Taken and given up in one transaction, as two writes of one group do that replace a report.
    try await environment.write { transaction in
      for number in 1000..<1030 as Range<UInt64> {
        try transaction.put(numbers, number, RawValue([UInt8](repeating: 2, count: 100_000)))
      }
      for number in 1000..<1030 as Range<UInt64> { try transaction.delete(numbers, number) }
    }
    try environment.sync()
    let used = environment.usedBytes
    environment.close()
    return used
  }

  @Test("a file without its last free pages is sound") func shortFile() async throws {
    let used = try await makeShort()
    #expect(try File.status(file).st_size < used)
    let environment = try Environment(scratch)
    defer { environment.close() }
    #expect(try environment.get(1)?.count == 3000)
    for number in 2..<40 as Range<UInt64> { try await environment.put(number, [UInt8](repeating: 3, count: 100_000)) }
    #expect(try environment.get(39)?.last == 3)
  }

  @Test("cut after any page, a file is refused or whole: never a crash, never a loss", arguments: [false, true])
  func everyCut(isShort: Bool) async throws {
    if isShort { _ = try await makeShort() }
    let environment = try Environment(scratch)
    try await environment.write { transaction in
      for number in 0..<300 as Range<UInt64> {
        try transaction.put(numbers, number, RawValue([UInt8](repeating: UInt8(number % 251), count: Int(number) * 20)))
      }
    }
    // Free pages in the middle and at the end.
    try await environment.write { transaction in
      for number in 200..<300 as Range<UInt64> where number % 3 > 0 { try transaction.delete(numbers, number) }
    }
    try environment.sync()
    environment.close()
    var refused = 0
    for size in stride(from: Int(try File.status(file).st_size), to: 4096, by: -4096) {
      // Not a whole page less, then a whole one: what is left of a page is no page.
      for cut in [size - 100, size - 4096] {
        #expect(truncate(file, off_t(cut)) == 0)
        do {
          let environment = try Environment(scratch)
          try environment.read { transaction in
            var seen = 0
            try transaction.scan(numbers) { number, value in
              seen += number < 300 ? 1 : 0
              return value.bytes == [UInt8](repeating: UInt8(number % 251), count: Int(number) * 20)
            }
            #expect(seen == 200 + 34)
          }
          environment.close()
        } catch let error as StoreError {
          #expect(error.code == .damaged && error.message.contains(file))
          refused += 1
        }
      }
    }
    #expect(refused > 100)
  }

  @Test(
    "a file that is none of ours is refused, an empty one is a new store", arguments: [1, 100, 4096, 8192, 100_000])
  func strangers(size: Int) throws {
    try File.create(file, mode: 0o600, contents: (0..<size).map { UInt8(truncatingIfNeeded: $0 * 7) })
    #expect { try Environment(scratch) } throws: { ($0 as? StoreError)?.code == .damaged }
    #expect(truncate(file, 0) == 0)
    try Environment(scratch).close()
  }
}
