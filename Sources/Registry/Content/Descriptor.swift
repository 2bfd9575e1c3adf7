import Model

/// A promise about bytes: their media type, digest and size.
package struct Descriptor: Sendable, Hashable {
  package static let urlsMax = 16

  package let mediaType: String
  package let digest: Digest
  /// Bytes, never negative.
  package let size: Int64
  /// Where else the bytes lie. Never fetched from: the registry alone is asked.
  package let urls: [String]
  package let annotations: [String: String]
  package let artifactType: String?
  /// Of a child of an index; nil where the index names none or only half of one.
  package let platform: Platform?

  package init(
    mediaType: String, digest: Digest, size: Int64, urls: [String] = [], annotations: [String: String] = [:],
    artifactType: String? = nil, platform: Platform? = nil
  ) {
    self.mediaType = mediaType
    self.digest = digest
    self.size = size
    self.urls = urls
    self.annotations = annotations
    self.artifactType = artifactType
    self.platform = platform
  }

  /// A layer that its makers keep off registries: it is reported and not read.
  package var isForeignLayer: Bool {
    !urls.isEmpty || mediaType.contains(".foreign.") || mediaType.contains(".nondistributable.")
  }
}

/// A descriptor as it is written; checked when it becomes a `Descriptor`.
struct DescriptorJSON: Decodable {
  struct PlatformJSON: Decodable {
    let os: String?
    let architecture: String?
    let variant: String?
  }

  let mediaType: String?
  let digest: String
  let size: Int64
  let urls: [String]?
  let annotations: [String: String]?
  let artifactType: String?
  let platform: PlatformJSON?

  /// `field` names the place in errors, such as `layers[3]`.
  func checked(_ field: String) throws(RegistryError) -> Descriptor {
    guard let digest = Digest(digest) else {
      throw .malformed(
        "\(field).digest is \"\(ForeignText.escaped(digest, lengthMax: 160))\", not sha256 or sha512 with lower-case digits"
      )
    }
    guard size >= 0 else { throw .malformed("\(field).size is negative (\(size))") }
    guard (urls?.count ?? 0) <= Descriptor.urlsMax else { throw .malformed("\(field).urls has too many entries") }
    return Descriptor(
      mediaType: MediaType.normalised(mediaType ?? ""), digest: digest, size: size, urls: urls ?? [],
      annotations: annotations ?? [:], artifactType: artifactType.flatMap { $0.isEmpty ? nil : $0 },
      platform: platform.flatMap(Self.platform))
  }

  private static func platform(_ json: PlatformJSON) -> Platform? {
    guard let os = json.os, let architecture = json.architecture else { return nil }
    let variant = json.variant.flatMap { $0.isEmpty ? nil : $0 }
    return Platform([os, architecture, variant].compactMap { $0 }.joined(separator: "/"))
  }
}
