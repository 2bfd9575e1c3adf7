import Model
import Posix

/// The three secrets that Yandex Cloud takes. The registry takes each of them as a password; the API takes an IAM token
/// alone, for which the other two are exchanged.
enum YandexCredential: Sendable {
  case iamToken(Secret)
  case oauthToken(Secret)
  case authorizedKey(YandexAuthorizedKey, file: Secret)

  /// Nil for an account whose user is none of those three kinds.
  init?(_ credential: Credential) throws(RegistryError) {
    switch credential {
    case .anonymous: return nil
    case .account(let user, let password):
      switch user {
      case "iam": self = .iamToken(password)
      case "oauth": self = .oauthToken(password)
      case "json_key": self = .authorizedKey(try YandexAuthorizedKey(password), file: password)
      default: return nil
      }
    case .apiKey(let key):
      let text = key.revealed
      if text.utf8.first(where: { $0 > 0x20 }) == UInt8(ascii: "{") {
        self = .authorizedKey(try YandexAuthorizedKey(key), file: key)
      } else if text.hasPrefix("y0_") || text.hasPrefix("AQAA") {
        self = .oauthToken(key)
      } else {
        self = .iamToken(key)
      }
    }
  }

  /// As the registry takes it.
  var wire: WireCredential {
    switch self {
    case .iamToken(let token): .basic(user: "iam", password: token)
    case .oauthToken(let token): .basic(user: "oauth", password: token)
    case .authorizedKey(_, let file): .basic(user: "json_key", password: file)
    }
  }
}

/// An authorized key of a service account, as `yc iam key create` writes it.
struct YandexAuthorizedKey: Sendable {
  /// Real ones have about 2,600 bytes.
  static let bytesMax = 32 * 1024
  /// The longest that Yandex takes.
  private static let lifetime: Int64 = 3_600

  let keyID: String
  let serviceAccountID: String
  private let privateKey: Secret

  init(_ file: Secret) throws(RegistryError) {
    let bytes = Array(file.revealed.utf8)
    guard bytes.count <= Self.bytesMax else { throw Self.refused("it is longer than \(Self.bytesMax) bytes") }
    let json = try JSONReader.decode(File.self, bytes, what: "the authorized key's file")
    guard let keyID = json.id, let account = json.serviceAccountID, let key = json.privateKey else {
      throw Self.refused("id, service_account_id or private_key is missing")
    }
    self.keyID = keyID
    serviceAccountID = account
    privateKey = Secret(key)
    do {
      _ = try SigningKey(pem: privateKey)
    } catch {
      throw Self.refused(error.reason)
    }
  }

  /// What `audience`, the address of the token service, exchanges for an IAM token.
  func assertion(for audience: String, at now: Timestamp) throws -> Secret {
    try JSONWebToken.signed(
      header: Header(alg: SigningKey.Algorithm.ps256.rawValue, typ: "JWT", kid: keyID),
      payload: Payload(iss: serviceAccountID, aud: audience, iat: now.seconds, exp: now.seconds + Self.lifetime),
      by: SigningKey(pem: privateKey), .ps256)
  }

  private static func refused(_ reason: String) -> RegistryError {
    RegistryError(
      .unauthorized, "the secret is no authorized key: \(reason)",
      hint: "give the whole JSON file that \"yc iam key create\" wrote")
  }

  private struct File: Decodable {
    let id: String?
    let serviceAccountID: String?
    let privateKey: String?

    enum CodingKeys: String, CodingKey {
      case id
      case serviceAccountID = "service_account_id"
      case privateKey = "private_key"
    }
  }

  private struct Header: Encodable {
    let alg: String
    let typ: String
    let kid: String
  }

  private struct Payload: Encodable {
    let iss: String
    let aud: String
    let iat: Int64
    let exp: Int64
  }
}
