import CJail
import Glibc
import Testing

@testable import Jail

/// The filter as the kernel would run it, over all system calls there could be.
struct CallFilterTests {
  private static let x86: UInt32 = 0xC000_003E
  private static let own: pid_t = 4711
  private let program = CallFilter(CallFilter.workerRules(process: own), x86).program

  /// What the kernel shows the program of a call (struct seccomp_data), run as it does.
  private func verdict(
    _ call: Int32, _ arguments: UInt64..., architecture: UInt32 = x86, in other: [sock_filter]? = nil
  ) throws -> UInt32 {
    let program = other ?? self.program
    var data = [UInt32(bitPattern: call), architecture, 0, 0]
    for index in 0..<6 {
      let argument = index < arguments.count ? arguments[index] : 0
      data += [UInt32(truncatingIfNeeded: argument), UInt32(argument >> 32)]
    }
    var accumulator: UInt32 = 0
    var at = 0
    for _ in 0...program.count {
      let instruction = program[at]
      at += 1
      switch Int32(instruction.code) {
      case BPF_LD | BPF_W | BPF_ABS: accumulator = data[Int(instruction.k) / 4]
      case BPF_ALU | BPF_AND | BPF_K: accumulator &= instruction.k
      case BPF_JMP | BPF_JEQ | BPF_K: at += Int(accumulator == instruction.k ? instruction.jt : instruction.jf)
      case BPF_JMP | BPF_JSET | BPF_K: at += Int(accumulator & instruction.k != 0 ? instruction.jt : instruction.jf)
      case BPF_RET | BPF_K: return instruction.k
      default: throw Unknown(code: instruction.code)
      }
    }
    throw Unknown(code: 0)
  }

  private struct Unknown: Error { let code: UInt16 }

  private let allowed = UInt32(SECCOMP_RET_ALLOW)
  private let killed = UInt32(SECCOMP_RET_KILL_PROCESS)

  @Test func `Only a worker that hands file bytes back writes to the descriptor for them`() throws {
    for descriptor: UInt64 in [1, 2] { #expect(try verdict(__NR_write, descriptor) == allowed) }
    #expect(try verdict(__NR_write, 3) == killed)
    let with = CallFilter(CallFilter.workerRules(process: Self.own, handsBack: true), Self.x86).program
    for descriptor: UInt64 in [1, 2, 3] { #expect(try verdict(__NR_write, descriptor, in: with) == allowed) }
    for descriptor: UInt64 in [0, 4, 5, 0xFFFF_FFFF] {
      #expect(try verdict(__NR_write, descriptor, in: with) == killed)
    }
    for descriptor: UInt64 in 1..<5 { #expect(try verdict(__NR_read, descriptor, in: with) == killed) }
  }

  @Test func `Every call but those of the list ends the process`() throws {
    let free: Set<Int32> = [
      __NR_clock_gettime, __NR_brk, __NR_munmap, __NR_mremap, __NR_getrandom, __NR_rt_sigprocmask, __NR_getpid,
      __NR_gettid, __NR_exit_group,
    ]
    // With arguments for which no test passes.
    let none: UInt64 = 0xFFFF_FFDF
    let calls: [Int32] = Array(0..<2048) + Array(0x4000_0000..<0x4000_0800) + [-1, .max]
    for call in calls {
      let verdict = try verdict(call, none, none, none, none, none, none)
      switch call {
      case __NR_clone3: #expect(verdict == UInt32(SECCOMP_RET_ERRNO) | UInt32(ENOSYS))
      case _ where free.contains(call): #expect(verdict == allowed, "\(call)")
      default: #expect(verdict == killed, "\(call)")
      }
    }
  }

  @Test(arguments: [0xC000_00B7, 0x4000_0003, 0x4000_0028, 0])
  func `A call of another architecture ends the process, whatever its number`(architecture: UInt32) throws {
    for call in Int32(0)..<600 { #expect(try verdict(call, architecture: architecture) == killed) }
  }

  @Test func `Only the protocol's descriptors are read from and written to`() throws {
    for descriptor in UInt64(0)..<100 {
      #expect(try verdict(__NR_read, descriptor) == (descriptor == 0 ? allowed : killed))
      #expect(try verdict(__NR_write, descriptor) == ([1, 2].contains(descriptor) ? allowed : killed))
    }
    #expect(try verdict(__NR_read, 0xFFFF_FFFF) == killed)
  }

  @Test func `Memory is mapped from nothing, and never to be executed`() throws {
    let anonymous = UInt64(MAP_ANONYMOUS | MAP_PRIVATE)
    for protection in UInt64(0)..<16 {
      let mapped = try verdict(__NR_mmap, 0, 4096, protection, anonymous)
      #expect(mapped == (protection & UInt64(PROT_EXEC) == 0 ? allowed : killed))
    }
    #expect(try verdict(__NR_mmap, 0, 4096, UInt64(PROT_READ), UInt64(MAP_PRIVATE)) == killed)
    // Bits that the kernel does not look at change nothing.
    #expect(try verdict(__NR_mmap, 0, 4096, 1 << 40 | UInt64(PROT_EXEC), anonymous) == killed)
  }

  @Test func `A process aborts itself and signals nobody else`() throws {
    let own = UInt64(Self.own)
    #expect(try verdict(__NR_tgkill, own, own, UInt64(SIGABRT)) == allowed)
    #expect(try verdict(__NR_tgkill, own, own, UInt64(SIGKILL)) == killed)
    #expect(try verdict(__NR_tgkill, own + 1, own, UInt64(SIGABRT)) == killed)
    #expect(try verdict(__NR_tgkill, own, own + 1, UInt64(SIGABRT)) == killed)
  }

  @Test func `Nobody is waited for`() throws {
    #expect(try verdict(__NR_futex, 0, 129) == allowed)
    for operation in [UInt64(0), 1, 6, 128, 134, 137, 141] { #expect(try verdict(__NR_futex, 0, operation) == killed) }
  }

  @Test(
    arguments: [
      (1, 0x1FFF, 0, 0), (2, 0x3FFF, 0, 0), (3, 0x7FFF, 0, 0), (4, 0x7FFF, 3, 0), (5, 0xFFFF, 3, 0), (6, 0xFFFF, 3, 3),
      (9, 0xFFFF, 3, 3),
    ] as [(Int32, UInt64, UInt64, UInt64)])
  func `Of Landlock all is denied that the kernel's version knows`(
    abi: Int32, files: UInt64, network: UInt64, scopes: UInt64
  ) {
    let rights = Landlock(abi: abi)
    #expect((rights.files, rights.network, rights.scopes) == (files, network, scopes))
  }
}
