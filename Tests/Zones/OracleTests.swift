import Glibc
import Model
import Posix
import TestSupport
import Testing

@testable import Zones

/// Python's zoneinfo, which reads the same files by code of its own.
private enum Python {
  static let program = "/usr/bin/python3"
  static let isThere = system("\(program) -c 'import zoneinfo' 2>/dev/null") == 0

  /// Names of the database, a line each.
  static let names = "import zoneinfo\nfor name in sorted(zoneinfo.available_timezones()): print(name)"
  /// For each line, a name and instants, a line of the offsets.
  static let offsets = """
    import sys, datetime, zoneinfo
    for line in sys.stdin:
        name, *instants = line.split()
        zone = zoneinfo.ZoneInfo(name)
        found = (datetime.datetime.fromtimestamp(int(instant), zone).utcoffset() for instant in instants)
        print(*(offset.days * 86400 + offset.seconds for offset in found))
    """

  /// What `script` prints when it reads `input`.
  static func run(_ script: String, folder: String, _ input: String = "") throws -> [Substring] {
    let directory = try TemporaryDirectory()
    let code = try directory.write("script.py", script.utf8)
    let read = try directory.write("input", input.utf8)
    let output = directory.path + "/output"
    try #require(system("PYTHONTZPATH='\(folder)' \(program) \(code) <\(read) >\(output)") == 0)
    return String(decoding: try File.read(output, limit: 1 << 30), as: UTF8.self).split(separator: "\n")
  }
}

/// Every zone of the system's database at many times, against another reader of it.
@Suite(.enabled(if: Python.isThere, "needs /usr/bin/python3 with zoneinfo"))
struct OracleTests {
  private func check(folder: String) throws {
    let database = ZoneDatabase(folder: folder, localFile: "/nonexistent", variable: nil)
    let names = try Python.run(Python.names, folder: folder).map(String.init)
    try #require(names.count > 300)
    var generator = SplitMix(state: 2_026)
    var asked: [(zone: Zone, instants: [Int64])] = []
    for name in names { asked.append((try database.zone(name), [])) }
    for index in asked.indices { asked[index].instants = Self.instants(of: asked[index].zone, &generator) }
    let lines = asked.map { "\($0.zone.name) \($0.instants.map(String.init).joined(separator: " "))\n" }
    let answers = try Python.run(Python.offsets, folder: folder, lines.joined())
    try #require(answers.count == asked.count)
    for ((zone, instants), answer) in zip(asked, answers) {
      let offsets = answer.split(separator: " ").map { Int64($0) }
      try #require(offsets.count == instants.count)
      let wrong = zip(instants, offsets).first { zone.offset(at: $0) != $1 }
      #expect(wrong == nil, "\(zone.name) at \(wrong?.0 ?? 0): \(zone.offset(at: wrong?.0 ?? 0))")
    }
  }

  /// Any time of the past and the future, and both sides of every change in seventy years.
  private static func instants(of zone: Zone, _ generator: inout SplitMix) -> [Int64] {
    let (first, table, last) = (
      seconds("1880-01-01T00:00:00Z"), seconds("2037-01-01T00:00:00Z"), seconds("2500-01-01T00:00:00Z")
    )
    var instants = (0..<150).map { _ in Int64.random(in: first..<table, using: &generator) }
    instants += (0..<100).map { _ in Int64.random(in: table..<last, using: &generator) }
    var span = zone.span(at: seconds("1975-01-01T00:00:00Z"))
    while span.end < seconds("2045-01-01T00:00:00Z") {
      instants += [span.end - 1, span.end]
      span = zone.span(at: span.end)
    }
    return instants
  }

  @Test func `Every zone agrees at every time`() throws { try check(folder: "/usr/share/zoneinfo") }

  @Test(
    .enabled(
      if: access("/usr/sbin/zic", X_OK) == 0 && access("/usr/share/zoneinfo/tzdata.zi", R_OK) == 0,
      "needs zic and tzdata.zi"))
  func `Every zone agrees where tables end at the last change that no rule gives`() throws {
    let directory = try TemporaryDirectory()
    try #require(system("/usr/sbin/zic -b slim -d \(directory.path) /usr/share/zoneinfo/tzdata.zi") == 0)
    try check(folder: directory.path)
  }
}
