import Model
import Posix

/// The key file of a Google service account, as `gcloud iam service-accounts keys create` writes it.
struct GoogleServiceAccount: Sendable {
  /// Real ones have about 2,400 bytes.
  static let bytesMax = 32 * 1024
  /// Where the signed assertion is exchanged for an access token.
  static let tokenHost = "oauth2.googleapis.com"
  /// Reading is all that is asked for, whatever the account may do.
  private static let scope = "https://www.googleapis.com/auth/cloud-platform.read-only"
  /// The longest that Google takes.
  private static let lifetime: Int64 = 3_600

  let email: String
  let tokenAddress: WebAddress
  private let keyID: String?
  private let privateKey: Secret

  /// The file may name a token service beside Google's own where the integration allows its host, and one over plain
  /// HTTP where the registry is spoken to in that way too: the rules for a registry's token service.
  init(_ file: Secret, for endpoint: RegistryEndpoint) throws(RegistryError) {
    let bytes = Array(file.revealed.utf8)
    guard bytes.count <= Self.bytesMax else { throw Self.refused("it is longer than \(Self.bytesMax) bytes") }
    let json = try JSONReader.decode(File.self, bytes, what: "the service account's key file")
    guard json.type == "service_account" else {
      throw Self.refused("its type is \"\(ForeignText.escaped(json.type ?? "", lengthMax: 40))\"")
    }
    guard let email = json.clientEmail, !email.isEmpty, let key = json.privateKey else {
      throw Self.refused("client_email or private_key is missing")
    }
    self.email = email
    keyID = json.privateKeyID
    privateKey = Secret(key)
    do {
      tokenAddress = try WebAddress(json.tokenURI ?? "https://\(Self.tokenHost)/token")
    } catch {
      throw Self.refused("its token_uri is refused: \(error.reason)")
    }
    guard tokenAddress.scheme == .https || endpoint.url.scheme == .http,
      tokenAddress.host == Self.tokenHost || endpoint.allowedRealmHosts.contains(tokenAddress.host)
    else {
      throw RegistryError(
        .realmNotAllowed, "the service account's key file names a token service at \(tokenAddress.origin)",
        hint: "if it is trusted, allow it: --allow-realm-host \(tokenAddress.host)")
    }
    do {
      _ = try SigningKey(pem: privateKey)
    } catch {
      throw Self.refused(error.reason)
    }
  }

  /// What is exchanged for an access token (RFC 7523).
  func assertion(at now: Timestamp) throws -> Secret {
    try JSONWebToken.signed(
      header: Header(alg: SigningKey.Algorithm.rs256.rawValue, typ: "JWT", kid: keyID),
      payload: Payload(
        iss: email, scope: Self.scope, aud: tokenAddress.text, iat: now.seconds, exp: now.seconds + Self.lifetime),
      by: SigningKey(pem: privateKey), .rs256)
  }

  private static func refused(_ reason: String) -> RegistryError {
    RegistryError(
      .unauthorized, "the API key is no key file of a service account: \(reason)",
      hint: "give the whole JSON file of the service account's key")
  }

  private struct File: Decodable {
    let type: String?
    let clientEmail: String?
    let privateKeyID: String?
    let privateKey: String?
    let tokenURI: String?

    enum CodingKeys: String, CodingKey {
      case type
      case clientEmail = "client_email"
      case privateKeyID = "private_key_id"
      case privateKey = "private_key"
      case tokenURI = "token_uri"
    }
  }

  private struct Header: Encodable {
    let alg: String
    let typ: String
    let kid: String?
  }

  private struct Payload: Encodable {
    let iss: String
    let scope: String
    let aud: String
    let iat: Int64
    let exp: Int64
  }
}
