import CPosix
import Glibc
import Posix

/// Questions to the person at the terminal, whatever standard input and output are.
struct TerminalDialogue: ~Copyable {
  private let terminal: Int32

  /// Nil when there is no terminal to ask at.
  init?() {
    terminal = cposix_open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY, 0)
    guard terminal >= 0 else { return nil }
  }

  deinit { if terminal >= 0 { close(terminal) } }

  /// Whether somebody sits in front of this command: then it may ask.
  static var isInteractive: Bool { isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1 }

  /// Whether the person at the terminal says yes. Nobody there is no.
  static func confirms(_ question: String) throws -> Bool {
    guard let dialogue = TerminalDialogue() else { return false }
    return ["y", "yes"].contains(try dialogue.ask(question + "? (yes, no)", proposal: "no").lowercased())
  }

  func say(_ line: String) throws { try write(line + "\n") }

  /// The answer without blanks around it; `proposal` where only the return key was pressed, "" where `-` was answered.
  func ask(_ question: String, proposal: String) throws -> String {
    try write(TerminalText.escape(question) + (proposal.isEmpty ? ": " : " [\(TerminalText.escape(proposal))]: "))
    var line = [UInt8](repeating: 0, count: 4096)
    var count = 0
    repeat {
      count = line.withUnsafeMutableBytes { Glibc.read(terminal, $0.baseAddress, $0.count) }
    } while count < 0 && errno == EINTR
    guard count >= 0 else { throw CommandFailure.local(PosixError("read the terminal")) }
    guard count > 0 else {
      try write("\n")
      throw CommandFailure.local("the answers ended: nothing was stored", hint: "answer to the last question")
    }
    guard let text = String(validating: line[..<count], as: UTF8.self) else {
      try say("  please answer in UTF-8")
      return try ask(question, proposal: proposal)
    }
    let answer = text.trimmed
    return answer.isEmpty ? proposal : answer == "-" ? "" : answer
  }

  private func write(_ text: String) throws {
    do throws(PosixError) {
      try File.write(text.utf8, to: terminal, named: "the terminal")
    } catch {
      throw CommandFailure.local(error)
    }
  }
}

extension String {
  /// Without blanks and line ends around it.
  fileprivate var trimmed: String {
    var rest = self[...]
    while let first = rest.first, first.isWhitespace { rest.removeFirst() }
    while let last = rest.last, last.isWhitespace { rest.removeLast() }
    return String(rest)
  }
}
