import Digests
import Model

/// What points to a manifest of a repository.
package enum ManifestReference: Sendable, Hashable, CustomStringConvertible {
  case tag(Tag)
  case digest(Digest)

  package var description: String {
    switch self {
    case .tag(let tag): tag.name
    case .digest(let digest): digest.description
    }
  }
}

/// What a tag points to, as far as the registry says: the bytes were not looked at.
package struct ResolvedManifest: Sendable, Hashable {
  package let digest: Digest
  package let mediaType: String
  package let size: Int64

  /// Whether the type says so: Docker's own are of images alone, OCI's may be of anything.
  package var isImage: Bool { mediaType == MediaType.dockerManifest || mediaType == MediaType.dockerIndex }
}

/// Images of a reference, one for each platform that was wanted and is there.
package struct SelectedImages: Sendable, Hashable {
  /// Descriptors of image manifests. For a reference that is no index it is that manifest, without a platform: its
  /// config names it.
  package let images: [Descriptor]
  package let missing: [Platform]
}

extension RegistryClient {
  /// What `reference` points to, by HEAD; where the registry refuses HEAD or leaves its answer incomplete, by reading
  /// the manifest. `NOT_FOUND` for a tag that is gone.
  package func resolve(_ reference: ManifestReference, in repository: Repository) async throws -> ResolvedManifest {
    var call = try await manifestCall(reference, in: repository)
    call.method = .head
    let exchange = try await perform(call)
    switch exchange.status {
    case 200:
      let headers = exchange.response.headers
      if let digest = headers["docker-content-digest"].flatMap({ Digest($0) }),
        let size = headers["content-length"].flatMap({ Int64($0) }), size >= 0,
        case let mediaType = MediaType.normalised(headers["content-type"] ?? ""), MediaType.isManifest(mediaType),
        reference.agrees(with: digest)
      {
        return ResolvedManifest(digest: digest, mediaType: mediaType, size: size)
      }
    case 400, 403, 405, 406, 501: break
    default: throw exchange.error
    }
    let manifest = try await fetchManifest(reference, in: repository)
    return ResolvedManifest(
      digest: manifest.digest, mediaType: manifest.mediaType, size: Int64(manifest.bytes.count))
  }

  /// Reads a manifest, at most 4 MiB. Its digest is that of the bytes, whatever a header says; asked for by digest, the
  /// bytes must have that one (`DIGEST_MISMATCH`). `NOT_AN_IMAGE` and `UNSUPPORTED_MANIFEST` say what it is instead.
  package func fetchManifest(
    _ reference: ManifestReference, in repository: Repository
  ) async throws -> FetchedManifest {
    let exchange = try await perform(try await manifestCall(reference, in: repository))
    guard exchange.status == 200 else { throw exchange.error }
    let subject = reference.subject(in: repository)
    let digest: Digest
    switch reference {
    case .tag: digest = ContentHash.digest(of: exchange.response.body)
    case .digest(let asked):
      digest = ContentHash.digest(of: exchange.response.body, asked.algorithm)
      guard digest == asked else {
        throw RegistryError(
          .digestMismatch, "the manifest \(subject) at \(endpoint.url.origin) has the digest \(digest)",
          hint: "the registry, or something before it, serves other bytes than it should")
      }
    }
    do {
      let (mediaType, manifest) = try Manifest.parse(
        exchange.response.body, contentType: exchange.response.headers["content-type"], subject: subject)
      return FetchedManifest(
        digest: digest, mediaType: mediaType, bytes: exchange.response.body, manifest: manifest)
    } catch {
      throw error.redacting(exchange.redactor)
    }
  }

  /// The images behind a fetched manifest. Indexes within an index are read, three deep and to 1,000 images in all.
  package func images(
    of manifest: FetchedManifest, in repository: Repository, platforms: PlatformSelection
  ) async throws -> SelectedImages {
    guard case .index(let index) = manifest.manifest else {
      let image = Descriptor(
        mediaType: manifest.mediaType, digest: manifest.digest, size: Int64(manifest.bytes.count))
      return SelectedImages(images: [image], missing: [])
    }
    var images = index.images
    var read: Set<Digest> = [manifest.digest]
    var nested = index.nestedIndexes
    var depth = 1
    while !nested.isEmpty {
      depth += 1
      guard depth <= ImageIndex.depthMax else {
        throw RegistryError(
          .tooLarge, "\(repository)@\(manifest.digest) nests indexes deeper than \(ImageIndex.depthMax)")
      }
      var deeper: [Descriptor] = []
      for child in nested where read.insert(child.digest).inserted {
        guard read.count <= ImageIndex.childrenMax else { throw Self.tooManyImages(repository, manifest.digest) }
        let fetched = try await fetchManifest(.digest(child.digest), in: repository)
        guard case .index(let index) = fetched.manifest else {
          throw RegistryError.malformed("\(repository)@\(child.digest) is no index, as its parent says")
        }
        images += index.images
        deeper += index.nestedIndexes
        guard images.count <= ImageIndex.childrenMax else { throw Self.tooManyImages(repository, manifest.digest) }
      }
      nested = deeper
    }
    let selected = ImageIndex.select(platforms, from: images)
    return SelectedImages(images: selected.children, missing: selected.missing)
  }

  private static func tooManyImages(_ repository: Repository, _ digest: Digest) -> RegistryError {
    RegistryError(
      .tooLarge, "\(repository)@\(digest) and the indexes in it hold more than \(ImageIndex.childrenMax) manifests")
  }

  private func manifestCall(_ reference: ManifestReference, in repository: Repository) async throws -> Call {
    let route = try await driver.route(for: repository)
    var call = Call(
      .get, route.base, "\(route.name)/manifests/\(reference)", scope: .pull(route.scopeName),
      bodyMax: Self.manifestBytesMax)
    call.headers = [("Accept", MediaType.acceptedManifests)]
    call.acceptsGzip = true
    return call
  }
}

extension ManifestReference {
  fileprivate func agrees(with digest: Digest) -> Bool {
    if case .digest(let asked) = self { return asked == digest }
    return true
  }

  fileprivate func subject(in repository: Repository) -> String {
    switch self {
    case .tag(let tag): "\(repository):\(tag)"
    case .digest(let digest): "\(repository)@\(digest)"
    }
  }
}
