import TestSupport

extension PlantedKind {
  /// Parts of a text: letters and how many of them, or what stands there as it is.
  private enum Part {
    case fixed(String)
    case some(Int, String)
  }

  private static func made(_ rule: String, _ name: String = "API_TOKEN", _ parts: Part...) -> PlantedKind {
    PlantedKind(rule) { random in
      let text = parts.map { part in
        switch part {
        case .fixed(let text): text
        case .some(let count, let letters): random.text(count, letters)
        }
      }
      return Planted(text.joined(), name: name)
    }
  }

  private static let base32 = Letters.lower + "234567"
  private static let capitals = Letters.upper + Letters.digits

  static let more: [PlantedKind] =
    moreTokens + moreNamed + [
      PlantedKind("age-secret-key") { random in
        let digits = (0..<52).map { _ in UInt8.random(in: 0...31, using: &random) }
        return Planted(Encodings.bech32("age-secret-key-", digits).uppercased(), name: "AGE")
      },
      PlantedKind("authorization-basic") {
        let auth = Encodings.base64(Array("deploy:\($0.text(16))".utf8))
        return Planted("Authorization: Basic \(auth)", value: auth, name: "")
      },
      PlantedKind("npmrc-auth") {
        let auth = Encodings.base64(Array("ci:\($0.text(16))".utf8))
        return Planted("//registry.corp/:_auth=\(auth)", value: auth, name: "")
      },
      PlantedKind("azure-sas-signature") {
        let signature = $0.text(43) + "%3D"
        return Planted("https://store.corp/c?sv=2022-11-02&sp=r&sig=\(signature)", value: signature, name: "URL")
      },
      PlantedKind("teams-webhook") {
        let path = "\($0.uuid())@\($0.uuid())/IncomingWebhook/\($0.text(32, Letters.hex))"
        return Planted("https://corp.webhook.office.com/webhookb2/\(path)", value: path, name: "HOOK")
      },
      PlantedKind("sentry-org-token") {
        Planted(
          "sntrys_" + Encodings.base64(Array("{\"iat\":1,\"url\":\"\($0.text(60))\"}".utf8)) + "_" + $0.text(43),
          name: "S")
      },
      PlantedKind("grafana-api-key") {
        Planted(Encodings.base64(Array("{\"k\":\"\($0.text(32))\",\"n\":\"ci\",\"id\":1}".utf8)), name: "GRAFANA")
      },
      PlantedKind("onepassword-token") {
        Planted("ops_" + Encodings.base64(Array("{\"email\":\"\($0.text(260))\"}".utf8), url: true), name: "OP")
      },
      PlantedKind("mapbox-token") {
        Planted(
          "sk." + Encodings.base64(Array("{\"u\":\"acme\",\"a\":\"\($0.text(30))\"}".utf8), url: true) + "."
            + $0.text(22), name: "MAP")
      },
      PlantedKind("snyk-token") { Planted($0.uuid(), name: "SNYK_TOKEN") },
      PlantedKind("codecov-token") { Planted($0.uuid(), name: "CODECOV_TOKEN") },
    ]

  private static let moreTokens: [PlantedKind] = [
    made("anthropic-admin-key", "KEY", .fixed("sk-ant-admin01-"), .some(93, Letters.url), .fixed("AA")),
    made("artifactory-reference-token", "JF", .fixed("cmVmdGtuOjAx"), .some(52, Letters.word)),
    made("aws-bedrock-key", "KEY", .fixed("ABSK"), .some(128, Letters.word)),
    made(
      "azure-platform-key", "KEY", .some(52, Letters.word), .fixed("JQQJ99"), .some(18, Letters.word), .fixed("AZDO"),
      .some(6, Letters.word)),
    made("brevo-smtp-key", "KEY", .fixed("xsmtpsib-"), .some(64, Letters.hex), .fixed("-"), .some(16, Letters.word)),
    made("circleci-token", "CI", .fixed("CCIPAT_"), .some(22, Letters.word), .fixed("_"), .some(40, Letters.hex)),
    made("clojars-token", "CLJ", .fixed("CLOJARS_"), .some(60, Letters.hex)),
    made(
      "cloudflare-origin-ca-key", "CA", .fixed("v1.0-"), .some(24, Letters.hex), .fixed("-"), .some(146, Letters.hex)),
    made("digitalocean-refresh", "DO", .fixed("dor_v1_"), .some(64, Letters.hex)),
    made("docker-hub-org-token", "HUB", .fixed("dckr_oat_"), .some(32, Letters.url)),
    made("doppler-service-token", "DOP", .fixed("dp.st.prd."), .some(43, Letters.word)),
    made("dropbox-token", "DB", .fixed("sl.B"), .some(140, Letters.url)),
    made("duffel-token", "DF", .fixed("duffel_live_"), .some(43, Letters.url)),
    made("dynatrace-token", "DT", .fixed("dt0c01."), .some(24, capitals), .fixed("."), .some(64, capitals)),
    made("easypost-key", "EP", .fixed("EZAK"), .some(54, Letters.word)),
    made("flyio-token", "FLY", .fixed("fm2_"), .some(200, Letters.word)),
    made("gcp-oauth-access-token", "G", .fixed("ya29."), .some(150, Letters.url)),
    made("gcp-oauth-refresh-token", "G", .fixed("1//0"), .some(98, Letters.word)),
    made("github-refresh-token", "GH", .fixed("ghr_"), .some(76, Letters.word)),
    made("gitlab-agent-token", "GL", .fixed("glagent-"), .some(50, Letters.word)),
    made("gitlab-feed-token", "GL", .fixed("glft-"), .some(20, Letters.word)),
    made("gitlab-job-token", "GL", .fixed("glcbt-64_"), .some(20, Letters.word)),
    made("gitlab-oauth-secret", "GL", .fixed("gloas-"), .some(64, Letters.hex)),
    made("gitlab-scim-token", "GL", .fixed("glsoat-"), .some(20, Letters.word)),
    made("grafana-cloud-token", "GC", .fixed("glc_"), .some(120, Letters.word)),
    made("huggingface-org-token", "HF", .fixed("api_org_"), .some(34, Letters.lower + Letters.upper)),
    made("langsmith-key", "LS", .fixed("lsv2_pt_"), .some(32, Letters.hex), .fixed("_"), .some(10, Letters.hex)),
    made("linear-oauth", "LIN", .fixed("lin_oauth_"), .some(64, Letters.hex)),
    made("newrelic-insert-key", "NR", .fixed("NRII-"), .some(32, Letters.word)),
    made("newrelic-license-key", "NR", .some(36, Letters.hex), .fixed("NRAL")),
    made("openai-admin-key", "OA", .fixed("sk-admin-"), .some(120, Letters.url)),
    made("openai-service-key", "OA", .fixed("sk-svcacct-"), .some(120, Letters.url)),
    made("perplexity-key", "PP", .fixed("pplx-"), .some(48, Letters.word)),
    made("planetscale-oauth", "PS", .fixed("pscale_oauth_"), .some(43, Letters.url)),
    made("planetscale-password", "PS", .fixed("pscale_pw_"), .some(43, Letters.url)),
    made("planetscale-token", "PS", .fixed("pscale_tkn_"), .some(43, Letters.url)),
    made("prefect-key", "PF", .fixed("pnu_"), .some(36, Letters.word)),
    made("readme-key", "RM", .fixed("rdme_"), .some(70, Letters.digits + Letters.lower)),
    made("replicate-token", "RP", .fixed("r8_"), .some(37, Letters.word)),
    made("shippo-token", "SH", .fixed("shippo_live_"), .some(40, Letters.hex)),
    made("shopify-custom-app-token", "SH", .fixed("shpca_"), .some(32, Letters.hex)),
    made("shopify-private-app-password", "SH", .fixed("shppa_"), .some(32, Letters.hex)),
    made(
      "slack-app-token", "SL", .fixed("xapp-1-A"), .some(10, capitals), .fixed("-"), .some(13, Letters.digits),
      .fixed("-"), .some(64, Letters.hex)),
    made("slack-config-token", "SL", .fixed("xoxe.xoxp-1-"), .some(163, capitals)),
    made("slack-legacy-token", "SL", .fixed("xoxa-2-"), .some(12, Letters.digits), .fixed("-"), .some(32, Letters.hex)),
    made("square-oauth-secret", "SQ", .fixed("sq0csp-"), .some(43, Letters.url)),
    made("stripe-test-key", "ST", .fixed("sk_test_"), .some(99, Letters.word)),
    made(
      "tailscale-key", "TS", .fixed("tskey-auth-"), .some(11, Letters.word), .fixed("CNTRL-"), .some(32, Letters.word)),
    made("vault-batch-token", "VT", .fixed("hvb."), .some(180, Letters.url)),
    made("xai-key", "XAI", .fixed("xai-"), .some(80, Letters.word)),
    made("yandex-api-key", "YC", .fixed("AQVN"), .some(36, Letters.url)),
  ]

  private static let moreNamed: [PlantedKind] = [
    made("algolia-key", "ALGOLIA_ADMIN_KEY", .some(32, Letters.hex)),
    made("asana-secret", "ASANA_CLIENT_SECRET", .some(32, Letters.hex)),
    made("asana-token", "ASANA_TOKEN", .fixed("1/"), .some(16, Letters.digits), .fixed(":"), .some(32, Letters.hex)),
    made("azure-devops-token", "AZURE_DEVOPS_PAT", .some(52, base32)),
    made("cloudflare-key", "CLOUDFLARE_GLOBAL_KEY", .some(37, Letters.hex)),
    made("datadog-app-key", "DD_APP_KEY", .some(40, Letters.hex)),
    made(
      "discord-bot-token", "DISCORD_TOKEN", .some(24, Letters.word), .fixed("."), .some(6, Letters.word), .fixed("."),
      .some(38, Letters.word)),
    made("fastly-token", "FASTLY_API_TOKEN", .some(32, Letters.url)),
    made("intercom-token", "INTERCOM_TOKEN", .some(59, Letters.word), .fixed("=")),
    made("okta-token", "OKTA_API_TOKEN", .fixed("00"), .some(40, Letters.word)),
    made("pagerduty-key", "PAGERDUTY_KEY", .some(20, Letters.word)),
    made("sumologic-key", "SUMO_ACCESS_KEY", .some(64, Letters.word)),
    made("travis-token", "TRAVIS_TOKEN", .some(22, Letters.word)),
    made("twilio-key", "TWILIO_API_KEY", .fixed("SK"), .some(32, Letters.hex)),
    made("zendesk-key", "ZENDESK_SECRET", .some(40, Letters.digits + Letters.lower)),
  ]
}
