import Model

extension SecretRules {
  static let messaging: [SecretRule] = [
    .token("slack-bot-token", "Slack bot token", .high, "xoxb-\\d{9,14}-\\d{9,14}-\\w{18,34}"),
    .token("slack-user-token", "Slack user token", .high, "xoxp-\\d{9,14}-\\d{9,14}-\\d{9,14}-\\w{28,34}"),
    .token("slack-legacy-token", "Slack legacy token", .high, "xoxa-[A-Za-z0-9-]{24,72}", check: .mixed),
    .token("slack-legacy-token", "Slack legacy token", .high, "xoxr-[A-Za-z0-9-]{24,72}", check: .mixed),
    .token("slack-legacy-token", "Slack legacy token", .high, "xoxs-[A-Za-z0-9-]{24,72}", check: .mixed),
    .token("slack-app-token", "Slack app-level token", .high, "xapp-\\d-\\A{9,13}-\\d{9,14}-\\h{64}"),
    .token("slack-config-token", "Slack configuration token", .high, "xoxe.xox[bp]-\\d-\\A{140,180}", entropy: 4),
    .token("slack-config-token", "Slack configuration token", .high, "xoxe-\\d-\\A{140,160}", entropy: 4),
    .token(
      "slack-webhook", "Slack webhook", .high, "<hooks.slack.com/>services/(T\\A{8,12}/B\\A{8,12}/\\w{23,25})"),
    .token(
      "slack-webhook", "Slack webhook", .high, "<hooks.slack.com/>workflows/(T\\A{8,12}/A\\A{8,12}/\\d{17,19}/\\w{24})"),
    .token(
      "discord-webhook", "Discord webhook", .high, "<discord.com/api/webhooks/>(\\d{17,20}/\\u{60,80})", entropy: 4),
    .token(
      "discord-webhook", "Discord webhook", .high, "<discordapp.com/api/webhooks/>(\\d{17,20}/\\u{60,80})", entropy: 4),
    .named(
      "discord-bot-token", "Discord bot token", .high, "<i:discord>%(\\w{23,28}\\.\\u{6}\\.\\u{27,38})", entropy: 4),
    .token("telegram-bot-token", "Telegram bot token", .high, "\\d{8,10}<:AA>\\u{33}", entropy: 3.5),
    .token(
      "teams-webhook", "Microsoft Teams webhook", .medium,
      "<webhook.office.com/webhookb2/>(\\h{8}-\\h{4}-\\h{4}-\\h{4}-\\h{12}@\\h{8}-\\h{4}-\\h{4}-\\h{4}-\\h{12}/IncomingWebhook/\\h{32})"
    ),
    .token("twilio-key", "Twilio API key", .high, "<i:twilio>%(SK\\h{32})"),
    .named("twilio-auth-token", "Twilio auth token", .high, "<i:twilio>%(\\h{32})"),
    .token("sendgrid-key", "SendGrid API key", .high, "SG.\\u{22}\\.\\u{43}", entropy: 4),
    .token("mailgun-key", "Mailgun API key", .high, "key-\\h{32}"),
    .named("mailgun-key", "Mailgun API key", .high, "<i:mailgun>%(\\h{32}-\\h{8}-\\h{8})"),
    .token("mailchimp-key", "Mailchimp API key", .high, "\\h{32}<-us>\\d{1,2}"),
    .token("brevo-key", "Brevo API key", .high, "xkeysib-\\h{64}-\\w{16}"),
    .token("brevo-smtp-key", "Brevo SMTP key", .high, "xsmtpsib-\\h{64}-\\w{16}"),
  ]

  static let machineLearning: [SecretRule] = [
    .token("openai-key", "OpenAI API key", .critical, "sk-\\w{20}<T3BlbkFJ>\\w{20}", entropy: 4),
    .token("openai-project-key", "OpenAI project API key", .critical, "sk-proj-\\u{48,200}", entropy: 4),
    .token("openai-service-key", "OpenAI service account key", .critical, "sk-svcacct-\\u{48,200}", entropy: 4),
    .token("openai-admin-key", "OpenAI admin key", .critical, "sk-admin-\\u{48,200}", entropy: 4),
    .token("anthropic-key", "Anthropic API key", .critical, "sk-ant-api03-\\u{93}AA", entropy: 4),
    .token("anthropic-admin-key", "Anthropic admin key", .critical, "sk-ant-admin01-\\u{93}AA", entropy: 4),
    .token("huggingface-token", "Hugging Face access token", .high, "hf_[A-Za-z]{34}", entropy: 3.8),
    .token(
      "huggingface-org-token", "Hugging Face organisation token", .high, "api_org_[A-Za-z]{34}", entropy: 3.8),
    .token("replicate-token", "Replicate API token", .high, "r8_\\u{37}", check: .mixed, entropy: 3.8),
    .token("groq-key", "Groq API key", .high, "gsk_\\w{52}", entropy: 4),
    .token("perplexity-key", "Perplexity API key", .high, "pplx-\\w{48}", entropy: 4),
    .token("xai-key", "xAI API key", .high, "xai-\\w{80}", entropy: 4),
    .token("langsmith-key", "LangSmith API key", .high, "lsv2_[ps][tk]_\\h{32}_\\h{10}"),
  ]

  static let payment: [SecretRule] = [
    .token("stripe-secret-key", "Stripe secret key", .critical, "sk_live_\\w{24,128}"),
    .token("stripe-restricted-key", "Stripe restricted key", .high, "rk_live_\\w{24,128}"),
    .token("stripe-test-key", "Stripe test key", .low, "sk_test_\\w{24,128}"),
    .token("stripe-webhook-secret", "Stripe webhook secret", .high, "whsec_[A-Za-z0-9+/]{32,64}={0,2}", entropy: 3.5),
    .token("square-access-token", "Square access token", .high, "sq0atp-\\u{22}"),
    .token("square-oauth-secret", "Square OAuth secret", .high, "sq0csp-\\u{43}"),
    .token("square-access-token", "Square access token", .high, "EAAA[lE]\\u{59}", entropy: 4),
    .token("shopify-access-token", "Shopify access token", .high, "shpat_\\x{32}"),
    .token("shopify-custom-app-token", "Shopify custom app token", .high, "shpca_\\x{32}"),
    .token("shopify-private-app-password", "Shopify private app password", .high, "shppa_\\x{32}"),
    .token("shopify-shared-secret", "Shopify shared secret", .high, "shpss_\\x{32}"),
    .token("shippo-token", "Shippo API token", .high, "shippo_live_\\h{40}"),
    .token("easypost-key", "EasyPost API key", .high, "EZAK\\w{54}", entropy: 4),
    .token("duffel-token", "Duffel API token", .high, "duffel_live_\\u{43}", entropy: 4),
  ]

  static let services: [SecretRule] = [
    .token("notion-token", "Notion integration token", .high, "ntn_\\d{11}\\w{35}", entropy: 4),
    .token("notion-token", "Notion integration token", .high, "secret_\\w{43}", check: .mixed, entropy: 4),
    .token("figma-token", "Figma personal access token", .high, "figd_\\u{40}"),
    .token("dropbox-token", "Dropbox access token", .high, "sl.B\\u{130,160}", entropy: 4),
    .token("dropbox-token", "Dropbox access token", .high, "sl.u.\\u{130,1400}", entropy: 4),
    .token("airtable-token", "Airtable personal access token", .high, "pat\\w{14}\\.\\h{64}"),
    .token("readme-key", "ReadMe API key", .high, "rdme_[a-z0-9]{70}"),
    .token("onepassword-token", "1Password service account token", .critical, "ops_eyJ\\u{250,1500}={0,2}", entropy: 4),
  ]

  static let monitoring: [SecretRule] = [
    .token("grafana-service-account", "Grafana service account token", .high, "glsa_\\w{32}_\\x{8}", check: .hexCRC32),
    .token("grafana-cloud-token", "Grafana Cloud token", .high, "glc_[A-Za-z0-9+/]{40,400}={0,2}", entropy: 4),
    // "{"k":"" in base64.
    .token("grafana-api-key", "Grafana API key", .high, "eyJrIjoi\\b{60,400}={0,2}", entropy: 4),
    .token("newrelic-user-key", "New Relic user key", .high, "NRAK-\\A{27}"),
    .token("newrelic-insert-key", "New Relic insert key", .high, "NRII-\\u{32}"),
    .token("newrelic-license-key", "New Relic licence key", .high, "\\h{36}<NRAL>"),
    .token("sentry-org-token", "Sentry organisation token", .high, "sntrys_eyJ[A-Za-z0-9+/=_]{80,600}", entropy: 4),
    .token("sentry-user-token", "Sentry user token", .high, "sntryu_\\h{64}"),
    .token("dynatrace-token", "Dynatrace API token", .high, "dt0c01.\\A{24}\\.\\A{64}", entropy: 4),
    .named("datadog-key", "Datadog API key", .high, "<i:datadog>%(\\h{32})"),
    .named("datadog-key", "Datadog API key", .high, "<i:dd_api_key>%(\\h{32})"),
    .named("datadog-app-key", "Datadog application key", .high, "<i:datadog>%(\\h{40})"),
    .named("datadog-app-key", "Datadog application key", .high, "<i:dd_app_key>%(\\h{40})"),
  ]
}
