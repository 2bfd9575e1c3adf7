internal import CYAML

/// What libyaml says of a text, event by event, in types of Swift.
///
/// A class because libyaml's parser keeps pointers into the text and into itself: neither may move, and both end here.
final class YAMLEventStream {
  struct Event {
    enum Kind {
      case streamEnd
      case documentStart, documentEnd
      case scalar(String, isPlain: Bool)
      case sequenceStart, sequenceEnd
      case mappingStart, mappingEnd
    }
    let kind: Kind
    let line: Int
    let column: Int
  }

  private let parser: UnsafeMutablePointer<yaml_parser_t>
  private let text: UnsafeMutableBufferPointer<UInt8>

  init(_ bytes: [UInt8]) throws(YAMLError) {
    text = UnsafeMutableBufferPointer.allocate(capacity: bytes.count)
    _ = text.initialize(from: bytes)
    parser = UnsafeMutablePointer.allocate(capacity: 1)
    parser.initialize(to: yaml_parser_t())
    guard yaml_parser_initialize(parser) == 1 else {
      // The deinit of an object that is whole runs even when its initialiser throws; libyaml may delete what is zero.
      throw YAMLError(.limit, line: nil, "not enough memory", hint: "free memory, and try again")
    }
    yaml_parser_set_input_string(parser, text.baseAddress, text.count)
    // Otherwise a byte order mark would make it UTF-16.
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
  }

  deinit {
    yaml_parser_delete(parser)
    parser.deallocate()
    text.deallocate()
  }

  /// The start of the stream is not told. After the stream's end or an error there is nothing more to ask for.
  func next() throws(YAMLError) -> Event {
    var event = yaml_event_t()
    guard yaml_parser_parse(parser, &event) == 1 else { throw failure() }
    defer { yaml_event_delete(&event) }
    let line = event.start_mark.line + 1
    let column = event.start_mark.column + 1
    func told(_ kind: Event.Kind) -> Event { Event(kind: kind, line: line, column: column) }
    switch event.type {
    case YAML_STREAM_START_EVENT: return try next()
    case YAML_STREAM_END_EVENT: return told(.streamEnd)
    case YAML_DOCUMENT_START_EVENT:
      let directives = event.data.document_start.tag_directives
      try refuse(directives.start != directives.end, "%TAG", line)
      return told(.documentStart)
    case YAML_DOCUMENT_END_EVENT: return told(.documentEnd)
    case YAML_ALIAS_EVENT: throw unsupported("an alias (*)", line)
    case YAML_SCALAR_EVENT:
      let scalar = event.data.scalar
      try refuse(scalar.anchor != nil, "an anchor (&)", line)
      try refuse(scalar.tag != nil, "a tag (!)", line)
      let bytes = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
      guard !bytes.contains(0) else {
        throw YAMLError(.unsupported, line: line, "the character NUL", hint: "leave it out")
      }
      return told(.scalar(String(decoding: bytes, as: UTF8.self), isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE))
    case YAML_SEQUENCE_START_EVENT:
      try refuse(event.data.sequence_start.anchor != nil, "an anchor (&)", line)
      try refuse(event.data.sequence_start.tag != nil, "a tag (!)", line)
      return told(.sequenceStart)
    case YAML_SEQUENCE_END_EVENT: return told(.sequenceEnd)
    case YAML_MAPPING_START_EVENT:
      try refuse(event.data.mapping_start.anchor != nil, "an anchor (&)", line)
      try refuse(event.data.mapping_start.tag != nil, "a tag (!)", line)
      return told(.mappingStart)
    case YAML_MAPPING_END_EVENT: return told(.mappingEnd)
    // libyaml tells of nothing once it has told of the end.
    default: return told(.streamEnd)
    }
  }

  private func refuse(_ isThere: Bool, _ what: String, _ line: Int) throws(YAMLError) {
    if isThere { throw unsupported(what, line) }
  }

  private func unsupported(_ what: String, _ line: Int) -> YAMLError {
    YAMLError(
      .unsupported, line: line, "\(what) is not supported",
      hint: "write the value itself, and quote text that begins with & * ! or %")
  }

  private func failure() -> YAMLError {
    let parser = parser.pointee
    let problem = parser.problem.map { String(cString: $0) } ?? "it cannot be read"
    switch parser.error {
    case YAML_MEMORY_ERROR: return YAMLError(.limit, line: nil, "not enough memory", hint: "free memory, and try again")
    case YAML_READER_ERROR:
      let line = text.prefix(parser.problem_offset).count { $0 == UInt8(ascii: "\n") } + 1
      return YAMLError(.syntax, line: line, problem, hint: "save it as UTF-8, without control characters")
    default:
      let context = parser.context.map { ", " + String(cString: $0) } ?? ""
      return YAMLError(
        .syntax, line: parser.problem_mark.line + 1, "column \(parser.problem_mark.column + 1): \(problem)\(context)",
        hint: "look at the indentation there, and quote text with special characters")
    }
  }
}
