import Inventory
import StorageMessages
import Testing

@testable import Analysis

@Suite("Packages in files of text and JSON")
struct LanguageListTests {
  /// The files of `node_modules` in a fixture, with what each is.
  static func modules() throws -> [(kind: LanguageFile, path: String, bytes: [UInt8])] {
    let reader = TarReader(MemorySource(try unpackedFixture("languages/npm.tar.gz")))
    var files: [(LanguageFile, String, [UInt8])] = []
    while try reader.next() {
      guard reader.kind == .file, let kind = LanguageFile.of(path: reader.path.bytes) else { continue }
      var body: [UInt8] = []
      try reader.readBody(into: &body, limit: 1 << 20)
      files.append((kind, String(decoding: reader.pathBytes, as: UTF8.self), body))
    }
    return files
  }

  @Test("npm's modules and its lock file are what npm lists")
  func npm() throws {
    let expected = try lines("languages/npm.txt").map { line in
      let at = line.lastIndex(of: "@") ?? line.startIndex
      return "\(line[..<at]) \(line[line.index(after: at)...])"
    }
    let files = try Self.modules()
    let installed = files.filter { $0.kind == .npmModule }.map { list($0.kind, $0.bytes, path: $0.path) }
    #expect(installed.flatMap(\.packages).sorted() == expected)
    #expect(installed.allSatisfy { $0.codes.isEmpty })
    let lock = try #require(files.first { $0.kind == .npmLock })
    #expect(list(.npmLock, lock.bytes) == Listing(packages: expected))
    #expect(files.count == expected.count + 1)
  }

  @Test("lock files of npm 6 nest their modules; what is no release is left out")
  func npmLockVersion1() {
    let lock = """
      {"name": "app", "lockfileVersion": 1, "dependencies": {
        "a": {"version": "1.0.0", "dependencies": {"b": {"version": "2.0.0", "dev": true}}},
        "b": {"version": "1.9.0"}, "c": {"version": "file:../c"}, "d": {"version": "git+ssh://git@example.org/d.git#0a1b"},
        "e": {"version": "npm:@real/e@3.1.0"}, "f": {"version": 7}, "g": []}}
      """
    #expect(list(.npmLock, lock) == Listing(packages: ["@real/e 3.1.0", "a 1.0.0", "b 1.9.0", "b 2.0.0"]))
  }

  @Test("lock files of npm 7 name modules by their directories")
  func npmLockVersion3() {
    let lock = """
      {"lockfileVersion": 3, "packages": {
        "": {"name": "app", "version": "1.0.0"}, "node_modules/@s/a": {"version": "1.0.0"},
        "node_modules/x/node_modules/b": {"version": "2.0.0", "dev": true},
        "node_modules/alias": {"name": "real", "version": "3.0.0"}, "packages/w": {"version": "9.0.0"},
        "node_modules/w": {"resolved": "packages/w", "link": true}, "node_modules/x": {"version": "1.0.0"},
        "node_modules/y/node_modules/x": {"version": "1.0.0"}}, "dependencies": {"z": {"version": "1.0.0"}}}
      """
    #expect(list(.npmLock, lock) == Listing(packages: ["@s/a 1.0.0", "b 2.0.0", "real 3.0.0", "x 1.0.0"]))
  }

  @Test("lock files of Yarn, old and new")
  func yarn() {
    let old = """
      # yarn lockfile v1

      "@babel/core@^7.0.0", "@babel/core@^7.1.0":
        version "7.12.11"
        resolved "https://registry.example.org/@babel/core"
        dependencies:
          version "1.0.0"

      alias@npm:real@^1.0.0:
        version "1.2.0"
      ms@2.0.0:
        version "2.0.0"
      """
    #expect(list(.yarnLock, old) == Listing(packages: ["@babel/core 7.12.11", "ms 2.0.0", "real 1.2.0"]))
    let new = """
      __metadata:
        version: 6

      "@babel/core@npm:^7.0.0, @babel/core@npm:^7.1.0":
        version: 7.12.11
        resolution: "@babel/core@npm:7.12.11"

      "app@workspace:.":
        version: 0.0.0-use.local
      "a@npm:@real/a@^1":
        version: 1.0.1
      """
    #expect(list(.yarnLock, new) == Listing(packages: ["@babel/core 7.12.11", "@real/a 1.0.1"]))
  }

  @Test("package.json of hostile shapes")
  func hostileModules() {
    #expect(list(.npmModule, #"{"name": "../../x", "version": "1"}"#) == Listing(packages: ["../../x 1"]))
    #expect(list(.npmModule, #"{"name": "a\nb", "version": "1\u0000"}"#) == Listing(packages: ["a\nb 1\u{fffd}"]))
    #expect(list(.npmModule, #"{"name": ["a"], "version": "1"}"#) == Listing(codes: ["DATABASE_MALFORMED"]))
    #expect(list(.npmModule, #"{"name": "a", "version": {}}"#) == Listing(codes: ["DATABASE_MALFORMED"]))
    #expect(list(.npmModule, #"{"name": "", "version": "1"}"#) == Listing(codes: ["DATABASE_MALFORMED"]))
    #expect(list(.npmModule, #"{"type": "module"}"#) == Listing())
    #expect(list(.npmModule, #"{"name": "a", "version": "1", "name": "b"}"#) == Listing(packages: ["b 1"]))
    #expect(list(.npmModule, "\u{feff}{\"name\": \"a\", \"version\": \"1\"}") == Listing(packages: ["a 1"]))
    #expect(list(.npmModule, "[]") == Listing())
    #expect(list(.npmModule, "") == Listing(codes: ["DATABASE_MALFORMED"]))
    let deep = String(repeating: "[", count: 1_000_000)
    #expect(list(.npmModule, deep) == Listing(codes: ["DATABASE_MALFORMED"]))
    let long = #"{"name": "\#(String(repeating: "a", count: 2_000))", "version": "1"}"#
    #expect(list(.npmModule, long) == Listing(codes: ["DATABASE_MALFORMED"]))
    var limits = AnalysisLimits()
    limits.jsonBytes = 10
    #expect(list(.npmModule, Array(long.utf8), limits: limits) == Listing(codes: ["FILE_TOO_LARGE"]))
    #expect(list(.npmModule, Array(long.utf8), size: 5_000) == Listing(codes: ["FILE_TOO_LARGE"]))
    let latin = Array(#"{"name": "a"#.utf8) + [0xe9] + Array(#"", "version": "1"}"#.utf8)
    #expect(list(.npmModule, latin) == Listing(packages: ["a\u{fffd} 1"]))
  }

  @Test("Python's metadata, names as they are written", arguments: ["python-METADATA", "python-PKG-INFO"])
  func pythonMetadata(name: String) throws {
    #expect(list(.pythonMetadata, try fixture("languages/" + name)) == Listing(packages: ["Sample.Package-x 1.0rc1"]))
  }

  @Test("Python's metadata of other shapes")
  func pythonMetadataShapes() {
    #expect(list(.pythonMetadata, "name: a\r\nVERSION:1.0\r\n") == Listing(packages: ["a 1.0"]))
    #expect(list(.pythonMetadata, "Name: a\nName: b\nVersion: 1\n") == Listing(packages: ["a 1"]))
    // The description after the fields is free text.
    #expect(list(.pythonMetadata, "Name: a\n\nVersion: 1\n") == Listing(codes: ["DATABASE_MALFORMED"]))
    #expect(list(.pythonMetadata, "") == Listing(codes: ["DATABASE_MALFORMED"]))
  }

  @Test("of requirements, what is pinned to one version")
  func requirements() {
    let text = """
      # comment
      Django==2.2
      requests[security,tests] == 2.19.1 ; python_version < "3"
      flask===0.12.2 --hash=sha256:0a
      a>=1.0
      b==1.*
      c==1.0,!=1.1
      -r other.txt
      git+https://example.org/d.git@1.0
      e @ https://example.org/e-1.0.whl
      f==1!2.0+local.1  # pinned
      g[
      ==1.0
      """
    #expect(
      list(.pythonRequirements, text)
        == Listing(packages: ["Django 2.2", "f 1!2.0+local.1", "flask 0.12.2", "requests 2.19.1"]))
  }

  @Test("lock files with tables of packages, and Pipenv's")
  func pythonLocks() {
    let poetry = """
      [[package]]
      name = "idna"
      version = "3.4"
      [package.dependencies]
      name = "no"
      version = "1"

      [[package]]
      version = "2.0" # first
      name = "b"
      [metadata]
      name = "c"
      version = "1"
      [[package]]
      name = "without"
      """
    #expect(list(.poetryLock, poetry) == Listing(packages: ["b 2.0", "idna 3.4"]))
    #expect(parse(.cargoLock, Array(poetry.utf8)).packages.map(\.type) == ["cargo", "cargo"])
    let pipfile =
      #"{"_meta": {}, "default": {"a": {"version": "==1.0"}, "e": {"git": "x"}}, "develop": {"b": {"version": "==2"}}}"#
    #expect(list(.pipfileLock, pipfile) == Listing(packages: ["a 1.0", "b 2"]))
  }

  @Test("installed gems are what RubyGems lists")
  func gems() throws {
    let found = try ["sample-ruby-1.13.0.rc2", "sample-x86_64-linux-1.13.0.rc2-x86_64-linux"].flatMap {
      list(.gemSpecification, try fixture("languages/\($0).gemspec")).packages
    }
    let expected = try lines("languages/gems.txt").map { $0.filter { $0 != "(" && $0 != ")" } }
    #expect(found == expected)
    let assigned =
      "Gem::Specification.new do |s|\n  s.name = %q{rack}\n  s.name = \"rack\".freeze\n  s.version = Gem::Version.new('2.2.6')\nend"
    #expect(list(.gemSpecification, assigned) == Listing(packages: ["rack 2.2.6"]))
    #expect(list(.gemSpecification, "s.version = VERSION") == Listing(codes: ["DATABASE_MALFORMED"]))
  }

  @Test("Bundler's lock file")
  func bundler() {
    let lock = """
      PATH
        remote: .
        specs:
          own (1.0)

      GEM
        remote: https://rubygems.org/
        specs:
          nokogiri (1.13.0-x86_64-linux)
            racc (~> 1.4)
          racc (1.6.0)

      PLATFORMS
        x86_64-linux

      DEPENDENCIES
          odd (1.0)
      """
    #expect(list(.gemfileLock, lock) == Listing(packages: ["nokogiri 1.13.0 x86_64-linux", "racc 1.6.0"]))
  }

  @Test("of a .NET program's libraries, the packages")
  func nuGet() {
    let dependencies = """
      {"runtimeTarget": {"name": ".NETCoreApp,Version=v6.0"}, "targets": {".NETCoreApp,Version=v6.0": {}},
       "libraries": {"app/1.0.0": {"type": "project"}, "Newtonsoft.Json/13.0.1": {"type": "package", "sha512": "x"},
       "runtimepack.Microsoft.NETCore.App.Runtime.linux-x64/6.0.0": {"type": "runtimepack"},
       "NoVersion": {"type": "package"}}}
      """
    #expect(
      list(.dotnetDependencies, dependencies)
        == Listing(packages: ["Newtonsoft.Json 13.0.1"], codes: ["DATABASE_MALFORMED"]))
    let lock = """
      {"version": 1, "dependencies": {"net6.0": {"A": {"type": "Direct", "resolved": "1.0.0"}, "own": {"type": "Project"}},
       "net7.0": {"A": {"resolved": "1.0.0"}, "B": {"resolved": "2.0.0"}}}}
      """
    #expect(list(.nugetLock, lock) == Listing(packages: ["A 1.0.0", "B 2.0.0"]))
  }

  @Test("what Composer has installed, in both layouts, is what it lists")
  func composer() throws {
    let expected = try lines("languages/composer.txt").map { $0.replacing(" v", with: " ") }.sorted()
    #expect(list(.composerInstalled, try fixture("languages/composer-installed.json")) == Listing(packages: expected))
    #expect(list(.composerLock, try fixture("languages/composer.lock")) == Listing(packages: expected))
    let old = #"[{"name": "a/b", "version": "V2.0"}, {"name": "a/c", "version": "dev-main"}, {"name": "a/d"}, 7]"#
    #expect(
      list(.composerInstalled, old) == Listing(packages: ["a/b 2.0", "a/c dev-main"], codes: ["DATABASE_MALFORMED"]))
    #expect(list(.composerInstalled, #"{"packages": "none"}"#) == Listing())
  }
}
