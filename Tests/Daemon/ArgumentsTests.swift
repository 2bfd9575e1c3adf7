import Testing

@testable import Daemon

struct ArgumentsTests {
  private func flags(_ words: String...) throws -> Configuration.Flags {
    guard case .run(let flags) = try Arguments.parse(words) else { throw Arguments.Invalid(description: "", hint: "") }
    return flags
  }

  @Test func `A value follows its flag as the next word or after an equals sign`() throws {
    let all = try flags(
      "--config", "/a b", "--state-dir=/c=d", "--socket", "-", "--log-level", "error", "--log-format=json")
    #expect((all.config, all.stateDirectory, all.socket) == ("/a b", "/c=d", "-"))
    #expect((all.logLevel, all.logFormat) == (.error, .json))
    #expect(try flags("--config=", "--socket=-x").config == "")
    #expect(try flags("--config", "a", "--config", "b").config == "b")
    let none = try flags()
    #expect((none.config, none.stateDirectory, none.socket) == (nil, nil, nil))
    #expect((none.logLevel, none.logFormat) == (nil, nil))
  }

  @Test func `A backup is restored with the settings of the other flags`() throws {
    for words in [["--restore", "-", "--state-dir", "/s"], ["--state-dir=/s", "--restore=-"]] {
      guard case .restore("-", let flags) = try Arguments.parse(words) else {
        Issue.record("\(words) did not restore")
        continue
      }
      #expect(flags.stateDirectory == "/s")
    }
  }

  @Test func `Help and version are told instead of a start`() throws {
    for words in [["--help"], ["-h"], ["--config", "x", "-h", "--bogus"]] {
      guard case .help = try Arguments.parse(words) else {
        Issue.record("\(words) did not ask for help")
        continue
      }
    }
    guard case .version = try Arguments.parse(["--version"]) else {
      Issue.record("--version did not ask for the version")
      return
    }
    for flag in [
      "--config", "--state-dir", "--socket", "--log-level", "--log-format", "--restore", "--version", "--help", "-h",
    ] {
      #expect(Arguments.helpText.contains("  \(flag)") || Arguments.helpText.contains(", \(flag)"))
    }
    let choices = Configuration.LogLevel.allCases.map(\.rawValue) + Configuration.LogFormat.allCases.map(\.rawValue)
    for choice in choices { #expect(Arguments.helpText.contains(choice)) }
  }

  @Test(arguments: [
    (["--bogus"], "unknown option '--bogus'"), (["--conf=/x"], "unknown option '--conf'"),
    (["-x"], "unknown option '-x'"), (["--"], "unknown option '--'"), (["x"], "unexpected argument 'x'"),
    ([""], "unexpected argument ''"), (["--config"], "missing value for '--config'"),
    (["--config", "--log-level"], "missing value for '--config'"),
    (["--restore"], "missing value for '--restore'"), (["--version=3"], "'--version' takes no value"),
    (["--log-level", "loud"], "the value 'loud' is invalid for '--log-level'"),
    (["--log-format="], "the value '' is invalid for '--log-format'"),
  ])
  func `What is no argument of the daemon is refused with a hint`(words: [String], message: String) throws {
    let refusal = try #require(throws: Arguments.Invalid.self) { try Arguments.parse(words) }
    #expect(refusal.description == message)
    #expect(!refusal.hint.isEmpty)
  }
}
