import Model

extension SecretRules {
  static let privateKeys: [SecretRule] = [
    .special(
      "gcp-service-account", "Google Cloud service account key", .critical, "\"private_key\"", .serviceAccount),
    .special("private-key-rsa", "RSA private key", .high, "-----BEGIN RSA PRIVATE KEY-----", .pem),
    .special("private-key-ec", "EC private key", .high, "-----BEGIN EC PRIVATE KEY-----", .pem),
    .special("private-key-dsa", "DSA private key", .high, "-----BEGIN DSA PRIVATE KEY-----", .pem),
    .special("private-key-openssh", "OpenSSH private key", .high, "-----BEGIN OPENSSH PRIVATE KEY-----", .pem),
    .special("private-key-pkcs8", "Private key (PKCS #8)", .high, "-----BEGIN PRIVATE KEY-----", .pem),
    .special(
      "private-key-encrypted", "Private key protected by a passphrase", .medium,
      "-----BEGIN ENCRYPTED PRIVATE KEY-----", .pem),
    .special("private-key-pgp", "PGP private key", .high, "-----BEGIN PGP PRIVATE KEY BLOCK-----", .pem),
    .special("private-key-putty", "PuTTY private key", .high, "PuTTY-User-Key-File-", .puttyKey),
    // "-----BEGIN" in base64.
    .token(
      "private-key-base64", "Private key in base64", .high, "LS0tLS1CRUdJTi\\b{100,4000}={0,2}", check: .encodedPEM),
    .token(
      "age-secret-key", "age secret key", .high, "AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}",
      check: .bech32),
    .named("wireguard-private-key", "WireGuard private key", .high, "<PrivateKey>%(\\b{43}=)", entropy: 4),
  ]
}
