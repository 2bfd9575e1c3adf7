import Model
import Registry
import SecretRules
import StorageMessages

/// Looks at an image's config for what is wrong with how it is to be run and how it was built. Texts of the config are
/// somebody else's: findings name variables and options, and never what they are set to.
struct ConfigurationChecks {
  /// Findings of one config; a history may repeat itself thousands of times.
  static let findingsMaximum = 200
  private static let nameCharactersMaximum = 80

  private let config: ImageConfig
  private var found: [FindingRecord] = []

  static func findings(_ config: ImageConfig) -> [FindingRecord] {
    var checks = Self(config: config)
    checks.checkUser()
    checks.checkEnvironment()
    checks.checkPorts()
    checks.checkHealth()
    checks.checkHistory()
    return checks.found
  }

  private init(config: ImageConfig) { self.config = config }

  private mutating func report(_ check: ConfigurationCheck, _ title: String, layer: Int? = nil) {
    if found.count < Self.findingsMaximum { found.append(check.finding(title, layer: layer)) }
  }

  // MARK: - How it runs

  private mutating func checkUser() {
    let user = config.user.prefix { $0 != ":" }
    if user.isEmpty {
      report(.runsAsRoot, "no user is named: the program runs as root")
    } else if user == "root" || user.allSatisfy({ $0 == "0" }) {
      report(.runsAsRoot, "the program runs as root")
    }
  }

  private mutating func checkEnvironment() {
    for variable in config.environment {
      guard let equals = variable.firstIndex(of: "=") else { continue }
      let (name, value) = (String(variable[..<equals]), variable[variable.index(after: equals)...])
      if SecretNames.isSecret(name) && SecretNames.isRealValue(value) {
        report(.secretInEnvironment, "the variable \(shown(name)) holds a secret")
      }
      let isOff = ["0", "false", "no", "off"].contains(value.lowercased())
      switch name.uppercased() {
      case "NODE_TLS_REJECT_UNAUTHORIZED" where isOff, "PYTHONHTTPSVERIFY" where isOff,
        "GIT_SSL_NO_VERIFY" where !isOff && !value.isEmpty, "NPM_CONFIG_STRICT_SSL" where isOff:
        report(.verificationOff, "the variable \(shown(name)) turns off the check of certificates")
      case "LD_PRELOAD" where !value.isEmpty:
        report(.preloadedLibrary, "LD_PRELOAD loads a library into every program of the container")
      case "PATH" where value.split(separator: ":", omittingEmptySubsequences: false).contains { !$0.hasPrefix("/") }:
        report(
          .relativeSearchPath, "PATH has an entry that is no absolute directory: programs of the working directory run")
      default: break
      }
    }
  }

  private mutating func checkPorts() {
    let shells = ["22": "SSH", "23": "Telnet", "513": "rlogin", "514": "rsh", "2222": "SSH"]
    for port in config.exposedPorts {
      let parts = port.split(separator: "/", maxSplits: 1)
      guard let number = parts.first, let name = shells[String(number)], parts.count == 1 || parts[1] == "tcp" else {
        continue
      }
      report(.remoteShellExposed, "port \(number) is exposed: \(name)")
    }
  }

  private mutating func checkHealth() {
    if !config.hasHealthCheck { report(.noHealthCheck, "the image does not say how to tell that its program is well") }
  }

  // MARK: - How it was built

  private mutating func checkHistory() {
    let layers = config.history.filter { !$0.isEmptyLayer }.count
    // Without one entry for each layer nothing says which belongs to which.
    let areAligned = config.diffIDs.isEmpty || layers == config.diffIDs.count
    var layer = 0
    for (number, step) in config.history.enumerated() {
      check(BuildStep(step.createdBy), number + 1, layer: areAligned && !step.isEmptyLayer ? layer : nil)
      if !step.isEmptyLayer { layer += 1 }
    }
  }

  private mutating func check(_ step: BuildStep, _ number: Int, layer: Int?) {
    let place = "step \(number) of the build"
    if step.addsRemote {
      report(.remoteAdd, "\(place) adds a file from an address, whose contents nobody checks", layer: layer)
    }
    if step.pipesDownload { report(.pipedToShell, "\(place) runs what it downloads, unseen", layer: layer) }
    if let option = step.verificationOff {
      report(.verificationOff, "\(place) turns off the check of certificates (\(option))", layer: layer)
    }
    if let option = step.unsignedOption {
      report(.unsignedPackages, "\(place) installs packages whose signatures nobody checks (\(option))", layer: layer)
    }
    if step.opensMode { report(.openMode, "\(place) gives everybody the right to write (chmod)", layer: layer) }
    if step.words.contains("sudo") { report(.privilegeTool, "\(place) uses sudo", layer: layer) }
    for name in step.secretNames {
      report(.secretInHistory, "\(place) names a secret (\(shown(name)))", layer: layer)
    }
  }

  private func shown(_ name: String) -> String { name.excerpt(maximumScalars: Self.nameCharactersMaximum) }
}

/// Names of variables and options whose values are secrets.
enum SecretNames {
  private static let parts = [
    "PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "APIKEY", "API_KEY", "ACCESS_KEY", "PRIVATE_KEY",
    "CREDENTIAL",
    "AUTH_KEY", "ENCRYPTION_KEY", "SIGNING_KEY",
  ]
  /// Said of a secret, and none itself.
  private static let harmlessEndings = [
    "_FILE", "_PATH", "_DIR", "_URL", "_URI", "_NAME", "_ID", "_TTL", "_LENGTH", "_EXPIRY", "_TIMEOUT", "_POLICY",
    "_TYPE",
    "_ALGORITHM", "_HEADER", "_ENDPOINT", "_ISSUER",
  ]

  static func isSecret(_ name: String) -> Bool {
    let name = String(name.uppercased().map { $0 == "-" ? "_" : $0 })
    return parts.contains { name.contains($0) } && !harmlessEndings.contains { name.hasSuffix($0) }
  }

  /// Whether it is neither empty, nor the name of something else, nor what stands for a value in documentation.
  static func isRealValue(_ value: some StringProtocol) -> Bool {
    var value = String(value.trimming { $0 == "\"" || $0 == "'" })
    if value.isEmpty || value.hasPrefix("/") || ["0", "1", "yes", "no"].contains(value.lowercased()) { return false }
    return !value.withUTF8 { Allowances.isPlaceholder(UnsafeRawBufferPointer($0)) }
  }
}

extension StringProtocol {
  fileprivate func trimming(_ isTrimmed: (Character) -> Bool) -> Substring {
    var rest = Substring(self)
    while let first = rest.first, isTrimmed(first) { rest.removeFirst() }
    while let last = rest.last, isTrimmed(last) { rest.removeLast() }
    return rest
  }
}
