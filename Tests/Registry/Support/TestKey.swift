import Foundation
import Posix
import TestSupport
import Testing

@testable import Registry

/// An RSA key pair made by the openssl tool, and the tool's own word on signatures of it.
struct TestKey: ~Copyable {
  static var isPossible: Bool { Command.path(of: "openssl") != nil }

  let pem: String
  private let scratch: TemporaryDirectory

  init(bits: Int = 2_048) throws {
    let scratch = try TemporaryDirectory()
    let (key, publicKey) = (scratch.path + "/key.pem", scratch.path + "/public.pem")
    try Command.run(["openssl", "genrsa", "-out", key, "\(bits)"])
    try Command.run(["openssl", "rsa", "-in", key, "-pubout", "-out", publicKey])
    pem = String(decoding: try File.read(key, limit: 64 * 1024), as: UTF8.self)
    self.scratch = scratch
  }

  /// Throws when the openssl tool does not hold the token's signature for good.
  func verify(_ token: Secret, isPSS: Bool) throws {
    let parts = token.revealed.split(separator: ".").map(String.init)
    try #require(parts.count == 3)
    try write(Array("\(parts[0]).\(parts[1])".utf8), to: "message")
    try write(try #require(Self.bytes(base64URL: parts[2])), to: "signature")
    let pss = isPSS ? ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"] : []
    try Command.run(
      ["openssl", "dgst", "-sha256", "-verify", scratch.path + "/public.pem"] + pss
        + ["-signature", scratch.path + "/signature", scratch.path + "/message"])
  }

  /// The header and the payload of a token.
  static func objects(_ token: Secret) throws -> (header: [String: String], payload: [String: String]) {
    let parts = token.revealed.split(separator: ".").map(String.init)
    try #require(parts.count == 3)
    return (try object(parts[0]), try object(parts[1]))
  }

  private static func object(_ part: String) throws -> [String: String] {
    let text = try #require(bytes(base64URL: part))
    let json = try #require(try JSONSerialization.jsonObject(with: Data(text)) as? [String: Any])
    return json.mapValues { "\($0)" }
  }

  private static func bytes(base64URL text: String) -> [UInt8]? {
    let plain = text.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
    return Data(base64Encoded: plain + String(repeating: "=", count: (4 - plain.count % 4) % 4)).map { Array($0) }
  }

  private func write(_ bytes: [UInt8], to name: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: scratch.path + "/" + name))
  }
}

/// `text` as a string of JSON.
func quoted(_ text: String) throws -> String {
  String(decoding: try JSONEncoder().encode(text), as: UTF8.self)
}
