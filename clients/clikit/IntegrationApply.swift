import ArgumentParser
import Posix
import ProtobufRuntime
import TidewaiterClient

struct IntegrationApply: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apply",
    abstract: "Make the integrations match a YAML file, and show the difference.",
    discussion: """
      The file holds a list under 'integrations'. Each has a name; its other keys are the options of 'integration add' \
      without dashes, and what it does not name has its default. Secrets are named by file (password-file, api-key-file, \
      session-token-file, client-key, proxy-password-file) or by environment variable (password-env, api-key-env, …) and \
      never stand in the file; a file that is named relatively lies beside it. A secret that an entry does not name is kept. \
      Everything is checked before anything is stored; applied again, the same file changes nothing.

      Example:
        tidewaiter integration apply -f integrations.yaml --dry-run

        integrations:
          - name: hub
            type: docker-hub
            scope: [library]
            username: scanner
            password-file: hub.password
            criteria: ['alpine:3.*', debian]
      """)

  @Option(name: .shortAndLong, help: ArgumentHelp("The YAML file.", valueName: "FILE"))
  var file: String
  @Flag(help: "Also remove integrations that the file does not name.")
  var prune = false
  @Flag(help: "Show what would change, and change nothing.")
  var dryRun = false
  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    let wanted = try IntegrationFile(reading: file)
    try await global.perform { session in
      let plan = try await IntegrationPlan(wanted, prune: prune, session)
      if !dryRun { try await plan.perform(session) }
      let document = JSONValue.object([
        ("dryRun", .bool(dryRun)), ("integrations", .array(plan.steps.map(\.json))),
      ])
      try session.console.show(document) { plan.render(session.console, dryRun: dryRun) }
      for step in plan.steps { step.updated.map { IntegrationView.tellDropped(by: $0, session.console) } }
    }
  }
}

/// What has to be done so that the integrations match a file. Made by asking the daemon, which checks everything and stores
/// nothing meanwhile.
struct IntegrationPlan {
  struct Step {
    enum Action: String { case create, update, unchanged, remove }

    let name: String
    let action: Action
    /// The fields that differ, as they are and will be.
    var changes: [(field: String, from: String, to: String)] = []
    /// What an update will make of it.
    var updated: Integration?
    fileprivate var creation: CreateIntegrationRequest?
    fileprivate var update: UpdateIntegrationRequest?

    var json: JSONValue {
      .object([
        ("name", .string(name)), ("action", .string(action.rawValue)),
        (
          "changes",
          .array(
            changes.map { change in
              .object([
                ("field", .string(change.field)), ("from", .string(change.from)), ("to", .string(change.to)),
              ])
            })
        ),
      ])
    }
  }

  private(set) var steps: [Step] = []

  init(_ file: IntegrationFile, prune: Bool, _ session: Session) async throws {
    let existing = try await session.allIntegrations()
    let byName = Dictionary(existing.map { ($0.name, $0) }) { first, _ in first }
    var problems: [String] = []
    for entry in file.entries {
      do {
        steps.append(try await Self.step(entry, existing: byName[entry.integration.name], session))
      } catch let error as TidewaiterError where !error.fieldViolations.isEmpty {
        problems += error.fieldViolations.map { violation in
          "\(file.path):\(entry.line(of: violation.field)): \(entry.integration.name): "
            + "\(SettingNames.option(for: violation.field) ?? violation.field): \(violation.description)"
        }
      } catch let failure as CommandFailure {
        problems += failure.messages.map { "\(file.path):\(entry.line): \(entry.integration.name): \($0)" }
      }
    }
    guard problems.isEmpty else {
      throw CommandFailure.local(problems, hint: "correct what is named and run the command again: nothing was changed")
    }
    guard prune else { return }
    let named = Set(file.entries.map(\.integration.name))
    steps += existing.filter { !named.contains($0.name) }.map { Step(name: $0.name, action: .remove) }
  }

  private static func step(
    _ entry: IntegrationFile.Entry, existing: Integration?, _ session: Session
  ) async throws -> Step {
    let secrets = try entry.secrets.mapValues { try $0.read() }
    guard let existing else {
      var request = CreateIntegrationRequest()
      request.integration = entry.integration
      request.carry(secrets)
      request.validateOnly = true
      _ = try await session.integrations.createIntegration(request)
      request.validateOnly = false
      return Step(name: entry.integration.name, action: .create, creation: request)
    }
    var request = UpdateIntegrationRequest(entry.integration, replacing: existing, secrets: secrets)
    request.validateOnly = true
    let updated = try await session.integrations.updateIntegration(request)
    request.validateOnly = false
    guard !updated.changedFields.isEmpty else { return Step(name: existing.name, action: .unchanged) }
    return Step(
      name: existing.name, action: .update, changes: changes(from: existing, to: updated), updated: updated,
      update: request)
  }

  /// Values as programs read them; certificates are long and secrets are never told.
  private static func changes(
    from old: Integration, to new: Integration
  ) -> [(field: String, from: String, to: String)] {
    let isSecret = Set(SecretPart.allCases.map(\.rawValue))
    let (existing, old, document) = (old, old.clientJSON, new.clientJSON)
    return new.changedFields.map { field in
      let name = field == "secret" ? "password or key" : SettingNames.option(for: field) ?? field
      if isSecret.contains(field) {
        return (name, isStored(field, of: existing) ? "what is stored" : "none", "another")
      }
      if field.hasSuffix("_pem") { return (name, "certificates", "other certificates") }
      let path = (field == "proxy" ? "proxy.url" : field).split(separator: ".").map(camel)
      return (name, text(of: path, in: old), text(of: path, in: document))
    }
  }

  private static func text(of path: [String], in document: JSONValue) -> String {
    let value = path.reduce(document) { $0[$1] ?? .null }
    guard case .array(let items) = value else { return value.text() }
    // Patterns as they were written.
    return JSONValue.array(items.map { $0["pattern"] ?? $0 }).text()
  }

  private static func isStored(_ field: String, of integration: Integration) -> Bool {
    switch SecretPart(rawValue: field) {
    case .main: integration.authentication?.hasSecret == true
    case .sessionToken: integration.authentication?.hasSessionToken == true
    case .clientKey: integration.tls?.hasClientKey == true
    case .proxyPassword: integration.proxy?.hasPassword == true
    case nil: false
    }
  }

  private static func camel(_ snake: Substring) -> String {
    let parts = snake.split(separator: "_")
    return parts.dropFirst().reduce(String(parts.first ?? "")) { $0 + $1.prefix(1).uppercased() + $1.dropFirst() }
  }

  func perform(_ session: Session) async throws {
    for step in steps {
      switch step.action {
      case .create:
        if let creation = step.creation { _ = try await session.integrations.createIntegration(creation) }
      case .update:
        if let update = step.update { _ = try await session.integrations.updateIntegration(update) }
      case .remove:
        var request = DeleteIntegrationRequest()
        request.name = step.name
        _ = try await session.integrations.deleteIntegration(request)
      case .unchanged: break
      }
    }
  }

  func render(_ console: Console, dryRun: Bool) -> String {
    let words: [Step.Action: (done: String, planned: String)] = [
      .create: ("created", "would create"), .update: ("changed", "would change"),
      .unchanged: ("unchanged", "unchanged"),
      .remove: ("removed", "would remove"),
    ]
    return steps.reduce(into: "") { output, step in
      let word = words[step.action].map { dryRun ? $0.planned : $0.done } ?? ""
      output += "\(word) \(TerminalText.escape(step.name))\n"
      for change in step.changes {
        output += TerminalText.escape("  \(change.field): \(change.from) -> \(change.to)") + "\n"
      }
    }
  }
}
