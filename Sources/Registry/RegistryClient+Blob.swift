import Digests
import Model
import Posix

/// An image config as fetched: its bytes are what its digest says.
package struct FetchedConfig: Sendable, Hashable {
  package let config: ImageConfig
  package let bytes: [UInt8]
}

extension RegistryClient {
  /// Reads an image's config, at most 8 MiB; size and digest are verified.
  package func fetchConfig(_ descriptor: Descriptor, in repository: Repository) async throws -> FetchedConfig {
    let subject = "the config \(repository)@\(descriptor.digest)"
    guard descriptor.size <= Self.configBytesMax else {
      throw RegistryError(
        .tooLarge, "\(subject) has \(descriptor.size) bytes, more than the \(Self.configBytesMax) that are read")
    }
    var call = try await blobCall(.get, descriptor.digest, in: repository)
    // One byte more, so that too many bytes are told from the right number.
    call.bodyMax = Int(descriptor.size) + 1
    let exchange: Exchange
    do {
      exchange = try await perform(call)
    } catch let error as RegistryError where error.code == .tooLarge {
      throw error.recoded(
        .sizeMismatch, "\(subject) is longer than the \(descriptor.size) bytes of its descriptor", hint: nil)
    }
    guard exchange.status == 200 else { throw exchange.error }
    let bytes = exchange.response.body
    guard bytes.count == descriptor.size else {
      throw RegistryError(
        .sizeMismatch, "\(subject) has \(bytes.count) bytes; its descriptor says \(descriptor.size)")
    }
    let digest = ContentHash.digest(of: bytes, descriptor.digest.algorithm)
    guard digest == descriptor.digest else {
      throw RegistryError(.digestMismatch, "\(subject) at \(endpoint.url.origin) has the digest \(digest)")
    }
    do {
      return FetchedConfig(config: try ImageConfig.parse(bytes, subject: subject), bytes: bytes)
    } catch {
      throw error.redacting(exchange.redactor)
    }
  }

  /// Whether the repository has this blob for this credential. Asked by HEAD; where that is refused, by reading one
  /// byte. False also when neither tells: the blob is then to be fetched, and that says what is wrong.
  package func confirmBlob(_ digest: Digest, in repository: Repository) async throws -> Bool {
    let head: Exchange
    do {
      head = try await perform(try await blobCall(.head, digest, in: repository))
    } catch let error as RegistryError where error.code == .unauthorized {
      // Some registries serve GET without asking and refuse HEAD.
      return try await confirmByReading(digest, in: repository)
    }
    switch head.status {
    case 200: return true
    case 404: return false
    case 408, 429: throw head.error
    case 400..<500, 501: return try await confirmByReading(digest, in: repository)
    default: throw head.error
    }
  }

  private func confirmByReading(_ digest: Digest, in repository: Repository) async throws -> Bool {
    var call = try await blobCall(.get, digest, in: repository)
    call.headers = [("Range", "bytes=0-0")]
    // A registry that ignores the range would send all of it: as a stream, it is ended after its head.
    call.streams = true
    do {
      let answer = try await perform(call)
      if case .stream(let stream) = answer.opened {
        stream.cancel()
        return true
      }
      if answer.status == 429 || answer.status >= 500 { throw answer.error }
      return false
    } catch let error as RegistryError where error.code == .unauthorized {
      return false
    }
  }

  /// Opens a blob for reading by a thread of the caller's own. It counts as a running request until its reader has
  /// come to the end, was cancelled or dropped: who opens a blob must go on to read it, not wait for other requests.
  package func openBlob(_ descriptor: Descriptor, in repository: Repository) async throws -> BlobReader {
    var call = try await blobCall(.get, descriptor.digest, in: repository)
    try await permits.acquire()
    let permit = HeldPermit(permits)
    call.streams = true
    let exchange = try await exchange(call)
    guard case .stream(let stream) = exchange.opened, exchange.status == 200 else {
      throw exchange.status == 206
        ? RegistryError.malformed("\(exchange.subject) was answered with a part of the blob") : exchange.error
    }
    if let length = stream.response.headers["content-length"].flatMap({ Int64($0) }), length != descriptor.size,
      stream.response.headers["content-encoding"] == nil
    {
      throw BlobReader.sizeMismatch(descriptor, in: repository, has: "\(length) bytes")
    }
    return BlobReader(stream: stream, descriptor: descriptor, repository: repository, permit: permit) {
      [self] offset, resume in
      try await self.rest(of: descriptor, from: offset, in: repository, resume: resume)
    }
  }

  /// The rest of a blob whose connection broke, under the permit that its reader holds. Asked for at the registry, not
  /// where a redirect led: addresses of storage are signed, and expire.
  private func rest(
    of descriptor: Descriptor, from offset: Int64, in repository: Repository, resume: Int
  ) async throws -> BlobReader.Rest {
    let clock = session.group.limiter.clock
    try await clock.sleep(RetryPolicy().delay(before: resume - 1, chance: clock.random()))
    var call = try await blobCall(.get, descriptor.digest, in: repository)
    call.streams = true
    if offset > 0 { call.headers = [("Range", "bytes=\(offset)-")] }
    let exchange = try await exchange(call)
    guard case .stream(let stream) = exchange.opened else { throw exchange.error }
    // A server that knows no ranges: all of it comes again.
    guard exchange.status == 206 else { return BlobReader.Rest(stream: stream, offset: 0) }
    let told = stream.response.headers["content-range"]
    guard let range = told.flatMap({ ContentRange($0) }), range.first == offset, range.last == descriptor.size - 1,
      range.total ?? descriptor.size == descriptor.size
    else {
      throw RegistryError(
        .malformed,
        "\(exchange.subject) was asked for bytes \(offset)-\(descriptor.size - 1) and answered with"
          + " \(told.map { "\"\(ForeignText.escaped(exchange.redactor.redactForeign($0), lengthMax: 80))\"" } ?? "no range")",
        hint: "the registry, or its storage, does not serve ranges as it should", isTransient: true)
    }
    return BlobReader.Rest(stream: stream, offset: offset)
  }

  private func blobCall(
    _ method: HTTPRequest.Method, _ digest: Digest, in repository: Repository
  ) async throws -> Call {
    let route = try await driver.route(for: repository)
    return Call(
      method, route.base, "\(route.name)/blobs/\(digest)", scope: .pull(route.scopeName),
      bodyMax: HTTPTransport.errorBodyBytesMax)
  }
}
