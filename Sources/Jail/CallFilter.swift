import CJail

/// A list of system calls as a program that the kernel asks about each: those named are made where their arguments pass, or
/// fail with the errno given; any other ends the process.
struct CallFilter {
  struct Rule {
    let call: Int32
    let tests: [Test]
    let verdict: Verdict

    static func allow(_ call: Int32, _ tests: Test...) -> Rule { Rule(call: call, tests: tests, verdict: .allow) }
    static func fail(_ call: Int32, _ error: Int32) -> Rule { Rule(call: call, tests: [], verdict: .fail(error)) }
  }

  enum Verdict: Equatable { case allow, fail(Int32) }

  /// What must be true of an argument for the call not to end the process. The lower half of it is looked at, which is all
  /// that the kernel takes of a descriptor, an operation, a process or flags.
  enum Test {
    case isOneOf(argument: Int, [UInt32])
    case hasAll(argument: Int, UInt32)
    case hasNone(argument: Int, UInt32)
  }

  let program: [sock_filter]
  let allowedCount: Int

  init(_ rules: [Rule], _ architecture: UInt32) {
    // A number means another call on another architecture. (Those of x86-64's 32-bit variant have a bit of their own.)
    let head = [
      Self.load(Self.architectureOffset), Self.jump(BPF_JEQ, architecture, then: 1), Self.kill,
      Self.load(Self.callOffset),
    ]
    let cases = rules.flatMap { rule in
      let body = rule.tests.flatMap(Self.kills) + [Self.end(rule.verdict)]
      return [Self.jump(BPF_JEQ, UInt32(bitPattern: rule.call), else: body.count)] + body
    }
    program = head + cases + [Self.kill]
    allowedCount = rules.filter { $0.verdict == .allow }.count
  }

  // MARK: - Instructions

  // Of struct seccomp_data (linux/seccomp.h), on little-endian machines, which those are that have a list.
  private static let callOffset = 0
  private static let architectureOffset = 4
  private static func offset(ofArgument argument: Int) -> Int { 16 + 8 * argument }

  /// Goes on after its last instruction where the test passes.
  private static func kills(unless test: Test) -> [sock_filter] {
    switch test {
    case .isOneOf(let argument, let values):
      [load(offset(ofArgument: argument))]
        + values.enumerated().map { jump(BPF_JEQ, $1, then: values.count - $0) } + [kill]
    case .hasAll(let argument, let bits):
      [
        load(offset(ofArgument: argument)), instruction(BPF_ALU | BPF_AND | BPF_K, bits),
        jump(BPF_JEQ, bits, then: 1), kill,
      ]
    case .hasNone(let argument, let bits):
      [load(offset(ofArgument: argument)), jump(BPF_JSET, bits, else: 1), kill]
    }
  }

  private static let kill = instruction(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

  private static func end(_ verdict: Verdict) -> sock_filter {
    switch verdict {
    case .allow: instruction(BPF_RET | BPF_K, UInt32(SECCOMP_RET_ALLOW))
    case .fail(let error): instruction(BPF_RET | BPF_K, UInt32(SECCOMP_RET_ERRNO) | UInt32(error))
    }
  }

  private static func load(_ offset: Int) -> sock_filter { instruction(BPF_LD | BPF_W | BPF_ABS, UInt32(offset)) }

  /// Passes over so many instructions.
  private static func jump(_ test: Int32, _ value: UInt32, then: Int = 0, else other: Int = 0) -> sock_filter {
    sock_filter(code: UInt16(BPF_JMP | test | BPF_K), jt: UInt8(then), jf: UInt8(other), k: value)
  }

  private static func instruction(_ code: Int32, _ value: UInt32) -> sock_filter {
    sock_filter(code: UInt16(code), jt: 0, jf: 0, k: value)
  }
}
