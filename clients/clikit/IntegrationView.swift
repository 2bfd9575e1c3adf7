import ProtobufRuntime
import TidewaiterClient

/// Integrations as people and programs read them.
package enum IntegrationView {
  static func table(of integrations: [Integration]) -> Table {
    var table = Table([
      .init("NAME"), .init("TYPE", isOptional: true), .init("URL", cut: .end), .init("MODE", isOptional: true),
      .init("AUTH", isOptional: true),
      .init("NEXT RUN"), .init("CRITERIA", cut: .end), .init("CONDITION"), .init("WARNINGS", cut: .end),
    ])
    for integration in integrations {
      let criteria = integration.criteria.map(\.pattern).joined(separator: " ")
      table.add([
        .init(integration.name), .init(integration.type), .init(integration.url), .init(integration.mode.name),
        .init(describe(integration.authentication?.kind)), .init(nextRun(of: integration)?.short ?? ""),
        .init(criteria.isEmpty ? "all" : criteria),
        .init(describe(integration.condition)), .init(integration.warnings.joined(separator: "; "), .yellow),
      ])
    }
    return table
  }

  static func facts(of integration: Integration) -> FactList {
    var facts = FactList()
    facts.add("name", integration.name)
    facts.add("type", integration.type)
    facts.add("url", integration.url)
    if !integration.apiUrl.isEmpty { facts.add("api url", integration.apiUrl) }
    facts.add("scopes", integration.scopes)
    if !integration.region.isEmpty { facts.add("region", integration.region) }
    if !integration.repositoryAccess.isEmpty { facts.add("repository access", integration.repositoryAccess) }
    facts.add("repository keys", integration.repositoryKeys)
    if !integration.description.isEmpty { facts.add("description", integration.description) }
    facts.add("mode", integration.mode.name)
    if let schedule = integration.schedule {
      let next = nextRun(of: integration)
      let nodes = next.map { $0.zone.isEmpty ? "the node's time" : "the node's time, \($0.zone)" } ?? "the node's time"
      let zone = schedule.timezone.isEmpty ? nodes : schedule.timezone
      // Elapsed time goes by no clock.
      facts.add(
        "schedule",
        "\(schedule.kind) \(schedule.value)" + (schedule.kind == "every" ? "" : " in \(zone)"))
      if let next { facts.add("next run", next.long) }
    }
    let authentication = integration.authentication
    var account = describe(authentication?.kind)
    if let user = authentication?.username, !user.isEmpty { account += ", user \(user)" }
    if authentication?.hasSecret == true { account += ", secret stored" }
    if authentication?.hasSessionToken == true { account += ", session token stored" }
    facts.add("authentication", account)
    if let tls = integration.tls {
      if !tls.caPem.isEmpty {
        let count = tls.caPem.ranges(of: "-----BEGIN CERTIFICATE-----").count
        facts.add("own certificates", "\(count)")
      }
      if !tls.clientCertificatePem.isEmpty {
        facts.add("client certificate", tls.hasClientKey ? "with its key" : "without its key")
      }
      if tls.insecure { facts.add("verification", "off", .yellow) }
    }
    if let proxy = integration.proxy {
      facts.add("proxy", proxy.url + (proxy.hasPassword ? ", password stored" : ""))
    }
    facts.add("allowed realm hosts", integration.allowedRealmHosts)
    let criteria = integration.criteria.map(describe)
    facts.add("criteria", criteria.isEmpty ? ["all"] : criteria)
    facts.add("condition", describe(integration.condition))
    facts.add("never", integration.never.map(describe))
    facts.add("always", integration.always.map(describe))
    facts.add("rescan", integration.rescan ? "on" : "off")
    facts.add("remote repositories", integration.includeRemote ? "polled" : "skipped")
    if let timeout = integration.scanTimeout {
      facts.add("scan timeout", DurationText.describe(seconds: timeout.seconds))
    }
    facts.add(
      "platforms", integration.platforms.isEmpty ? "the node's own" : integration.platforms.joined(separator: ", "))
    if integration.maxConcurrent > 0 { facts.add("requests at a time", String(integration.maxConcurrent)) }
    if integration.requestsPerSecond > 0 { facts.add("requests a second", String(integration.requestsPerSecond)) }
    if integration.bytesPerSecond > 0 { facts.add("bytes a second", People.size(integration.bytesPerSecond)) }
    if integration.maxScans > 0 { facts.add("scans at a time", String(integration.maxScans)) }
    if integration.maxImageBytes > 0 { facts.add("largest image", People.size(integration.maxImageBytes)) }
    if !integration.quietHours.isEmpty { facts.add("quiet hours", integration.quietHours) }
    if let budget = integration.budget { facts.add("budget", describe(budget)) }
    if integration.createdAt != nil { facts.add("created", People.time(integration.createdAt)) }
    if integration.updatedAt != nil { facts.add("updated", People.time(integration.updatedAt)) }
    facts.add("warnings", integration.warnings, .yellow)
    return facts
  }

  /// Nil for a manual one, and where the daemon cannot say it.
  private static func nextRun(of integration: Integration) -> ZoneTime? {
    guard let schedule = integration.schedule, let next = schedule.next else { return nil }
    return ZoneTime(seconds: next.seconds, zone: schedule.timezone)
  }

  /// What the registry last said of the requests it grants.
  private static func describe(_ budget: Budget) -> String {
    var parts: [String] = []
    if budget.limit > 0 {
      let window = budget.window.map { " in \(DurationText.describe(seconds: $0.seconds))" } ?? ""
      parts.append("\(budget.remaining) of \(budget.limit) requests left\(window)")
    }
    if budget.resetsAt != nil { parts.append("anew at \(People.time(budget.resetsAt))") }
    if budget.throttledUntil != nil { parts.append("throttled until \(People.time(budget.throttledUntil))") }
    return parts.isEmpty ? "no limit told" : parts.joined(separator: ", ")
  }

  /// Says which secrets an update dropped, and how to give them anew.
  static func tellDropped(by integration: Integration, _ console: Console, isPlanned: Bool = false) {
    guard !integration.droppedSecrets.isEmpty else { return }
    let isKey = integration.authentication?.kind == .apiKey
    let parts: [(path: String, name: String, flag: String)] = [
      ("secret", isKey ? "the key" : "the password", isKey ? "--api-key-file" : "--password-file"),
      ("session_token", "the session token", "--session-token-file"),
      ("client_key_pem", "the client certificate's key", "--client-key"),
      ("proxy_password", "the proxy's password", "--proxy-password-file"),
    ]
    let dropped = parts.filter { integration.droppedSecrets.contains($0.path) }
    console.warn(
      (isPlanned ? "would drop " : "dropped ") + dropped.map(\.name).joined(separator: ", ")
        + " of \(integration.name): "
        + "no secret follows a change of host, trust or account")
    if isPlanned { return }
    let flags = dropped.map { "\($0.flag) FILE" }.joined(separator: " ")
    console.hint("give anew with: tidewaiter integration edit \(integration.name) \(flags)")
  }

  private static func describe(_ kind: AuthenticationKind?) -> String {
    (kind ?? .anonymous).name.replacing("_", with: "-")
  }

  /// The pattern, and how the daemon read it.
  package static func describe(_ pattern: Pattern) -> String {
    let reading =
      switch (pattern.name.isEmpty, pattern.tag.isEmpty) {
      case (false, false): "name \(pattern.name), tag \(pattern.tag)"
      case (false, true): "name \(pattern.name), any tag"
      case (true, false): "any name, tag \(pattern.tag)"
      case (true, true): "not read"
      }
    return "\(pattern.pattern)  (\(reading))"
  }

  package static func describe(_ condition: Condition?) -> String {
    guard let condition else { return "none" }
    func count(_ number: UInt32, _ unit: String) -> String { "\(number) \(unit)\(number == 1 ? "" : "s")" }
    switch condition.kind {
    case .createdWithin:
      let parts = [(condition.days, "day"), (condition.months, "month"), (condition.years, "year")]
      return "created within "
        + parts.filter { $0.0 > 0 }.map { count($0.0, $0.1) }.joined(separator: ", ")
    case .latest: return "latest \(count(condition.count, "tag"))"
    default: return "none"
    }
  }

  /// A line for each step, with what to do below one that failed.
  static func steps(of test: TestIntegrationResponse, _ console: Console) -> String {
    let width = test.steps.map { TerminalText.width($0.name) }.max() ?? 0
    return test.steps.reduce(into: "") { output, step in
      let (word, colour): (String, Colour) =
        switch step.outcome {
        case .ok: ("ok", .green)
        case .failed: ("failed", .red)
        default: (step.outcome.name, .dim)
        }
      let name = TerminalText.escape(step.name)
      let outcome = word + String(repeating: " ", count: max(7 - word.count, 0))
      output += (console.colours ? colour.paint(outcome) : outcome) + "  " + name
      if !step.detail.isEmpty {
        let padding = String(repeating: " ", count: max(width - TerminalText.width(name), 0))
        output += padding + "  " + TerminalText.escape(step.detail)
      }
      output += "\n"
      if !step.hint.isEmpty { output += "         hint: " + TerminalText.escape(step.hint) + "\n" }
    }
  }
}

extension Integration {
  /// The document that programs read: the condition holds only the number that its kind uses.
  package var clientJSON: JSONValue {
    var document = json
    document["condition"] = (condition ?? Condition()).clientJSON
    return document
  }
}

extension Condition {
  fileprivate var clientJSON: JSONValue {
    let named: [(String, UInt32)] =
      switch kind {
      case .createdWithin: [("days", days), ("months", months), ("years", years)].filter { $0.1 > 0 }
      case .latest: [("count", count)]
      default: []
      }
    let isKnown = kind == .createdWithin || kind == .latest
    return .object(
      [("kind", .string(isKnown ? kind.name : ConditionKind.none.name))]
        + named.map { (key: $0.0, value: JSONValue.unsigned(UInt64($0.1))) })
  }
}
