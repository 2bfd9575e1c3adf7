/// Numbers from 0 to 63.
package struct NumberSet: Sendable, Hashable, ExpressibleByArrayLiteral {
  private var bits: UInt64 = 0

  package init(arrayLiteral elements: Int...) { self.init(elements) }

  package init(_ numbers: some Sequence<Int>) {
    for number in numbers { insert(number) }
  }

  package var isEmpty: Bool { bits == 0 }
  package var count: Int { bits.nonzeroBitCount }

  package func contains(_ number: Int) -> Bool { bits & (1 << UInt64(number)) != 0 }
  package mutating func insert(_ number: Int) { bits |= 1 << UInt64(number) }
  package mutating func formUnion(_ other: NumberSet) { bits |= other.bits }

  /// The smallest number that is `number` or more.
  package func first(from number: Int) -> Int? {
    guard number < 64 else { return nil }
    let rest = bits & (~0 << UInt64(max(0, number)))
    return rest == 0 ? nil : rest.trailingZeroBitCount
  }
}
