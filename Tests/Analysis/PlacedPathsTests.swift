import Inventory
import TestSupport
import Testing

@Suite("Placed paths")
struct PlacedPathsTests {
  private func placed(files: [String] = [], directories: [String] = []) throws -> PlacedPaths {
    var builder = PlacedPaths.Builder()
    for file in files { builder.add(PathHash(file.utf8), isDirectory: false) }
    for directory in directories { builder.add(PathHash(directory.utf8), isDirectory: true) }
    return try #require(PlacedPaths(builder.encoded()))
  }

  @Test("what stands in the way of a lower file hides it")
  func hides() throws {
    let paths = try placed(files: ["app/a.json", "opt"], directories: ["srv/file", "usr"])
    for hidden in ["app/a.json", "opt", "opt/x/y", "srv/file"] {
      #expect(paths.replaces(Array(hidden.utf8)), "\(hidden)")
    }
    for seen in ["app/a.jso", "app/a.json2", "app", "srv/file2", "usr/lib/x", "srv/file/below", "optical"] {
      #expect(!paths.replaces(Array(seen.utf8)), "\(seen)")
    }
    #expect(try !placed().replaces(Array("anything".utf8)))
  }

  @Test("any set of paths, in any order, holds those and no others")
  func property() throws {
    var random = Seeded(7)
    for _ in 0..<50 {
      let all = (0..<200).map { _ in
        (0..<Int.random(in: 1...4, using: &random)).map { _ in String(Int.random(in: 0..<9, using: &random)) }.joined(
          separator: "/")
      }
      let half = all.prefix(20)
      let paths = try placed(files: half.shuffled(using: &random))
      for path in all {
        let isHidden = half.contains { path == $0 || path.hasPrefix($0 + "/") }
        #expect(paths.replaces(Array(path.utf8)) == isHidden, "\(path)")
      }
    }
  }

  @Test("bytes that are none are refused")
  func malformed() {
    #expect(PlacedPaths([1, 2, 3]) == nil)
    #expect(PlacedPaths([0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1]) == nil)
    #expect(PlacedPaths([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1]) == nil)
    #expect(PlacedPaths([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2])?.count == 2)
  }

  @Test("hashes are what the on-disk format says")
  func format() {
    // FNV-1a of "a" is af63dc4c8601ec8c, mixed by the last steps of MurmurHash3.
    #expect(PathHash("a".utf8).value == 0x82a2_a958_a9be_ce5b)
  }
}
