/// What the settings of an integration are called on the command line and in files of `integration apply`.
enum SettingNames {
  /// Options by the fields that the daemon's answers name.
  private static let options: [String: String] = [
    "type": "type", "url": "url", "api_url": "api-url", "scopes": "scope", "region": "region",
    "repository_keys": "repository-key", "repository_access": "repository-access", "description": "description",
    "allowed_realm_hosts": "allow-realm-host", "authentication.kind": "auth", "authentication.username": "username",
    "session_token": "session-token-file", "client_key_pem": "client-key", "proxy_password": "proxy-password-file",
    "tls.ca_pem": "ca-file", "tls.client_certificate_pem": "client-cert", "tls.insecure": "insecure",
    "proxy.url": "proxy", "proxy": "proxy", "criteria": "criteria", "never": "never", "always": "always",
    "condition": "created-within", "condition.kind": "created-within", "platforms": "platform",
    "condition.days": "created-within", "condition.months": "created-within", "condition.years": "created-within",
    "condition.count": "latest",
    "rescan": "rescan", "include_remote": "include-remote", "scan_timeout": "scan-timeout",
    "max_concurrent": "max-concurrent", "requests_per_second": "max-requests-per-second",
    "bytes_per_second": "max-bytes-per-second", "max_scans": "max-scans", "max_image_bytes": "max-image-size",
    "quiet_hours": "quiet-hours", "mode": "mode",
    "schedule.timezone": "timezone",
  ]

  /// The option that sets `field`, without its dashes and its position in a list; nil for what is no setting.
  static func option(for field: String) -> String? { options[String(field.prefix { $0 != "[" })] }

  /// For messages: `--scope[1]`.
  static func flag(for field: String) -> String {
    if field == "secret" { return "--password-file or --api-key-file" }
    if field.hasPrefix("schedule") && option(for: field) == nil {
      return "--every, --daily-at, --weekly-on or --cron"
    }
    return option(for: field).map { "--" + $0 + field.drop { $0 != "[" } } ?? field
  }
}
