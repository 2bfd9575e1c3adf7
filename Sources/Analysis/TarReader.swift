import Inventory

/// Reads a tar stream entry by entry: ustar, pax, GNU (long names, sparse files) and v7. Where tools disagree, this
/// follows Go's archive/tar, by which container runtimes extract: links, directories and devices have no body whatever
/// their size field says, and global pax headers name no file. What cannot be read one way only is an error.
///
/// Bodies are passed over without being copied; memory does not grow with the stream.
package final class TarReader {
  /// The entry that `next` found. Its link target and body must be read before `next` is called again.
  package private(set) var kind = TarEntryKind.file
  /// Of the body as stored; zero for all but files.
  package private(set) var size = 0
  /// Permission, setuid, setgid and sticky bits; none where the field is no number.
  package private(set) var mode: UInt16 = 0
  /// The stored body is not the file's contents: a map says where its pieces belong.
  package private(set) var isSparse = false
  /// Inside the image; bytes, as names need not be UTF-8.
  private(set) var path: EntryPath
  package var pathBytes: [UInt8] { Array(path.bytes) }
  /// Headers read, extension headers included.
  package private(set) var headers = 0
  /// Entries whose name leaves the image, holds a NUL or is too long; they are passed over.
  package private(set) var droppedNames = 0
  /// What was odd but could be read past.
  package private(set) var warnings: [LayerError] = []

  private var stream: BlockReader
  private let limits: AnalysisLimits
  private let sink: (any BodySink)?
  private var pax: PaxRecords?
  private var longName: [UInt8]?
  private var longLink: [UInt8]?
  private var headerLink = UnsafeRawBufferPointer(start: nil, count: 0)

  /// `sink` gets the bodies of regular files as they are passed.
  package init(_ source: any ChunkSource, limits: AnalysisLimits = .standard, sink: (any BodySink)? = nil) {
    self.sink = sink
    stream = BlockReader(source)
    self.limits = limits
    path = EntryPath(capacity: limits.nameBytes)
  }

  /// Goes to the next entry with a name inside the image; false after the last one, once the stream was read to its
  /// end and found to hold nothing more.
  package func next() throws(LayerError) -> Bool {
    pax = nil
    longName = nil
    longLink = nil
    while true {
      try stream.finishBody()
      guard let header = try nextHeader() else { return false }
      if try readExtension(header) { continue }
      if try readEntry(header) { return true }
      pax = nil
      longName = nil
      longLink = nil
    }
  }

  /// Where a link points, as written; bounded by the limits, beyond which it is cut.
  package func linkTarget() -> [UInt8] {
    let target = longLink ?? pax?.linkPath ?? Array(headerLink)
    return target.count <= limits.nameBytes ? target : Array(target[..<limits.nameBytes])
  }

  /// Appends up to `limit` bytes of the body; on an error, what came before it was appended.
  package func readBody(into bytes: inout [UInt8], limit: Int) throws(LayerError) {
    try stream.readBody(into: &bytes, limit: limit)
  }

  private func nextHeader() throws(LayerError) -> TarHeader? {
    guard let block = try stream.nextBlock() else {
      if stream.position == 0 { throw LayerError(.empty, "the layer holds no tar archive: it is empty uncompressed") }
      throw LayerError(.truncated, "the archive is cut short: its end-of-archive blocks are missing")
    }
    let header = TarHeader(block: block)
    switch header.verify() {
    case .header:
      headers += 1
      guard headers <= limits.entries else {
        throw LayerError(.entryLimit, "the layer holds more than \(limits.entries) entries")
      }
      return header
    case .zero:
      try stream.requireOnlyZeros()
      return nil
    case .invalid where headers == 0:
      throw LayerError(.notTar, "the layer is no tar archive: its first header's checksum is wrong")
    case .invalid:
      throw LayerError(.tarMalformed, "the checksum of a header at byte \(stream.position - 512) is wrong")
    }
  }

  /// Reads a header that describes the next entry; false for an entry's own.
  private func readExtension(_ header: TarHeader) throws(LayerError) -> Bool {
    switch header.typeFlag {
    case UInt8(ascii: "x"), UInt8(ascii: "X"):
      pax = try PaxRecords(parsing: try extensionBody(header))
    case UInt8(ascii: "g"):
      let global = try PaxRecords(parsing: try extensionBody(header))
      if !global.isEmpty && warnings.isEmpty {
        warnings.append(
          LayerError(.tarAmbiguous, "a global pax header gives names or sizes; it is ignored, as container runtimes do")
        )
      }
    case UInt8(ascii: "L"): longName = cString(try extensionBody(header))
    case UInt8(ascii: "K"): longLink = cString(try extensionBody(header))
    default: return false
    }
    return true
  }

  private func extensionBody(_ header: TarHeader) throws(LayerError) -> [UInt8] {
    let size = try storedSize(header)
    guard size <= limits.extensionBytes else {
      throw LayerError(
        .tarExtensionTooLarge, "an extension header of \(size) bytes is over \(limits.extensionBytes)")
    }
    stream.beginBody(size)
    var body: [UInt8] = []
    try stream.readBody(into: &body, limit: size)
    return body
  }

  /// Sets the entry's properties from its header and what extension headers said before it. False when its name is dropped.
  private func readEntry(_ header: TarHeader) throws(LayerError) -> Bool {
    headerLink = header.linkName
    mode = header.mode
    let isNamed = setPath(header)
    isSparse = pax?.isSparse == true
    var mayHaveBody = true
    switch header.typeFlag {
    case UInt8(ascii: "1"): (kind, mayHaveBody) = (.hardLink, false)
    case UInt8(ascii: "2"): (kind, mayHaveBody) = (.symlink, false)
    case UInt8(ascii: "3"), UInt8(ascii: "4"), UInt8(ascii: "6"): (kind, mayHaveBody) = (.special, false)
    case UInt8(ascii: "5"): (kind, mayHaveBody) = (.directory, false)
    case UInt8(ascii: "D"): kind = .directory
    case UInt8(ascii: "S"): (kind, isSparse) = (.file, true)
    // v7 had no flag for directories.
    case 0 where path.endsInSlash: (kind, mayHaveBody) = (.directory, false)
    case UInt8(ascii: "0") where path.endsInSlash: kind = .directory
    // Flags that nobody knows are files (POSIX).
    default: kind = .file
    }
    if !mayHaveBody {
      size = 0
    } else if let stated = pax?.size {
      size = stated
    } else {
      size = try storedSize(header)
    }
    guard size <= limits.uncompressedBytes else {
      throw LayerError(.tarMalformed, "an entry claims \(size) bytes, over the \(limits.uncompressedBytes) of a layer")
    }
    if header.typeFlag == UInt8(ascii: "S") && header.sparseMapContinues { try skipSparseMap() }
    guard isNamed && !(path.count == 0 && kind != .directory) else {
      stream.beginBody(size)
      droppedNames += 1
      if kind == .file && size > 0 { sink?.passOverUnnamed(size: size) }
      return false
    }
    let isWanted =
      kind == .file && size > 0 && sink?.begin(path.bytes, size: size, isSparse: isSparse) == true
    stream.beginBody(size, for: isWanted ? sink : nil)
    return true
  }

  private func setPath(_ header: TarHeader) -> Bool {
    if let name = longName ?? pax?.sparseName ?? pax?.path {
      return name.withUnsafeBytes { path.set(prefix: UnsafeRawBufferPointer(start: nil, count: 0), name: $0) }
    }
    return path.set(prefix: header.prefix, name: header.name)
  }

  private func storedSize(_ header: TarHeader) throws(LayerError) -> Int {
    guard let size = header.size else {
      throw LayerError(.tarMalformed, "the size field of a header at byte \(stream.position - 512) is no valid number")
    }
    return size
  }

  /// The blocks of an old GNU sparse map lie between header and body; the header itself may move away with them.
  private func skipSparseMap() throws(LayerError) {
    for _ in 0..<(limits.extensionBytes / TarHeader.blockBytes) {
      guard let block = try stream.nextBlock() else { throw LayerError(.truncated, "the archive ends in a sparse map") }
      if block.load(fromByteOffset: 504, as: UInt8.self) == 0 { return }
    }
    throw LayerError(.tarExtensionTooLarge, "a sparse map is over \(limits.extensionBytes) bytes")
  }

  private func cString(_ bytes: [UInt8]) -> [UInt8] {
    bytes.firstIndex(of: 0).map { Array(bytes[..<$0]) } ?? bytes
  }
}
