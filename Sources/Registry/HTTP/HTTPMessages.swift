import Posix

/// A header whose value nobody may see.
package struct SecretHeader: Sendable, Hashable {
  package let name: String
  package let value: Secret

  package init(_ name: String = "Authorization", _ value: Secret) {
    self.name = name
    self.value = value
  }
}

/// A signature of a request with AWS's version 4 scheme, which libcurl makes.
package struct AWSSignature: Sendable, Hashable {
  package let region: String
  package let service: String
  package let keyID: String
  package let key: Secret
  /// Of temporary keys.
  package let sessionToken: Secret?

  package init(region: String, service: String, keyID: String, key: Secret, sessionToken: Secret? = nil) {
    self.region = region
    self.service = service
    self.keyID = keyID
    self.key = key
    self.sessionToken = sessionToken
  }
}

package struct HTTPRequest: Sendable {
  package enum Method: String, Sendable { case get = "GET", head = "HEAD", post = "POST" }

  /// Who named the host. What an answer named may not lead to addresses that only this machine or its network can reach,
  /// unless the registry itself lives at one of that kind.
  package enum Destination: Sendable {
    /// The user, as the registry's own.
    case registry
    /// An answer; and the user, or what is known of the vendor, allows that name to have the credential.
    case allowedByName
    case namedByAnswer
  }

  package var method: Method
  package var url: WebAddress
  /// Values of our own making: no line breaks.
  package var headers: [(name: String, value: String)]
  package var authorization: SecretHeader?
  /// In place of `authorization`.
  package var signature: AWSSignature?
  /// What a POST sends; its kind is a header. Secret because it may hold a password.
  package var content = nothing
  private static let nothing = Secret([])
  package var destination: Destination
  /// The request in messages: "GET https://host/path". A path that an answer chose is not shown, since it may hold an
  /// echo of what we sent.
  package var subject: String {
    statedSubject ?? "\(method.rawValue) \(destination == .registry ? url.description : url.origin.description)"
  }
  private let statedSubject: String?
  /// Bytes of body, after decoding, that are taken; more is `TOO_LARGE`. The body of an error is cut instead.
  package var bodyMax: Int
  /// Whether it takes one of its group's permits, and waits for one: not where its sender holds one.
  package var takesPermit = false
  /// Whether the answer may come as gzip. Only where the decoded bytes are what counts.
  package var acceptsGzip: Bool

  package init(
    _ method: Method, _ url: WebAddress, headers: [(name: String, value: String)] = [],
    authorization: SecretHeader? = nil,
    destination: Destination = .registry, subject: String? = nil, bodyMax: Int,
    acceptsGzip: Bool = false
  ) {
    statedSubject = subject
    self.method = method
    self.url = url
    self.headers = headers
    self.authorization = authorization
    self.destination = destination
    self.bodyMax = bodyMax
    self.acceptsGzip = acceptsGzip
  }
}

/// How an answer came: for the report of a connection test.
package struct ConnectionInfo: Sendable {
  /// The peer's IP address; empty when there was none.
  package let address: String
  package let port: Int
  /// As libcurl counts: 1 is HTTP/1.0, 2 is HTTP/1.1, 3 is HTTP/2.
  package let version: Int
  /// The proxy on the way; `address` is then the proxy's.
  package let proxy: ProxyServer?
  /// What the server showed when the connection was made, its own certificate first.
  package let certificates: [PeerCertificate]
}

package struct HTTPResponse: Sendable {
  package let status: Int
  package let headers: HTTPHeaders
  /// Empty for a streamed answer.
  package let body: [UInt8]
  package let connection: ConnectionInfo
}

/// What `HTTPTransport.open` gave: a body to read, or the whole of an answer that is no success.
package enum OpenedResponse: Sendable {
  case stream(HTTPStream)
  case response(HTTPResponse)
}

/// How long a registry may take. Tests put shorter ones in their place.
package struct TransportTimeouts: Sendable {
  /// Name resolution, TCP and TLS.
  package var connect: Duration = .seconds(15)
  /// From the connection to the end of the response headers.
  package var firstByte: Duration = .seconds(60)
  /// From the beginning to the end of a request whose body is collected.
  package var total: Duration = .seconds(180)
  /// A streamed body must bring something in each period of this length in which its reader was willing …
  package var idle: Duration = .seconds(30)
  /// … and so many bytes a second over all of it. 0: whatever comes will do, as long as something does.
  package var bytesPerSecondMin = 1024

  package init() {}
}
