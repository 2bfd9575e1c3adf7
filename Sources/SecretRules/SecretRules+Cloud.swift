import Model

extension SecretRules {
  static let cloud: [SecretRule] = [
    .token("aws-access-key-id", "AWS access key ID", .high, "AKIA[A-Z2-7]{16}"),
    .token("aws-access-key-id", "AWS access key ID", .high, "ABIA[A-Z2-7]{16}"),
    .token("aws-access-key-id", "AWS access key ID", .high, "ACCA[A-Z2-7]{16}"),
    .token("aws-temporary-key-id", "AWS temporary access key ID", .medium, "ASIA[A-Z2-7]{16}"),
    .named(
      "aws-secret-access-key", "AWS secret access key", .critical, "<i:secret_access_key>%(\\b{40})", check: .mixed,
      entropy: 4),
    .named(
      "aws-secret-access-key", "AWS secret access key", .critical, "<i:secretaccesskey>%(\\b{40})", check: .mixed,
      entropy: 4),
    .named(
      "aws-secret-access-key", "AWS secret access key", .critical, "<i:aws_secret>%(\\b{40})", check: .mixed, entropy: 4
    ),
    .named(
      "aws-session-token", "AWS session token", .medium, "<i:session_token>%([A-Za-z0-9+/]{100,2000}={0,2})", entropy: 4
    ),
    .token("aws-bedrock-key", "AWS Bedrock API key", .high, "ABSK\\b{100,300}={0,2}", entropy: 4),
    .token(
      "aws-mws-token", "Amazon MWS auth token", .high, "amzn.mws.\\h{8}-\\h{4}-\\h{4}-\\h{4}-\\h{12}"),
    .token("gcp-api-key", "Google API key", .high, "AIza\\u{35}"),
    .token("gcp-oauth-client-secret", "Google OAuth client secret", .high, "GOCSPX-\\u{28}"),
    .token("gcp-oauth-refresh-token", "Google OAuth refresh token", .high, "1//0\\u{40,160}", entropy: 4),
    .token("gcp-oauth-access-token", "Google OAuth access token", .medium, "ya29.\\u{30,500}", entropy: 4),
    .token(
      "azure-storage-key", "Azure storage account key", .critical, "<AccountKey>=(\\b{86}==)", entropy: 4),
    .token(
      "azure-shared-access-key", "Azure shared access key", .high, "<SharedAccessKey>=(\\b{43}=)", entropy: 4),
    .token(
      "azure-sas-signature", "Azure shared access signature", .high, "<&sig=>([A-Za-z0-9%+/]{43,80}=?)", check: .mixed,
      entropy: 3.5),
    .token(
      "azure-client-secret", "Azure client secret", .critical, "[A-Za-z0-9_~.]{3}<8Q~>[A-Za-z0-9_~.-]{31,34}",
      entropy: 4),
    .token(
      "azure-client-secret", "Azure client secret", .critical, "[A-Za-z0-9_~.]{3}<7Q~>[A-Za-z0-9_~.-]{31,34}",
      entropy: 4),
    .token(
      "azure-platform-key", "Azure service key", .high, "\\w{52}<JQQJ99>\\w{18}[A-Za-z0-9+]{4}\\w{6}", entropy: 4),
    .token("digitalocean-token", "DigitalOcean access token", .high, "dop_v1_\\h{64}"),
    .token("digitalocean-oauth", "DigitalOcean OAuth token", .high, "doo_v1_\\h{64}"),
    .token("digitalocean-refresh", "DigitalOcean refresh token", .high, "dor_v1_\\h{64}"),
    .token("alibaba-access-key-id", "Alibaba Cloud access key ID", .medium, "LTAI\\w{20}"),
    .token("yandex-api-key", "Yandex Cloud API key", .high, "AQVN\\u{35,38}"),
    .token(
      "cloudflare-origin-ca-key", "Cloudflare origin CA key", .high, "v1.0-\\h{24}-\\h{146}"),
    .named("cloudflare-token", "Cloudflare API token", .high, "<i:cloudflare>%(\\u{40})", check: .mixed, entropy: 3.8),
    .named("cloudflare-key", "Cloudflare global API key", .high, "<i:cloudflare>%(\\h{37})"),
    .named("fastly-token", "Fastly API token", .high, "<i:fastly>%(\\u{32})", check: .mixed, entropy: 3.6),
    .token(
      "heroku-key", "Heroku API key", .high, "HRKU-\\h{8}-\\h{4}-\\h{4}-\\h{4}-\\h{12}"),
    .token("heroku-key", "Heroku API key", .high, "HRKU-AA\\u{58}"),
    .named(
      "heroku-key", "Heroku API key", .high, "<i:heroku>%(\\h{8}-\\h{4}-\\h{4}-\\h{4}-\\h{12})"),
    .token("flyio-token", "Fly.io access token", .high, "fm2_[A-Za-z0-9+/]{80,1500}={0,2}", entropy: 4),
    .token("tailscale-key", "Tailscale key", .high, "tskey-[a-z]{3,12}-\\w{8,24}-\\w{20,40}"),
    .token("supabase-token", "Supabase access token", .high, "sbp_\\h{40}"),
    .token("netlify-token", "Netlify access token", .high, "nfp_\\w{36}"),
    .token("planetscale-token", "PlanetScale token", .high, "pscale_tkn_[A-Za-z0-9_.-]{32,64}"),
    .token("planetscale-password", "PlanetScale password", .high, "pscale_pw_[A-Za-z0-9_.-]{32,64}"),
    .token("planetscale-oauth", "PlanetScale OAuth token", .high, "pscale_oauth_[A-Za-z0-9_.-]{32,64}"),
    .token(
      "terraform-token", "Terraform Cloud token", .high, "\\w{14}<.atlasv1.>[A-Za-z0-9_=-]{60,70}", entropy: 4),
    .token("pulumi-token", "Pulumi access token", .high, "pul-\\h{40}"),
    .token("vault-token", "Vault service token", .critical, "hvs.\\u{90,120}", entropy: 4),
    .token("vault-batch-token", "Vault batch token", .high, "hvb.\\u{138,300}", entropy: 4),
    .named("vault-token", "Vault service token", .critical, "<i:vault_token>%(s\\.\\w{24})", check: .mixed),
    .token("doppler-token", "Doppler token", .high, "dp.pt.\\w{43}"),
    .token("doppler-service-token", "Doppler service token", .high, "dp.st.\\w{40,44}"),
    .token("doppler-service-token", "Doppler service token", .high, "dp.st.[a-z0-9_-]{2,35}\\.\\w{40,44}"),
    .token("databricks-token", "Databricks access token", .high, "dapi\\h{32}"),
  ]
}
