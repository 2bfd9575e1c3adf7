// Compiles the anchors of all kinds of secrets for the multi-pattern library and writes them as Swift, to be built into
// what looks for secrets: `secret-patterns FILE`. Compiling takes milliseconds and half of the library, so that it is done
// once, when Tidewaiter is built. Made for no processor in particular, so that it does not matter where that was.
import CVectorscan
import Glibc
import SecretRules

func end(_ reason: String) -> Never {
  let line = Array("secret-patterns: \(reason)\n".utf8)
  _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
  exit(1)
}

func serialised(_ patterns: [SecretPattern]) -> [UInt8] {
  var platform = hs_platform_info_t()
  var database: OpaquePointer?
  var failure: UnsafeMutablePointer<hs_compile_error_t>?
  let texts = patterns.map { pattern in
    let text = UnsafeMutablePointer<CChar>.allocate(capacity: pattern.anchor.count)
    for (index, byte) in pattern.anchor.enumerated() { text[index] = CChar(bitPattern: byte) }
    return UnsafePointer<CChar>?(text)
  }
  let status = hs_compile_lit_multi(
    texts, patterns.map { $0.ignoresCase ? UInt32(HS_FLAG_CASELESS) : 0 }, patterns.indices.map(UInt32.init),
    patterns.map(\.anchor.count), UInt32(patterns.count), UInt32(HS_MODE_BLOCK), &platform, &database, &failure)
  guard status == HS_SUCCESS else {
    end("the patterns could not be compiled: \(failure.map { String(cString: $0.pointee.message) } ?? "\(status)")")
  }
  var bytes: UnsafeMutablePointer<CChar>?
  var count = 0
  guard hs_serialize_database(database, &bytes, &count) == HS_SUCCESS, let bytes else {
    end("the compiled patterns could not be serialised")
  }
  return UnsafeBufferPointer(start: bytes, count: count).map(UInt8.init(bitPattern:))
}

guard CommandLine.arguments.count == 2 else { end("usage: secret-patterns FILE") }
let bytes = serialised(SecretRules.all.map(\.pattern))
var text = "// Made by secret-patterns from the rules: not to be edited.\n"
text += "enum CompiledPatterns {\n  static let byteCount = \(bytes.count)\n  static let words: [UInt64] = [\n"
for start in stride(from: 0, to: bytes.count, by: 8) {
  let word = bytes[start...].prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
  text += "    0x" + String(word, radix: 16) + ",\n"
}
text += "  ]\n}\n"
guard let file = fopen(CommandLine.arguments[1], "w"), fputs(text, file) >= 0, fclose(file) == 0 else {
  end("\(CommandLine.arguments[1]) could not be written: \(String(cString: strerror(errno)))")
}
