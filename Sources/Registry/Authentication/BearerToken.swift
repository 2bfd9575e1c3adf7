import FoundationEssentials
import Posix

/// A token of the distribution token flow, or a static one.
struct BearerToken: Sendable {
  /// Common clients never take less; a token that really dies earlier is renewed on the 401 it earns.
  static let lifetimeMin = Duration.seconds(60)
  static let lifetimeMax = Duration.seconds(24 * 60 * 60)
  /// Before the end of its life a token is not used any more: a request takes time to arrive.
  static let margin = Duration.seconds(10)
  static let bytesMax = 32 * 1024

  let token: Secret
  let usableUntil: ContinuousClock.Instant

  func isUsable(at now: ContinuousClock.Instant) -> Bool { now < usableUntil }

  /// Reads the answer of a token service. `token` and `access_token` are alternatives, and either may be empty; life is
  /// counted from receipt on our own clock, whatever `issued_at` says.
  init(answer: [UInt8], from service: WebAddress, receivedAt now: ContinuousClock.Instant) throws(RegistryError) {
    let answer = try JSONReader.decode(Answer.self, answer, what: "the token service at \(service.origin)")
    guard let text = [answer.token, answer.accessToken].compactMap({ $0 }).first(where: { !$0.isEmpty }) else {
      throw .malformed("the token service at \(service.origin) answered without a token")
    }
    try self.init(Secret(text), life: .seconds(answer.expiresIn ?? 0), from: service, receivedAt: now)
  }

  /// A token out of an answer of another shape; `life` is held within the bounds.
  init(
    _ token: Secret, life: Duration, from service: WebAddress, receivedAt now: ContinuousClock.Instant = .now
  ) throws(RegistryError) {
    guard Self.isWellFormed(token) else {
      throw .malformed(
        "the token from \(service.origin) is longer than \(Self.bytesMax) bytes or no visible ASCII text")
    }
    self.token = token
    usableUntil = now + min(max(life, Self.lifetimeMin), Self.lifetimeMax) - Self.margin
  }

  /// Whether it can stand in a header: visible ASCII, no space, no line break.
  static func isWellFormed(_ token: Secret) -> Bool {
    let bytes = token.revealed.utf8
    return !bytes.isEmpty && bytes.count <= bytesMax && bytes.allSatisfy { $0 > 0x20 && $0 < 0x7f }
  }

  private struct Answer: Decodable {
    let token: String?
    let accessToken: String?
    let expiresIn: Int64?

    enum CodingKeys: String, CodingKey {
      case token
      case accessToken = "access_token"
      case expiresIn = "expires_in"
    }

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      token = try container.decodeIfPresent(String.self, forKey: .token)
      accessToken = try container.decodeIfPresent(String.self, forKey: .accessToken)
      // A life that is no sensible number is as good as none: the bounds decide.
      do {
        let seconds = try container.decodeIfPresent(Int64.self, forKey: .expiresIn)
        expiresIn = seconds.map { min(max($0, 0), 1 << 31) }
      } catch {
        expiresIn = nil
      }
    }
  }
}
