import Glibc
import Posix
import ProtobufRuntime
import Synchronization

/// How results are written.
package enum OutputFormat: String, CaseIterable, Sendable {
  case table, json, jsonl
}

/// Standard output and standard error of a command, and what is known of the terminals behind them.
final class Console: Sendable {
  let format: OutputFormat
  /// Whether tables and facts are coloured.
  let colours: Bool
  /// Columns of standard output; nil when it is no terminal: nothing is cut then.
  let width: Int?
  private let canMove: Bool
  /// Columns of the terminal behind standard error, for progress; nil when there is none.
  let progressWidth: Int?
  private let outputClosed = Atomic<Bool>(false)

  init(format: OutputFormat, noColour: Bool) {
    self.format = format
    let output = Self.terminalSize(STDOUT_FILENO)
    let terminal = getenv("TERM").map { String(cString: $0) } ?? ""
    canMove = !terminal.isEmpty && terminal != "dumb"
    width = output?.columns
    let noColourWished = getenv("NO_COLOR").map { $0.pointee != 0 } ?? false
    colours = output != nil && canMove && !noColour && !noColourWished
    progressWidth = canMove ? Self.terminalSize(STDERR_FILENO)?.columns : nil
  }

  /// What the terminal behind standard output shows now; nil where there is none whose cursor can be moved.
  var screen: (columns: Int, lines: Int)? { canMove ? Self.terminalSize(STDOUT_FILENO) : nil }

  private static func terminalSize(_ descriptor: Int32) -> (columns: Int, lines: Int)? {
    guard isatty(descriptor) == 1 else { return nil }
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return (80, 24) }
    return (Int(size.ws_col), max(Int(size.ws_row), 2))
  }

  /// Whether the reader of standard output has gone. What is printed afterwards is dropped: the command still ends with
  /// its own exit code.
  var isOutputClosed: Bool { outputClosed.load(ordering: .relaxed) }

  /// Writes `text` as it is: whoever calls has escaped it.
  func print(_ text: String) throws {
    try print(bytes: text.utf8)
  }

  func print(bytes: some Collection<UInt8>) throws {
    guard !isOutputClosed, !bytes.isEmpty else { return }
    do throws(PosixError) {
      try File.write(bytes, to: STDOUT_FILENO, named: "standard output")
    } catch {
      guard error.errno == EPIPE else { throw CommandFailure.local(error) }
      outputClosed.store(true, ordering: .relaxed)
    }
  }

  /// Prints one result: `document` for programs, `table` for people.
  func show(_ document: @autoclosure () -> JSONValue, table: () -> String) throws {
    switch format {
    case .table: try print(table())
    case .json: try print(document().text(indented: true) + "\n")
    case .jsonl: try print(document().text() + "\n")
    }
  }

  /// Prints a list: as one document under `key`, or an object a line.
  func show(list key: String, _ items: [JSONValue], table: () -> String) throws {
    switch format {
    case .table: try print(table())
    case .json: try print(JSONValue.object([(key, .array(items))]).text(indented: true) + "\n")
    case .jsonl: for item in items { try print(item.text() + "\n") }
    }
  }

  func render(_ table: Table) -> String { table.render(width: width, colours: colours) }
  func render(_ facts: FactList) -> String { facts.render(colours: colours) }

  /// A line on standard error for what people should know although the command goes on.
  func warn(_ message: String) { Self.printError("warning: " + TerminalText.escape(message)) }
  func hint(_ message: String) { Self.printError("hint: " + TerminalText.escape(message)) }
  /// A line on standard error for people at a terminal only.
  func remark(_ message: String) { if progressWidth != nil { Self.printError(TerminalText.escape(message)) } }

  /// `error: …` for each message, then `hint: …`; for programs the failure as JSON after them.
  static func report(_ failure: CommandFailure, as format: OutputFormat) {
    for message in failure.messages { printError("error: " + TerminalText.escape(message)) }
    if let hint = failure.hint { printError("hint: " + TerminalText.escape(hint)) }
    if format != .table { printError(failure.json.text()) }
  }

  static func printError(_ line: String) { writeError(line + "\n") }

  static func writeError(_ text: String) {
    do throws(PosixError) {
      try File.write(text.utf8, to: STDERR_FILENO, named: "standard error")
    } catch {
      // Nobody is left to tell: the exit code still says it.
    }
  }
}

/// The one line on standard error that tells people what a command waits for. Shows nothing where there is no terminal.
struct ProgressLine {
  private let width: Int?
  private var shown = ""

  init(_ console: Console) { width = console.progressWidth }

  mutating func show(_ text: String) {
    guard let width else { return }
    let line = TerminalText.fit(TerminalText.escape(text), columns: width - 1, cut: .end)
    if line == shown { return }
    shown = line
    Console.writeError("\r" + line + "\u{1b}[K")
  }

  mutating func clear() {
    guard width != nil, !shown.isEmpty else { return }
    shown = ""
    Console.writeError("\r\u{1b}[K")
  }
}
