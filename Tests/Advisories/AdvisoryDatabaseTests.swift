import Glibc
import Matching
import Posix
import StorageMessages
import Store
import Synchronization
import TestSupport
import Testing

@testable import Advisories

@Suite struct AdvisoryDatabaseTests {
  private let scratch: TemporaryDirectory
  init() throws { scratch = try TemporaryDirectory() }

  private func open(mapSizeBytes: Int = 1 << 30) throws -> AdvisoryDatabase {
    try AdvisoryDatabase(directory: scratch.database, clock: WallClock { 42 }, mapSizeBytes: mapSizeBytes)
  }

  private func upload(_ set: String, _ entries: [(String, [UInt8])]) throws -> AdvisoryUpload {
    AdvisoryUpload(name: set, file: try scratch.write("upload-\(set)", Archives.bundle(entries)))
  }

  private func upload(_ set: String, ids: [String]) throws -> AdvisoryUpload {
    try upload(set, ids.map { ("\($0).json", Archives.record($0)) })
  }

  /// The IDs that the index holds for a package of Debian 12.
  private func ids(_ source: AdvisorySnapshot, package: String = "tar") throws -> [String] {
    try source.entries(ecosystem: "Debian:12", package: package).map(\.id)
  }

  @Test(arguments: Archives.names)
  func importsArchives(_ name: String) async throws {
    let database = try open()
    #expect(database.generation == 0)
    #expect(try database.status() == AdvisoryStatus())
    let file = try scratch.write(name, Archives.bytes(name))
    let summary = try await database.importSets([AdvisoryUpload(name: "Demo", file: file)])
    #expect(summary.read == 5 && summary.kept == 5 && summary.skipped == 0 && summary.skippedNames.isEmpty)
    #expect(database.generation == 1)
    let status = try database.status()
    #expect(status.advisories == 5)
    #expect(status.sets.map(\.name) == ["Demo"] && status.sets.map(\.records) == [5])
    let counts = status.ecosystems.map { "\($0.name) \($0.advisories) \($0.updatedAt)" }
    #expect(
      counts == ["Alpine:v3.18 1 42", "Debian:11 1 42", "Debian:12 1 42", "PyPI 1 42", "Rocky Linux:9 1 42"])
    let snapshot = database.snapshot()
    #expect(try ids(snapshot) == ["DEMO-1"], "a withdrawn advisory is in no index")
    #expect(try snapshot.entries(ecosystem: "PyPI", package: "ruamel-yaml").map(\.id) == ["DEMO-4"])
    #expect(try snapshot.entries(ecosystem: "PyPI", package: "commits-only").isEmpty)
    let advisory = try #require(try snapshot.advisory(id: "DEMO-1"))
    #expect(advisory.upstream == ["CVE-2024-0001"] && advisory.affected.isEmpty && advisory.sets == ["Demo"])
    #expect(try snapshot.advisory(id: "DEMO-3")?.withdrawnAt != 0)
    #expect(try snapshot.advisory(id: "DEMO-9") == nil)
  }

  @Test func oneBadRecordIsSkippedAndNamed() async throws {
    let database = try open()
    let good = (0..<2_500).map { ("\($0).json", Archives.record("ID-\($0)")) }
    let bad = ("worse.json", Array("{\"id\": \"X\"".utf8))
    let summary = try await database.importSets([upload("Set", good.prefix(1_300) + [bad] + good.suffix(1_200))])
    #expect(summary.kept == 2_500 && summary.skipped == 1 && summary.read == 2_501)
    #expect(summary.skippedNames == ["Set: worse.json: is not JSON"])
    #expect(try ids(database.snapshot()).count == 2_500)
    #expect(try database.status().sets.map(\.skipped) == [1])
  }

  @Test func namesOfSkippedRecordsAreBounded() async throws {
    let bad = (0..<500).map { ("\($0).json", Array("no".utf8)) }
    let summary = try await open().importSets([upload("Set", bad + [("good.json", Archives.record("A"))])])
    #expect(summary.skipped == 500 && summary.skippedNames.count == ImportSummary.skippedNamesMaximum)
  }

  @Test func filesThatAreNoRecordsArePassedOver() async throws {
    let entries = [("modified_id.csv", Array("a,b".utf8)), ("README", Array("text".utf8)), ("A", Archives.record("A"))]
    let summary = try await open().importSets([upload("Set", entries)])
    #expect(summary.read == 1 && summary.kept == 1 && summary.skipped == 0)
  }

  @Test func aSetIsReplacedWholeAndOthersStay() async throws {
    let database = try open()
    _ = try await database.importSets([upload("One", ids: ["A", "B"]), upload("Two", ids: ["C"])])
    _ = try await database.importSets([upload("One", ids: ["B", "D"])])
    #expect(try ids(database.snapshot()) == ["B", "C", "D"])
    #expect(try database.advisory(id: "A") == nil)
    #expect(try database.status().sets.map { "\($0.name) \($0.records)" } == ["One 2", "Two 1"])
    #expect(try database.snapshot().advisoryCount(ecosystem: "Debian:12") == 3)
    #expect(database.generation == 2)
  }

  @Test func theNewestRecordOfAnIDIsInForce() async throws {
    let database = try open()
    let old = ("A.json", Archives.record("A", modified: "2024-01-01T00:00:00Z", package: "old"))
    let new = ("A.json", Archives.record("A", modified: "2024-06-01T00:00:00Z", package: "new"))
    for order in [[("One", old), ("Two", new)], [("One", new), ("Two", old)]] {
      _ = try await database.importSets(order.map { try upload($0.0, [$0.1]) })
      #expect(try ids(database.snapshot(), package: "new") == ["A"])
      #expect(try ids(database.snapshot(), package: "old") == [])
      #expect(try database.snapshot().advisoryCount(ecosystem: "Debian:12") == 1)
    }
    // "One" has the newer record: without it, the other set's is in force again.
    _ = try await database.importSets([upload("One", ids: ["B"])])
    #expect(try ids(database.snapshot(), package: "old") == ["A"])
    #expect(try ids(database.snapshot(), package: "new") == [])
  }

  @Test func withinASetTheNewestOfAnIDCounts() async throws {
    let database = try open()
    let old = ("1.json", Archives.record("A", modified: "2024-01-01T00:00:00Z", package: "old"))
    let new = ("2.json", Archives.record("A", modified: "2024-06-01T00:00:00Z", package: "new"))
    for entries in [[old, new], [new, old]] {
      _ = try await database.importSets([upload("One", entries)])
      #expect(try ids(database.snapshot(), package: "new") == ["A"])
      #expect(try ids(database.snapshot(), package: "old") == [])
      #expect(try database.status().sets.map(\.records) == [1])
    }
  }

  @Test func severalUploadsAreImportedTogetherOrNotAtAll() async throws {
    let database = try open()
    _ = try await database.importSets([upload("One", ids: ["A"])])
    let cut = Array(Archives.bundle([("B.json", Archives.record("B"))]).dropLast(3))
    let bad = AdvisoryUpload(name: "Bad", file: try scratch.write("cut", cut))
    let error = await #expect(throws: AdvisoryError.self) {
      try await database.importSets([upload("One", ids: ["C"]), bad])
    }
    #expect(error?.code == .archiveTruncated)
    #expect(error?.message.hasPrefix("Bad: ") == true)
    #expect(try ids(database.snapshot()) == ["A"])
    #expect(database.generation == 1)
    #expect(scratch.databaseFiles == ["advisories-1.mdb", "advisories-1.mdb-lock", "current"])
    _ = try await database.importSets([upload("One", ids: ["C"])])
    #expect(try ids(database.snapshot()) == ["C"])
  }

  @Test func anArchiveWithoutRecordsIsRefused() async throws {
    let database = try open()
    for entries in [[], [("a.json", Array("{}".utf8))], [("a.txt", Array("a".utf8))]] {
      let error = await #expect(throws: AdvisoryError.self) { try await database.importSets([upload("Set", entries)]) }
      #expect(error?.code == .notOSV)
    }
    #expect(database.generation == 0)
  }

  @Test func aFullMapLeavesTheOldSetInForce() async throws {
    let database = try open(mapSizeBytes: 1 << 20)
    _ = try await database.importSets([upload("Set", ids: ["A"])])
    let many = (0..<5_000).map { ("\($0).json", Archives.record("ID-\($0)")) }
    let error = await #expect(throws: StoreError.self) { try await database.importSets([upload("Set", many)]) }
    #expect(error?.code == .mapFull)
    #expect(try ids(database.snapshot()) == ["A"])
    #expect(scratch.databaseFiles == ["advisories-1.mdb", "advisories-1.mdb-lock", "current"])
    _ = try await database.importSets([upload("Set", ids: ["B"])])
    #expect(try ids(database.snapshot()) == ["B"])
  }

  @Test func aFullDiskLeavesTheOldSetInForce() async throws {
    try File.createDirectories(scratch.database, mode: 0o700)
    // Needs the right to mount; a machine without it has the full map above.
    guard system("mount -t tmpfs -o size=2m tmpfs \(scratch.database) 2>/dev/null") == 0 else { return }
    defer { system("umount -l \(scratch.database)") }
    let database = try open()
    _ = try await database.importSets([upload("Set", ids: ["A"])])
    let many = (0..<20_000).map { ("\($0).json", Archives.record("ID-\($0)")) }
    let error = await #expect(throws: StoreError.self) { try await database.importSets([upload("Set", many)]) }
    #expect(error?.code == .diskFull || error?.code == .io)
    #expect(try ids(database.snapshot()) == ["A"])
    #expect(scratch.databaseFiles == ["advisories-1.mdb", "advisories-1.mdb-lock", "current"])
    _ = try await database.importSets([upload("Set", ids: ["B"])])
    #expect(try ids(database.snapshot()) == ["B"])
  }

  @Test func aCancelledImportLeavesTheOldSetInForce() async throws {
    let database = try open()
    _ = try await database.importSets([upload("Set", ids: ["A"])])
    let next = try upload("Set", ids: ["B"])
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      return try await database.importSets([next])
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(try ids(database.snapshot()) == ["A"])
    _ = try await database.importSets([next])
    #expect(try ids(database.snapshot()) == ["B"])
  }

  @Test func whatAKilledImportLeftIsRemovedAtOpen() async throws {
    try await importOnce()
    for name in ["advisories-2.mdb", "advisories-2.mdb-lock", "advisories-77.mdb", "current.new"] {
      _ = try scratch.write("advisories/\(name)", Array("half".utf8))
    }
    let database = try open()
    #expect(scratch.databaseFiles == ["advisories-1.mdb", "advisories-1.mdb-lock", "current"])
    #expect(database.generation == 1)
    #expect(try ids(database.snapshot()) == ["A"])
    _ = try await database.importSets([upload("Set", ids: ["B"])])
    #expect(try ids(database.snapshot()) == ["B"])
  }

  /// An import by a database that is gone when this returns.
  private func importOnce() async throws {
    let database = try open()
    _ = try await database.importSets([upload("Set", ids: ["A"])])
  }

  @Test func aSnapshotOutlivesImports() async throws {
    let database = try open()
    _ = try await database.importSets([upload("Set", ids: ["A"])])
    var snapshot: AdvisorySnapshot? = database.snapshot()
    _ = try await database.importSets([upload("Set", ids: ["B"])])
    _ = try await database.importSets([upload("Set", ids: ["C"])])
    #expect(try snapshot.map { try ids($0) } == ["A"])
    #expect(scratch.databaseFiles.filter { $0.hasSuffix(".mdb") } == ["advisories-1.mdb", "advisories-3.mdb"])
    snapshot = nil
    #expect(scratch.databaseFiles.filter { $0.hasSuffix(".mdb") } == ["advisories-3.mdb"])
    #expect(try ids(database.snapshot()) == ["C"])
  }

  @Test func aSecondImportIsRefusedWhileOneRuns() async throws {
    let database = try open()
    let first = try upload("One", ids: ["A"])
    let second = try upload("Two", ids: ["B"])
    let refusal = Refusal()
    _ = try await database.importSets([first]) { _ in
      let done = Signal()
      Task {
        do {
          _ = try await database.importSets([second])
        } catch {
          refusal.set(error)
        }
        done.send()
      }
      // The import's own thread: it may wait.
      done.wait()
    }
    #expect(refusal.code == .importRunning)
    _ = try await database.importSets([second])
    #expect(try ids(database.snapshot()) == ["A", "B"])
  }

  @Test func aDamagedDatabaseIsRefusedWithAHint() async throws {
    try await importOnce()
    for text in ["advisories-9.mdb\n", "../../etc/passwd\n", "", "\n"] {
      _ = try scratch.write("advisories/current", Array(text.utf8))
      let error = #expect(throws: StoreError.self) { try open() }
      #expect(error?.code == .damaged)
      #expect(error?.hint.contains("import the advisories again") == true)
    }
    _ = try scratch.write("advisories/current", Array("advisories-1.mdb\n".utf8))
    #expect(truncate(scratch.database + "/advisories-1.mdb", 9_000) == 0)
    let error = #expect(throws: StoreError.self) { try open() }
    #expect(error?.code == .damaged)
  }

  @Test(arguments: ["", "a\nb", "a\0b", String(repeating: "a", count: 201)])
  func badSetNamesAreRefused(_ name: String) async throws {
    let database = try open()
    let file = try upload("Set", ids: ["A"]).file
    let error = await #expect(throws: AdvisoryError.self) {
      try await database.importSets([AdvisoryUpload(name: name, file: file)])
    }
    #expect(error?.code == .badName)
  }

  @Test func namesNoRecordHasAreInNoIndex() async throws {
    let database = try open()
    _ = try await database.importSets([upload("Set", ids: ["A"])])
    let snapshot = database.snapshot()
    let long = String(repeating: "a", count: 10_000)
    for name in ["", long, "tar\0A", "ta", "\0"] { #expect(try ids(snapshot, package: name).isEmpty) }
    #expect(try snapshot.entries(ecosystem: "Debian:1", package: "tar").isEmpty)
    #expect(try snapshot.advisoryCount(ecosystem: long) == 0)
    #expect(try snapshot.advisory(id: long) == nil)
    #expect(try snapshot.advisory(id: "") == nil)
  }
}

/// The code of an error, from one thread to another.
private final class Refusal: Sendable {
  private let value = Mutex<AdvisoryError.Code?>(nil)
  var code: AdvisoryError.Code? { value.withLock { $0 } }
  func set(_ error: any Error) { value.withLock { $0 = (error as? AdvisoryError)?.code } }
}
