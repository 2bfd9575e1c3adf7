import TidewaiterClient

/// One question about an integration: what is asked when, what is proposed, and what an answer sets.
struct IntegrationQuestion {
  let text: String
  /// The fields that an answer decides on, as the daemon's violations name them.
  let fields: [String]
  var isAsked: (Integration) -> Bool = { _ in true }
  let proposal: (Integration) -> String
  /// Throws `MalformedText` or `CommandFailure` for an answer that cannot be one.
  let take: (inout Integration, String) throws -> Void

  /// The first page of the product's form: where the registry is and who we are there.
  static var registry: [IntegrationQuestion] {
    [
      text("Type (\(RegistrySettings.types.joined(separator: ", ")))", "type", \.type),
      IntegrationQuestion(
        text: "Address of the registry", fields: ["url"],
        proposal: { $0.url.isEmpty && $0.type == "docker-hub" ? "https://registry-1.docker.io" : $0.url },
        take: { $0.url = $1 }),
      text("Address of the vendor's API, - for the usual one", "api_url", \.apiUrl) { $0.type != "docker-registry" },
      list("Scopes to read (namespaces, organisations, groups, projects, registry ids), - for all", "scopes", \.scopes),
      text("Region, - where the address tells it", "region", \.region) { $0.type == "ecr" },
      IntegrationQuestion(
        text: "Repository access (repository-path, subdomain, port)", fields: ["repository_access"],
        isAsked: { $0.type == "artifactory" },
        proposal: { $0.repositoryAccess.isEmpty ? "repository-path" : $0.repositoryAccess },
        take: { $0.repositoryAccess = $1 }),
      list("Repository keys behind the port, - to find them", "repository_keys", \.repositoryKeys) {
        $0.type == "nexus" || ($0.type == "artifactory" && $0.repositoryAccess == "port")
      },
      IntegrationQuestion(
        text: "Authentication (anonymous, account, api-key)", fields: ["authentication.kind"],
        proposal: { integration in
          guard let kind = integration.authentication?.kind, kind != .unspecified else {
            return integration.type == "gar" ? "api-key" : "account"
          }
          return kind.name.replacing("_", with: "-")
        },
        take: { integration, answer in
          guard let choice = AuthenticationChoice(rawValue: answer) else {
            throw MalformedText("is none of anonymous, account, api-key")
          }
          var authentication = integration.authentication ?? Authentication()
          authentication.kind = choice.kind
          if choice == .anonymous { authentication.username = "" }
          integration.authentication = authentication
        }),
      IntegrationQuestion(
        text: "User name", fields: ["authentication.username"],
        isAsked: { integration in
          integration.authentication?.kind == .account
            || (integration.authentication?.kind == .apiKey && integration.type == "docker-hub")
        },
        proposal: { $0.authentication?.username ?? "" },
        take: { integration, answer in
          var authentication = integration.authentication ?? Authentication()
          authentication.username = answer
          integration.authentication = authentication
        }),
      IntegrationQuestion(
        text: "Verify the registry's certificate (yes, no)", fields: ["tls.insecure"],
        isAsked: { $0.url.lowercased().hasPrefix("https:") },
        proposal: { $0.tls?.insecure == true ? "no" : "yes" },
        take: { integration, answer in
          let isVerified = try yesOrNo(answer)
          integration.changeTLS { $0.insecure = !isVerified }
        }),
      certificates("File of certificates to trust beside the system's", "tls.ca_pem", \.caPem),
      certificates(
        "File of the certificate to show to the registry", "tls.client_certificate_pem", \.clientCertificatePem),
      IntegrationQuestion(
        text: "Proxy, - for the environment's", fields: ["proxy", "proxy.url"], proposal: { $0.proxy?.url ?? "" },
        take: { integration, answer in
          var proxy = Proxy()
          proxy.url = answer
          integration.proxy = answer.isEmpty ? nil : proxy
        }),
      text("Description", "description", \.description),
    ]
  }

  /// The second page: what is pulled and how it is scanned.
  static var scan: [IntegrationQuestion] {
    [
      IntegrationQuestion(
        text: "Maximum scan time", fields: ["scan_timeout"],
        proposal: { DurationText.describe(seconds: $0.scanTimeout?.seconds ?? 1800).replacing(" ", with: "") },
        take: { $0.scanTimeout = ProtoDuration(try DurationText.parse($1)) }),
      IntegrationQuestion(
        text: "Mode (manual, automatic)", fields: ["mode"],
        proposal: { $0.mode == .automatic ? "automatic" : "manual" },
        take: { integration, answer in
          guard let choice = ModeChoice(rawValue: answer) else { throw MalformedText("is none of manual, automatic") }
          integration.mode = choice.mode
          if choice == .manual { integration.schedule = nil }
        }),
      IntegrationQuestion(
        text: "Schedule (every 6h, daily 02:30, weekly mon,thu@02:30, or a cron line)", fields: ["schedule"],
        isAsked: { $0.mode == .automatic }, proposal: { $0.schedule?.value ?? "6h" },
        take: { $0.schedule = Schedule(reading: $1, timezone: $0.schedule?.timezone ?? "") }),
      IntegrationQuestion(
        text: "Time zone of the schedule, - for the node's", fields: ["schedule"], isAsked: { $0.mode == .automatic },
        proposal: { $0.schedule?.timezone ?? "" }, take: { $0.schedule?.timezone = $1 }),
      patterns("Pull only (name, name:tag or :tag, with *), - for all", "criteria", \.criteria),
      IntegrationQuestion(
        text: "Additional condition (none, created within a period such as 60d, 2mo, 1y, or the latest N such as 5)",
        fields: ["condition"], proposal: { IntegrationQuestion.condition($0.condition) },
        take: { $0.condition = try condition(reading: $1) }),
      patterns("Never pull, - for nothing", "never", \.never),
      patterns("Always pull, - for nothing", "always", \.always),
      flag("Scan again with every poll what was scanned before (yes, no)", "rescan", \.rescan),
      flag(
        "Poll remote and proxy repositories too, for what they hold already (yes, no)", "include_remote",
        \.includeRemote),
      list("Platforms (such as linux/arm64, or all), - for the node's own", "platforms", \.platforms),
      IntegrationQuestion(
        text: "Requests at a time", fields: ["max_concurrent"],
        proposal: { String($0.maxConcurrent == 0 ? 8 : $0.maxConcurrent) },
        take: { $0.maxConcurrent = try number($1) }),
      IntegrationQuestion(
        text: "Requests a second, 0 for no limit", fields: ["requests_per_second"],
        proposal: { String($0.requestsPerSecond) }, take: { $0.requestsPerSecond = try number($1) }),
      IntegrationQuestion(
        text: "Bytes a second, 0 for no limit", fields: ["bytes_per_second"],
        proposal: { String($0.bytesPerSecond) }, take: { $0.bytesPerSecond = try number($1) }),
      IntegrationQuestion(
        text: "Scans at a time, 0 for as many as the daemon allows", fields: ["max_scans"],
        proposal: { String($0.maxScans) }, take: { $0.maxScans = try number($1) }),
      IntegrationQuestion(
        text: "Largest image such as 20GiB, 0 for the daemon's own limit", fields: ["max_image_bytes"],
        proposal: { String($0.maxImageBytes) }, take: { $0.maxImageBytes = try SizeText.parse($1) }),
      text("Quiet hours such as 22:00-06:00, - for none", "quiet_hours", \.quietHours),
    ]
  }

  // MARK: - Kinds of questions

  private static func text(
    _ text: String, _ field: String, _ path: WritableKeyPath<Integration, String>,
    isAsked: @escaping (Integration) -> Bool = { _ in true }
  ) -> IntegrationQuestion {
    IntegrationQuestion(
      text: text, fields: [field], isAsked: isAsked, proposal: { $0[keyPath: path] }, take: { $0[keyPath: path] = $1 })
  }

  private static func list(
    _ text: String, _ field: String, _ path: WritableKeyPath<Integration, [String]>,
    isAsked: @escaping (Integration) -> Bool = { _ in true }
  ) -> IntegrationQuestion {
    IntegrationQuestion(
      text: text, fields: [field], isAsked: isAsked, proposal: { $0[keyPath: path].joined(separator: " ") },
      take: { $0[keyPath: path] = words($1) })
  }

  private static func patterns(
    _ text: String, _ field: String, _ path: WritableKeyPath<Integration, [Pattern]>
  ) -> IntegrationQuestion {
    IntegrationQuestion(
      text: text, fields: [field], proposal: { $0[keyPath: path].map(\.pattern).joined(separator: " ") },
      take: { $0[keyPath: path] = words($1).map(SettingsChange.pattern) })
  }

  private static func flag(
    _ text: String, _ field: String, _ path: WritableKeyPath<Integration, Bool>
  ) -> IntegrationQuestion {
    IntegrationQuestion(
      text: text, fields: [field], proposal: { $0[keyPath: path] ? "yes" : "no" },
      take: { $0[keyPath: path] = try yesOrNo($1) })
  }

  /// Certificates that are stored stay where nothing else is answered.
  private static func certificates(
    _ text: String, _ field: String, _ path: WritableKeyPath<Tls, String>
  ) -> IntegrationQuestion {
    let stored = "those stored"
    return IntegrationQuestion(
      text: text + ", - for none", fields: [field], isAsked: { $0.url.lowercased().hasPrefix("https:") },
      proposal: { ($0.tls?[keyPath: path]).flatMap { $0.isEmpty ? nil : stored } ?? "" },
      take: { integration, answer in
        guard answer != stored else { return }
        let certificates = try Certificates.read(answer)
        integration.changeTLS { $0[keyPath: path] = certificates }
      })
  }

  // MARK: - Answers

  /// Separated by blanks or commas.
  private static func words(_ answer: String) -> [String] {
    answer.split { $0 == " " || $0 == "," }.map(String.init)
  }

  private static func yesOrNo(_ answer: String) throws(MalformedText) -> Bool {
    switch answer.lowercased() {
    case "y", "yes": true
    case "n", "no": false
    default: throw MalformedText("please answer yes or no")
    }
  }

  private static func number<Number: FixedWidthInteger>(_ answer: String) throws(MalformedText) -> Number {
    guard let number = Number(answer.isEmpty ? "0" : answer) else { throw MalformedText("is no number that can be") }
    return number
  }

  private static func condition(_ condition: Condition?) -> String {
    switch condition?.kind {
    case .createdWithin:
      let parts = [(condition?.days, "d"), (condition?.months, "mo"), (condition?.years, "y")]
      return parts.first { ($0.0 ?? 0) > 0 }.map { "\($0.0 ?? 0)\($0.1)" } ?? "none"
    case .latest: return String(condition?.count ?? 1)
    default: return "none"
    }
  }

  private static func condition(reading answer: String) throws(MalformedText) -> Condition? {
    if answer.isEmpty || answer == "none" { return nil }
    if let count = UInt32(answer) { return .latest(count) }
    return .createdWithin(try Period(parsing: answer))
  }
}

extension Integration {
  fileprivate mutating func changeTLS(_ body: (inout Tls) -> Void) {
    var tls = self.tls ?? Tls()
    body(&tls)
    self.tls = tls
  }
}
