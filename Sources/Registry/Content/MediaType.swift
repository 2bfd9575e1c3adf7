/// The media types of the distribution and image specifications that mean something here.
enum MediaType {
  static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
  static let dockerIndex = "application/vnd.docker.distribution.manifest.list.v2+json"
  static let ociManifest = "application/vnd.oci.image.manifest.v1+json"
  static let ociIndex = "application/vnd.oci.image.index.v1+json"
  static let ociArtifact = "application/vnd.oci.artifact.manifest.v1+json"
  static let schema1 = "application/vnd.docker.distribution.manifest.v1+json"
  static let schema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"

  /// What a request for a manifest accepts. In one line, since some proxies read only the first; an entry left out
  /// turns an existing tag into a 404, or an index into its amd64 child.
  static let acceptedManifests = [ociIndex, dockerIndex, ociManifest, dockerManifest].joined(separator: ", ")

  static func isImage(_ type: String) -> Bool { type == dockerManifest || type == ociManifest }
  static func isIndex(_ type: String) -> Bool { type == dockerIndex || type == ociIndex }
  static func isSchema1(_ type: String) -> Bool { type == schema1 || type == schema1Signed }
  static func isManifest(_ type: String) -> Bool {
    isImage(type) || isIndex(type) || isSchema1(type) || type == ociArtifact
  }

  static let imageConfigs: Set<String> = [
    "application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json",
  ]

  /// Layers of an image manifest that make it something else, though its config may be an image's.
  private static let artifactLayers = [
    "application/vnd.in-toto+json": "an attestation",
    "application/vnd.dev.cosign.simplesigning.v1+json": "a signature",
  ]

  private static let artifactConfigs = [
    "application/vnd.cncf.helm.config.v1+json": "a Helm chart",
    "application/vnd.buildkit.cacheconfig.v0": "a build cache",
    "application/vnd.docker.plugin.v1+json": "a Docker plugin",
    "application/vnd.oci.empty.v1+json": "an artifact",
    "application/vnd.dev.cosign.artifact.sig.v1+json": "a signature",
    "application/vnd.cncf.notary.signature": "a signature",
    "application/vnd.wasm.config.v1+json": "a WebAssembly module",
    "application/vnd.wasm.config.v0+json": "a WebAssembly module",
  ]

  /// What a manifest is when it is no image, in words; nil for an image.
  static func artifactKind(config: String, artifactType: String?, layers: [Descriptor]) -> String? {
    if !imageConfigs.contains(config) {
      if let known = artifactConfigs[config], artifactType == nil || known != "an artifact" { return known }
      if let artifactType { return artifactConfigs[artifactType] ?? "an artifact of type \(shown(artifactType))" }
      return config.isEmpty ? "an artifact without a type" : "an artifact with a config of type \(shown(config))"
    }
    return layers.lazy.compactMap { artifactLayers[$0.mediaType] }.first
  }

  private static func shown(_ type: String) -> String { ForeignText.escaped(type, lengthMax: 120) }

  /// Lower case and without parameters.
  static func normalised(_ text: String) -> String {
    // As nearly all are already.
    let isNormalised = text.utf8.allSatisfy {
      $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ";") && !(UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0)
    }
    if isNormalised { return text }
    let type = text.prefix { $0 != ";" }.lowercased()
    let isBlank = { (character: Character) in character == " " || character == "\t" }
    guard let first = type.firstIndex(where: { !isBlank($0) }), let last = type.lastIndex(where: { !isBlank($0) })
    else {
      return ""
    }
    return String(type[first...last])
  }
}
