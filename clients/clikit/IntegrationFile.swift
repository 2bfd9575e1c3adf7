import ArgumentParser
import Model
import Posix
import TidewaiterClient
import YAML

/// A file of `integration apply`: a list of integrations whose keys are the names of the options of `integration add`,
/// without dashes. Secrets stand in other files or in environment variables, never in this one.
struct IntegrationFile {
  /// Longest file, in bytes.
  private static let bytesMaximum = 4 << 20
  private static let nodesMaximum = 500_000
  private static let integrationsMaximum = 10_000

  struct Entry {
    let integration: Integration
    let secrets: [SecretPart: SecretSource]
    /// Where the entry begins, and where each key stands.
    let line: Int
    fileprivate let keyLines: [String: Int]

    /// The line of the option that sets `field`, or of the entry.
    func line(of field: String) -> Int {
      if field == SecretPart.main.rawValue {
        return SecretKeys.main.lazy.compactMap { keyLines[$0] }.first ?? line
      }
      if field == "schedule" || field == "schedule.value" {
        return ["every", "daily-at", "weekly-on", "cron", "mode"].lazy.compactMap { keyLines[$0] }.first ?? line
      }
      return SettingNames.option(for: field).flatMap { keyLines[$0] } ?? line
    }
  }

  let path: String
  let entries: [Entry]

  init(reading path: String) throws {
    self.path = path
    let bytes: [UInt8]
    do throws(PosixError) {
      bytes = try File.read(path, limit: Self.bytesMaximum)
    } catch {
      throw CommandFailure.local(error)
    }
    let root: YAMLNode?
    do throws(YAMLError) {
      var limits = YAMLDocument.Limits()
      limits.bytes = Self.bytesMaximum
      limits.nodes = Self.nodesMaximum
      root = try YAMLDocument(bytes, limits: limits).root
    } catch {
      throw CommandFailure.local("\(path):\(error.line ?? 1): \(error.message)", hint: error.hint)
    }
    guard let root else { throw CommandFailure.local("\(path) is empty", hint: "begin with integrations:") }
    var reader = EntryReader(path: path)
    entries = reader.read(root)
    guard reader.problems.isEmpty else {
      throw CommandFailure.local(reader.problems, hint: "see tidewaiter integration apply --help")
    }
    guard entries.count <= Self.integrationsMaximum else {
      throw CommandFailure.local(
        "\(path) holds more than \(Self.integrationsMaximum) integrations", hint: "split the file")
    }
  }
}

/// Keys that have to do with secrets.
private enum SecretKeys {
  static let main = ["password-file", "password-env", "api-key-file", "api-key-env"]
  /// Keys of secrets in the environment.
  static let environment: [String: SecretPart] = [
    "password-env": .main, "api-key-env": .main, "session-token-env": .sessionToken,
    "client-key-env": .clientKey, "proxy-password-env": .proxyPassword,
  ]
  /// What people would write a secret itself under.
  static let literal: Set = ["password", "api-key", "session-token", "proxy-password", "secret", "token", "key"]
  /// Keys whose values are files; relative ones lie beside this file.
  static let files: Set = [
    "ca-file", "client-cert", "client-key", "password-file", "api-key-file", "session-token-file",
    "proxy-password-file",
  ]
}

/// Reads the YAML tree and gathers everything that is wrong with it.
private struct EntryReader {
  private static let problemsMaximum = 100

  let path: String
  private(set) var problems: [String] = []

  init(path: String) { self.path = path }

  private mutating func refuse(_ node: YAMLNode, _ message: String) { refuse(line: node.line, message) }

  private mutating func refuse(line: Int, _ message: String) {
    if problems.count < Self.problemsMaximum { problems.append("\(path):\(line): \(message)") }
  }

  mutating func read(_ root: YAMLNode) -> [IntegrationFile.Entry] {
    guard case .mapping(let keys) = root.content else {
      refuse(root, "the file must begin with integrations:")
      return []
    }
    var entries: [IntegrationFile.Entry] = []
    for key in keys {
      guard key.key == "integrations" else {
        refuse(line: key.line, "\"\(key.key.excerpt())\" is no key here: only integrations is")
        continue
      }
      if key.value.isNull { continue }
      guard case .sequence(let nodes) = key.value.content else {
        refuse(key.value, "integrations must be a list")
        continue
      }
      for node in nodes { if let entry = read(entry: node) { entries.append(entry) } }
    }
    if !keys.contains(where: { $0.key == "integrations" }) { refuse(root, "integrations: is missing") }
    var lines: [String: Int] = [:]
    for entry in entries {
      if let first = lines.updateValue(entry.line, forKey: entry.integration.name) {
        refuse(line: entry.line, "\"\(entry.integration.name)\" is there twice, first at line \(first)")
      }
    }
    return entries
  }

  private mutating func read(entry node: YAMLNode) -> IntegrationFile.Entry? {
    guard case .mapping(let keys) = node.content else {
      refuse(node, "an integration must be a mapping that begins with its name")
      return nil
    }
    let before = problems.count
    var name: String?
    var arguments: [String] = []
    var secrets: [SecretPart: SecretSource] = [:]
    var keyLines: [String: Int] = [:]
    for entry in keys {
      let (key, value) = (entry.key, entry.value)
      keyLines[key] = entry.line
      if SecretKeys.literal.contains(key) {
        refuse(line: entry.line, "a secret cannot stand in this file: use \(Self.reference(for: key))")
      } else if let part = SecretKeys.environment[key] {
        if let variable = text(of: value, key) { secrets[part] = .environment(variable) }
      } else if key == "name" {
        name = text(of: value, key)
      } else {
        let added = options(of: key, value)
        // Each key alone first, so that what is wrong has a line.
        if !added.isEmpty && isUnderstood(added, entry) { arguments += added }
      }
    }
    guard let name else {
      refuse(node, "name is missing")
      return nil
    }
    guard problems.count == before else { return nil }
    return entry(name, arguments, secrets, node.line, keyLines)
  }

  private static func reference(for key: String) -> String {
    let stem = ["secret", "token", "key"].contains(key) ? "api-key" : key
    return "\(stem)-file or \(stem)-env"
  }

  private mutating func text(of node: YAMLNode, _ key: String) -> String? {
    guard case .scalar(let text, _) = node.content, !node.isNull, !text.isEmpty else {
      refuse(node, "\(key) must be one text")
      return nil
    }
    return text
  }

  /// A key and its value as they would stand on the command line.
  private mutating func options(of key: String, _ value: YAMLNode) -> [String] {
    let flags: Set = ["insecure", "rescan", "include-remote", "no-condition"]
    guard key.allSatisfy({ $0 == "-" || $0.isLetter }), !key.hasPrefix("-"), !key.isEmpty else {
      refuse(value, "\"\(key.excerpt())\" is no setting")
      return []
    }
    if flags.contains(key) {
      switch value.content {
      case .scalar("true", isPlain: true): return ["--" + key]
      case .scalar("false", isPlain: true): return key.hasPrefix("no-") ? [] : ["--no-" + key]
      default:
        refuse(value, "\(key) must be true or false")
        return []
      }
    }
    if key.hasSuffix("-stdin") {
      refuse(value, "\(key) is for the command line only")
      return []
    }
    let nodes: [YAMLNode] = if case .sequence(let items) = value.content { items } else { [value] }
    return nodes.flatMap { node -> [String] in
      guard let text = text(of: node, key) else { return [] }
      return ["--\(key)=" + (SecretKeys.files.contains(key) ? beside(text) : text)]
    }
  }

  /// A relative path as seen from this file's folder.
  private func beside(_ file: String) -> String {
    guard !file.hasPrefix("/"), let slash = path.lastIndex(of: "/") else { return file }
    return path[...slash] + file
  }

  private mutating func isUnderstood(_ arguments: [String], _ entry: YAMLNode.Entry) -> Bool {
    do {
      _ = try IntegrationSettings.parse(arguments)
      return true
    } catch {
      let message = IntegrationSettings.message(for: error)
      refuse(
        line: entry.line, message.hasPrefix("Unknown option") ? "\"\(entry.key)\" is no setting" : message)
      return false
    }
  }

  private mutating func entry(
    _ name: String, _ arguments: [String], _ environment: [SecretPart: SecretSource], _ line: Int,
    _ keyLines: [String: Int]
  ) -> IntegrationFile.Entry? {
    do {
      let settings = try IntegrationSettings.parse(arguments)
      var integration = Integration()
      integration.name = name
      integration.mode = .manual
      _ = try settings.apply(to: &integration)
      for (part, _) in settings.secretSources where environment[part] != nil {
        refuse(line: line, "\(name): \(part.rawValue) can come from one place only")
      }
      let secrets = settings.secretSources.merging(environment) { file, _ in file }
      if integration.authentication?.kind ?? .unspecified == .unspecified {
        var authentication = integration.authentication ?? Authentication()
        let isKey = keyLines["api-key-env"] != nil
        authentication.kind =
          isKey ? .apiKey : authentication.username.isEmpty && secrets[.main] == nil ? .anonymous : .account
        integration.authentication = authentication
      }
      return IntegrationFile.Entry(integration: integration, secrets: secrets, line: line, keyLines: keyLines)
    } catch let failure as CommandFailure {
      for message in failure.messages { refuse(line: line, message) }
    } catch {
      refuse(line: line, IntegrationSettings.message(for: error))
    }
    return nil
  }
}
