import TestSupport

extension PlantedKind {
  /// A token that is a prefix and something random.
  private static func prefixed(_ rule: String, _ prefix: String, _ count: Int, _ letters: String = Letters.word)
    -> PlantedKind
  {
    PlantedKind(rule) { Planted(prefix + $0.text(count, letters), name: "API_TOKEN") }
  }

  private static func named(_ rule: String, _ name: String, _ count: Int, _ letters: String) -> PlantedKind {
    PlantedKind(rule) { Planted($0.text(count, letters), name: name) }
  }

  private static func checked(_ rule: String, _ prefix: String) -> PlantedKind {
    PlantedKind(rule) {
      let body = $0.text(30)
      return Planted(prefix + body + Encodings.base62(Encodings.crc32(body)), name: "TOKEN")
    }
  }

  private static func key(_ rule: String, _ label: String, headers: String = "") -> PlantedKind {
    PlantedKind(rule) { Planted(Encodings.pem(label, &$0, headers: headers), name: "") }
  }

  static let all: [PlantedKind] = keys + clouds + code + services + places + more

  static let keys: [PlantedKind] = [
    key("private-key-rsa", "RSA PRIVATE KEY"), key("private-key-ec", "EC PRIVATE KEY"),
    key("private-key-dsa", "DSA PRIVATE KEY"), key("private-key-pkcs8", "PRIVATE KEY"),
    key("private-key-openssh", "OPENSSH PRIVATE KEY"), key("private-key-encrypted", "ENCRYPTED PRIVATE KEY"),
    key(
      "private-key-encrypted", "RSA PRIVATE KEY",
      headers: "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0F1E2D3C4B5A69788796A5B4C3D2E1F0"),
    PlantedKind("private-key-pgp") {
      let body = Encodings.pem("PGP PRIVATE KEY BLOCK", &$0, headers: "Version: GnuPG v2")
      return Planted(body.replacing("\n-----END", with: "\n=a1B2\n-----END"), name: "")
    },
    PlantedKind("private-key-putty") { random in
      let lines = (0..<3).map { _ in Encodings.base64(random.bytes(48)) }.joined(separator: "\n")
      let file = [
        "PuTTY-User-Key-File-3: ssh-ed25519", "Encryption: none", "Comment: laptop", "Public-Lines: 3", lines,
        "Private-Lines: 3", lines, "Private-MAC: " + random.text(64, Letters.hex),
      ]
      return Planted(file.joined(separator: "\n"), name: "")
    },
    PlantedKind("gcp-service-account") {
      let key = Encodings.pem("PRIVATE KEY", &$0).replacing("\n", with: "\\n")
      return Planted(
        "{\"type\": \"service_account\",\n  \"private_key_id\": \"\($0.text(40, Letters.hex))\",\n  \"private_key\": \"\(key)\\n\"}",
        name: "")
    },
    PlantedKind("private-key-base64") {
      Planted(Encodings.base64(Array(Encodings.pem("PRIVATE KEY", &$0, bytes: 200).utf8)), name: "client-key-data")
    },
  ]

  static let clouds: [PlantedKind] = [
    prefixed("aws-access-key-id", "AKIA", 16, Letters.upper + "234567"),
    prefixed("aws-temporary-key-id", "ASIA", 16, Letters.upper + "234567"),
    named("aws-secret-access-key", "AWS_SECRET_ACCESS_KEY", 40, Letters.base64),
    named("aws-secret-access-key", "secretAccessKey", 40, Letters.base64),
    named("aws-session-token", "AWS_SESSION_TOKEN", 240, Letters.base64),
    PlantedKind("aws-mws-token") { Planted("amzn.mws.\($0.uuid())") },
    prefixed("gcp-api-key", "AIza", 35, Letters.url), prefixed("gcp-oauth-client-secret", "GOCSPX-", 28, Letters.url),
    PlantedKind("azure-storage-key") {
      let key = Encodings.base64($0.bytes(64))
      return Planted(
        "DefaultEndpointsProtocol=https;AccountName=\($0.text(8, Letters.lower));AccountKey=\(key);EndpointSuffix=core.windows.net",
        value: key, name: "AZURE_STORAGE_CONNECTION_STRING")
    },
    PlantedKind("azure-shared-access-key") {
      let key = Encodings.base64($0.bytes(32))
      return Planted(
        "Endpoint=sb://bus.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=\(key)", value: key,
        name: "BUS")
    },
    PlantedKind("azure-client-secret") {
      Planted("\($0.text(3))8Q~\($0.text(33, Letters.word + "_.~" + Letters.word))a", name: "ARM_SECRET_VALUE")
    },
    prefixed("digitalocean-token", "dop_v1_", 64, Letters.hex),
    prefixed("digitalocean-oauth", "doo_v1_", 64, Letters.hex),
    prefixed("alibaba-access-key-id", "LTAI", 20), named("cloudflare-token", "CLOUDFLARE_API_TOKEN", 40, Letters.url),
    PlantedKind("heroku-key") { Planted($0.uuid(), name: "HEROKU_API_KEY") },
    PlantedKind("terraform-token") { Planted("\($0.text(14)).atlasv1.\($0.text(66))", name: "TFE") },
    prefixed("vault-token", "hvs.", 95), prefixed("databricks-token", "dapi", 32, Letters.hex),
    prefixed("pulumi-token", "pul-", 40, Letters.hex), prefixed("doppler-token", "dp.pt.", 43),
    prefixed("supabase-token", "sbp_", 40, Letters.hex), prefixed("netlify-token", "nfp_", 36),
  ]

  static let code: [PlantedKind] = [
    checked("github-pat", "ghp_"), checked("github-oauth", "gho_"), checked("github-user-token", "ghu_"),
    checked("github-app-token", "ghs_"), checked("npm-token", "npm_"),
    PlantedKind("github-fine-grained-pat") { Planted("github_pat_\($0.text(22))_\($0.text(59))", name: "GH") },
    prefixed("gitlab-pat", "glpat-", 20, Letters.url), prefixed("gitlab-deploy-token", "gldt-", 20, Letters.url),
    prefixed("gitlab-runner-token", "glrt-", 20, Letters.url),
    prefixed("gitlab-trigger-token", "glptt-", 40, Letters.hex),
    prefixed("bitbucket-app-password", "ATBB", 32), prefixed("atlassian-token", "ATATT3xFfGF0", 180, Letters.url),
    prefixed("sonarqube-token", "squ_", 40, Letters.hex), prefixed("linear-api-key", "lin_api_", 40),
    prefixed("pypi-token", "pypi-AgEIcHlwaS5vcmc", 150, Letters.url),
    prefixed("rubygems-key", "rubygems_", 48, Letters.hex),
    prefixed("nuget-key", "oy2", 43, Letters.digits + Letters.lower),
    prefixed("docker-hub-pat", "dckr_pat_", 27, Letters.url),
    prefixed("artifactory-key", "AKCp", 69),
    PlantedKind("postman-key") { Planted("PMAK-\($0.text(24, Letters.hex))-\($0.text(34, Letters.hex))") },
  ]

  static let services: [PlantedKind] = [
    PlantedKind("slack-bot-token") {
      Planted("xoxb-\($0.text(12, Letters.digits))-\($0.text(13, Letters.digits))-\($0.text(24))")
    },
    PlantedKind("slack-user-token") {
      Planted(
        "xoxp-\($0.text(12, Letters.digits))-\($0.text(12, Letters.digits))-\($0.text(13, Letters.digits))-\($0.text(32, Letters.hex))"
      )
    },
    PlantedKind("slack-webhook") {
      let path =
        "T\($0.text(8, Letters.upper + Letters.digits))/B\($0.text(8, Letters.upper + Letters.digits))/\($0.text(24))"
      return Planted("https://hooks.slack.com/services/\(path)", value: path, name: "SLACK")
    },
    PlantedKind("discord-webhook") {
      let path = "\($0.text(18, Letters.digits))/\($0.text(68, Letters.url))"
      return Planted("https://discord.com/api/webhooks/\(path)", value: path, name: "HOOK")
    },
    PlantedKind("telegram-bot-token") {
      Planted("5\($0.text(9, Letters.digits)):AA\($0.text(33, Letters.url))", name: "BOT")
    },
    named("twilio-auth-token", "TWILIO_AUTH_TOKEN", 32, Letters.hex),
    PlantedKind("sendgrid-key") { Planted("SG.\($0.text(22, Letters.url)).\($0.text(43, Letters.url))", name: "MAIL") },
    prefixed("mailgun-key", "key-", 32, Letters.hex),
    PlantedKind("mailchimp-key") {
      Planted("\($0.text(32, Letters.hex))-us\(Int.random(in: 1...21, using: &$0))", name: "MAIL")
    },
    PlantedKind("openai-key") { Planted("sk-\($0.text(20))T3BlbkFJ\($0.text(20))") },
    prefixed("openai-project-key", "sk-proj-", 120, Letters.url),
    PlantedKind("anthropic-key") { Planted("sk-ant-api03-\($0.text(93, Letters.url))AA") },
    prefixed("huggingface-token", "hf_", 34, Letters.lower + Letters.upper), prefixed("groq-key", "gsk_", 52),
    prefixed("stripe-secret-key", "sk_live_", 24), prefixed("stripe-restricted-key", "rk_live_", 99),
    prefixed("stripe-webhook-secret", "whsec_", 32), prefixed("square-access-token", "sq0atp-", 22, Letters.url),
    prefixed("shopify-access-token", "shpat_", 32, Letters.hex),
    prefixed("shopify-shared-secret", "shpss_", 32, Letters.hex),
    PlantedKind("notion-token") { Planted("ntn_\($0.text(11, Letters.digits))\($0.text(35))") },
    prefixed("figma-token", "figd_", 40, Letters.url),
    PlantedKind("airtable-token") { Planted("pat\($0.text(14)).\($0.text(64, Letters.hex))") },
    PlantedKind("grafana-service-account") {
      let body = "glsa_" + $0.text(32)
      let sum = Encodings.crc32(body)
      let hex = (0..<4).map {
        let byte = sum >> (8 * UInt32($0)) & 0xff; return (byte < 16 ? "0" : "") + String(byte, radix: 16)
      }
      return Planted(body + "_" + hex.joined(), name: "GRAFANA")
    },
    prefixed("newrelic-user-key", "NRAK-", 27, Letters.upper + Letters.digits),
    prefixed("sentry-user-token", "sntryu_", 64, Letters.hex), named("datadog-key", "DATADOG_API_KEY", 32, Letters.hex),
    PlantedKind("brevo-key") { Planted("xkeysib-\($0.text(64, Letters.hex))-\($0.text(16))") },
  ]

  static let places: [PlantedKind] = [
    PlantedKind("jwt") {
      Planted(Encodings.jwt(#"{"sub":"\#($0.text(10))","iat":1700000000,"admin":true}"#, &$0), name: "SESSION")
    },
    PlantedKind("kubernetes-service-account") {
      Planted(
        Encodings.jwt(
          #"{"iss":"kubernetes/serviceaccount","sub":"system:serviceaccount:default:\#($0.text(6))"}"#, &$0), name: "SA"
      )
    },
    PlantedKind("docker-config-auth") {
      let auth = Encodings.base64(Array("deploy:\($0.text(18))".utf8))
      return Planted("{\"auths\": {\"registry.corp\": {\"auth\": \"\(auth)\"}}}", value: auth, name: "")
    },
    PlantedKind("npmrc-auth-token") {
      let token = $0.uuid()
      return Planted("//registry.corp/:_authToken=\(token)", value: token, name: "")
    },
    PlantedKind("netrc-password") {
      let password = $0.text(14)
      return Planted("machine git.corp login ci password \(password)", value: password, name: "")
    },
    PlantedKind("database-url") {
      let password = $0.text(16)
      return Planted("postgres://app:\(password)@db.corp:5432/app", value: password, name: "DATABASE_URL")
    },
    PlantedKind("url-password") {
      let password = $0.text(14)
      return Planted("https://ci:\(password)@git.corp/app.git", value: password, name: "ORIGIN")
    },
    PlantedKind("authorization-bearer") {
      let token = $0.text(40)
      return Planted("Authorization: Bearer \(token)", value: token, name: "")
    },
    PlantedKind("generic-password") { Planted($0.text(8...20), name: "DB_PASSWORD") },
    PlantedKind("generic-password") { Planted($0.text(6, Letters.lower) + "!" + $0.text(6), name: "smtp_password") },
    PlantedKind("generic-secret") { Planted($0.text(32, Letters.hex), name: "SESSION_SECRET") },
    PlantedKind("generic-secret") { Planted($0.text(40), name: "client_secret") },
    PlantedKind("generic-api-key") { Planted($0.text(32...40), name: "WEATHER_API_KEY") },
    PlantedKind("laravel-app-key") {
      let key = Encodings.base64($0.bytes(32))
      return Planted("base64:" + key, value: key, name: "APP_KEY")
    },
    PlantedKind("wireguard-private-key") { Planted(Encodings.base64($0.bytes(32)), name: "PrivateKey") },
  ]
}
