/// What the body of an error says, in the shapes that registries and their vendors' APIs have.
struct ErrorBody: Decodable {
  struct Item: Decodable {
    let code: String?
    let message: String?

    init(code: String?, message: String?) {
      self.code = code
      self.message = message
    }

    init(from decoder: any Decoder) throws {
      let fields = try Fields(decoder)
      // Artifactory's REST says a number `status` in place of a code.
      self.init(code: fields.text("code"), message: fields.text("message"))
    }
  }

  /// Empty for a body of an unknown shape.
  let items: [Item]

  init(from decoder: any Decoder) throws {
    let fields = try Fields(decoder)
    if let errors = fields.value([Item].self, "errors") {
      items = errors
    } else if let type = fields.text("__type") {
      // AWS; its spelling of "message" varies.
      let name = type.split(separator: "#").last.map(String.init) ?? type
      items = [Item(code: name, message: fields.text("message") ?? fields.text("Message"))]
    } else if let google = fields.value(Item.self, "error") {
      items = [google]
    } else if let oauth = fields.text("error") {
      items = [Item(code: oauth, message: fields.text("error_description") ?? fields.text("message"))]
    } else if let message = ["message", "error_message", "detail", "details"].lazy.compactMap(fields.text).first {
      items = [Item(code: nil, message: message)]
    } else {
      items = []
    }
  }

  /// What a code of AWS or of OAuth (RFC 6749, section 5.2) means: most of them come with status 400.
  static func cloudMeaning(_ code: String) -> RegistryError.Code? {
    switch code {
    case "ThrottlingException", "TooManyRequestsException", "LimitExceededException": .rateLimited
    case "AccessDeniedException", "AccessDenied": .forbidden
    case "UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException",
      "MissingAuthenticationTokenException", "ExpiredTokenException", "ExpiredToken", "InvalidClientTokenId",
      "SignatureDoesNotMatch", "invalid_grant", "invalid_client", "unauthorized_client":
      .unauthorized
    case "RepositoryNotFoundException", "RegistryNotFoundException", "ImageNotFoundException": .notFound
    default: nil
    }
  }
}

/// Fields of an object, each of which may have any type.
private struct Fields {
  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  private let container: KeyedDecodingContainer<Key>

  init(_ decoder: any Decoder) throws { container = try decoder.container(keyedBy: Key.self) }

  /// Nil for a field that is missing or of another type.
  func value<Value: Decodable>(_ type: Value.Type, _ name: String) -> Value? {
    do {
      return try container.decodeIfPresent(type, forKey: Key(stringValue: name))
    } catch {
      return nil
    }
  }

  func text(_ name: String) -> String? { value(String.self, name) }
}
