import JSON
import Testing

/// What the exact reading refuses is tested where it is decided on, with the registry's reader.
@Suite("JSON read leniently")
struct JSONDocumentTests {
  private func read(_ bytes: [UInt8]) throws -> JSONDocument { try JSONDocument(bytes, reading: .lenient) }

  @Test("of a key that occurs twice the last counts, however it is written")
  func repeatedKeys() throws {
    let document = try read(Array(#"{"name":"a","version":1,"na\u006de":"b"}"#.utf8))
    let name = try #require(document.member("name", of: 0))
    #expect(document.text(name) == "b")
    #expect(document.member("other", of: 0) == nil)
    #expect(document.member("name", of: name) == nil)
    #expect(throws: JSONFlaw.self) { try JSONDocument(Array(#"{"a":1,"a":2}"#.utf8)) }
  }

  @Test("a byte order mark is passed over, bytes that are no UTF-8 are kept")
  func bytes() throws {
    let document = try read([0xef, 0xbb, 0xbf] + Array("[\"".utf8) + [0xff, 0x41] + Array("\", 7]".utf8))
    let elements = document.elements(of: 0)
    #expect(document.textBytes(elements[0]) == [0xff, 0x41])
    #expect(document.textBytes(elements[1]) == nil)
    #expect(throws: JSONFlaw.self) { try read([0xef, 0xbb, 0xbf]) }
    #expect(throws: JSONFlaw.self) { try read([0xef, 0xbb]) }
  }

  @Test("what is no JSON is refused all the same")
  func refused() {
    let deep = String(repeating: "[", count: 65) + String(repeating: "]", count: 65)
    for text in ["", "{", "[1,]", "{\"a\"}", "01", "\"\u{1}\"", "\"\\q\"", "nul", deep] {
      #expect(throws: JSONFlaw.self, "\(text)") { try read(Array(text.utf8)) }
    }
  }
}
