import Model

extension SecretRules {
  /// What tools leave in files of their own.
  static let files: [SecretRule] = [
    .token(
      "kubernetes-service-account", "Kubernetes service account token", .high,
      "eyJ\\u{10,500}\\.eyJ\\u{20,3000}\\.\\u{20,1000}", check: .kubernetesJWT, entropy: 4),
    .token(
      "jwt", "JSON Web Token", .medium, "eyJ\\u{10,500}\\.eyJ\\u{10,3000}\\.\\u{20,1000}", check: .jwt, entropy: 4),
    .token(
      "docker-config-auth", "Registry password in a Docker configuration", .high,
      "<\"auth\">%(\\b{8,1000}={0,2})", check: .basicAuthentication, entropy: 2),
    .token("npmrc-auth-token", "Registry token of npm", .high, "<_authToken>%(\\u{20,200})", check: .mixed),
    .token(
      "npmrc-auth", "Registry password of npm", .high, "<:_auth>%(\\b{8,400}={0,2})", check: .basicAuthentication,
      entropy: 2),
    .special("netrc-password", "Password in a .netrc file", .high, "machine", .netrc),
    .special("database-url", "Password in a database's URL", .high, "://", .urlPassword(ofDatabase: true)),
    .special("url-password", "Password in a URL", .medium, "://", .urlPassword(ofDatabase: false)),
    .token(
      "authorization-basic", "HTTP basic authentication", .medium, "<i:authorization>%Basic (\\b{8,400}={0,2})",
      check: .basicAuthentication, entropy: 2),
    .token(
      "authorization-bearer", "HTTP bearer token", .medium, "<i:authorization>%Bearer ([A-Za-z0-9_.~+/-]{24,1000}=?)",
      check: .mixed, entropy: 3.5),
  ]

  static let named: [SecretRule] = [
    .named("laravel-app-key", "Laravel application key", .high, "<APP_KEY>%base64:(\\b{43}=)", entropy: 4),
    .named(
      "azure-devops-token", "Azure DevOps personal access token", .high, "<i:azure_devops>%([a-z2-7]{52})",
      check: .mixed, entropy: 3.5),
    .named("okta-token", "Okta API token", .high, "<i:okta>%(00\\u{40})", check: .mixed, entropy: 4),
    .named("snyk-token", "Snyk API token", .high, "<i:snyk>%(\\h{8}-\\h{4}-\\h{4}-\\h{4}-\\h{12})"),
    .named("algolia-key", "Algolia API key", .medium, "<i:algolia>%(\\h{32})"),
    .named("pagerduty-key", "PagerDuty API key", .high, "<i:pagerduty>%([A-Za-z0-9+_-]{20})", check: .mixed),
    .named("asana-token", "Asana access token", .high, "<i:asana>%(\\d/\\d{16}:\\h{32})"),
    .named("asana-secret", "Asana client secret", .high, "<i:asana>%(\\h{32})"),
    .named("sumologic-key", "Sumo Logic access key", .high, "<i:sumo>%(\\w{64})", check: .mixed, entropy: 4),
    .named("travis-token", "Travis CI access token", .high, "<i:travis>%(\\w{22})", check: .mixed),
    .named("codecov-token", "Codecov token", .medium, "<i:codecov>%(\\h{8}-\\h{4}-\\h{4}-\\h{4}-\\h{12})"),
    .named("zendesk-key", "Zendesk secret key", .high, "<i:zendesk>%(\\w{40})", check: .mixed, entropy: 3.6),
    .named("intercom-token", "Intercom access token", .high, "<i:intercom>%(\\u{59}=)", entropy: 4),
    .named("mapbox-token", "Mapbox secret token", .medium, "sk.eyJ\\u{60,100}\\.\\u{22}", entropy: 4),
  ]

  static let general: [SecretRule] = [
    .special(
      "generic-password", "Password in a file", .medium, "<i:passw>", .assignment(ofPassword: true), isVague: true),
    .special(
      "generic-password", "Password in a file", .medium, "<i:passphrase>", .assignment(ofPassword: true), isVague: true),
    .special(
      "generic-password", "Password in a file", .medium, "<i:_pwd>", .assignment(ofPassword: true), isVague: true),
    .special(
      "generic-secret", "Secret in a file", .medium, "<i:secret>", .assignment(ofPassword: false), isVague: true),
    .special(
      "generic-secret", "Secret in a file", .medium, "<i:credential>", .assignment(ofPassword: false), isVague: true),
    .special("generic-secret", "Secret in a file", .medium, "<i:token>", .assignment(ofPassword: false), isVague: true),
    .special(
      "generic-api-key", "API key in a file", .medium, "<i:apikey>", .assignment(ofPassword: false), isVague: true),
    .special(
      "generic-api-key", "API key in a file", .medium, "<i:api_key>", .assignment(ofPassword: false), isVague: true),
    .special(
      "generic-api-key", "API key in a file", .medium, "<i:api-key>", .assignment(ofPassword: false), isVague: true),
    .special(
      "generic-api-key", "API key in a file", .medium, "<i:access_key>", .assignment(ofPassword: false), isVague: true),
    .special(
      "generic-api-key", "API key in a file", .medium, "<i:accesskey>", .assignment(ofPassword: false), isVague: true),
    .special(
      "generic-api-key", "API key in a file", .medium, "<i:auth_key>", .assignment(ofPassword: false), isVague: true),
    .special(
      "generic-api-key", "API key in a file", .medium, "<i:secret_key>", .assignment(ofPassword: false), isVague: true),
    .special(
      "generic-api-key", "API key in a file", .medium, "<i:private_key>", .assignment(ofPassword: false), isVague: true),
    .special(
      "generic-api-key", "API key in a file", .medium, "<i:encryption_key>", .assignment(ofPassword: false),
      isVague: true),
  ]
}
