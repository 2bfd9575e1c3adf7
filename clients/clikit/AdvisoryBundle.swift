import CPosix
import Glibc
import Posix

/// JSON files as one upload: `TWOSVB1\n`, then for each file the length of its name (4 bytes, big-endian), the name
/// (UTF-8), the length of its data (8 bytes, big-endian) and the data.
package enum AdvisoryBundle {
  static let magic = Array("TWOSVB1\n".utf8)

  package static func size(of files: [SourceFile]) -> UInt64 {
    files.reduce(UInt64(magic.count)) { $0 + UInt64(4 + $1.name.utf8.count + 8) + $1.size }
  }

  static func header(of file: SourceFile) -> [UInt8] {
    bigEndian(UInt32(file.name.utf8.count)) + Array(file.name.utf8) + bigEndian(file.size)
  }

  private static func bigEndian(_ number: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
  }
}

/// The bytes of an advisory set, chunk by chunk: memory does not grow with the set.
package struct AdvisoryStream: ~Copyable {
  private let isBundle: Bool
  private var files: ArraySlice<SourceFile>
  /// Bytes of our own that come before the next file's.
  private var pending: ArraySlice<UInt8>
  private var current: (file: SourceFile, descriptor: Int32, rest: UInt64)?

  package init(_ source: AdvisorySource) {
    switch source.content {
    case .archive(let file):
      isBundle = false
      files = [file]
      pending = []
    case .bundle(let files):
      isBundle = true
      self.files = files[...]
      pending = AdvisoryBundle.magic[...]
    }
  }

  deinit { if let current { close(current.descriptor) } }

  /// The next bytes, at most `maximum` and only at the end fewer; empty after the end. Fails when a file is not what it
  /// was when it was found: the daemon was told the size of the whole.
  package mutating func next(atMost maximum: Int) throws -> [UInt8] {
    var chunk: [UInt8] = []
    chunk.reserveCapacity(maximum)
    while chunk.count < maximum {
      if !pending.isEmpty {
        let part = pending.prefix(maximum - chunk.count)
        chunk.append(contentsOf: part)
        pending = pending.dropFirst(part.count)
      } else if current != nil {
        try readCurrent(into: &chunk, atMost: maximum - chunk.count)
      } else if let file = files.popFirst() {
        if isBundle { pending = AdvisoryBundle.header(of: file)[...] }
        current = (file, try Self.open(file), file.size)
      } else {
        break
      }
    }
    return chunk
  }

  private mutating func readCurrent(into chunk: inout [UInt8], atMost maximum: Int) throws {
    guard let (file, descriptor, rest) = current else { return }
    // At the end one byte more is asked for: there must be none.
    let wanted = rest == 0 ? 1 : Int(min(UInt64(maximum), rest))
    var count = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: wanted) { buffer, filled in
      repeat { count = read(descriptor, buffer.baseAddress, wanted) } while count < 0 && errno == EINTR
      filled = max(count, 0)
    }
    guard count >= 0 else { throw CommandFailure.local(PosixError("read \(file.path)")) }
    guard (count > 0) == (rest > 0) else { throw Self.changed(file) }
    if rest == 0 {
      close(descriptor)
      current = nil
    } else {
      chunk.append(contentsOf: bytes)
      current = (file, descriptor, rest - UInt64(count))
    }
  }

  private static func open(_ file: SourceFile) throws -> Int32 {
    let descriptor = cposix_open(file.path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0)
    guard descriptor >= 0 else { throw CommandFailure.local(PosixError("open \(file.path)")) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size == Int64(file.size)
    else {
      close(descriptor)
      throw changed(file)
    }
    return descriptor
  }

  private static func changed(_ file: SourceFile) -> CommandFailure {
    .local("\(file.path) changed while it was being read", hint: "run the command again when nothing writes there")
  }
}
