import Model

/// What a tag or digest names: an image, or an index of manifests.
package enum Manifest: Sendable, Hashable {
  case image(ImageManifest)
  case index(ImageIndex)
}

/// The manifest of one image for one platform.
package struct ImageManifest: Sendable, Hashable {
  package static let layersMax = 1000

  package let config: Descriptor
  /// From the base upwards. The same layer may occur more than once.
  package let layers: [Descriptor]
  package let annotations: [String: String]
}

/// A manifest as fetched: its bytes are what its digest says.
package struct FetchedManifest: Sendable, Hashable {
  package let digest: Digest
  package let mediaType: String
  package let bytes: [UInt8]
  package let manifest: Manifest
}

extension Manifest {
  private struct JSON: Decodable {
    let schemaVersion: Int?
    let mediaType: String?
    let artifactType: String?
    let config: DescriptorJSON?
    let layers: [DescriptorJSON]?
    let manifests: [DescriptorJSON]?
    let annotations: [String: String]?

    // Only looked at for their presence: schema 1 has them.
    let hasFSLayers: Bool

    enum CodingKeys: String, CodingKey {
      case schemaVersion, mediaType, artifactType, config, layers, manifests, annotations, fsLayers
    }

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      schemaVersion = try container.decodeIfPresent(Int.self, forKey: .schemaVersion)
      mediaType = try container.decodeIfPresent(String.self, forKey: .mediaType)
      artifactType = try container.decodeIfPresent(String.self, forKey: .artifactType)
      config = try container.decodeIfPresent(DescriptorJSON.self, forKey: .config)
      layers = try container.decodeIfPresent([DescriptorJSON].self, forKey: .layers)
      manifests = try container.decodeIfPresent([DescriptorJSON].self, forKey: .manifests)
      annotations = try container.decodeIfPresent([String: String].self, forKey: .annotations)
      hasFSLayers = container.contains(.fsLayers)
    }
  }

  /// Reads a manifest's bytes. `contentType` is the header it came with, nil for none; `subject` names it in errors.
  ///
  /// Two readers must not see two things in the same bytes (CVE-2021-41190), so a manifest that contradicts its own
  /// media type or holds both layers and manifests is refused.
  static func parse(
    _ bytes: [UInt8], contentType: String?, subject: String
  ) throws(RegistryError) -> (mediaType: String, manifest: Manifest) {
    let header = MediaType.normalised(contentType ?? "")
    if MediaType.isSchema1(header) { throw schema1(subject) }
    let json = try JSONReader.decode(JSON.self, bytes, what: subject)
    if json.schemaVersion == 1 || json.hasFSLayers { throw schema1(subject) }
    let mediaType = try mediaType(of: json, header: header, subject: subject)
    if mediaType == MediaType.ociArtifact { throw notAnImage(subject, "an artifact manifest") }
    // The specification demands 2, and an OCI manifest without it is still read by everybody.
    guard json.schemaVersion ?? 2 == 2 else {
      throw .malformed("\(subject) has the unknown schema version \(json.schemaVersion ?? 0)")
    }
    guard json.layers == nil || json.manifests == nil else {
      throw .malformed("\(subject) holds both layers and manifests")
    }
    if MediaType.isIndex(mediaType) {
      return (mediaType, .index(try index(json, subject: subject)))
    }
    return (mediaType, .image(try image(json, subject: subject)))
  }

  private static func mediaType(of json: JSON, header: String, subject: String) throws(RegistryError) -> String {
    let field = MediaType.normalised(json.mediaType ?? "")
    if !field.isEmpty, field != header, MediaType.isManifest(header) || isVendorType(header) {
      throw .malformed(
        "\(subject) came as \"\(ForeignText.escaped(header, lengthMax: 120))\" and calls itself "
          + "\"\(ForeignText.escaped(field, lengthMax: 120))\"")
    }
    let type = !field.isEmpty ? field : MediaType.isManifest(header) || isVendorType(header) ? header : ""
    if MediaType.isSchema1(type) { throw schema1(subject) }
    if MediaType.isManifest(type) { return type }
    guard type.isEmpty else {
      throw RegistryError(
        .unsupportedManifest, "\(subject) is of the unknown type \"\(ForeignText.escaped(type, lengthMax: 120))\"")
    }
    // OCI lets the field be absent, and file servers send no type that means anything.
    if json.manifests != nil { return MediaType.ociIndex }
    if json.config != nil { return MediaType.ociManifest }
    throw .malformed("\(subject) is neither an image manifest nor an index")
  }

  /// A type that says what it is, unlike `application/json` or `application/octet-stream`.
  private static func isVendorType(_ type: String) -> Bool { type.hasPrefix("application/vnd.") }

  private static func image(_ json: JSON, subject: String) throws(RegistryError) -> ImageManifest {
    guard json.manifests == nil else { throw .malformed("\(subject) is an image manifest with manifests in it") }
    guard let config = json.config else { throw .malformed("\(subject) is an image manifest without a config") }
    let entries = json.layers ?? []
    guard entries.count <= ImageManifest.layersMax else {
      throw RegistryError(.tooLarge, "\(subject) has \(entries.count) layers, more than \(ImageManifest.layersMax)")
    }
    let checkedConfig = try config.checked("\(subject): config")
    var layers: [Descriptor] = []
    for (number, layer) in entries.enumerated() { layers.append(try layer.checked("\(subject): layers[\(number)]")) }
    let artifactType = json.artifactType.flatMap { $0.isEmpty ? nil : $0 }
    if let kind = MediaType.artifactKind(
      config: checkedConfig.mediaType, artifactType: artifactType, layers: layers)
    {
      throw notAnImage(subject, kind)
    }
    return ImageManifest(config: checkedConfig, layers: layers, annotations: json.annotations ?? [:])
  }

  private static func index(_ json: JSON, subject: String) throws(RegistryError) -> ImageIndex {
    guard json.layers == nil, json.config == nil else {
      throw .malformed("\(subject) is an index with a config or layers in it")
    }
    let entries = json.manifests ?? []
    guard entries.count <= ImageIndex.childrenMax else {
      throw RegistryError(.tooLarge, "\(subject) has \(entries.count) manifests, more than \(ImageIndex.childrenMax)")
    }
    var children: [Descriptor] = []
    for (number, child) in entries.enumerated() {
      children.append(try child.checked("\(subject): manifests[\(number)]"))
    }
    return ImageIndex(children: children, annotations: json.annotations ?? [:])
  }

  private static func schema1(_ subject: String) -> RegistryError {
    RegistryError(
      .unsupportedManifest, "\(subject) is a manifest of schema 1, which is not read",
      hint: "push the image again with a client of this decade")
  }

  private static func notAnImage(_ subject: String, _ kind: String) -> RegistryError {
    RegistryError(.notAnImage, "\(subject) is \(kind), not an image")
  }
}
