import CCurl
import Glibc

/// An answer that is no success, and the error it stands for.
struct RegistryAnswer {
  private let response: HTTPResponse
  private let items: [ErrorBody.Item]
  private let redactor: Redactor

  /// What the registry says is quoted in errors; `redactor` knows what it must not say.
  init(_ response: HTTPResponse, _ redactor: Redactor) {
    self.response = response
    self.redactor = redactor
    do {
      items = try JSONReader.decode(ErrorBody.self, response.body, what: "the registry").items
    } catch {
      // The specification lets an error's body have any form.
      items = []
    }
  }

  /// The registry's own words, escaped and bounded, as ": …"; empty when it said nothing that is text.
  var quotedText: String {
    let said = items.prefix(3).map { item in
      [item.code, item.message].compactMap { $0 }.joined(separator: " ")
    }.joined(separator: "; ")
    if !said.isEmpty { return ": \"\(ForeignText.escaped(redactor.redactForeign(said)))\"" }
    // Redacted before it is cut: half a token is a secret too.
    let isText = (response.headers["content-type"] ?? "").lowercased().hasPrefix("text/plain")
    return isText && !response.body.isEmpty
      ? ": \"\(ForeignText.escaped(redactor.redactForeign(String(decoding: response.body, as: UTF8.self))))\"" : ""
  }

  /// nginx, which stands before many registries, ends the handshake well and then says so in a page of its own.
  var wantsCertificate: Bool {
    guard response.status == 400 else { return false }
    let text = String(decoding: response.body.prefix(1024), as: UTF8.self)
    return text.contains("No required SSL certificate was sent") || text.contains("The SSL certificate error")
  }

  /// Whether what was asked for is not there, as far as the registry says so.
  var isNotFound: Bool {
    let absent: Set<String> = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "NOT_FOUND"]
    return response.status == 404
      || items.contains { item in
        item.code.map { absent.contains($0) } ?? false
          || (item.code == "UNKNOWN" && (item.message ?? "").lowercased().contains("not found"))
      }
  }

  /// The error for an answer to `what`, such as "GET https://host/v2/x".
  func error(for what: String) -> RegistryError {
    let status = response.status
    func make(_ code: RegistryError.Code, _ text: String, hint: String? = nil, transient: Bool = false) -> RegistryError
    {
      RegistryError(
        code, "\(what) \(text) (status \(status))\(quotedText)", hint: hint, isTransient: transient,
        retryAfter: transient ? retryAfter : nil)
    }
    switch items.first?.code.flatMap(ErrorBody.cloudMeaning) {
    case .rateLimited: return make(.rateLimited, "answered that the limit of requests is reached", transient: true)
    case .unauthorized: return make(.unauthorized, "was refused: unauthorised")
    case .forbidden: return make(.forbidden, "was refused: forbidden", hint: "the credential lacks this right")
    case .notFound: return make(.notFound, "was answered: not found")
    default: break
    }
    switch status {
    case 403 where isRateLimit: return make(.rateLimited, "answered that the limit is reached", transient: true)
    case 429: return make(.rateLimited, "answered that the limit of requests is reached", transient: true)
    case 408: return make(.timeout, "timed out", transient: true)
    case 400..<500 where items.contains { $0.code == "TOOMANYREQUESTS" }:
      return make(.rateLimited, "answered that the limit of requests is reached", transient: true)
    case 400..<500 where items.contains { $0.code == "UNAVAILABLE" }:
      return make(.serverError, "is not available", transient: true)
    case _ where wantsCertificate:
      return RegistryError(
        .tlsFailed, "\(what) was refused for want of a client certificate that the server accepts (status 400)",
        hint: "give a client certificate with --client-cert and --client-key")
    case 401: return make(.unauthorized, "was refused: unauthorised")
    case 403 where !isNotFound:
      return make(.forbidden, "was refused: forbidden", hint: "the credential lacks the right to read this")
    case 400..<500 where isNotFound: return make(.notFound, "was answered: not found")
    case 501, 505: return make(.requestRefused, "was refused")
    case 500...: return make(.serverError, "failed at the registry", transient: true)
    case 400..<500: return make(.requestRefused, "was refused")
    default: return make(.malformed, "was answered in a way that means nothing here")
    }
  }

  /// GitHub's limit comes as "forbidden".
  private var isRateLimit: Bool {
    response.headers["x-ratelimit-remaining"] == "0"
      || (response.headers["retry-after"] != nil && quotedText.lowercased().contains("rate limit"))
  }

  /// What the registry asks us to wait, or the end of its period where nothing is left of it, held between a second and
  /// an hour; nil when it says nothing readable.
  var retryAfter: Duration? { RateHeaders(response.headers, now: Int64(time(nil))).wait }
}

extension HTTPResponse {
  /// Whether the registry has had enough of us for now, in whichever words: AWS says so with status 400, GitHub with 403.
  var isThrottle: Bool {
    switch status {
    case 429: true
    case 400, 403: RegistryAnswer(self, Redactor([])).error(for: "").code == .rateLimited
    default: false
    }
  }

  /// How far the server's clock is ahead of ours by its header `Date`; nil when it sent none that can be read.
  var clockSkew: Duration? {
    guard let text = headers["date"], text.utf8.count <= 64, case let date = curl_getdate(text, nil), date >= 0 else {
      return nil
    }
    return .seconds(Int64(date) - Int64(time(nil)))
  }
}
