/// The head of an answer as libcurl hands it over, line by line.
struct ResponseHead {
  private(set) var status = 0
  private(set) var headers = HTTPHeaders()
  /// Of every head of the exchange, 1xx ones included.
  var byteCount = 0
  var isFinal = false

  /// Takes one line; true when it was the empty one that ends a head.
  mutating func add(_ line: UnsafeRawBufferPointer) -> Bool {
    var line = line
    while let last = line.last, last == UInt8(ascii: "\n") || last == UInt8(ascii: "\r") {
      line = UnsafeRawBufferPointer(rebasing: line.dropLast())
    }
    if line.isEmpty { return true }
    if line.starts(with: "HTTP/".utf8) {
      headers = HTTPHeaders()
      let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 2)
      status = fields.count > 1 ? Int(String(decoding: fields[1], as: UTF8.self)) ?? 0 : 0
      return false
    }
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return false }
    headers.append(UnsafeRawBufferPointer(rebasing: line[..<colon]), Self.trimmed(line[(colon + 1)...]))
    return false
  }

  private static func trimmed(_ bytes: Slice<UnsafeRawBufferPointer>) -> UnsafeRawBufferPointer {
    func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
    var bytes = bytes.drop(while: isBlank)
    while let last = bytes.last, isBlank(last) { bytes = bytes.dropLast() }
    return UnsafeRawBufferPointer(rebasing: bytes)
  }
}
