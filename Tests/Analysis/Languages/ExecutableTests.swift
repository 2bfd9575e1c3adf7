import Inventory
import StorageMessages
import Testing

@testable import Analysis

@Suite("Packages in executables")
struct ExecutableTests {
  /// What `go version -m` lists, without the program's own module and what was replaced.
  static func expected(_ name: String) throws -> [String] {
    var expected: [String] = []
    for line in try lines(name) {
      let fields = line.split(separator: "\t", omittingEmptySubsequences: false).dropFirst()
      if fields.count == 1, let version = fields.first, !version.isEmpty { expected.append("stdlib \(version)") }
      guard fields.count >= 3 else { continue }
      let (kind, package) = (fields[1], "\(fields[2]) \(fields.count > 3 ? fields[3] : "")")
      if kind == "=>" { expected.removeLast() }
      if kind == "dep" || kind == "=>" { expected.append(package) }
    }
    return expected.sorted()
  }

  static let programs = [
    "go-linux-amd64", "go-linux-386", "go-linux-s390x", "go-windows-amd64", "go-darwin-arm64", "go-library-3.1.0",
    "go-library-3.2.0",
  ]

  @Test("Go's modules are those that its tool lists", arguments: programs)
  func goModules(name: String) throws {
    let program = try unpackedFixture("languages/\(name).gz")
    #expect(program.withUnsafeBytes { LanguageFile.ofContents($0) } == .executable)
    let expected = try Self.expected("languages/\(name).txt")
    #expect(list(.executable, program) == Listing(packages: expected))
    #expect(parse(.executable, program).packages.allSatisfy { $0.type == "golang" })
    print(name, expected.count, "packages")
  }

  @Test("Go's modules are found without the table of sections, and in what is held of a large program")
  func strippedOfSections() throws {
    var program = try unpackedFixture("languages/go-linux-amd64.gz")
    let expected = try Self.expected("languages/go-linux-amd64.txt")
    // e_shoff, e_shnum and e_shstrndx.
    program.replaceSubrange(40..<48, with: [UInt8](repeating: 0, count: 8))
    program.replaceSubrange(60..<64, with: [UInt8](repeating: 0, count: 4))
    #expect(list(.executable, program) == Listing(packages: expected))
    #expect(list(.executable, program, size: 200 << 20) == Listing(packages: expected))
    #expect(list(.executable, Array(program.prefix(4_096)), size: program.count).codes == ["FILE_TOO_LARGE"])
    #expect(list(.executable, Array(program.prefix(4_096))) == Listing())
  }

  @Test("several Mach-O programs in one file are all read")
  func universal() throws {
    let program = try unpackedFixture("languages/go-darwin-arm64.gz")
    var file: [UInt8] = [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2]
    for (offset, size) in [(4_096, 16), (8_192, program.count)] {
      file += [1, 0, 0, 12, 0, 0, 0, 0]
      for value in [UInt32(offset), UInt32(size), 14] { file += withUnsafeBytes(of: value.bigEndian, Array.init) }
    }
    file += [UInt8](repeating: 0, count: 8_192 - file.count) + program
    #expect(list(.executable, file) == Listing(packages: try Self.expected("languages/go-darwin-arm64.txt")))
  }

  @Test("crates are those that cargo-auditable noted, without what only built the program")
  func crates() throws {
    let program = try unpackedFixture("languages/rust-uv.gz")
    let expected = Set(try lines("languages/rust-uv.txt")).sorted()
    #expect(list(.executable, program) == Listing(packages: expected))
    print("uv", expected.count, "crates")
  }

  @Test("a bomb or noise where the crates are expected is said")
  func badCrates() throws {
    let program = try unpackedFixture("languages/rust-uv.gz")
    var limits = AnalysisLimits()
    limits.packedTextBytes = 1_000
    #expect(list(.executable, program, limits: limits) == Listing(codes: ["ARCHIVE_LIMIT"]))
    let start = try #require(
      program.indices.first {
        program[$0] == 0x78 && program[$0 + 1] == 0xda || program[$0] == 0x78 && program[$0 + 1] == 0x9c
          || program[$0] == 0x78 && program[$0 + 1] == 1
      })
    var damaged = program
    damaged[start + 200] ^= 0xff
    #expect(list(.executable, damaged) == Listing(codes: ["DATABASE_MALFORMED"]))
  }

  @Test("programs with absurd tables and addresses end the reading, no more")
  func absurd() throws {
    for name in ["go-linux-amd64", "go-linux-s390x", "go-library-3.2.0"] {
      let program = try unpackedFixture("languages/\(name).gz")
      // Each field of the file header, all ones.
      for at in stride(from: 16, to: 64, by: 2) {
        var bytes = program
        bytes[at] = 0xff
        bytes[at + 1] = 0xff
        _ = list(.executable, bytes)
      }
      for at in stride(from: 24, to: 56, by: 8) {
        var bytes = program
        bytes.replaceSubrange(at..<(at + 8), with: [UInt8](repeating: 0xff, count: 8))
        _ = list(.executable, bytes)
      }
    }
    // The pointers of the old format, to nowhere and to the end of a segment.
    var program = try unpackedFixture("languages/go-library-3.2.0.gz")
    let magic = Array("\u{ff} Go buildinf:".unicodeScalars.map { UInt8($0.value) })
    let header = try #require(
      (0..<program.count / 16).map { $0 * 16 }.first { program[$0..<($0 + magic.count)].elementsEqual(magic) })
    for pointer: UInt64 in [0, 1, .max, .max - 15, 0x7fff_ffff_ffff_ffff] {
      program.replaceSubrange((header + 16)..<(header + 24), with: withUnsafeBytes(of: pointer, Array.init))
      #expect(list(.executable, program) == Listing())
    }
  }
}
