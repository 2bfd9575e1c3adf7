import Foundation
import RPC

/// A conversation of proto/fixtures; the form is told in the README there.
struct FrameFixture {
  enum Line: Equatable {
    case client([UInt8])
    case server([UInt8])
    case refusal(UInt32, RPCError.Code)
  }

  /// A call as its caller makes it, with what goes over the wire and what comes of it.
  struct Call {
    let kind: RPCMethod.Kind
    let method: String
    var request: [UInt8] = []
    var timeout: Int64 = 0
    var metadata: [(String, String)] = []
    var messages: [[UInt8]] = []
    var closes = false
    var lines: [Line] = []
    var expected: [[UInt8]] = []
    var failure: RPCError?
  }

  struct Malformed: Error {
    let line: String
  }

  var lines: [Line] = []
  var calls: [Call] = []

  init(_ name: String) throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../proto/fixtures")
    let text = try String(contentsOf: root.appending(path: name + ".frames"), encoding: .utf8)
    for line in text.split(separator: "\n") {
      guard let space = line.firstIndex(of: " ") else { throw Malformed(line: String(line)) }
      let rest = line[line.index(after: space)...]
      switch line[..<space] {
      case "#": continue
      case "C": add(.client(Self.bytes(rest)))
      case "S": add(.server(Self.bytes(rest)))
      case "S?":
        let words = rest.split(separator: " ")
        guard words.count == 2, let stream = UInt32(words[0], radix: 16),
          let code = Int32(words[1]).flatMap(RPCError.Code.init)
        else { throw Malformed(line: String(line)) }
        add(.refusal(stream, code))
      case "@": calls.append(try Self.call(rest))
      case "=": try expect(rest)
      default: throw Malformed(line: String(line))
      }
    }
  }

  private mutating func add(_ line: Line) {
    lines.append(line)
    if !calls.isEmpty { calls[calls.count - 1].lines.append(line) }
  }

  private static func bytes(_ text: Substring) -> [UInt8] {
    let parts = text.filter { $0 != " " }.split(separator: "*")
    var data = RPCTests.bytes(String(parts[0]))
    if parts.count == 2, let count = Int(parts[1]), let last = data.last {
      data += [UInt8](repeating: last, count: count - 1)
    }
    return data
  }

  private static func call(_ text: Substring) throws -> Call {
    let words = text.split(separator: " ")
    let kinds: [Substring: RPCMethod.Kind] = [
      "unary": .unary, "server": .serverStreaming, "client": .clientStreaming, "bidi": .bidirectional,
    ]
    guard words.count >= 2, let kind = kinds[words[0]] else { throw Malformed(line: String(text)) }
    var call = Call(kind: kind, method: String(words[1]))
    for word in words.dropFirst(2) {
      let pair = word.split(separator: "=", maxSplits: 1)
      switch pair[0] {
      case "request": call.request = bytes(pair[1])
      case "timeout_nano": call.timeout = Int64(pair[1]) ?? 0
      case "metadata":
        let entry = pair[1].split(separator: ":", maxSplits: 1)
        call.metadata.append((String(entry[0]), String(entry[1])))
      case "send":
        call.messages = pair[1].split(separator: ",", omittingEmptySubsequences: false).map {
          RPCTests.bytes(String($0))
        }
      case "close": call.closes = true
      default: throw Malformed(line: String(text))
      }
    }
    return call
  }

  private mutating func expect(_ text: Substring) throws {
    let words = text.split(separator: " ")
    guard !calls.isEmpty, let verdict = words.first else { throw Malformed(line: String(text)) }
    let last = calls.count - 1
    if verdict == "ok" {
      calls[last].expected = words.dropFirst().map { $0 == "-" ? [] : RPCTests.bytes(String($0)) }
      return
    }
    // The messages before an error follow its text, which has a single word when there are any.
    guard words.count >= 3, let code = Int32(words[1]).flatMap(RPCError.Code.init) else {
      throw Malformed(line: String(text))
    }
    let messages = words.dropFirst(3).filter { $0.allSatisfy(\.isHexDigit) }
    calls[last].expected = messages.map { RPCTests.bytes(String($0)) }
    let said = words.dropFirst(2).dropLast(messages.count).joined(separator: " ")
    calls[last].failure = RPCError(code, said)
  }
}
