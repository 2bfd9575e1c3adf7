import Model

/// The tags of one repository that came along with the listing of the repositories, packed into some fifty bytes each:
/// Nexus and Google list images of a whole area by turns, and asking again for each repository would cost a request
/// apiece.
struct HeldTags: Sendable, Hashable {
  private(set) var count = 0
  private var bytes: [UInt8] = []

  /// What it takes, its own fixed part included.
  var byteCount: Int { bytes.count + 64 }

  private static let algorithms: [Digest.Algorithm] = [.sha256, .sha512]

  mutating func append(_ tag: ListedTag) {
    count += 1
    bytes.append(UInt8(tag.tag.name.utf8.count))
    bytes += tag.tag.name.utf8
    if let digest = tag.digest, let algorithm = Self.algorithms.firstIndex(of: digest.algorithm) {
      bytes.append(UInt8(algorithm + 1))
      bytes += Self.bytes(ofHex: digest.hex)
    } else {
      bytes.append(0)
    }
    bytes.append(tag.isImage ? 1 : tag.isOther ? 2 : 0)
    append(tag.pushedAt)
    append(tag.createdAt)
  }

  private mutating func append(_ time: Timestamp?) {
    guard let time else { return bytes.append(0) }
    bytes.append(1)
    withUnsafeBytes(of: time.seconds.littleEndian) { bytes += $0 }
    withUnsafeBytes(of: time.nanoseconds.littleEndian) { bytes += $0 }
  }

  func forEach(_ body: (ListedTag) async throws -> Void) async throws {
    var reader = Reader(bytes: bytes)
    while let tag = reader.next() { try await body(tag) }
  }

  private struct Reader {
    let bytes: [UInt8]
    var position = 0

    mutating func next() -> ListedTag? {
      guard position < bytes.count else { return nil }
      let name = take(Int(byte()))
      let algorithm = Int(byte())
      let digest =
        algorithm == 0
        ? nil
        : Digest(
          algorithm: HeldTags.algorithms[algorithm - 1],
          bytes: take(HeldTags.algorithms[algorithm - 1].hexLength / 2))
      let kind = byte()
      let pushedAt = time()
      let createdAt = time()
      guard let tag = Tag(String(decoding: name, as: UTF8.self)) else { preconditionFailure("a packed tag is no tag") }
      return ListedTag(
        tag, digest: digest, pushedAt: pushedAt, createdAt: createdAt, isImage: kind == 1, isOther: kind == 2)
    }

    private mutating func byte() -> UInt8 { take(1).first ?? 0 }

    private mutating func take(_ count: Int) -> ArraySlice<UInt8> {
      defer { position += count }
      return bytes[position..<(position + count)]
    }

    private mutating func time() -> Timestamp? {
      guard byte() == 1 else { return nil }
      let seconds: UInt64 = number(8)
      return Timestamp(seconds: Int64(bitPattern: seconds), nanoseconds: Int32(truncatingIfNeeded: number(4)))
    }

    private mutating func number(_ count: Int) -> UInt64 {
      take(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
  }

  private static func bytes(ofHex hex: String) -> [UInt8] {
    let digits = hex.utf8.map { $0 <= UInt8(ascii: "9") ? $0 - UInt8(ascii: "0") : $0 - UInt8(ascii: "a") + 10 }
    return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }
}

/// Makes repositories with their tags of a listing that gives images in any order. Memory is bounded: where an area holds
/// more than fits, its repositories are handed out without their tags, which are then asked for one repository at a time.
struct RepositoryGathering {
  /// Some 500,000 tags in 10,000 repositories.
  static let bytesMax = 32 << 20
  /// A repository's name and its place in the table, roughly.
  private static let repositoryOverhead = 160

  private let bytesMax: Int
  private var gathered: [String: HeldTags] = [:]
  private var byteCount = 0
  /// Names handed out already, by hash; nil while everything fits.
  private var handedOut: Set<Int>?

  init(bytesMax: Int = bytesMax) { self.bytesMax = bytesMax }

  /// Takes a repository, with one of its tags or none. Gives the names of repositories to hand out at once, without
  /// their tags: none while everything fits.
  mutating func add(_ path: String, _ tag: ListedTag?) -> [String] {
    if handedOut != nil { return handedOut?.insert(path.hashValue).inserted == true ? [path] : [] }
    var tags = gathered.removeValue(forKey: path)
    if tags == nil { byteCount += path.utf8.count + Self.repositoryOverhead }
    let before = tags?.byteCount ?? 0
    if let tag { tags = tags ?? HeldTags(); tags?.append(tag) }
    let held = tags ?? HeldTags()
    byteCount += held.byteCount - before
    gathered[path] = held
    guard byteCount > bytesMax else { return [] }
    let names = gathered.keys.sorted()
    gathered = [:]
    handedOut = Set(names.map(\.hashValue))
    return names
  }

  /// What is left to hand out at the end, by name.
  consuming func rest() -> [(path: String, tags: HeldTags)] {
    gathered.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }
}
