import Testing

@testable import Analysis

@Suite("Files of languages' packages, by name and first bytes")
struct LanguageFileTests {
  static func meaning(_ path: String) -> LanguageFile? {
    Array(path.utf8).withUnsafeBytes { LanguageFile.of(path: $0) }
  }

  @Test(
    "names mean what they mean to the tools",
    arguments: [
      ("app/node_modules/lodash/package.json", .npmModule), ("node_modules/@babel/core/package.json", .npmModule),
      ("a/node_modules/b/node_modules/c/package.json", .npmModule),
      ("node_modules/.pnpm/ms@2.0.0/node_modules/ms/package.json", .npmModule),
      ("usr/share/nodejs/acorn/package.json", .npmModule), ("usr/share/nodejs/@types/node/package.json", .npmModule),
      ("usr/lib/nodejs/a/package.json", .npmModule), ("usr/lib/x86_64-linux-gnu/nodejs/a/package.json", .npmModule),
      ("usr/share/nodejs/acorn/dist/package.json", nil), ("app/nodejs/a/package.json", nil),
      ("usr/share/doc/nodejs/a/package.json", nil), ("nodejs/a/package.json", nil),
      ("usr/lib/a/b/nodejs/a/package.json", nil),
      ("app/package.json", nil), ("node_modules/a/lib/package.json", nil),
      ("node_modules/@babel/package.json", .npmModule),
      ("node_modules/a/b/c/package.json", nil), ("node_modules/package.json", nil), ("package.json", nil),
      ("xnode_modules/a/package.json", nil), ("node_modules/a/mypackage.json", nil),
      ("app/package-lock.json", .npmLock), ("npm-shrinkwrap.json", .npmLock),
      ("node_modules/a/npm-shrinkwrap.json", nil), ("node_modules/.package-lock.json", nil),
      ("app/yarn.lock", .yarnLock),
      ("usr/lib/python3/dist-packages/idna-3.3.dist-info/METADATA", .pythonMetadata),
      ("usr/lib/python3/dist-packages/idna-3.3.egg-info/PKG-INFO", .pythonMetadata),
      ("usr/lib/python3/dist-packages/idna-3.3.egg-info", .pythonMetadata),
      ("x.egg/EGG-INFO/PKG-INFO", .pythonMetadata),
      ("x/PKG-INFO", nil), ("PKG-INFO", nil), ("METADATA", nil), ("x.dist-info/RECORD", nil),
      ("app/requirements.txt", .pythonRequirements), ("app/my-requirements.txt", nil),
      ("app/Pipfile.lock", .pipfileLock),
      ("poetry.lock", .poetryLock), ("uv.lock", .poetryLock), ("app/Cargo.lock", .cargoLock),
      ("opt/a.jar", .javaArchive), ("a.war", .javaArchive), ("a.ear", .javaArchive), ("x/a.jpi", .javaArchive),
      ("x/a.hpi", .javaArchive), ("x/a.par", .javaArchive), ("x/a.rar", nil), ("x/jar", nil), ("a/.jar", .javaArchive),
      ("var/lib/gems/3.1.0/specifications/rack-2.2.6.gemspec", .gemSpecification),
      ("usr/lib/ruby/gems/3.1.0/specifications/default/json-2.6.1.gemspec", .gemSpecification),
      ("gems/rack-2.2.6/rack.gemspec", nil), ("app/Gemfile.lock", .gemfileLock),
      ("app/app.deps.json", .dotnetDependencies), ("app/packages.lock.json", .nugetLock),
      ("var/www/vendor/composer/installed.json", .composerInstalled), ("var/www/installed.json", nil),
      ("var/www/composer.lock", .composerLock), ("", nil), ("json", nil), ("/json", nil), ("lock", nil),
    ] as [(String, LanguageFile?)])
  func names(path: String, meaning: LanguageFile?) {
    #expect(Self.meaning(path) == meaning)
  }

  @Test("executables are known by their first bytes")
  func contents() {
    func meaning(_ start: [UInt8]) -> LanguageFile? {
      (start + [UInt8](repeating: 0, count: 64)).withUnsafeBytes { LanguageFile.ofContents($0) }
    }
    func elf(_ order: UInt8, _ type: [UInt8]) -> [UInt8] {
      Array("\u{7f}ELF".utf8) + [2, order, 1] + [UInt8](repeating: 0, count: 9) + type
    }
    #expect(meaning(elf(1, [2, 0])) == .executable)
    #expect(meaning(elf(1, [3, 0])) == .executable)
    #expect(meaning(elf(2, [0, 3])) == .executable)
    #expect(meaning(elf(1, [1, 0])) == nil)
    #expect(meaning(elf(1, [4, 0])) == nil)
    #expect(meaning(Array("MZ".utf8)) == .executable)
    #expect(meaning([0xcf, 0xfa, 0xed, 0xfe]) == .executable)
    #expect(meaning([0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2]) == .executable)
    // A class file of Java 8.
    #expect(meaning([0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 52]) == nil)
    #expect(meaning(Array("#!/bin/sh".utf8)) == nil)
    #expect(Array("\u{7f}ELF".utf8).withUnsafeBytes { LanguageFile.ofContents($0) } == nil)
  }
}
