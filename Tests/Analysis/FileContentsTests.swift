import Analysis
import Inventory
import StorageMessages
import Testing

@Suite("Contents of files")
struct FileContentsTests {
  private func file(_ name: String, _ text: String = "x", mode: String) -> [UInt8] {
    TarBuilder.reseal(
      TarBuilder.header(Array(name.utf8), size: text.utf8.count), at: 100, Array("0\(mode)\0\0\0\0\0\0".utf8.prefix(8)))
      + TarBuilder.body(Array(text.utf8))
  }

  private func findings(_ archive: [UInt8]) -> [String] {
    analyse(archive + TarBuilder.end).fileFindings.map { "\($0.id) \(String(decoding: $0.path, as: UTF8.self))" }
  }

  @Test("modes that give away rights are findings, where they do so")
  func modes() {
    #expect(
      findings(
        file("usr/bin/su", mode: "4755") + file("usr/bin/wall", mode: "2755") + file("usr/bin/both", mode: "6755")
          + file("etc/cron.d/job", mode: "666") + file("usr/share/doc", mode: "4644") + file("bin/sh", mode: "755")
          + file("tmp/anything", mode: "666")) == [
          "WORLD_WRITABLE_FILE etc/cron.d/job", "SETUID_FILE usr/bin/both", "SETGID_FILE usr/bin/both",
          "SETUID_FILE usr/bin/su", "SETGID_FILE usr/bin/wall",
        ])
    let open = TarBuilder.reseal(TarBuilder.directory("var/open"), at: 100, Array("0000777\0".utf8))
    let sticky = TarBuilder.reseal(TarBuilder.directory("tmp"), at: 100, Array("0001777\0".utf8))
    #expect(findings(open + sticky) == ["WORLD_WRITABLE_DIRECTORY var/open"])
  }

  @Test("the last entry of a path counts")
  func lastEntry() {
    #expect(findings(file("bin/x", mode: "4755") + file("bin/x", mode: "755")).isEmpty)
    #expect(findings(file("bin/x", mode: "755") + file("bin/x", mode: "4755")) == ["SETUID_FILE bin/x"])
  }

  @Test("more findings than are kept are said, once")
  func findingLimit() {
    var limits = AnalysisLimits()
    limits.fileFindings = 3
    let archive = (0..<9).flatMap { file("bin/\($0)", mode: "4755") } + TarBuilder.end
    let analysis = analyse(archive, limits: limits)
    #expect(analysis.fileFindings.count == 3)
    #expect(codes(analysis) == ["LAYER_FINDING_LIMIT"])
    #expect(analysis.faults.first?.message.contains(" 6 files") == true)
  }

  /// Each word that begins with "hunter".
  private func search(_ file: LayerFile, _ found: inout [SecretRecord]) {
    for word in String(decoding: file.bytes, as: UTF8.self).split(separator: " ") where word.hasPrefix("hunter") {
      var secret = SecretRecord()
      secret.rule = "test"
      secret.path = Array(file.path)
      secret.line = 1
      secret.value = Array(word.utf8)
      found.append(secret)
    }
  }

  private func secrets(_ archive: [UInt8], _ limits: AnalysisLimits = .standard) -> LayerAnalysis {
    LayerAnalyser(limits: limits, secretSearch: search).analyse(
      MemorySource(archive + TarBuilder.end, pieceBytes: 1000))
  }

  @Test("text files are searched for secrets, whatever they are called; others are not")
  func text() {
    let big = "a hunter2 " + String(repeating: "x", count: 20_000)
    let late = String(repeating: "y", count: 9_000) + " hunter4"
    let binary = TarBuilder.file("b", Array("hunter3 ".utf8) + [0, 1])
    let lateBinary = TarBuilder.file("c", Array((late + " ").utf8) + [0, 1])
    let found = secrets(
      TarBuilder.file("z/.env", big) + binary + lateBinary + TarBuilder.file("empty") + TarBuilder.file("a", late)
    ).secrets
    #expect(found.map { String(decoding: $0.path, as: UTF8.self) } == ["a", "c", "z/.env"])
    #expect(found.map { String(decoding: $0.value, as: UTF8.self) } == ["hunter4", "hunter4", "hunter2"])
  }

  @Test("a text file over its bound is not searched, one at its bound is")
  func textLimit() {
    var limits = AnalysisLimits()
    limits.secretFileBytes = 8
    #expect(secrets(TarBuilder.file("a", "hunter21"), limits).secrets.count == 1)
    let over = TarBuilder.file("a", "hunter212")
    let binary = TarBuilder.file("b", Array("hunter21".utf8) + [0, 0])
    let analysis = secrets(binary + over + TarBuilder.file("c", "hunter2133"), limits)
    #expect(analysis.secrets.isEmpty)
    // Once for the layer, and not of what is no text.
    #expect(codes(analysis) == ["SECRETS_NOT_READ"])
    #expect(analysis.faults.map(\.path) == [Array("a".utf8)])
    #expect(analysis.faults.first?.message.contains("8 bytes") == true)
    #expect(analysis.faults.first?.message.contains(" 2 in this layer") == true)
    #expect(codes(analyse(TarBuilder.archive(over), limits: limits)).isEmpty)
  }

  @Test("secrets or paths of them that are more than is kept are left out and told once; the rest of the layer is read")
  func secretBytes() {
    let files = (0..<9).flatMap { TarBuilder.file("conf/\($0)", "hunter\($0)") }
    let archive = TarBuilder.file("lib/apk/db/installed", apkStanza) + files
    for (secretsBytes, pathBytes) in [(100, 1_000), (1_000, 150)] {
      var limits = AnalysisLimits.standard
      limits.secretsBytes = secretsBytes
      limits.keptPathBytes = pathBytes
      let analysis = secrets(archive, limits)
      #expect(codes(analysis) == ["SECRET_LIMIT"])
      #expect((1..<9).contains(analysis.secrets.count))
      #expect(analysis.faults.first?.message.contains(" \(9 - analysis.secrets.count) files") == true)
      #expect(rows(analysis).count == 1 && analysis.entries == 10)
    }
  }

  @Test("what a later entry replaces takes no room from what is kept")
  func givenBack() {
    var limits = AnalysisLimits.standard
    limits.secretsBytes = 100
    limits.keptPathBytes = 200
    let module = "node_modules/m/package.json"
    let entries = (0..<20).flatMap { number in
      TarBuilder.file("conf/a", "hunter\(number)") + TarBuilder.file(module, #"{"name":"m","version":"\#(number)"}"#)
    }
    let analysis = secrets(entries, limits)
    #expect(codes(analysis).isEmpty)
    #expect(analysis.secrets.map(\.value) == [Array("hunter19".utf8)])
    #expect(rows(analysis).map { $0.split(separator: "\t")[2] } == ["19"])
  }

  @Test("packages over the bound are told once, however many files list them")
  func packagesLeftOut() {
    var limits = AnalysisLimits.standard
    limits.packages = 2
    limits.faults = 5
    let modules = (0..<20).flatMap { number in
      TarBuilder.file("node_modules/m\(number)/package.json", #"{"name":"m\#(number)","version":"1"}"#)
    }
    let analysis = analyse(
      modules + TarBuilder.file("node_modules/x/package.json", "{") + TarBuilder.end, limits: limits)
    #expect(codes(analysis) == ["DATABASE_MALFORMED", "LAYER_PACKAGE_LIMIT"])
    #expect(analysis.faults.last?.message.contains(" 18 files") == true)
    #expect(analysis.faults.last?.path == Array("node_modules/m2/package.json".utf8))
  }

  @Test("what is wrong with a file is told also where the layer ends in it")
  func cutFile() {
    let failing: LayerAnalyser.SecretSearch = { file, found throws(LayerError) in
      throw LayerError(.secretLimit, "enough", path: Array(file.path))
    }
    let whole = TarBuilder.file("node_modules/m/package.json", "{" + String(repeating: " ", count: 5_000) + "}")
    let analysis = LayerAnalyser(secretSearch: failing).analyse(
      MemorySource(Array(whole.prefix(2_000)), pieceBytes: 512))
    #expect(codes(analysis) == ["FILE_TOO_LARGE", "SECRET_LIMIT", "LAYER_TRUNCATED"])
  }

  @Test("what ended the reading of a layer is told, however many faults came before")
  func endIsKept() {
    var limits = AnalysisLimits.standard
    limits.faults = 2
    let modules = (0..<9).flatMap { TarBuilder.file("node_modules/m\($0)/package.json", "{") }
    let analysis = analyse(modules + TarBuilder.file("x", "x").dropLast(100), limits: limits)
    #expect(
      codes(analysis) == ["DATABASE_MALFORMED", "DATABASE_MALFORMED", "LAYER_FAULT_LIMIT", "LAYER_TRUNCATED"])
  }

  @Test("a search that does not end well is told, and the rest is read")
  func searchEnds() {
    let failing: LayerAnalyser.SecretSearch = { file, found throws(LayerError) in
      search(file, &found)
      throw LayerError(.secretLimit, "enough", path: Array(file.path))
    }
    let archive = TarBuilder.archive(TarBuilder.file("a", "hunter1"), TarBuilder.file("b", "hunter2"))
    let analysis = LayerAnalyser(secretSearch: failing).analyse(MemorySource(archive, pieceBytes: 1000))
    #expect(analysis.secrets.count == 2)
    #expect(codes(analysis) == ["SECRET_LIMIT", "SECRET_LIMIT"])
    #expect(analysis.faults.map(\.path) == [Array("a".utf8), Array("b".utf8)])
  }

  @Test("a layer that ends in a file is searched as far as it goes")
  func cut() {
    let whole = TarBuilder.file("a", "hunter2 " + String(repeating: "x", count: 5_000))
    let analysis = LayerAnalyser(secretSearch: search).analyse(
      MemorySource(Array(whole.prefix(2_000)), pieceBytes: 512))
    #expect(analysis.secrets.count == 1)
    #expect(codes(analysis) == ["LAYER_TRUNCATED"])
  }

  // MARK: - Over layers

  private func database(_ path: String, _ names: String...) -> PackageDatabase {
    var database = PackageDatabase()
    database.kind = "npm"
    database.path = Array(path.utf8)
    database.packages = names.map { name in
      var package = Package()
      package.type = "npm"
      package.name = name
      package.version = "1.0.0"
      return package
    }
    return database
  }

  private func layer(_ databases: PackageDatabase..., archive: [UInt8] = []) -> LayerAnalysis {
    var layer = secrets(archive)
    layer.databases += databases
    return layer
  }

  private func packages(_ inventory: MergedInventory) -> [String] {
    inventory.packages.map { "\($0.package?.name ?? "") \($0.path) \($0.layer)" }
  }

  @Test(
    "a package of a language is gone when its file is",
    arguments: [
      TarBuilder.file("app/node_modules/a/.wh.package.json"), TarBuilder.file("app/node_modules/.wh.a"),
      TarBuilder.file(".wh.app"), TarBuilder.file("app/.wh..wh..opq"), TarBuilder.file(".wh..wh..opq"),
      TarBuilder.file("app/node_modules/a/package.json", "none any more"), TarBuilder.file("app", "a file"),
      TarBuilder.symlink("app/node_modules", "elsewhere"), TarBuilder.directory("app/node_modules/a/package.json"),
    ])
  func gone(upper: [UInt8]) {
    let base = layer(database("app/node_modules/a/package.json", "a"), database("srv/node_modules/b/package.json", "b"))
    let rest = upper == TarBuilder.file(".wh..wh..opq") ? [] : ["b srv/node_modules/b/package.json 0"]
    #expect(packages(InventoryMerger.merge([base, layer(archive: upper)])) == rest)
    #expect(packages(InventoryMerger.merge([layer(archive: upper), base])).count == 2)
  }

  @Test("a package belongs to the layer that brought it, and is listed once")
  func attribution() {
    let inventory = InventoryMerger.merge([
      layer(database("a/node_modules/x/package.json", "x")), layer(database("b/node_modules/x/package.json", "x")),
      layer(database("c/node_modules/y/package.json", "y"), archive: TarBuilder.file("a/node_modules/.wh.x")),
    ])
    #expect(packages(inventory) == ["x b/node_modules/x/package.json 0", "y c/node_modules/y/package.json 2"])
    #expect(inventory.packages.map(\.purl) == ["pkg:npm/x@1.0.0", "pkg:npm/y@1.0.0"])
  }

  @Test("what lock files name is apart from what is installed")
  func lockFiles() {
    var base = layer(database("app/node_modules/a/package.json", "a"))
    base.lockFiles = [database("app/package-lock.json", "a", "b")]
    let inventory = InventoryMerger.merge([base])
    #expect(packages(inventory) == ["a app/node_modules/a/package.json 0"])
    #expect(inventory.lockedPackages.map { $0.package?.name } == ["a", "b"])
    let later = InventoryMerger.merge([base, layer(archive: TarBuilder.file("app/.wh.package-lock.json"))])
    #expect(later.lockedPackages.isEmpty)
  }

  @Test("a secret that a later layer removes is still one, and that is said")
  func removedSecret() {
    let inventory = InventoryMerger.merge([
      layer(archive: TarBuilder.file("app/.env", "hunter2") + TarBuilder.file("kept", "hunter3")),
      layer(archive: TarBuilder.file("unrelated")), layer(archive: TarBuilder.file("app/..env")),
      layer(archive: TarBuilder.file("app/.wh..env")), layer(archive: TarBuilder.file("app/.env", "hunter4")),
    ])
    #expect(
      inventory.secrets.map { "\(String(decoding: $0.record.value, as: UTF8.self)) \($0.layer) \($0.hiddenBy ?? -1)" }
        == ["hunter2 0 3", "hunter3 0 -1", "hunter4 4 -1"])
  }

  @Test("what is wrong with a file goes with it")
  func replacedFile() {
    let base = layer(archive: file("bin/x", mode: "4755"))
    #expect(InventoryMerger.merge([base]).fileFindings.count == 1)
    #expect(InventoryMerger.merge([base, layer(archive: file("bin/x", mode: "755"))]).fileFindings.isEmpty)
    #expect(InventoryMerger.merge([base, layer(archive: file("bin/y", mode: "755"))]).fileFindings.count == 1)
  }

  @Test func `Malware that a later layer hides stays, and says which layer that was`() {
    func malware(_ path: String) -> FileMalware {
      var file = FileMalware()
      file.path = Array(path.utf8)
      file.signature = "Test"
      return file
    }
    let lower = layer(archive: file("a/x", mode: "644") + file("b", mode: "644") + file("c", mode: "644"))
    let upper = layer(archive: file("b", mode: "644") + TarBuilder.file(".wh.a"))
    var merger = InventoryMerger()
    merger.add(lower, malware: [malware("a/x"), malware("b"), malware("c")])
    merger.add(nil)
    merger.add(upper, malware: [malware("b")])
    let found = merger.result().malware
    #expect(found.map { String(decoding: $0.record.path, as: UTF8.self) } == ["a/x", "b", "c", "b"])
    #expect(found.map(\.layer) == [0, 0, 0, 2] && found.map(\.hiddenBy) == [2, 2, nil, nil])
  }

  @Test("the root's own mode is told, and costs the layer nothing else")
  func rootForAll() throws {
    let root = TarBuilder.reseal(TarBuilder.directory("./"), at: 100, Array("0000777".utf8))
    let analysis = analyse(root + TarBuilder.file("etc/os-release", "ID=debian\n") + TarBuilder.end)
    #expect(analysis.fileFindings.map(\.path) == [[]])
    let answer = try #require(WorkerProtocol.encodeAnswer(analysis))
    #expect(try WorkerProtocol.decodeAnswer(answer) == analysis)
    let inventory = InventoryMerger.merge([analysis, analysis])
    #expect(inventory.fileFindings.count == 1 && inventory.os?.id == "debian")
  }
}
