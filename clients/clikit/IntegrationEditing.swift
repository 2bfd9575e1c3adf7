import ArgumentParser
import Posix
import TidewaiterClient

struct IntegrationAdd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "add",
    abstract: "Add a registry.",
    discussion: """
      Without options, at a terminal, asks step by step. The registry need not answer yet: ask with 'tidewaiter \
      integration test'. A secret is read from a file, from standard input or, at a terminal, asked for without echo.

      Example:
        tidewaiter integration add local --type docker-registry \\
          --url http://127.0.0.1:5000 --criteria 'team/*:1.*'
      """)

  @Argument(help: ArgumentHelp("Name of the integration.", valueName: "NAME"))
  var name: String?
  @Flag(name: .shortAndLong, help: "Ask step by step; what options say is proposed.")
  var interactive = false
  @OptionGroup var settings: IntegrationSettings
  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var integration = Integration()
    integration.name = name ?? ""
    integration.mode = .manual
    let paths = try settings.apply(to: &integration)
    let isBare = paths.isEmpty && settings.secretSources.isEmpty
    if interactive || (isBare && TerminalDialogue.isInteractive) { return try await ask(proposing: integration) }
    guard !integration.name.isEmpty else {
      throw CommandFailure.usage("the integration needs a name", hint: "see tidewaiter integration add --help")
    }
    guard !integration.type.isEmpty else {
      throw CommandFailure.usage(
        "--type is missing", hint: "one of \(RegistrySettings.types.joined(separator: ", "))")
    }
    var secrets = try settings.secretSources.mapValues { try $0.read() }
    if integration.authentication == nil || integration.authentication?.kind == .unspecified {
      var authentication = integration.authentication ?? Authentication()
      authentication.kind = authentication.username.isEmpty ? .anonymous : .account
      integration.authentication = authentication
    }
    if secrets[.main] == nil {
      secrets[.main] = try AuthenticationSettings.prompt(for: integration.authentication)
    }
    try await create(integration, secrets)
  }

  private func ask(proposing integration: Integration) async throws {
    try await global.perform { session in
      var wizard = try IntegrationWizard(session, proposing: integration)
      guard let answers = try await wizard.run() else { return Console.printError("nothing was stored") }
      try await Self.create(answers.integration, answers.secrets, session)
    }
  }

  private func create(_ integration: Integration, _ secrets: [SecretPart: Secret]) async throws {
    try await global.perform { try await Self.create(integration, secrets, $0) }
  }

  private static func create(
    _ integration: Integration, _ secrets: [SecretPart: Secret], _ session: Session
  ) async throws {
    var request = CreateIntegrationRequest()
    request.integration = integration
    request.carry(secrets)
    let created = try await session.integrations.createIntegration(request)
    try session.console.show(created.clientJSON) { session.console.render(IntegrationView.facts(of: created)) }
  }
}

struct IntegrationEdit: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "edit",
    abstract: "Change an integration's settings.",
    discussion: """
      Only what the options name is changed; an empty value ('') takes a setting back to its default. Without options, at \
      a terminal, asks step by step. A change of where the registry is or how it is trusted drops the stored secrets, \
      unless they are given anew with it: no credential follows to another host.

      Example:
        tidewaiter integration edit hub --url https://registry.example.com --password-file hub.password
      """)

  @OptionGroup var integration: IntegrationArgument
  @Flag(name: .shortAndLong, help: "Ask step by step.")
  var interactive = false
  @OptionGroup var settings: IntegrationSettings
  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var changed = Integration()
    changed.name = integration.name
    let paths = try settings.apply(to: &changed)
    let isBare = paths.isEmpty && settings.secretSources.isEmpty
    if interactive || (isBare && TerminalDialogue.isInteractive) { return try await ask() }
    guard !isBare else {
      throw CommandFailure.usage("there is nothing to change", hint: "name settings: see --help")
    }
    let secrets = try settings.secretSources.mapValues { try $0.read() }
    var request = UpdateIntegrationRequest()
    request.integration = changed
    var mask = FieldMask()
    mask.paths = paths.sorted() + secrets.keys.map(\.rawValue).sorted()
    request.updateMask = mask
    request.carry(secrets)
    try await global.perform { try await Self.update(request, $0) }
  }

  private func ask() async throws {
    try await global.perform { session in
      var request = GetIntegrationRequest()
      request.name = integration.name
      let existing = try await session.integrations.getIntegration(request)
      var wizard = try IntegrationWizard(session, editing: existing)
      guard let answers = try await wizard.run() else { return Console.printError("nothing was stored") }
      try await Self.update(
        UpdateIntegrationRequest(answers.integration, replacing: existing, secrets: answers.secrets), session)
    }
  }

  private static func update(_ request: UpdateIntegrationRequest, _ session: Session) async throws {
    let updated = try await session.integrations.updateIntegration(request)
    try session.console.show(updated.clientJSON) { session.console.render(IntegrationView.facts(of: updated)) }
    IntegrationView.tellDropped(by: updated, session.console)
  }
}
