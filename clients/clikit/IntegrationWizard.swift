import Posix
import TidewaiterClient

/// Asks for an integration step by step, like the two pages of the product's form. Every answer is checked by the daemon
/// before the next question, so that there is one set of rules.
struct IntegrationWizard: ~Copyable {
  private let dialogue: TerminalDialogue
  private let session: Session
  /// Nil for a new one.
  private let existing: Integration?
  private var integration: Integration
  private var secrets: [SecretPart: Secret] = [:]

  init(_ session: Session, proposing integration: Integration) throws {
    try self.init(session, existing: nil, integration)
  }

  init(_ session: Session, editing existing: Integration) throws {
    try self.init(session, existing: existing, existing)
  }

  private init(_ session: Session, existing: Integration?, _ integration: Integration) throws {
    guard let dialogue = TerminalDialogue() else {
      throw CommandFailure.usage("there is no terminal to ask at", hint: "give the settings as options: see --help")
    }
    self.dialogue = dialogue
    self.session = session
    self.existing = existing
    self.integration = integration
  }

  /// What was answered, when the person has said yes to all of it; nil when not.
  mutating func run() async throws -> (integration: Integration, secrets: [SecretPart: Secret])? {
    try dialogue.say("Press return to take what stands in brackets, answer - to leave something empty.")
    try dialogue.say("\nRegistry details")
    try await askName()
    for question in IntegrationQuestion.registry {
      try await ask(question)
      if question.fields == ["authentication.username"] { try await askSecrets() }
      if question.fields == ["tls.client_certificate_pem"] { try await askClientKey() }
      if question.fields.contains("proxy.url") { try await askProxyPassword() }
    }
    try dialogue.say("\nImage scan details")
    for question in IntegrationQuestion.scan { try await ask(question) }
    try dialogue.say("")
    try dialogue.say(session.console.render(IntegrationView.facts(of: integration)))
    let last = existing == nil ? "Add this integration (yes, no)" : "Store this (yes, no)"
    guard try dialogue.ask(last, proposal: "yes").lowercased().hasPrefix("y") else { return nil }
    return (integration, secrets)
  }

  private mutating func askName() async throws {
    guard existing == nil, integration.name.isEmpty else { return }
    try await ask(
      IntegrationQuestion(
        text: "Name of the integration", fields: ["name"], proposal: { $0.name }, take: { $0.name = $1 }))
  }

  private mutating func ask(_ question: IntegrationQuestion) async throws {
    guard question.isAsked(integration) else { return }
    while true {
      let answer = try dialogue.ask(question.text, proposal: question.proposal(integration))
      let before = integration
      do {
        try question.take(&integration, answer)
        let wrong = try await violations(of: question.fields)
        if wrong.isEmpty { return }
        for line in wrong { try complain(line) }
      } catch let error as MalformedText {
        try complain(error.description)
      } catch let failure as CommandFailure where failure.code == TidewaiterError.Code.failedPrecondition.name {
        for line in failure.messages { try complain(line) }
      }
      integration = before
    }
  }

  private func complain(_ line: String) throws { try dialogue.say("  " + TerminalText.escape(line)) }

  // MARK: - Secrets

  private mutating func askSecrets() async throws {
    switch integration.authentication?.kind {
    case .account: try await askSecret(.main, "Password", isStored: existing?.authentication?.hasSecret == true)
    case .apiKey: try await askSecret(.main, "API key", isStored: existing?.authentication?.hasSecret == true)
    default: return
    }
    guard integration.type == "ecr" else { return }
    try await askSecret(
      .sessionToken, "Session token, empty for none", isStored: existing?.authentication?.hasSessionToken == true,
      mayBeEmpty: true)
  }

  private mutating func askClientKey() async throws {
    guard let tls = integration.tls, !tls.clientCertificatePem.isEmpty,
      tls.clientCertificatePem != existing?.tls?.clientCertificatePem
    else { return }
    while true {
      let path = try dialogue.ask("File of that certificate's private key", proposal: "")
      do {
        secrets[.clientKey] = try SecretInput.read(file: path)
      } catch let failure as CommandFailure {
        for line in failure.messages { try complain(line) }
        continue
      }
      let wrong = try await violations(of: [SecretPart.clientKey.rawValue])
      if wrong.isEmpty { return }
      for line in wrong { try complain(line) }
    }
  }

  private mutating func askProxyPassword() async throws {
    guard integration.proxy?.url.contains("@") == true else { return }
    try await askSecret(
      .proxyPassword, "Password of the proxy, empty for none", isStored: existing?.proxy?.hasPassword == true,
      mayBeEmpty: true)
  }

  private mutating func askSecret(
    _ part: SecretPart, _ question: String, isStored: Bool, mayBeEmpty: Bool = false
  ) async throws {
    let text = isStored ? question + " [what is stored]" : question
    while true {
      guard let secret = try SecretInput.prompt(text, mayBeEmpty: true) else {
        throw CommandFailure.usage("there is no terminal to ask at", hint: "give the settings as options: see --help")
      }
      if secret.isEmpty && (isStored || mayBeEmpty) { return }
      secrets[part] = secret.isEmpty ? nil : secret
      let wrong = try await violations(of: [part.rawValue])
      if wrong.isEmpty { return }
      secrets[part] = nil
      for line in wrong { try complain(line) }
    }
  }

  // MARK: - Asking the daemon

  /// What the daemon says of `fields` in the integration as it is so far.
  private func violations(of fields: [String]) async throws -> [String] {
    do throws(TidewaiterError) {
      if let existing {
        var request = UpdateIntegrationRequest(integration, replacing: existing, secrets: secrets)
        request.validateOnly = true
        _ = try await session.integrations.updateIntegration(request)
      } else {
        var request = CreateIntegrationRequest()
        request.integration = integration
        request.validateOnly = true
        request.carry(secrets)
        _ = try await session.integrations.createIntegration(request)
      }
      return []
    } catch {
      guard !error.fieldViolations.isEmpty else { throw error }
      return error.fieldViolations.filter { violation in
        fields.contains { field in
          violation.field == field || violation.field.hasPrefix(field + "[") || violation.field.hasPrefix(field + ".")
        }
      }.map(\.description)
    }
  }
}

extension UpdateIntegrationRequest {
  /// Makes `existing` into `integration` as a whole, unless somebody changed it meanwhile.
  init(_ integration: Integration, replacing existing: Integration, secrets: [SecretPart: Secret]) {
    self.init()
    self.integration = integration
    self.integration?.etag = existing.etag
    var mask = FieldMask()
    mask.paths = Self.settings + secrets.keys.map(\.rawValue).sorted()
    updateMask = mask
    carry(secrets)
  }

  /// Every setting of an integration, as masks name them.
  static let settings = [
    "type", "url", "api_url", "description", "scopes", "region", "repository_keys", "repository_access", "mode",
    "schedule",
    "authentication.kind", "authentication.username", "tls.ca_pem", "tls.client_certificate_pem", "tls.insecure",
    "proxy", "criteria", "condition", "never", "always", "rescan", "scan_timeout", "platforms", "max_concurrent",
    "requests_per_second", "bytes_per_second", "quiet_hours", "allowed_realm_hosts", "include_remote",
    "max_scans", "max_image_bytes",
  ]
}
