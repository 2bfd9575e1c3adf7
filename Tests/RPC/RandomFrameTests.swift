import CPosix
import Foundation
import Glibc
import Posix
import RPC
import Synchronization
import Testing

/// Frames of a seeded generator: most of them nearly right, which reaches deeper than noise. The environment variables
/// `RANDOM_FRAMES` and `RANDOM_SEED` ask for more of them, or for others.
private struct FrameGenerator {
  private static let methods = [
    "Ping", "Fail", "Empty", "Odd", "Count", "Sum", "Chat", "Nope", "Cancel", "Many", "Wait", "Watch", "Hold",
  ]

  private var state: UInt64
  private var nextStream: UInt32 = 1

  init(seed: UInt64) { state = seed }

  /// SplitMix64.
  private mutating func word() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
    return value ^ (value >> 31)
  }

  private mutating func below(_ bound: Int) -> Int { Int(truncatingIfNeeded: word() % UInt64(bound)) }
  private mutating func noise(_ most: Int) -> [UInt8] {
    (0..<below(most + 1)).map { _ in UInt8(truncatingIfNeeded: word()) }
  }

  private mutating func stream() -> UInt32 {
    switch below(10) {
    case 0: return UInt32(truncatingIfNeeded: word()) & 0xffff
    case 1...6:
      nextStream += 2
      return nextStream
    default: return max(1, nextStream &- UInt32(2 * below(8)))
    }
  }

  private mutating func request() -> [UInt8] {
    var request = RequestEnvelope()
    request.service = below(40) == 0 ? "demo.None" : "demo.Echo"
    // The last three do not end by themselves.
    request.method = Self.methods[below(50) == 0 ? below(Self.methods.count) : below(Self.methods.count - 3)]
    request.payload = noise(12)
    request.timeoutNanoseconds = [0, 0, 0, 1, -1, 1_000_000, .max][below(7)]
    if below(10) == 0 { request.metadata = [.init(key: "k", value: "v")] }
    return request.encoded()
  }

  mutating func next() -> [UInt8] {
    let kind: UInt8 = [1, 1, 1, 1, 1, 3, 3, 3, 2, UInt8(below(256))][below(10)]
    var data = kind == 1 ? request() : noise(20)
    switch below(12) {
    case 0: data = noise(40)
    case 1 where !data.isEmpty: data[below(data.count)] ^= 1 << UInt8(below(8))
    case 2: data.removeLast(below(data.count + 1))
    default: break
    }
    let flags = Frame.Flags(rawValue: [0, 1, 2, 1, 2, 4, 5, UInt8(below(256))][below(8)])
    if below(50_000) == 0 { data = [UInt8](repeating: 0xee, count: Frame.dataMaximum + 1) }
    let id = kind == 1 ? stream() : max(1, nextStream &- UInt32(2 * below(8)))
    return header(UInt32(data.count), id, kind: kind, flags: flags) + data
  }
}

@Suite("Random frames") struct RandomFrameTests {
  private static let environment = ProcessInfo.processInfo.environment
  private static let count = environment["RANDOM_FRAMES"].flatMap(Int.init) ?? 50_000
  private static let seed = environment["RANDOM_SEED"].flatMap(UInt64.init) ?? 0x7469_6465
  private static let framesPerConnection = 5000
  private static let growthMaximum = 64 << 20

  @Test("no crash, no hang, no growth, and whatever is answered is a frame") func frames() async throws {
    let server = try TestServer(limits: .init(), isQuiet: true)
    var generator = FrameGenerator(seed: Self.seed)
    var memory: Int?
    var answers = 0
    for round in 0..<max(1, Self.count / Self.framesPerConnection) {
      var bytes: [UInt8] = []
      for _ in 0..<Self.framesPerConnection { bytes += generator.next() }
      answers += try await Self.play(bytes, server.path, leavesEarly: round % 3 == 2)
      if round == 3 { memory = Self.residentBytes() }
    }
    #expect(answers > Self.count / 4)
    let client = try RawClient(server.path)
    try await client.request(1, "Ping", [1])
    #expect(try await client.answer() == .init(stream: 1, result: .success([1])))
    if let memory { #expect(Self.residentBytes() - memory < Self.growthMaximum) }
    try await server.stop(drain: .zero)
  }

  /// Sends all of `bytes` and reads what comes, or leaves in the middle of it; returns how many frames came.
  private static func play(_ bytes: [UInt8], _ path: String, leavesEarly: Bool) async throws -> Int {
    let client = try RawClient(path)
    async let sent: Void = client.send(bytes + frame(0xffff_ffff, "Ping", Array("last".utf8)))
    var count = 0
    while true {
      count += 1
      if case .response(let answer) = try await client.nextFrame(), answer.stream == 0xffff_ffff { break }
      if leavesEarly && count == 1000 { break }
    }
    client.hangUp()
    do { try await sent } catch is PosixError {}
    return count
  }

  private static func residentBytes() -> Int {
    do {
      let text = String(decoding: try File.read("/proc/self/statm", limit: 1000), as: UTF8.self)
      return text.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 4096 } ?? 0
    } catch {
      Issue.record(error)
      return 0
    }
  }
}
