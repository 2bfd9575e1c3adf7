import FoundationEssentials
import Model
import Posix

/// JSON web tokens (RFC 7519): those that a service account signs for itself, and what a token of somebody else tells
/// about itself.
enum JSONWebToken {
  /// What is read of a token that came with the settings. Nothing is proved by it: it serves to warn and to fill in a
  /// request, never to decide who may do what.
  struct Claims: Sendable, Equatable {
    let expiresAt: Timestamp?
    /// Entra ID's tenant.
    let tenant: String?
  }

  /// Three parts in base64url: the header, the payload and a signature of both.
  static func signed(
    header: some Encodable, payload: some Encodable, by key: SigningKey, _ algorithm: SigningKey.Algorithm
  ) throws -> Secret {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let message = base64URL(try encoder.encode(header)) + "." + base64URL(try encoder.encode(payload))
    let signature = try key.signature(of: message.utf8, algorithm)
    return Secret(message + "." + base64URL(Data(signature)))
  }

  /// Nil for whatever is no such token: most tokens are opaque.
  static func claims(of token: Secret) -> Claims? {
    let parts = token.revealed.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, token.revealed.utf8.count <= BearerToken.bytesMax, let payload = bytes(base64URL: parts[1])
    else { return nil }
    do {
      let json = try JSONReader.decode(Payload.self, payload, what: "the token")
      return Claims(expiresAt: json.exp.map { Timestamp(seconds: $0) }, tenant: json.tid)
    } catch {
      // Only the shape of a web token: it says nothing, which is no failure.
      return nil
    }
  }

  private struct Payload: Decodable {
    let exp: Int64?
    let tid: String?

    enum CodingKeys: CodingKey { case exp, tid }

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      // RFC 7519 allows fractions.
      exp = try container.decodeIfPresent(Double.self, forKey: .exp).flatMap { Int64(exactly: $0.rounded()) }
      tid = try container.decodeIfPresent(String.self, forKey: .tid)
    }
  }

  static func base64URL(_ bytes: Data) -> String {
    var result = ""
    for character in bytes.base64EncodedString() {
      switch character {
      case "+": result.append("-")
      case "/": result.append("_")
      case "=": break
      default: result.append(character)
      }
    }
    return result
  }

  private static func bytes(base64URL text: Substring) -> [UInt8]? {
    var plain = ""
    for character in text {
      switch character {
      case "-": plain.append("+")
      case "_": plain.append("/")
      default: plain.append(character)
      }
    }
    plain += String(repeating: "=", count: (4 - plain.utf8.count % 4) % 4)
    return Data(base64Encoded: plain).map { Array($0) }
  }
}
