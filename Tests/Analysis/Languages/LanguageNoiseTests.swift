import Inventory
import StorageMessages
import Testing

@testable import Analysis

/// Whatever is done to a file, its reading ends, nothing traps, and what comes out can be stored.
@Suite("Damaged files of languages' packages")
struct LanguageNoiseTests {
  /// Small files of every kind, with how many bytes from the start are worth damaging.
  static func samples() throws -> [(kind: LanguageFile, bytes: [UInt8])] {
    func text(_ kind: LanguageFile, _ text: String) -> (LanguageFile, [UInt8]) { (kind, Array(text.utf8)) }
    return try [
      (.npmLock, LanguageListTests.modules().first { $0.kind == .npmLock }?.bytes ?? []),
      (.composerInstalled, fixture("languages/composer-installed.json")),
      (.composerLock, fixture("languages/composer.lock")),
      (.gemSpecification, fixture("languages/sample-ruby-1.13.0.rc2.gemspec")),
      (.pythonMetadata, fixture("languages/python-METADATA")),
      (.javaArchive, fixture("languages/all-1.0.ear")), (.javaArchive, fixture("languages/stored-1.0.ear")),
      (.javaArchive, fixture("languages/wide.jar")), (.javaArchive, fixture("languages/launcher.jar")),
      text(.npmModule, #"{"name": "@a/b", "version": "1.0.0", "x": [1, true, null, {"y": "\u00e9\n"}]}"#),
      text(.yarnLock, "\"@a/b@npm:^1\", c@2:\n  version \"1.0\"\nalias@npm:real@1:\n  version: 2\n"),
      text(.pythonRequirements, "a[b]==1.0 # x\nb == 2 ; python_version < '3'\n"),
      text(.pipfileLock, #"{"default": {"a": {"version": "==1.0"}}}"#),
      text(.poetryLock, "[[package]]\nname = \"a\"\nversion = \"1\"\n"),
      text(.gemfileLock, "GEM\n  specs:\n    a (1.0-java)\n    b (2)\n"),
      text(.dotnetDependencies, #"{"libraries": {"A/1.0": {"type": "package"}}}"#),
      text(.nugetLock, #"{"dependencies": {"net6.0": {"A": {"resolved": "1.0"}}}}"#),
    ]
  }

  static func check(_ kind: LanguageFile, _ bytes: [UInt8]) {
    let found = parse(kind, bytes, path: "opt/a-1.0.jar")
    let isSound = found.packages.allSatisfy { package in
      !package.name.isEmpty && !package.version.isEmpty && package.texts.allSatisfy { !$0.contains("\0") }
    }
    #expect(isSound)
  }

  @Test("files that are cut at any byte")
  func cut() throws {
    for (kind, bytes) in try Self.samples() {
      for length in 0..<bytes.count { Self.check(kind, Array(bytes.prefix(length))) }
    }
  }

  @Test("files with bytes changed, put in and taken out")
  func changed() throws {
    var random = FixedRandom(state: 20_261_126)
    for (kind, whole) in try Self.samples() {
      for _ in 0..<2_000 {
        var bytes = whole
        for _ in 0..<Int.random(in: 1...6, using: &random) where !bytes.isEmpty {
          let at = Int.random(in: 0..<bytes.count, using: &random)
          switch Int.random(in: 0..<6, using: &random) {
          case 0: bytes.remove(at: at)
          case 1: bytes.insert(UInt8.random(in: 0...255, using: &random), at: at)
          case 2: bytes[at] = [0, 0xff, 0x7f, 0x80, 0x22, 0x5c, 0x7b, 0x5b].randomElement(using: &random) ?? 0
          default: bytes[at] = UInt8.random(in: 0...255, using: &random)
          }
        }
        Self.check(kind, bytes)
      }
    }
  }

  @Test(
    "programs with bytes changed where their tables are",
    arguments: ["go-linux-amd64", "go-linux-386", "go-linux-s390x", "go-windows-amd64", "go-darwin-arm64", "rust-uv"])
  func programs(name: String) throws {
    let whole = try unpackedFixture("languages/\(name).gz")
    // Most of a program is emptied: what is left of it is worth damaging.
    let places = whole.indices.filter { whole[$0] != 0 || $0 < 1_024 }
    var random = FixedRandom(state: UInt64(name.utf8.count))
    var bytes = whole
    for _ in 0..<2_000 {
      var changed: [Int] = []
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        guard let at = places.randomElement(using: &random) else { continue }
        bytes[at] = Bool.random(using: &random) ? 0xff : UInt8.random(in: 0...255, using: &random)
        changed.append(at)
      }
      Self.check(.executable, bytes)
      for at in changed { bytes[at] = whole[at] }
    }
    for length in stride(from: 0, to: min(whole.count, 8_192), by: 1) {
      Self.check(.executable, Array(whole.prefix(length)))
    }
  }
}
