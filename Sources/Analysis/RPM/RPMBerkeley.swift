import Inventory
import StorageMessages

/// Reads the packages of an rpm database in Berkeley DB format: `Packages`, a hash of header numbers to headers, of either
/// byte order. A bucket is a chain of pages with pairs of key and value; what does not fit there lies in a chain of
/// overflow pages.
///
/// Each page belongs to one chain, once: a chain that comes to a page that was read ends there, and is told. Damage ends its
/// chain or page, and hides nothing of the others. What rpm never wrote (other methods of access, encryption, checksums,
/// duplicates) is refused.
struct RPMBerkeley {
  /// Why a chain or page is not read on.
  private enum Stop: Error {
    /// Hides nothing of the others.
    case damage(page: Int, reason: StaticString)
    case time(LayerError)
  }

  private enum PageKind: UInt8 {
    case unsortedHash = 2
    case overflow = 7
    case hash = 13
  }

  private enum ItemKind: UInt8 {
    case onPage = 1
    case offPage = 3
  }

  private static let metadataBytes = 512
  private static let pageHeaderBytes = 26
  private static let pageSizes = 512...65_536
  private static let versions = 8...10
  private static let hashMagic = 0x061561
  /// Other methods of access, by their magic numbers.
  private static let otherMethods = [(0x053162, "B-tree"), (0x042253, "queue"), (0x074582, "heap")]

  private let file: Binary
  private let pageBytes: Int
  /// Those that are wholly there.
  private let pages: Int
  private let headerBytesMax: Int
  private var headers = RPMHeaders()
  /// One bit for each page that was read.
  private var isRead: [UInt64]
  /// A header put together from overflow pages.
  private var gathered: [UInt8] = []
  private var damaged = 0
  private var damage: (page: Int, reason: StaticString)?
  /// Pages of a bucket or of a header that no chain came to.
  private var unreached = 0

  private init(_ file: Binary, pageBytes: Int, headerBytesMax: Int) {
    self.file = file
    self.pageBytes = pageBytes
    self.headerBytesMax = headerBytesMax
    pages = file.count / pageBytes
    isRead = [UInt64](repeating: 0, count: pages / 64 + 1)
  }

  /// Adds what is there to `collector`; returns what was wrong. Of a file that was cut, what is there is read.
  static func read(
    _ bytes: UnsafeRawBufferPointer, into collector: inout PackageCollector, checkTime: () throws(LayerError) -> Void
  ) throws(LayerError) -> [LayerError] {
    let file: Binary
    switch open(bytes) {
    case .success(let opened): file = opened
    case .failure(let error): return [error]
    }
    guard let pageBytes = file.u32(20), pageSizes.contains(pageBytes), pageBytes & (pageBytes - 1) == 0,
      let lastPage = file.u32(32), let lastBucket = file.u32(72)
    else { return [LayerError(.databaseMalformed, "the rpm database has pages of an impossible size")] }
    var database = RPMBerkeley(file, pageBytes: pageBytes, headerBytesMax: collector.limits.rpmHeaderBytes)
    var errors: [LayerError] = []
    if lastPage >= database.pages {
      errors.append(
        LayerError(.databaseMalformed, "the rpm database has \(database.pages) of \(lastPage + 1) pages: it is cut"))
    }
    // Each bucket has a page at least.
    if lastBucket >= database.pages {
      errors.append(
        LayerError(
          .databaseMalformed,
          "the rpm database claims \(lastBucket + 1) buckets, which are more than its \(database.pages) pages"))
    }
    for bucket in 0..<min(lastBucket + 1, database.pages) {
      do throws(Stop) {
        try database.readBucket(bucket, into: &collector, checkTime)
      } catch {
        switch error {
        case .damage(let page, let reason): database.note(page, reason)
        case .time(let error): throw error
        }
      }
    }
    database.countUnreached()
    return errors + database.errors
  }

  /// The file in its byte order, if it is a hash as rpm writes them.
  private static func open(_ bytes: UnsafeRawBufferPointer) -> Result<Binary, LayerError> {
    for isBigEndian in [false, true] {
      let file = Binary(bytes, isBigEndian: isBigEndian)
      guard let magic = file.u32(12), let version = file.u32(16), file.count >= metadataBytes else { break }
      if let method = otherMethods.first(where: { $0.0 == magic }) {
        return .failure(
          LayerError(.databaseNotSupported, "the rpm database is a Berkeley DB \(method.1), not a hash as rpm writes"))
      }
      guard magic == hashMagic else { continue }
      guard versions.contains(version) else {
        return .failure(
          LayerError(
            .databaseNotSupported, "the rpm database is a Berkeley DB hash of version \(version); 8 to 10 are read"))
      }
      guard bytes[24] == 0 else {
        return .failure(LayerError(.databaseNotSupported, "the rpm database, in Berkeley DB format, is encrypted"))
      }
      guard bytes[26] & 1 == 0 else {
        return .failure(
          LayerError(.databaseNotSupported, "the rpm database, in Berkeley DB format, has checksums of its pages"))
      }
      return .success(file)
    }
    return .failure(LayerError(.databaseMalformed, "the rpm database is no Berkeley DB file"))
  }

  private var errors: [LayerError] {
    var errors: [LayerError] = []
    if let damage {
      errors.append(
        LayerError(
          .databaseMalformed,
          "\(damaged) pieces of the rpm database are damaged; the last at page \(damage.page), which \(damage.reason)"
            + (unreached > 0 ? "; \(unreached) pages belong to no chain" : "")))
    } else if unreached > 0 {
      errors.append(
        LayerError(
          .databaseMalformed, "\(unreached) pages of the rpm database belong to no chain: packages may be missing"))
    }
    if let error = headers.error { errors.append(error) }
    return errors
  }

  /// Counts what was wrong; throws on what ends the reading of the file.
  private mutating func note(_ stop: Stop) throws(Stop) {
    guard case .damage(let page, let reason) = stop else { throw stop }
    note(page, reason)
  }

  private mutating func note(_ page: Int, _ reason: StaticString) {
    damaged += 1
    damage = (page, reason)
  }

  /// What was freed is of no kind.
  private mutating func countUnreached() {
    for number in stride(from: 1, to: pages, by: 1) where isRead[number / 64] & 1 << UInt64(number % 64) == 0 {
      let kind = PageKind(rawValue: file.bytes[number * pageBytes + 25])
      if kind != nil && file.u32(number * pageBytes + 8) == number { unreached += 1 }
    }
  }

  private mutating func readBucket(
    _ bucket: Int, into collector: inout PackageCollector, _ checkTime: () throws(LayerError) -> Void
  ) throws(Stop) {
    // Buckets are added in doublings; each lies together, after what came before it.
    let doubling = Int.bitWidth - bucket.leadingZeroBitCount
    var number = bucket + (file.u32(96 + 4 * doubling) ?? 0)
    // Of the buckets that are made at once, those never used are left empty.
    if let page = file.piece(number * pageBytes, pageBytes), page.isAllZero { return try Self.check(checkTime) }
    while number != 0 {
      let page = try takePage(number, [.hash, .unsortedHash], checkTime)
      do throws(Stop) {
        try readItems(page, number, into: &collector, checkTime)
      } catch {
        try note(error)
      }
      number = page.u32(16) ?? 0
    }
  }

  private static func check(_ checkTime: () throws(LayerError) -> Void) throws(Stop) {
    do throws(LayerError) { try checkTime() } catch { throw .time(error) }
  }

  /// A page that was not read before.
  private mutating func takePage(
    _ number: Int, _ kinds: [PageKind], _ checkTime: () throws(LayerError) -> Void
  ) throws(Stop) -> Binary {
    try Self.check(checkTime)
    guard number > 0, number < pages, let bytes = file.piece(number * pageBytes, pageBytes) else {
      throw .damage(page: number, reason: "is not there")
    }
    let (word, bit) = (number / 64, UInt64(1) << UInt64(number % 64))
    guard isRead[word] & bit == 0 else {
      throw .damage(page: number, reason: "belongs to two chains, or a chain in a ring")
    }
    let page = Binary(bytes, isBigEndian: file.isBigEndian)
    guard page.u32(8) == number, let kind = PageKind(rawValue: bytes[25]), kinds.contains(kind) else {
      throw .damage(page: number, reason: "is not what its place demands")
    }
    isRead[word] |= bit
    return page
  }

  /// Items lie from the end of the page towards its start, in the order of the index; keys and values take turns.
  private mutating func readItems(
    _ page: Binary, _ number: Int, into collector: inout PackageCollector, _ checkTime: () throws(LayerError) -> Void
  ) throws(Stop) {
    let entries = page.u16(20) ?? 0
    let lowest = Self.pageHeaderBytes + 2 * entries
    guard lowest <= pageBytes, entries % 2 == 0 else { throw .damage(page: number, reason: "has a false index") }
    var end = pageBytes
    func nextItem(_ index: Int) throws(Stop) -> UnsafeRawBufferPointer {
      guard let start = page.u16(Self.pageHeaderBytes + 2 * index), start >= lowest, start < end,
        let item = page.piece(start, end - start)
      else { throw .damage(page: number, reason: "has an item outside its place") }
      end = start
      return item
    }
    for index in stride(from: 0, to: entries, by: 2) {
      let key = try nextItem(index)
      let value = try nextItem(index + 1)
      // Under the number 0 lies the highest number given to a header.
      if key.elementsEqual([ItemKind.onPage.rawValue, 0, 0, 0, 0]) { continue }
      do throws(Stop) {
        try readValue(value, number, into: &collector, checkTime)
      } catch {
        try note(error)
      }
    }
  }

  private mutating func readValue(
    _ value: UnsafeRawBufferPointer, _ number: Int, into collector: inout PackageCollector,
    _ checkTime: () throws(LayerError) -> Void
  ) throws(Stop) {
    switch ItemKind(rawValue: value[0]) {
    case .onPage: headers.add(UnsafeRawBufferPointer(rebasing: value[1...]), into: &collector)
    case .offPage:
      let item = Binary(value, isBigEndian: file.isBigEndian)
      guard item.count == 12, let first = item.u32(4), let length = item.u32(8) else {
        throw .damage(page: number, reason: "has an item of a false length")
      }
      try gather(first, length, of: number, checkTime)
      gathered.withUnsafeBytes { headers.add($0, into: &collector) }
    case nil: throw .damage(page: number, reason: "has an item that rpm never writes")
    }
  }

  private mutating func gather(
    _ first: Int, _ length: Int, of owner: Int, _ checkTime: () throws(LayerError) -> Void
  ) throws(Stop) {
    guard length <= min(headerBytesMax, file.count) else {
      throw .damage(page: owner, reason: "has a header over the bound")
    }
    gathered.removeAll(keepingCapacity: true)
    var number = first
    while gathered.count < length {
      let page = try takePage(number, [.overflow], checkTime)
      guard let used = page.u16(22), used > 0, used <= length - gathered.count,
        let piece = page.piece(Self.pageHeaderBytes, used)
      else { throw .damage(page: number, reason: "holds another piece of a header than it should") }
      gathered.append(contentsOf: piece)
      number = page.u32(16) ?? 0
    }
  }
}
