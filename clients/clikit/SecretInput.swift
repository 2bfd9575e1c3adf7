import CPosix
import Glibc
import Posix
import Synchronization

/// Passwords and keys: from files, standard input or a prompt, never from the command line.
package enum SecretInput {
  /// Longest secret, in bytes; more is refused rather than cut.
  package static let maximumLength = 64 * 1024
  /// How long a pipe given as a file may stay silent.
  private static let patience: Int32 = 30_000

  /// The secret in the file at `path`: a regular file, a pipe, a device, read up to a bound.
  package static func read(file path: String) throws -> Secret {
    // Without O_NONBLOCK a named pipe that nobody writes to would hold us for ever.
    let descriptor = cposix_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0)
    guard descriptor >= 0 else { throw CommandFailure.local(PosixError("open \(path)")) }
    defer { close(descriptor) }
    return try read(descriptor, named: path, patience: patience)
  }

  /// The secret on standard input, up to its end.
  static func readStandardInput() throws -> Secret {
    try read(STDIN_FILENO, named: "standard input", patience: -1)
  }

  private static func read(_ descriptor: Int32, named name: String, patience: Int32) throws -> Secret {
    var bytes: [UInt8] = []
    // One trailing line end is cut, so that much more than the limit may be there.
    var chunk = [UInt8](repeating: 0, count: 4096)
    defer {
      explicit_bzero(&bytes, bytes.count)
      explicit_bzero(&chunk, chunk.count)
    }
    while bytes.count <= maximumLength + 2 {
      var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let ready = poll(&poller, 1, patience)
      if ready < 0 && errno == EINTR { continue }
      guard ready != 0 else {
        throw CommandFailure.local(
          "\(name): nothing was written to it for 30 seconds", hint: "write the secret to it, or use a file")
      }
      let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR || errno == EAGAIN { continue }
        throw CommandFailure.local(PosixError("read \(name)"))
      }
      if count == 0 { break }
      bytes.append(contentsOf: chunk[..<count])
    }
    let secret = withoutLineEnd(bytes[...])
    guard secret.count <= maximumLength else {
      throw CommandFailure.local(
        "\(name) holds more than \(maximumLength / 1024) KiB: that is no password or key", hint: "name another file")
    }
    guard !secret.isEmpty else {
      throw CommandFailure.local("\(name) is empty", hint: "put the password or key in it")
    }
    return Secret(secret)
  }

  /// One LF, CR LF or CR less, if there is one at the end.
  package static func withoutLineEnd(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var rest = bytes
    if rest.last == UInt8(ascii: "\n") { rest.removeLast() } else if rest.last != UInt8(ascii: "\r") { return rest }
    if rest.last == UInt8(ascii: "\r") { rest.removeLast() }
    return rest
  }

  /// Asks at the terminal without echo; nil when there is no terminal to ask at. Nothing is an answer only where it
  /// `mayBeEmpty`.
  static func prompt(_ question: String, mayBeEmpty: Bool = false) throws -> Secret? {
    let terminal = cposix_open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY, 0)
    guard terminal >= 0 else { return nil }
    defer { close(terminal) }
    var settings = termios()
    guard tcgetattr(terminal, &settings) == 0 else { return nil }
    var silent = settings
    silent.c_lflag &= ~tcflag_t(ECHO)

    // A signal must not leave the terminal without echo: it ends the question, and is raised again afterwards.
    let signals = CaughtSignals([SIGINT, SIGTERM, SIGHUP, SIGQUIT])
    guard tcsetattr(terminal, TCSAFLUSH, &silent) == 0 else {
      signals.restore()
      throw CommandFailure.local("\(PosixError("switch off the terminal's echo"))", hint: "use --password-file")
    }
    let answer = Result { () throws(PosixError) -> Secret in
      try File.write((question + ": ").utf8, to: terminal, named: "the terminal")
      return try readLine(terminal)
    }
    let restored = tcsetattr(terminal, TCSAFLUSH, &settings)
    let failure = restored == 0 ? nil : PosixError("restore the terminal")
    signals.restore()
    CaughtSignals.raiseAgain()
    if let failure { throw CommandFailure.local("\(failure)", hint: "run `stty sane`") }
    do {
      let secret = try answer.get()
      try File.write("\n".utf8, to: terminal, named: "the terminal")
      guard !secret.isEmpty || mayBeEmpty else {
        throw CommandFailure.local("nothing was entered", hint: "type the secret, or give it by file or standard input")
      }
      return secret
    } catch let error as PosixError {
      throw CommandFailure.local(error)
    }
  }

  /// A line of the terminal; EINTR when a signal came instead.
  private static func readLine(_ terminal: Int32) throws(PosixError) -> Secret {
    // A signal may be delivered to any thread, so it need not end a wait of this one: look again and again.
    var poller = pollfd(fd: terminal, events: Int16(POLLIN), revents: 0)
    while poll(&poller, 1, 100) <= 0 {
      if CaughtSignals.last != nil { throw PosixError("read the terminal", errno: EINTR) }
    }
    // The terminal itself hands over a line at a time, 4095 bytes at most.
    var line = [UInt8](repeating: 0, count: 4096)
    defer { explicit_bzero(&line, line.count) }
    let count = line.withUnsafeMutableBytes { Glibc.read(terminal, $0.baseAddress, $0.count) }
    guard count >= 0 else { throw PosixError("read the terminal") }
    return Secret(withoutLineEnd(line[..<count]))
  }
}

/// Signals that are noted instead of ending the program, until `restore`.
private struct CaughtSignals {
  private static let caught = Atomic<Int32>(0)
  private let former: [(signal: Int32, action: sigaction)]

  init(_ signals: [Int32]) {
    Self.caught.store(0, ordering: .relaxed)
    former = signals.map { signal in
      var note = sigaction()
      note.__sigaction_handler.sa_handler = { CaughtSignals.caught.store($0, ordering: .relaxed) }
      var before = sigaction()
      sigaction(signal, &note, &before)
      return (signal, before)
    }
  }

  static var last: Int32? {
    let signal = caught.load(ordering: .relaxed)
    return signal == 0 ? nil : signal
  }

  /// Lets the signal that was noted do what it does; returns when there was none, or it is ignored.
  static func raiseAgain() {
    guard let signal = last else { return }
    // Threads of the pool block signals.
    var set = sigset_t()
    sigemptyset(&set)
    sigaddset(&set, signal)
    pthread_sigmask(SIG_UNBLOCK, &set, nil)
    raise(signal)
  }

  func restore() {
    for entry in former {
      var action = entry.action
      sigaction(entry.signal, &action, nil)
    }
  }
}
