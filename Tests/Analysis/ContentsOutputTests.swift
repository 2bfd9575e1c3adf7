import Glibc
import Inventory
import Testing

@testable import Analysis

/// What a worker hands back of a layer's files, record by record (`ContentsProtocol`).
struct ContentsOutputTests {
  /// The records that come of a layer, in words; pieces of a file that follow each other as one.
  private func records(
    _ layer: [UInt8], fileBytes: Int = 1 << 20, layerBytes: Int = 1 << 20, pieceBytes: Int = 256 << 10,
    search: LayerAnalyser.SecretSearch? = nil, limits: AnalysisLimits = .standard
  ) throws -> [String] {
    let file = try #require(tmpfile())
    defer { fclose(file) }
    let output = ContentsOutput(fileno(file), bounds: .init(fileBytes: fileBytes, layerBytes: layerBytes))
    _ = LayerAnalyser(limits: limits, secretSearch: search, sink: output).analyse(
      MemorySource(layer, pieceBytes: pieceBytes))
    let size = Int(lseek(fileno(file), 0, SEEK_END))
    var rest = [UInt8](repeating: 0, count: size)[...]
    #expect(rest.withUnsafeMutableBytes { pread(fileno(file), $0.baseAddress, $0.count, 0) } == size)
    func take(_ count: Int) -> ArraySlice<UInt8> {
      defer { rest = rest.dropFirst(count) }
      return rest.prefix(count)
    }
    func number(_ count: Int) -> Int { take(count).reduce(0) { $0 << 8 | Int($1) } }
    var found: [String] = []
    var piece: [UInt8] = []
    while !rest.isEmpty {
      let kind = try #require(ContentsProtocol.Kind(rawValue: UInt8(truncatingIfNeeded: number(1))))
      if kind == .piece {
        let count = number(4)
        #expect((1...ContentsProtocol.pieceBytesMax).contains(count))
        piece += take(count)
        continue
      }
      if !piece.isEmpty {
        found.append("piece \(piece.count) \(piece.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xffff })")
        piece = []
      }
      switch kind {
      case .whole, .cut, .end, .endEarly: found.append("\(kind)")
      default:
        let (path, size) = (number(2), number(8))
        found.append("\(kind) \(String(decoding: take(path), as: UTF8.self)) \(size)")
      }
    }
    return found
  }

  private func piece(_ bytes: [UInt8]) -> String {
    "piece \(bytes.count) \(bytes.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xffff })"
  }

  private func file(_ name: String, _ bytes: [UInt8], type: Character = "0") -> [UInt8] {
    TarBuilder.header(Array(name.utf8), size: bytes.count, type: type) + TarBuilder.body(bytes)
  }

  @Test(arguments: [1, 511, 512, 700, 4096, 1 << 20])
  func `Every regular file with bytes comes, whatever else is made of it`(pieceBytes: Int) throws {
    let long = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let layer =
      file("a", [1, 2, 3]) + file("empty", []) + TarBuilder.header(Array("link".utf8), type: "1", link: "a")
      + file("dir/", [], type: "5") + file("etc/os-release", Array("ID=x\n".utf8)) + file("text", Array("hello".utf8))
      + file("long", long) + file("block", [UInt8](repeating: 9, count: 512)) + TarBuilder.end
    let search: LayerAnalyser.SecretSearch = { _, _ throws(LayerError) in }
    let expected = [
      ("a", [1, 2, 3]), ("etc/os-release", Array("ID=x\n".utf8)), ("text", Array("hello".utf8)), ("long", long),
      ("block", [UInt8](repeating: 9, count: 512)),
    ].flatMap { ["begin \($0.0) \($0.1.count)", piece($0.1), "whole"] }
    #expect(try records(layer, pieceBytes: pieceBytes, search: search) == expected + ["end"])
  }

  @Test func `What is larger than the bounds is named alone, and what is smaller after it comes`() throws {
    let layer =
      file("a", .init(repeating: 1, count: 60)) + file("b", .init(repeating: 2, count: 101))
      + file("c", .init(repeating: 3, count: 50)) + file("d", .init(repeating: 4, count: 40)) + TarBuilder.end
    #expect(
      try records(layer, fileBytes: 100, layerBytes: 100).filter { !$0.hasPrefix("piece") } == [
        "begin a 60", "whole", "tooLarge b 101", "overLayer c 50", "begin d 40", "whole", "end",
      ])
  }

  @Test func `A sparse file is named alone`() throws {
    let layer = file("s", .init(repeating: 1, count: 600), type: "S") + TarBuilder.end
    #expect(try records(layer) == ["sparse s 600", "end"])
  }

  @Test func `A file in which the layer ends is cut`() throws {
    let layer = file("a", [1]) + TarBuilder.header(Array("b".utf8), size: 1000) + [UInt8](repeating: 5, count: 300)
    #expect(
      try records(layer) == [
        "begin a 1", piece([1]), "whole", "begin b 1000", piece(.init(repeating: 5, count: 300)), "cut", "endEarly",
      ])
  }

  @Test func `A file whose name leads outside the image is counted, and not named`() throws {
    let layer =
      file("../x", [1, 2]) + file("..", []) + TarBuilder.directory("../d") + file("a", [3]) + TarBuilder.end
    #expect(try records(layer) == ["unnamed  2", "begin a 1", piece([3]), "whole", "end"])
  }

  @Test func `A layer that is not read to its end is told as such, whatever ended it`() throws {
    let whole = file("a", [1])
    let read = ["begin a 1", piece([1]), "whole"]
    #expect(try records(Array("no tar".utf8)) == ["endEarly"])
    #expect(try records([]) == ["endEarly"])
    #expect(try records(whole) == read + ["endEarly"])
    #expect(try records(whole + [UInt8](repeating: 1, count: 512)) == read + ["endEarly"])
    #expect(try records(whole + TarBuilder.end + [UInt8](repeating: 1, count: 512)) == read + ["endEarly"])
    var limits = AnalysisLimits()
    limits.entries = 1
    #expect(try records(whole + file("b", [2]) + TarBuilder.end, limits: limits) == read + ["endEarly"])
    #expect(try records(whole + TarBuilder.end, limits: limits) == read + ["end"])
    limits = AnalysisLimits()
    limits.keptPathBytes = 10
    // Ended by what is made of the entries.
    #expect(try records(whole + TarBuilder.file(".wh.b") + file("c", [3]), limits: limits) == read + ["endEarly"])
  }

  @Test func `What is exactly as large as the bounds comes`() throws {
    let layer = file("a", .init(repeating: 1, count: 100)) + file("b", [2]) + TarBuilder.end
    #expect(
      try records(layer, fileBytes: 100, layerBytes: 101).filter { !$0.hasPrefix("piece") }
        == ["begin a 100", "whole", "begin b 1", "whole", "end"])
    #expect(
      try records(layer, fileBytes: 99, layerBytes: 100).filter { !$0.hasPrefix("piece") }
        == ["tooLarge a 100", "begin b 1", "whole", "end"])
    #expect(
      try records(layer, fileBytes: 100, layerBytes: 100).filter { !$0.hasPrefix("piece") }
        == ["begin a 100", "whole", "overLayer b 1", "end"])
  }

  @Test func `Bounds are told as an argument, and no other is taken for them`() {
    let bounds = ContentsProtocol.Bounds(fileBytes: 7, layerBytes: 9)
    #expect(ContentsProtocol.Bounds(argument: bounds.argument) == bounds)
    for text in [
      "", "--contents", "--contents=", "--contents=1", "--contents=1,", "--contents=0,1", "--contents=1,-1",
      "--contents=1,2,3",
    ] {
      #expect(ContentsProtocol.Bounds(argument: text) == nil)
    }
  }
}
