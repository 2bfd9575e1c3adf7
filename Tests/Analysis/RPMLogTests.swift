import Glibc
import Inventory
import StorageMessages
import Testing

@testable import Analysis

/// The write-ahead log beside an rpm database: `Fixtures/rpm-formats/wal`, in which the database alone lists two packages,
/// one of which the log removes, while it adds three.
@Suite("Write-ahead logs of rpm databases")
struct RPMLogTests {
  static let path = "var/lib/rpm/rpmdb.sqlite"
  static let logPath = path + "-wal"
  static let frameBytes = 24 + 4_096

  static func database() throws -> [UInt8] { try file(path, in: RPMFormat.wal.layer()) }
  static func log() throws -> [UInt8] { try file(logPath, in: RPMFormat.wal.layer()) }

  static func analyseBoth(_ log: [UInt8], limits: AnalysisLimits = .standard) throws -> LayerAnalysis {
    analyse(
      TarBuilder.archive(TarBuilder.file(path, try database()), TarBuilder.file(logPath, log)), limits: limits)
  }

  static func names(_ analysis: LayerAnalysis) -> [String] {
    analysis.databases.flatMap(\.packages).map(\.name).sorted()
  }

  static let before = ["gone", "plain"]
  static let after = ["epoch", "many", "modular", "plain"]

  /// The frames that commit, by their numbers.
  static func commits(_ log: [UInt8]) -> [Int] {
    (0..<((log.count - 32) / frameBytes)).filter { frame in
      log[(32 + frame * frameBytes + 4)..<(32 + frame * frameBytes + 8)].contains { $0 != 0 }
    }
  }

  @Test("a log is applied whether it comes before or after its database")
  func order() throws {
    let database = TarBuilder.file(Self.path, try Self.database())
    let log = TarBuilder.file(Self.logPath, try Self.log())
    let empty = TarBuilder.file(Self.logPath, [UInt8]())
    #expect(Self.names(analyse(TarBuilder.archive(database))) == Self.before)
    for archive in [
      TarBuilder.archive(database, log), TarBuilder.archive(log, database), TarBuilder.archive(empty, log, database),
      TarBuilder.archive(log, database, database), TarBuilder.archive(database, log, log),
    ] {
      let analysis = analyse(archive)
      #expect(codes(analysis).isEmpty)
      #expect(Self.names(analysis) == Self.after)
      #expect(analysis.databases.map(\.kind) == ["rpm", "rpm-log"])
    }
    // The last entry of a path counts.
    for archive in [
      TarBuilder.archive(database, empty), TarBuilder.archive(empty, database),
      TarBuilder.archive(log, empty, database),
      TarBuilder.archive(database, log, empty),
    ] {
      let analysis = analyse(archive)
      #expect(codes(analysis).isEmpty)
      #expect(Self.names(analysis) == Self.before)
    }
  }

  @Test("a log without its database is told")
  func alone() throws {
    let log = TarBuilder.file(Self.logPath, try Self.log())
    let elsewhere = TarBuilder.file("usr/lib/sysimage/rpm/rpmdb.sqlite", try Self.database())
    for archive in [
      TarBuilder.archive(log), TarBuilder.archive(log, TarBuilder.directory(Self.path)),
      TarBuilder.archive(log, elsewhere),
      TarBuilder.archive(TarBuilder.file(Self.path, try Self.database()), log, TarBuilder.symlink(Self.path, "x")),
    ] {
      let analysis = analyse(archive)
      #expect(codes(analysis).contains("DATABASE_INCOMPLETE"))
      #expect(analysis.faults.contains { $0.path == Array(Self.logPath.utf8) })
    }
    #expect(codes(analyse(TarBuilder.archive(TarBuilder.file(Self.logPath, [UInt8]())))).isEmpty)
  }

  @Test("a database and a log of different layers are told, whichever is above, unless the log is empty or gone")
  func otherLayer() throws {
    func merge(_ layers: [UInt8]...) -> [String] {
      codes(InventoryMerger.merge(layers.map { analyse($0 + TarBuilder.end) })).filter { $0 != "OS_RELEASE_MISSING" }
    }
    let (database, log) = (
      TarBuilder.file(Self.path, try Self.database()), TarBuilder.file(Self.logPath, try Self.log())
    )
    let empty = TarBuilder.file(Self.logPath, [UInt8]())
    #expect(merge(database, log) == ["DATABASE_INCOMPLETE"])
    #expect(merge(database + log, database) == ["PACKAGE_DATABASE_LOG_OF_OTHER_LAYER"])
    #expect(merge(log + TarBuilder.directory("opt"), database).contains("PACKAGE_DATABASE_LOG_OF_OTHER_LAYER"))
    #expect(merge(database + log, database + log).isEmpty)
    #expect(merge(database + log, database, empty).isEmpty)
    #expect(merge(database + log, database, TarBuilder.file("var/lib/rpm/.wh.rpmdb.sqlite-wal")).isEmpty)
    #expect(merge(database + empty, database).isEmpty)
  }

  @Test("what was committed counts, and nothing after it")
  func commits() throws {
    let log = try Self.log()
    let commits = Self.commits(log)
    #expect(commits.count >= 2)
    // Cut behind each commit, and in the middle of the frame that follows it: the same is read, and it is no fault.
    for commit in commits {
      let end = 32 + (commit + 1) * Self.frameBytes
      let exact = try Self.analyseBoth(Array(log[..<end]))
      let torn = try Self.analyseBoth(Array(log[..<min(log.count, end + 999)]))
      #expect(codes(exact).isEmpty && codes(torn).isEmpty)
      #expect(rows(exact) == rows(torn))
    }
    let first = try Self.analyseBoth(Array(log[..<(32 + commits[0] * Self.frameBytes)]))
    #expect(codes(first).isEmpty)
    #expect(Self.names(first) == Self.before)
    // No frame at all.
    for length in [1, 31, 32] { #expect(Self.names(try Self.analyseBoth(Array(log[..<length]))) == Self.before) }
  }

  @Test("frames of an earlier use of the file are passed over in silence, damaged ones told")
  func damage() throws {
    let log = try Self.log()
    let commits = Self.commits(log)
    let last = 32 + (commits[0] + 1) * Self.frameBytes
    var stale = log
    stale[last + 8] ^= 1
    let passed = try Self.analyseBoth(stale)
    #expect(codes(passed).isEmpty)
    for offset in [0, 16, 23, 24, 4_000] {
      var damaged = log
      damaged[last + offset] ^= 1
      let analysis = try Self.analyseBoth(damaged)
      #expect(codes(analysis) == ["DATABASE_INCOMPLETE"], "\(offset)")
      #expect(rows(analysis) == rows(passed))
      #expect(analysis.faults.map(\.path) == [Array(Self.logPath.utf8)])
    }
    for offset in [0, 4, 8, 16, 24, 28] {
      var damaged = log
      damaged[offset] ^= 0x80
      let analysis = try Self.analyseBoth(damaged)
      #expect(codes(analysis) == ["DATABASE_INCOMPLETE"], "\(offset)")
      #expect(Self.names(analysis) == Self.before)
    }
  }

  /// A log of one committed frame, well summed up; `isBigEndian` are the words that are summed up.
  static func forged(
    page: UInt32, pages: UInt32, pageBytes: Int = 4_096, contents: [UInt8], isBigEndian: Bool = true
  ) -> [UInt8] {
    func words(_ values: [UInt32]) -> [UInt8] { values.flatMap { withUnsafeBytes(of: $0.bigEndian, Array.init) } }
    var sums: (UInt32, UInt32) = (0, 0)
    func add(_ bytes: [UInt8]) {
      for at in stride(from: 0, to: bytes.count, by: 8) {
        func word(_ at: Int) -> UInt32 {
          let word = bytes[at..<(at + 4)].reduce(0) { $0 << 8 | UInt32($1) }
          return isBigEndian ? word : word.byteSwapped
        }
        sums.0 &+= word(at) &+ sums.1
        sums.1 &+= word(at + 4) &+ sums.0
      }
    }
    let header = words([isBigEndian ? 0x377f_0683 : 0x377f_0682, 3_007_000, UInt32(pageBytes), 0, 11, 12])
    add(header)
    var log = header + words([sums.0, sums.1])
    add(words([page, pages]))
    add(contents)
    log += words([page, pages, 11, 12, sums.0, sums.1]) + contents
    return log
  }

  @Test("the largest pages, and sums of words of either byte order, are read", arguments: [false, true])
  func largestPages(isBigEndian: Bool) throws {
    let pageBytes = 65_536
    var database = [UInt8](repeating: 7, count: 2 * pageBytes)
    // 65,536 does not fit there.
    database.replaceSubrange(16..<18, with: [0, 1])
    let contents = (0..<pageBytes).map { UInt8(truncatingIfNeeded: $0 / 3) }
    let log = Self.forged(page: 2, pages: 3, pageBytes: pageBytes, contents: contents, isBigEndian: isBigEndian)
    var changed = database
    let errors = try WriteAheadLog.apply(log, to: &changed, limit: 1 << 20, checkTime: {})
    #expect(errors.isEmpty)
    #expect(changed == database[..<pageBytes] + contents + [UInt8](repeating: 0, count: pageBytes))
    var other = log
    other[3] ^= 1
    #expect(try WriteAheadLog.apply(other, to: &changed, limit: 1 << 20, checkTime: {}).count == 1)
  }

  @Test("numbers in a well-formed log cost no memory they are not worth")
  func forgedNumbers() throws {
    let database = try Self.database()
    let page = Array(database[..<4_096])
    let pages = UInt32(database.count / 4_096)
    let same = try Self.analyseBoth(Self.forged(page: 1, pages: pages, contents: page))
    #expect(codes(same).isEmpty)
    #expect(Self.names(same) == Self.before)
    // Larger than is held; a page of no number; a page beyond the last; of another size.
    let huge = try Self.analyseBoth(Self.forged(page: 1, pages: .max, contents: page))
    #expect(codes(huge) == ["DATABASE_INCOMPLETE"])
    #expect(Self.names(huge) == Self.before)
    #expect(codes(try Self.analyseBoth(Self.forged(page: 0, pages: pages, contents: page))) == ["DATABASE_INCOMPLETE"])
    #expect(codes(try Self.analyseBoth(Self.forged(page: .max, pages: pages, contents: page))).isEmpty)
    let other = Self.forged(page: 1, pages: 1, pageBytes: 512, contents: Array(page[..<512]))
    #expect(codes(try Self.analyseBoth(other)) == ["DATABASE_INCOMPLETE"])
    // Cuts the database off; makes it larger.
    #expect(codes(try Self.analyseBoth(Self.forged(page: 1, pages: 1, contents: page))).contains("DATABASE_MALFORMED"))
    #expect(Self.names(try Self.analyseBoth(Self.forged(page: 1, pages: pages + 9, contents: page))) == Self.before)
  }

  @Test("what is held together is bounded; a database beyond it is read without its log, and told")
  func bounds() throws {
    let (database, log) = (try Self.database(), try Self.log())
    var limits = AnalysisLimits.standard
    limits.heldDatabaseBytes = database.count + log.count - 1
    let withoutLog = try Self.analyseBoth(log, limits: limits)
    #expect(codes(withoutLog) == ["DATABASE_INCOMPLETE"])
    #expect(Self.names(withoutLog) == Self.before)
    // What a later entry replaces, is held no more.
    // The log alone is held where it comes first.
    let logFirst = analyse(
      TarBuilder.archive(TarBuilder.file(Self.logPath, log), TarBuilder.file(Self.path, database)), limits: limits)
    #expect(codes(logFirst) == ["DATABASE_INCOMPLETE"])
    #expect(logFirst.faults.map(\.path) == [Array(Self.logPath.utf8)])
    #expect(Self.names(logFirst) == Self.before)
    limits.heldDatabaseBytes += 1
    let again = TarBuilder.file(Self.path, database)
    let both = analyse(TarBuilder.archive(again, again, again, TarBuilder.file(Self.logPath, log)), limits: limits)
    #expect(Self.names(both) == Self.after)
    limits.heldDatabaseBytes = database.count - 1
    let alone = analyse(TarBuilder.archive(again), limits: limits)
    #expect(codes(alone).isEmpty)
    #expect(Self.names(alone) == Self.before)
  }

  @Test("a hard link to a database is one more database, with a log of its own")
  func hardLink() throws {
    let link = "usr/lib/sysimage/rpm/rpmdb.sqlite"
    let (database, log) = (try Self.database(), try Self.log())
    let archive = TarBuilder.archive(
      TarBuilder.file(Self.path, database), TarBuilder.hardLink(link, Self.path), TarBuilder.file(Self.logPath, log))
    let analysis = analyse(archive)
    #expect(codes(analysis).isEmpty)
    #expect(Self.names(analysis) == (Self.after + Self.before).sorted())
    var limits = AnalysisLimits.standard
    limits.heldDatabaseBytes = database.count + log.count
    let last = TarBuilder.archive(
      TarBuilder.file(Self.path, database), TarBuilder.file(Self.logPath, log), TarBuilder.hardLink(link, Self.path))
    #expect(codes(analyse(last, limits: limits)) == ["HARD_LINK_NOT_READ"])
  }

  /// Uses up a second of CPU time before its last piece.
  final class BusySource: ChunkSource {
    private let input: MemorySource
    private var pieces: Int

    init(_ bytes: [UInt8], pieceBytes: Int) {
      input = MemorySource(bytes, pieceBytes: pieceBytes)
      pieces = (bytes.count + pieceBytes - 1) / pieceBytes
    }

    private static func milliseconds() -> Int {
      var time = timespec()
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
    }

    func next() throws(LayerError) -> UnsafeRawBufferPointer {
      pieces -= 1
      if pieces == 0 {
        let start = Self.milliseconds()
        while Self.milliseconds() < start + 1_100 {}
      }
      return try input.next()
    }
  }

  @Test("when time is up, what is held has some of its own; what that does not suffice for is told, and is not removed")
  func timeIsUp() throws {
    let other = "usr/lib/sysimage/rpm/rpmdb.sqlite"
    let databases = try [Self.path, other].flatMap { TarBuilder.file($0, try Self.database()) }
    let archive = databases + TarBuilder.file("x", [UInt8](repeating: 1, count: databases.count / 2)) + TarBuilder.end
    func analysis(_ seconds: Int) -> LayerAnalysis {
      var limits = AnalysisLimits.standard
      limits.cpuSeconds = 1
      limits.heldDatabaseCPUSeconds = seconds
      return LayerAnalyser(limits: limits).analyse(BusySource(archive, pieceBytes: databases.count + 2_000))
    }
    let read = analysis(100)
    #expect(codes(read) == ["LAYER_CPU_LIMIT"])
    #expect(Self.names(read) == (Self.before + Self.before).sorted())
    let unread = analysis(0)
    #expect(codes(unread) == ["LAYER_CPU_LIMIT", "DATABASE_INCOMPLETE", "DATABASE_INCOMPLETE"])
    #expect(Set(unread.faults.map(\.path)) == [[], Array(Self.path.utf8), Array(other.utf8)])
    #expect(Self.names(unread).isEmpty && unread.databases.count == 2)
    let merged = InventoryMerger.merge([analyse(TarBuilder.archive(databases)), unread])
    #expect(!codes(merged).contains("PACKAGE_DATABASE_REMOVED"))
    #expect(codes(merged).filter { $0 == "DATABASE_INCOMPLETE" }.count == 2)
  }

  @Test("a database over the bound of a file is told once, and is not removed")
  func tooLarge() throws {
    let archive = TarBuilder.archive(TarBuilder.file(Self.path, try Self.database()))
    var limits = AnalysisLimits.standard
    limits.fileBytes = 10_000
    let analysis = analyse(archive, limits: limits)
    #expect(codes(analysis) == ["DATABASE_INCOMPLETE"])
    #expect(RPMHostileTests.messages(analysis).contains("no package of it was read"))
    #expect(!codes(InventoryMerger.merge([analyse(archive), analysis])).contains("PACKAGE_DATABASE_REMOVED"))
  }

  @Test("a layer that ends early keeps the database that it held")
  func cutLayer() throws {
    let archive = TarBuilder.file(Self.path, try Self.database()) + TarBuilder.file("etc/x", "x").dropLast(100)
    let analysis = analyse(archive)
    #expect(codes(analysis) == ["LAYER_TRUNCATED"])
    #expect(Self.names(analysis) == Self.before)
  }

  @Test("whatever is damaged in a log, an analysis comes out")
  func noise() throws {
    let log = try Self.log()
    var random = FixedRandom(state: 5)
    for _ in 0..<60 {
      var bytes = log
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      let analysis = try Self.analyseBoth(bytes)
      let answer = try #require(WorkerProtocol.encodeAnswer(analysis))
      #expect(try WorkerProtocol.decodeAnswer(answer) == analysis)
    }
  }
}
