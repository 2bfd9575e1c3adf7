import TestSupport

/// Files as images hold them, with secrets and with what only looks like them, from a fixed seed.
struct PlantedCorpus {
  struct File {
    var path: String
    var text = ""
    var planted: [(rule: String, value: String)] = []
  }

  private(set) var files: [File] = []

  init(seed: UInt64, samplesOfKind: Int) {
    var random = Seeded(seed)
    for kind in PlantedKind.all {
      for _ in 0..<samplesOfKind {
        let planted = kind.make(&random)
        let format = Format.allCases.randomElement(using: &random) ?? .environment
        var file = File(path: "srv/app/\(files.count)/\(format.fileName)")
        let harmless = (0..<4).map { _ in LookAlike.line(format, &random) }
        let line = planted.name.isEmpty ? planted.text : format.line(planted.name, planted.text)
        file.text = (harmless.prefix(2) + [line] + harmless.suffix(2)).joined(separator: "\n") + "\n"
        file.planted = [(kind.rule, planted.value)]
        files.append(file)
      }
    }
    for number in 0..<(2 * files.count) {
      let format = Format.allCases.randomElement(using: &random) ?? .environment
      var file = File(path: "srv/other/\(number)/\(format.fileName)")
      file.text = (0..<8).map { _ in LookAlike.line(format, &random) }.joined(separator: "\n") + "\n"
      files.append(file)
    }
  }

  enum Format: CaseIterable {
    case environment, yaml, json, python, shell, ini, log, properties, toml

    var fileName: String {
      switch self {
      case .environment: ".env"
      case .yaml: "values.yaml"
      case .json: "config.json"
      case .python: "settings.py"
      case .shell: "run.sh"
      case .ini: "app.ini"
      case .log: "build.log"
      case .properties: "application.properties"
      case .toml: "config.toml"
      }
    }

    func line(_ name: String, _ value: String) -> String {
      switch self {
      case .environment: "\(name)=\(value)"
      case .yaml: "  \(name): \(value)"
      case .json: "  \"\(name)\": \"\(value)\","
      case .python: "\(name) = '\(value)'"
      case .shell: "export \(name)=\"\(value)\""
      case .ini, .toml: "\(name) = \"\(value)\""
      case .log: "2024-05-01T12:00:00Z INFO set \(name)=\(value) for worker"
      case .properties: "app.\(name)=\(value)"
      }
    }
  }
}

/// Lines that are no secrets.
enum LookAlike {
  static func line(_ format: PlantedCorpus.Format, _ random: inout Seeded) -> String {
    let makers: [(inout Seeded) -> (String, String)] = [
      { ("COMMIT_SHA", $0.text(40, Letters.hex)) }, { ("image_digest", "sha256:" + $0.text(64, Letters.hex)) },
      { ("request_id", $0.uuid()) }, { ("integrity", "sha512-" + Encodings.base64($0.bytes(64))) },
      { ("checksum", $0.text(32, Letters.hex)) }, { ("thumbnail", Encodings.base64($0.bytes(120))) },
      { _ in ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE") },
      { _ in ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY") },
      { _ in ("DB_PASSWORD", "${DB_PASSWORD}") }, { _ in ("password", "changeme") },
      { _ in ("api_key", "<your-api-key>") },
      { _ in ("GITHUB_TOKEN", "ghp_" + String(repeating: "x", count: 36)) }, { ("GITHUB_TOKEN", "ghp_" + $0.text(12)) },
      { _ in ("STRIPE_KEY", "sk_live_your_secret_key_goes_here") },
      { _ in ("DATABASE_URL", "postgres://user:password@localhost:5432/app") },
      { _ in ("MIRROR", "https://user:pass@example.com/simple") },
      { ("homepage", "https://git.corp/\($0.text(8))?tab=1:2@3") },
      { ("PublicKeyToken", $0.text(16, Letters.hex)) }, { ("next_page_token", $0.text(40)) },
      { _ in ("token_url", "https://login.corp/oauth2/v1/token") },
      { _ in ("secretName", "web-tls-2024-credentials-v2") },
      { ("password_file", "/run/secrets/\($0.text(6, Letters.lower))_1") },
      { _ in ("password", "{{ .Values.db.password }}") },
      { _ in ("secretKeyRef", "database-credentials-0") }, { _ in ("token", "%(vault_token_1)s") },
      { _ in ("password_encryption", "scram-sha-256") }, { _ in ("tokenizer", "bert-base-uncased-v2-large-512") },
      { ("etag", "W/\\\"\($0.text(27))\\\"") }, { ("cache_key", $0.text(24)) },
      { ("build", $0.text(12, Letters.digits)) },
      { ("font", "data:font/woff2;base64," + Encodings.base64($0.bytes(300))) },
      { ("ssh_key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + $0.text(43, Letters.base64) + " me@laptop") },
      { _ in ("secret", "projects/acme/secrets/db-pass/versions/3") }, { _ in ("token", "self.lexer.next_token2()") },
      { ("session", Encodings.base64(Array(#"{"alg":"none"}"#.utf8), url: true) + "." + $0.text(30) + ".") },
      { ("slug", "key-value-store-" + $0.text(6, Letters.hex)) }, { ("sku", "SG." + $0.text(10)) },
      { ("version", "1//0" + $0.text(4, Letters.digits)) },
      { ("chunk", "npm_config_cache_" + $0.text(6, Letters.lower)) },
      { _ in ("passwordPolicy", "min-length:12,digits:2") }, { ("revision", "AKIA" + $0.text(7, Letters.upper)) },
      { _ in ("credential_source", "Ec2InstanceMetadata") }, { ("apikey_id", $0.text(20)) },
    ]
    let maker = makers[Int.random(in: makers.indices, using: &random)]
    let (name, value) = maker(&random)
    return format.line(name, value)
  }
}
