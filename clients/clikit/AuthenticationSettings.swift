import ArgumentParser
import Posix
import TidewaiterClient

enum AuthenticationChoice: String, CaseIterable, ExpressibleByArgument {
  case anonymous, account
  case apiKey = "api-key"

  var kind: AuthenticationKind {
    switch self {
    case .anonymous: .anonymous
    case .account: .account
    case .apiKey: .apiKey
    }
  }
}

struct AuthenticationSettings: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "anonymous, account or api-key (default: account with --username, api-key with a key, else anonymous).",
      valueName: "KIND"))
  var auth: AuthenticationChoice?

  @Option(help: ArgumentHelp("User of the account; for ecr the access key's id.", valueName: "USER"))
  var username: String?

  @Option(help: ArgumentHelp("File that holds the password; one line end at its end is cut.", valueName: "FILE"))
  var passwordFile: String?

  @Flag(help: "Read the password from standard input.")
  var passwordStdin = false

  @Option(help: ArgumentHelp("File that holds the key or token; for gar the service account's.", valueName: "FILE"))
  var apiKeyFile: String?

  @Flag(help: "Read the key or token from standard input.")
  var apiKeyStdin = false

  @Option(help: ArgumentHelp("File that holds the session token beside an ecr key.", valueName: "FILE"))
  var sessionTokenFile: String?

  private var hasPassword: Bool { passwordFile != nil || passwordStdin }
  private var hasKey: Bool { apiKeyFile != nil || apiKeyStdin }

  /// Where the password or key is.
  var source: SecretSource? {
    if let file = passwordFile ?? apiKeyFile { return .file(file) }
    return passwordStdin || apiKeyStdin ? .standardInput : nil
  }

  /// What was chosen, or what the rest of the flags means; nil where nothing says it.
  var choice: AuthenticationChoice? {
    auth ?? (hasKey ? .apiKey : hasPassword ? .account : nil)
  }

  func validate() throws {
    let sources = [passwordFile != nil, passwordStdin, apiKeyFile != nil, apiKeyStdin].count { $0 }
    guard sources <= 1 else { throw ValidationError("A password or key can come from one place only.") }
    switch auth {
    case .anonymous where username != nil || sources > 0:
      throw ValidationError("--auth anonymous takes neither a user nor a secret.")
    case .account where hasKey:
      throw ValidationError("An account takes a password, not a key: use --password-file.")
    case .apiKey where hasPassword: throw ValidationError("--auth api-key takes a key: use --api-key-file.")
    default: break
    }
  }

  func apply(to change: inout SettingsChange) {
    func authentication(_ path: String, _ body: (inout Authentication) -> Void) {
      change.change(path) { integration in
        var authentication = integration.authentication ?? Authentication()
        body(&authentication)
        integration.authentication = authentication
      }
    }
    if let choice { authentication("authentication.kind") { $0.kind = choice.kind } }
    // Nobody has no name.
    if let username = choice == .anonymous ? "" : username {
      authentication("authentication.username") { $0.username = username }
    }
  }

  /// Asks at the terminal for the password or key of `authentication`; nil for anonymous.
  static func prompt(for authentication: Authentication?) throws -> Secret? {
    let (question, flag): (String, String)
    switch authentication?.kind {
    case .account: (question, flag) = ("Password of \(TerminalText.escape(authentication?.username ?? ""))", "password")
    case .apiKey: (question, flag) = ("API key", "api-key")
    default: return nil
    }
    guard let secret = try SecretInput.prompt(question) else {
      throw CommandFailure.usage(
        "no \(flag == "password" ? "password" : "key") was given, and there is no terminal to ask at",
        hint: "use --\(flag)-file or --\(flag)-stdin")
    }
    return secret
  }
}
