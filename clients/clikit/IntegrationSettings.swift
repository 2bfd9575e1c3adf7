import ArgumentParser
import Glibc
import Posix
import TidewaiterClient

/// The flags of `integration add` as the daemon's settings.
struct IntegrationSettings: ParsableArguments {
  @Option(help: ArgumentHelp("Kind of registry: docker-registry.", valueName: "TYPE"))
  var type: String

  @Option(help: ArgumentHelp("Address of the registry, such as https://registry.example.com.", valueName: "URL"))
  var url: String?

  @Option(help: ArgumentHelp("Free text for people.", valueName: "TEXT"))
  var description: String?

  @OptionGroup(title: "Transport") var transport: TransportSettings
  @OptionGroup(title: "Authentication") var authentication: AuthenticationSettings
  @OptionGroup(title: "Selection and scanning") var selection: SelectionSettings

  /// The integration without its secret. Reads the CA file.
  func integration(named name: String) throws -> Integration {
    var integration = Integration()
    integration.name = name
    integration.type = type
    integration.url = url ?? ""
    integration.description = description ?? ""
    integration.mode = .manual
    integration.tls = try transport.tls
    integration.allowedRealmHosts = transport.allowRealmHost
    integration.authentication = authentication.message
    selection.apply(to: &integration)
    return integration
  }
}

struct TransportSettings: ParsableArguments {
  /// Longest CA file, in bytes.
  private static let certificatesMaximum = 1 << 20

  @Option(help: ArgumentHelp("Certificates (PEM) to trust beside the system's.", valueName: "FILE"))
  var caFile: String?

  @Flag(help: "Do not verify the registry's certificate.")
  var insecure = false

  @Option(
    help: ArgumentHelp("Host that may issue tokens beside the registry's own (repeatable).", valueName: "HOST"))
  var allowRealmHost: [String] = []

  /// Nil when nothing differs from the defaults.
  var tls: Tls? {
    get throws {
      guard caFile != nil || insecure else { return nil }
      var tls = Tls()
      tls.insecure = insecure
      if let caFile { tls.caPem = try Self.certificates(in: caFile) }
      return tls
    }
  }

  private static func certificates(in path: String) throws -> String {
    let bytes: [UInt8]
    do throws(PosixError) {
      bytes = try File.read(path, limit: certificatesMaximum)
    } catch {
      throw CommandFailure.local(error)
    }
    guard let text = String(validating: bytes, as: UTF8.self), text.contains("-----BEGIN ") else {
      throw CommandFailure.local("\(path) holds no certificates in PEM form", hint: "convert it to PEM first")
    }
    return text
  }
}

enum AuthenticationChoice: String, CaseIterable, ExpressibleByArgument {
  case anonymous, account
  case apiKey = "api-key"
}

struct AuthenticationSettings: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "anonymous, account or api-key (default: account with --username, api-key with a key, else anonymous).",
      valueName: "KIND"))
  var auth: AuthenticationChoice?

  @Option(help: ArgumentHelp("User of the account.", valueName: "USER"))
  var username: String?

  @Option(help: ArgumentHelp("File that holds the password; one line end at its end is cut.", valueName: "FILE"))
  var passwordFile: String?

  @Flag(help: "Read the password from standard input.")
  var passwordStdin = false

  @Option(help: ArgumentHelp("File that holds the key or token.", valueName: "FILE"))
  var apiKeyFile: String?

  @Flag(help: "Read the key or token from standard input.")
  var apiKeyStdin = false

  private var hasPassword: Bool { passwordFile != nil || passwordStdin }
  private var hasKey: Bool { apiKeyFile != nil || apiKeyStdin }

  var choice: AuthenticationChoice {
    auth ?? (hasKey ? .apiKey : username != nil || hasPassword ? .account : .anonymous)
  }

  func validate() throws {
    let sources = [passwordFile != nil, passwordStdin, apiKeyFile != nil, apiKeyStdin].count { $0 }
    guard sources <= 1 else { throw ValidationError("A password or key can come from one place only.") }
    switch choice {
    case .anonymous:
      guard username == nil, sources == 0 else {
        throw ValidationError("--auth anonymous takes neither a user nor a secret.")
      }
    case .account:
      guard let username, !username.isEmpty else { throw ValidationError("An account needs --username.") }
      guard !hasKey else { throw ValidationError("An account takes a password, not a key: use --password-file.") }
    case .apiKey:
      guard !hasPassword else { throw ValidationError("--auth api-key takes a key: use --api-key-file.") }
    }
  }

  var message: Authentication {
    var authentication = Authentication()
    authentication.username = username ?? ""
    authentication.kind =
      switch choice {
      case .anonymous: .anonymous
      case .account: .account
      case .apiKey: .apiKey
      }
    return authentication
  }

  /// The password or key; empty for anonymous. Asks at the terminal where no source was named.
  func readSecret() throws -> [UInt8] {
    if let file = passwordFile ?? apiKeyFile { return try SecretInput.read(file: file) }
    if passwordStdin || apiKeyStdin { return try SecretInput.readStandardInput() }
    let (question, flag): (String, String)
    switch choice {
    case .anonymous: return []
    case .account: (question, flag) = ("Password of \(TerminalText.escape(username ?? ""))", "password")
    case .apiKey: (question, flag) = ("API key", "api-key")
    }
    guard let secret = try SecretInput.prompt(question) else {
      throw CommandFailure.usage(
        "no \(flag == "password" ? "password" : "key") was given, and there is no terminal to ask at",
        hint: "use --\(flag)-file or --\(flag)-stdin")
    }
    return secret
  }
}

struct SelectionSettings: ParsableArguments {
  @Option(
    help: ArgumentHelp("Select only what matches: name, name:tag or :tag, with * (repeatable).", valueName: "PATTERN"))
  var criteria: [String] = []

  @Option(help: ArgumentHelp("Never pull what matches (repeatable).", valueName: "PATTERN"))
  var never: [String] = []

  @Option(help: ArgumentHelp("Always pull what matches, whatever else holds (repeatable).", valueName: "PATTERN"))
  var always: [String] = []

  @Option(
    help: ArgumentHelp("Only images created within this time: 60d, 2mo, 1y.", valueName: "PERIOD"),
    transform: Period.init(parsing:))
  var createdWithin: Period?

  @Option(help: ArgumentHelp("Only the newest tags of each repository.", valueName: "N"))
  var latest: UInt32?

  @Flag(help: "Neither --created-within nor --latest.")
  var noCondition = false

  @Option(help: ArgumentHelp("Platform to scan, such as linux/arm64, or all (repeatable).", valueName: "PLATFORM"))
  var platform: [String] = []

  @Option(
    help: ArgumentHelp("A scan that takes longer is stopped: 30m, 2h.", valueName: "TIME"),
    transform: DurationText.parse)
  var scanTimeout: Duration?

  @Option(help: ArgumentHelp("Requests at a time.", valueName: "N"))
  var maxConcurrent: UInt32?

  func validate() throws {
    guard [createdWithin != nil, latest != nil, noCondition].count(where: { $0 }) <= 1 else {
      throw ValidationError("Only one of --created-within, --latest and --no-condition can hold.")
    }
    guard latest != 0 else { throw ValidationError("--latest must be 1 or more.") }
    guard maxConcurrent != 0 else { throw ValidationError("--max-concurrent must be 1 or more.") }
  }

  func apply(to integration: inout Integration) {
    integration.criteria = criteria.map(Self.pattern)
    integration.never = never.map(Self.pattern)
    integration.always = always.map(Self.pattern)
    integration.condition = condition
    integration.platforms = platform
    integration.maxConcurrent = maxConcurrent ?? 0
    integration.scanTimeout = scanTimeout.map { timeout in
      var duration = ProtoDuration(seconds: timeout.components.seconds)
      duration.nanos = Int32(timeout.components.attoseconds / 1_000_000_000)
      return duration
    }
  }

  private static func pattern(_ text: String) -> Pattern {
    var pattern = Pattern()
    pattern.pattern = text
    return pattern
  }

  /// Nil leaves the choice to the daemon.
  private var condition: Condition? {
    var condition = Condition()
    if let createdWithin {
      condition.kind = .createdWithin
      switch createdWithin.unit {
      case .days: condition.days = createdWithin.count
      case .months: condition.months = createdWithin.count
      case .years: condition.years = createdWithin.count
      }
    } else if let latest {
      condition.kind = .latest
      condition.count = latest
    } else if noCondition {
      condition.kind = .none
    } else {
      return nil
    }
    return condition
  }
}
