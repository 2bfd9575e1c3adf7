import Foundation
import Testing

@testable import Registry

/// JSON from outside: what is read, what is refused, and that it is read as Foundation reads it.
@Suite(.timeLimit(.minutes(1)))
struct JSONReaderTests {
  private func decode<Value: Decodable>(_ text: String, as type: Value.Type = Value.self) throws -> Value {
    try JSONReader.decode(type, Array(text.utf8), what: "the test")
  }

  private func flaw(_ text: String) -> String? { JSONReader.flaw(in: Array(text.utf8)) }

  @Test(arguments: [
    "", " \n", "\u{feff}{}", "{", "[", "[1", "[1,", "[1,]", "[,1]", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,",
    "{\"a\":1,}",
    "{a:1}", "{1:2}", "{\"a\" 1}", "[1 2]", "]", "}", "[}", "{]", ",", "1,2", "1 2", "tru", "True", "nul", "NaN", "-",
    "+1", "01",
    "1.", ".5", "1e", "1e+", "0x1", "\"", "\"a", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"a\nb\"",
    "\"\u{0}\"", "'a'",
    "[\"a\",'b']", "/**/1",
  ]) func `what is no JSON is refused`(text: String) {
    #expect(flaw(text) != nil)
  }

  @Test(arguments: [
    "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "{\"\\/\":1,\"/\":2}", "{\"x\":[{\"b\":1,\"c\":2,\"b\":3}]}",
    "{\"\\ud83d\\ude00\":1,\"😀\":2}", "{\"\\ud800\":1,\"\\uD800\":2}",
    "{" + (0..<40).map { "\"k\($0)\":0" }.joined(separator: ",") + ",\"k7\":1}",
  ]) func `an object with one key twice is refused, however it is written`(text: String) {
    #expect(flaw(text)?.contains("twice") == true)
  }

  @Test func `keys that differ are kept apart`() {
    #expect(flaw("{\"a\":{\"a\":1},\"A\":2,\"a \":3,\"\\ud800\":4,\"\\ud801\":5}") == nil)
  }

  @Test func `bytes that are no UTF-8 are refused`() {
    for bytes: [UInt8] in [[0x22, 0xff, 0x22], [0x22, 0xc0, 0x80, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22]] {
      #expect(JSONReader.flaw(in: bytes) == "it is not valid UTF-8")
    }
  }

  private struct Everything: Decodable, Equatable {
    struct Inner: Decodable, Equatable { let name: String }

    let text: String?
    let flag: Bool?
    let whole: Int?
    let wide: UInt64?
    let narrow: Int8?
    let real: Double?
    let list: [Int]?
    let inner: Inner?
    let many: [Inner?]?
    let table: [String: String]?
  }

  /// The same as Foundation's, value or failure.
  @Test(arguments: [
    #"{}"#, #"{"text":null,"flag":null,"whole":null}"#, #"{"text":"a\"\\\/\b\f\n\r\tä\u00e4\ud83d\ude00"}"#,
    #"{"flag":true,"whole":-7,"wide":18446744073709551615,"narrow":-128,"real":-0.25e2}"#, #"{"whole":1.0}"#,
    #"{"whole":1e3}"#, #"{"whole":1.5}"#, #"{"whole":9223372036854775808}"#, #"{"narrow":128}"#, #"{"wide":-1}"#,
    #"{"real":1}"#, #"{"real":1e999}"#, #"{"text":1}"#, #"{"flag":"true"}"#, #"{"flag":1}"#, #"{"list":[1,2,3]}"#,
    #"{"list":[]}"#, #"{"list":[1,"2"]}"#, #"{"list":{}}"#, #"{"inner":{"name":"x","more":[[{}]]}}"#, #"{"inner":{}}"#,
    #"{"inner":{"name":null}}"#, #"{"inner":[]}"#, #"{"many":[{"name":"x"},null,{"name":"y"}]}"#, #"{"many":[7]}"#,
    #"{"table":{"a":"1","b\u0041":"2"}}"#, #"{"table":{"a":1}}"#, #"{"text":"\ud800"}"#, #"[]"#, #"null"#, #"7"#,
    #" { "text" : "x" , "list" : [ 1 , 2 ] } "#,
  ]) func `values are decoded as Foundation decodes them`(text: String) throws {
    let theirs = Result { try JSONDecoder().decode(Everything.self, from: Data(text.utf8)) }
    let ours = Result { try decode(text, as: Everything.self) }
    switch (theirs, ours) {
    case (.success(let one), .success(let other)): #expect(one == other)
    case (.failure, .failure): break
    default: Issue.record("Foundation: \(theirs), ours: \(ours)")
    }
  }

  @Test func `an object of many members is decoded whole`() throws {
    let members = (0..<5000).map { "\"key \($0)\":\"\($0)\"" }.joined(separator: ",")
    let table = try decode("{\(members)}", as: [String: String].self)
    #expect(table.count == 5000)
    #expect(table["key 4999"] == "4999")
  }

  @Test(arguments: [
    (#"{"inner":{"name":7}}"#, "inner.name has the wrong type"), (#"{"inner":{}}"#, "inner.name is missing"),
    (#"{"many":[{"name":"x"},{"name":null}]}"#, "many.[1].name is null"),
    (#"{"list":[1,2,2.5]}"#, "list.[2] cannot be read"),
    (#"[]"#, "the top has the wrong type"), (#"{"text":"\ud800"}"#, "text cannot be read"),
  ]) func `an error says where it is`(text: String, place: String) throws {
    let error = #expect(throws: RegistryError.self) { try decode(text, as: Everything.self) }
    #expect(error?.message == "the test sent unexpected JSON: \(place)")
  }
}
