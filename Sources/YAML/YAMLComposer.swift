/// Makes a tree of events. It calls itself for each level, of which there are at most `limits.depth`.
struct YAMLComposer {
  let events: YAMLEventStream
  let limits: YAMLDocument.Limits
  private var nodes = 0

  init(events: YAMLEventStream, limits: YAMLDocument.Limits) {
    self.events = events
    self.limits = limits
  }

  /// The root of the only document; nil where there is none.
  mutating func document() throws(YAMLError) -> YAMLNode? {
    guard case .documentStart = try events.next().kind else { return nil }
    let root = try node(events.next(), at: .root, depth: 0)
    // The document's end.
    _ = try events.next()
    let after = try events.next()
    if case .documentStart = after.kind {
      throw YAMLError(
        .unsupported, line: after.line, "a second document begins",
        hint: "keep one document; put others into other files")
    }
    return root
  }

  private mutating func node(
    _ event: YAMLEventStream.Event, at path: YAMLNode.Path, depth: Int
  ) throws(YAMLError) -> YAMLNode {
    try count(event)
    let content: YAMLNode.Content
    switch event.kind {
    case .scalar(let text, let isPlain): content = .scalar(text, isPlain: isPlain)
    case .sequenceStart: content = .sequence(try items(below: event, at: path, depth: depth + 1))
    case .mappingStart: content = .mapping(try entries(below: event, at: path, depth: depth + 1))
    case .streamEnd, .documentStart, .documentEnd, .sequenceEnd, .mappingEnd: throw noNode(event)
    }
    return YAMLNode(content: content, line: event.line, column: event.column, path: path)
  }

  private mutating func items(
    below start: YAMLEventStream.Event, at path: YAMLNode.Path, depth: Int
  ) throws(YAMLError) -> [YAMLNode] {
    try bound(depth, start)
    var items: [YAMLNode] = []
    while true {
      let event = try events.next()
      if case .sequenceEnd = event.kind { return items }
      items.append(try node(event, at: .index(path, items.count), depth: depth))
    }
  }

  private mutating func entries(
    below start: YAMLEventStream.Event, at path: YAMLNode.Path, depth: Int
  ) throws(YAMLError) -> [YAMLNode.Entry] {
    try bound(depth, start)
    var entries: [YAMLNode.Entry] = []
    var lines: [String: Int] = [:]
    while true {
      let event = try events.next()
      if case .mappingEnd = event.kind { return entries }
      try count(event)
      guard case .scalar(let key, _) = event.kind else {
        throw YAMLError(
          .unsupported, line: event.line, "a list or a mapping as a key", hint: "quote text that begins with [ or {")
      }
      let path = YAMLNode.Path.key(path, key)
      if let first = lines.updateValue(event.line, forKey: key) {
        throw YAMLError(
          .duplicateKey, line: event.line, "\(path): is there twice, first on line \(first)", hint: "keep one of them")
      }
      let value = try node(events.next(), at: path, depth: depth)
      entries.append(YAMLNode.Entry(key: key, line: event.line, column: event.column, value: value))
    }
  }

  private mutating func count(_ event: YAMLEventStream.Event) throws(YAMLError) {
    nodes += 1
    guard nodes <= limits.nodes else {
      throw YAMLError(.limit, line: event.line, "more than \(limits.nodes) values", hint: "split it, or shorten it")
    }
  }

  private func bound(_ depth: Int, _ event: YAMLEventStream.Event) throws(YAMLError) {
    guard depth <= limits.depth else {
      throw YAMLError(
        .limit, line: event.line, "more than \(limits.depth) lists and mappings inside one another",
        hint: "look for brackets that are not closed")
    }
  }

  private func noNode(_ event: YAMLEventStream.Event) -> YAMLError {
    YAMLError(.syntax, line: event.line, "a value is missing", hint: "look at the indentation there")
  }
}
