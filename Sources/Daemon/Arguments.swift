/// What the command line asks for.
///
/// The daemon has six flags, and a package that reads any flags would cost it full Foundation: 4 MiB of memory for as long
/// as it runs. `getopt_long` would take `--log` for `--log-level` until there is another flag that begins so.
package enum Arguments: Sendable {
  case run(Configuration.Flags)
  /// Puts the backup at this path (`-`: standard input) in place of an empty state directory, and ends.
  case restore(String, Configuration.Flags)
  case help
  case version

  package struct Invalid: Error, Equatable {
    package let description: String
    package let hint: String
  }

  /// `words`: those after the program's name. Of a flag that is there twice the last value holds.
  package static func parse(_ words: [String]) throws(Invalid) -> Arguments {
    var flags = Configuration.Flags()
    var backup: String?
    var rest = words[...]
    while let word = rest.popFirst() {
      guard word.hasPrefix("-"), word != "-" else { throw Invalid("unexpected argument '\(word)'") }
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts[0])
      /// The text after `=`, or else the next word, which must not be a flag itself.
      func value() throws(Invalid) -> String {
        if parts.count == 2 { return String(parts[1]) }
        guard let next = rest.first, next == "-" || !next.hasPrefix("-") else {
          throw Invalid("missing value for '\(name)'")
        }
        rest = rest.dropFirst()
        return next
      }
      func choice<T: RawRepresentable<String> & CaseIterable>() throws(Invalid) -> T {
        let text = try value()
        if let value = T(rawValue: text) { return value }
        throw Invalid(
          "the value '\(text)' is invalid for '\(name)'",
          hint: "one of \(T.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      switch name {
      case "--config": flags.config = try value()
      case "--state-dir": flags.stateDirectory = try value()
      case "--socket": flags.socket = try value()
      case "--restore": backup = try value()
      case "--log-level": flags.logLevel = try choice()
      case "--log-format": flags.logFormat = try choice()
      case "--help", "-h", "--version":
        guard parts.count == 1 else { throw Invalid("'\(name)' takes no value") }
        return name == "--version" ? .version : .help
      default: throw Invalid("unknown option '\(name)'")
      }
    }
    return backup.map { .restore($0, flags) } ?? .run(flags)
  }

  package static let helpText = """
    OVERVIEW: Watches container registries and scans the images in them.

    Example: tidewaiterd --state-dir /var/lib/tidewaiter --log-format json

    USAGE: tidewaiterd [--config <file>] [--state-dir <dir>] [--socket <path>]
                       [--log-level <log-level>] [--log-format <log-format>]
                       [--restore <file>] [--version]

    OPTIONS:
      --config <file>         Settings in YAML; README.md lists them.
      --state-dir <dir>       Where the daemon keeps what it knows.
      --socket <path>         The Unix socket to serve on.
      --log-level <log-level> What is logged at least. (values: debug, info,
                              warning, error)
      --log-format <log-format>
                              How log lines look. (values: text, json)
      --restore <file>        Puts a backup in place of an empty state directory,
                              and ends; - is standard input.
      --version               Show the version.
      -h, --help              Show help information.

    """
}

extension Arguments.Invalid {
  fileprivate init(_ description: String, hint: String = "tidewaiterd --help lists the options") {
    self.init(description: description, hint: hint)
  }
}
