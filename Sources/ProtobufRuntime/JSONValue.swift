// Rounding is in libm, which only this import links.
import Glibc

/// A JSON document, with the order of its keys kept.
package indirect enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case integer(Int64)
  case unsigned(UInt64)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([(key: String, value: JSONValue)])

  package static func == (a: JSONValue, b: JSONValue) -> Bool { a.text() == b.text() }

  /// The value under `key` of an object; nil for anything else.
  package subscript(key: String) -> JSONValue? {
    get {
      guard case .object(let members) = self else { return nil }
      return members.first { $0.key == key }?.value
    }
    set {
      guard case .object(var members) = self else { return }
      if let index = members.firstIndex(where: { $0.key == key }) {
        if let newValue { members[index].value = newValue } else { members.remove(at: index) }
      } else if let newValue {
        members.append((key, newValue))
      }
      self = .object(members)
    }
  }

  /// The document as text: on one line, or with two spaces a level when `indented`.
  package func text(indented: Bool = false) -> String {
    var output = ""
    write(to: &output, indented ? 0 : nil)
    return output
  }

  private func write(to output: inout String, _ level: Int?) {
    switch self {
    case .null: output += "null"
    case .bool(let value): output += value ? "true" : "false"
    case .integer(let value): output += String(value)
    case .unsigned(let value): output += String(value)
    case .number(let value): output += Self.text(of: value)
    case .string(let value): Self.write(value, to: &output)
    case .array(let values):
      Self.write("[", "]", values, to: &output, level) { value, output, level in value.write(to: &output, level) }
    case .object(let members):
      Self.write("{", "}", members, to: &output, level) { member, output, level in
        Self.write(member.key, to: &output)
        output += level == nil ? ":" : ": "
        member.value.write(to: &output, level)
      }
    }
  }

  private static func write<T>(
    _ open: String, _ close: String, _ items: [T], to output: inout String, _ level: Int?,
    _ writeItem: (T, inout String, Int?) -> Void
  ) {
    output += open
    let inner = level.map { $0 + 1 }
    for (index, item) in items.enumerated() {
      if index > 0 { output += "," }
      if let inner { output += "\n" + String(repeating: "  ", count: inner) }
      writeItem(item, &output, inner)
    }
    if let level, !items.isEmpty { output += "\n" + String(repeating: "  ", count: level) }
    output += close
  }

  private static func text(of value: Double) -> String {
    // JSON knows neither infinity nor NaN.
    guard value.isFinite else { return "null" }
    if let whole = Int64(exactly: value) { return String(whole) }
    return "\(value)"
  }

  private static func write(_ text: String, to output: inout String) {
    output += "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": output += "\\\""
      case "\\": output += "\\\\"
      case "\n": output += "\\n"
      case "\r": output += "\\r"
      case "\t": output += "\\t"
      default:
        // Controls, C1 and bidirectional marks are escaped, so that a document is harmless on a terminal too.
        if scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) || Self.isInvisible(scalar) {
          let hex = String(scalar.value, radix: 16)
          output += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
        } else {
          output.unicodeScalars.append(scalar)
        }
      }
    }
    output += "\""
  }

  private static func isInvisible(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x200b...0x200f, 0x202a...0x202e, 0x2028...0x2029, 0x2066...0x2069, 0xfeff: true
    default: false
    }
  }
}

/// A message that clients show: keys are field names in lowerCamelCase, enums their names in lower_snake_case, times
/// RFC 3339, durations seconds. Every field is written; a message that is absent is null.
package protocol JSONRepresentable {
  var json: JSONValue { get }
}
