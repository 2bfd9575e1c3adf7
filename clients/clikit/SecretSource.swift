import Glibc
import Posix
import TidewaiterClient

/// A part of an integration's credential, as requests name it.
enum SecretPart: String, CaseIterable, Sendable {
  /// The password, key or token.
  case main = "secret"
  case sessionToken = "session_token"
  case clientKey = "client_key_pem"
  case proxyPassword = "proxy_password"
}

/// Where a secret is read from.
enum SecretSource: Equatable {
  case file(String)
  case standardInput
  case environment(String)

  func read() throws -> Secret {
    switch self {
    case .file(let path): return try SecretInput.read(file: path)
    case .standardInput: return try SecretInput.readStandardInput()
    case .environment(let name):
      guard let value = getenv(name), value.pointee != 0 else {
        throw CommandFailure.local("the environment variable \(name) is not set", hint: "set it, or use a file")
      }
      return Secret(UnsafeRawBufferPointer(start: value, count: strlen(value)))
    }
  }
}

/// A request that carries secrets beside its message.
protocol SecretCarrier {
  var secret: [UInt8] { get set }
  var sessionToken: [UInt8] { get set }
  var clientKeyPem: [UInt8] { get set }
  var proxyPassword: [UInt8] { get set }
}

extension CreateIntegrationRequest: SecretCarrier {}
extension UpdateIntegrationRequest: SecretCarrier {}

extension SecretCarrier {
  /// The one place where secrets leave their type: for the socket.
  mutating func carry(_ secrets: [SecretPart: Secret]) {
    for (part, secret) in secrets {
      let bytes = secret.withBytes { Array($0) }
      switch part {
      case .main: self.secret = bytes
      case .sessionToken: sessionToken = bytes
      case .clientKey: clientKeyPem = bytes
      case .proxyPassword: proxyPassword = bytes
      }
    }
  }
}
