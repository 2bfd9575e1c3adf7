import Analysis
import StorageMessages
import Testing

@testable import Inventory

@Suite("Worker protocol")
struct WorkerProtocolTests {
  /// An analysis with something in each field, as the analyser makes it.
  static func full() throws -> LayerAnalysis {
    analyse(
      TarBuilder.archive(
        TarBuilder.file("etc/os-release", "ID=debian\n"), TarBuilder.file("var/lib/dpkg/status", dpkgStatus("a", "b")),
        TarBuilder.file("var/lib/rpm/Packages", "x"), TarBuilder.file("a/.wh.b"), TarBuilder.file("c/.wh..wh..opq"),
        TarBuilder.file(".wh..wh..opq"), TarBuilder.file("../x"), TarBuilder.symlink("lib", "usr/lib")))
  }

  @Test("an answer comes back as it was sent")
  func roundTrip() throws {
    for analysis in [try Self.full(), analyse(try fixture("rpm.tar.zst")), analyse([])] {
      let answer = try #require(WorkerProtocol.encodeAnswer(analysis))
      #expect(try WorkerProtocol.answerLength(header: answer.prefix(8)) == answer.count - 8)
      #expect(try WorkerProtocol.decodeAnswer(answer) == analysis)
    }
  }

  @Test("a fault's message is cut to what an answer may say, whatever it is made of")
  func longMessage() throws {
    for text in ["e" + String(repeating: "\u{301}", count: 3_000), String(repeating: "\u{1f1e9}", count: 900), "short"]
    {
      var analysis = try Self.full()
      analysis.faults.append(LayerError(.corrupt, text).fault)
      let answer = try #require(WorkerProtocol.encodeAnswer(analysis))
      let message = try #require(try WorkerProtocol.decodeAnswer(answer).faults.last).message
      #expect(text.unicodeScalars.starts(with: message.unicodeScalars))
      #expect(message.utf8.count > LayerError.messageBytes - 4 || message == text)
    }
  }

  @Test("an analysis is kept but where time, memory or the connection cut it short")
  func lasting() throws {
    #expect(try Self.full().isLasting)
    for code in LayerError.Code.allCases {
      var analysis = try Self.full()
      analysis.faults.append(LayerError(code, "x").fault)
      #expect(analysis.isLasting == ![.cpuLimit, .inputFailed, .outOfMemory].contains(code), "\(code)")
    }
  }

  @Test("cut, lengthened and garbled answers are refused")
  func framing() throws {
    let answer = try #require(WorkerProtocol.encodeAnswer(try Self.full()))
    for length in 0..<answer.count {
      #expect(throws: WorkerProtocol.MalformedAnswer.self) { try WorkerProtocol.decodeAnswer(Array(answer[..<length])) }
    }
    #expect(throws: WorkerProtocol.MalformedAnswer.self) { try WorkerProtocol.decodeAnswer(answer + [0]) }
    #expect(throws: WorkerProtocol.MalformedAnswer.self) {
      try WorkerProtocol.decodeAnswer(Array("TWA1".utf8) + [0xff, 0xff, 0xff, 0xff])
    }
    #expect(throws: WorkerProtocol.MalformedAnswer.self) {
      try WorkerProtocol.decodeAnswer(Array("TWA1".utf8) + [0, 0, 0, 4] + Array("junk".utf8))
    }
  }

  @Test("an answer has 64 MiB at most")
  func answerBytes() throws {
    var analysis = LayerAnalysis()
    func fill(_ bytes: Int) { analysis.whiteouts = [[UInt8](repeating: 97, count: bytes)] }
    fill(64 << 20 - 100)
    let rest = 64 << 20 - (try #require(WorkerProtocol.encodeAnswer(analysis)).count - WorkerProtocol.headerBytes)
    fill(64 << 20 - 100 + rest)
    let answer = try #require(WorkerProtocol.encodeAnswer(analysis))
    #expect(try WorkerProtocol.answerLength(header: answer.prefix(WorkerProtocol.headerBytes)) == 64 << 20)
    fill(64 << 20 - 100 + rest + 1)
    #expect(WorkerProtocol.encodeAnswer(analysis) == nil)
    let longer = Array("TWA1".utf8) + withUnsafeBytes(of: UInt32(64 << 20 + 1).bigEndian, Array.init)
    #expect(throws: WorkerProtocol.MalformedAnswer.self) { try WorkerProtocol.answerLength(header: longer) }
  }

  @Test("answers that the analyser cannot have given are refused")
  func contents() throws {
    let lies: [(inout LayerAnalysis) -> Void] = [
      { $0.analyserVersion += 1 }, { $0.compression = "rot13" }, { $0.entries = .max }, { $0.droppedNames = .max },
      { $0.uncompressedBytes = .max }, { $0.whiteouts.append(Array("/etc".utf8)) },
      { $0.whiteouts.append(Array("a/../../b".utf8)) }, { $0.whiteouts.append([]) },
      { $0.opaqueDirectories.append([UInt8](repeating: 97, count: 5_000)) },
      { $0.databases[0].path = Array("opt/status".utf8) }, { $0.databases[0].kind = "rpm" },
      { $0.databases[0].packages[0].type = "rpm" }, { $0.databases[0].packages[0].name = "" },
      { $0.databases[0].packages[0].version = String(repeating: "1", count: 4_000) },
      { $0.watched[0].path = Array("etc/passwd".utf8) }, { $0.watched[0].kind = EntryKind(rawValue: 77) },
      { $0.faults[0].code = "ALL_IS_WELL" }, { $0.faults[0].message = String(repeating: "m", count: 9_000) },
      { $0.osReleases[0].path = Array("etc/passwd".utf8) },
      { $0.databases = Array(repeating: PackageDatabase(), count: 50_000) },
    ]
    for (index, lie) in lies.enumerated() {
      var analysis = try Self.full()
      lie(&analysis)
      let answer = try #require(WorkerProtocol.encodeAnswer(analysis))
      #expect(throws: WorkerProtocol.MalformedAnswer.self, "lie \(index)") { try WorkerProtocol.decodeAnswer(answer) }
    }
  }
}
