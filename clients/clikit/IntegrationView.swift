import ProtobufRuntime
import TidewaiterClient

/// Integrations as people and programs read them.
package enum IntegrationView {
  static func table(of integrations: [Integration]) -> Table {
    var table = Table([
      .init("NAME"), .init("TYPE", isOptional: true), .init("URL", cut: .end), .init("MODE", isOptional: true),
      .init("AUTH", isOptional: true),
      .init("CRITERIA", cut: .end), .init("CONDITION"), .init("WARNINGS", cut: .end),
    ])
    for integration in integrations {
      let criteria = integration.criteria.map(\.pattern).joined(separator: " ")
      table.add([
        .init(integration.name), .init(integration.type), .init(integration.url), .init(integration.mode.name),
        .init(describe(integration.authentication?.kind)), .init(criteria.isEmpty ? "all" : criteria),
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
    if !integration.description.isEmpty { facts.add("description", integration.description) }
    facts.add("mode", integration.mode.name)
    if let schedule = integration.schedule {
      facts.add("schedule", "\(schedule.kind) \(schedule.value) \(schedule.timezone)")
    }
    let authentication = integration.authentication
    var account = describe(authentication?.kind)
    if let user = authentication?.username, !user.isEmpty { account += ", user \(user)" }
    if authentication?.hasSecret == true { account += ", secret stored" }
    facts.add("authentication", account)
    if let tls = integration.tls {
      if !tls.caPem.isEmpty {
        let count = tls.caPem.ranges(of: "-----BEGIN CERTIFICATE-----").count
        facts.add("own certificates", "\(count)")
      }
      if tls.insecure { facts.add("verification", "off", .yellow) }
    }
    facts.add("allowed realm hosts", integration.allowedRealmHosts)
    let criteria = integration.criteria.map(describe)
    facts.add("criteria", criteria.isEmpty ? ["all"] : criteria)
    facts.add("condition", describe(integration.condition))
    facts.add("never", integration.never.map(describe))
    facts.add("always", integration.always.map(describe))
    facts.add("rescan", integration.rescan ? "on" : "off")
    if let timeout = integration.scanTimeout {
      facts.add("scan timeout", DurationText.describe(seconds: timeout.seconds))
    }
    facts.add(
      "platforms", integration.platforms.isEmpty ? "the node's own" : integration.platforms.joined(separator: ", "))
    if integration.maxConcurrent > 0 { facts.add("requests at a time", String(integration.maxConcurrent)) }
    if integration.createdAt != nil { facts.add("created", People.time(integration.createdAt)) }
    if integration.updatedAt != nil { facts.add("updated", People.time(integration.updatedAt)) }
    facts.add("warnings", integration.warnings, .yellow)
    return facts
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
