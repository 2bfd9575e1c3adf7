import Digests
import Model
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(1)))
struct ImageIndexTests {
  private static func digest(_ number: Int) -> Digest { ContentHash.digest(of: [UInt8(number)]) }

  private func child(
    _ number: Int, _ platform: String?, type: String = MediaType.ociManifest, annotations: [String: String] = [:]
  ) -> Descriptor {
    Descriptor(
      mediaType: type, digest: Self.digest(number), size: 1, annotations: annotations,
      platform: platform.flatMap { Platform($0) })
  }

  private func platforms(_ names: String...) throws -> PlatformSelection {
    .list(try names.map { try #require(Platform($0)) })
  }

  private func index(_ children: Descriptor...) -> ImageIndex { ImageIndex(children: children, annotations: [:]) }

  @Test func `platforms are chosen and the missing ones named`() throws {
    let index = index(child(1, "linux/amd64"), child(2, "linux/arm64/v8"), child(3, "windows/amd64"))
    let selected = index.select(try platforms("linux/arm64", "linux/s390x", "linux/amd64"))
    #expect(selected.children.map(\.digest) == [1, 2].map(Self.digest))
    #expect(selected.missing.map(\.description) == ["linux/s390x"])
    #expect(index.select(.all).children.count == 3)
    #expect(index.select(.node).missing.isEmpty)
  }

  @Test func `the exact variant is preferred, else none, else the highest`() throws {
    let arms = index(child(1, "linux/arm/v5"), child(2, "linux/arm/v7"), child(3, "linux/arm/v6"))
    #expect(arms.select(try platforms("linux/arm")).children.map(\.digest) == [Self.digest(2)])
    #expect(arms.select(try platforms("linux/arm/v6")).children.map(\.digest) == [Self.digest(3)])
    let intel = index(child(1, "linux/amd64/v3"), child(2, "linux/amd64"))
    #expect(intel.select(try platforms("linux/amd64")).children.map(\.digest) == [Self.digest(2)])
    let twins = index(child(1, "windows/amd64"), child(2, "windows/amd64"))
    #expect(twins.select(try platforms("windows/amd64")).children.map(\.digest) == [Self.digest(1)])
  }

  /// H55.
  @Test func `attestations, unknown platforms and artifacts are passed over`() {
    let index = index(
      child(1, "linux/amd64"), child(1, "linux/amd64"), child(2, "unknown/unknown"), child(3, nil),
      child(4, "linux/amd64", annotations: ["vnd.docker.reference.type": "attestation-manifest"]),
      child(5, "linux/amd64", type: "application/vnd.oci.artifact.manifest.v1+json"))
    #expect(index.select(.all).children.map(\.digest) == [Self.digest(1)])
    #expect(index.select(.all).missing.isEmpty)
  }

  // MARK: over the wire

  /// Serves the given manifests by digest, and the last as `top`.
  private func withIndexes(
    _ manifests: [[UInt8]], _ body: (RegistryClient, FetchedManifest) async throws -> Void
  ) async throws {
    let known = Dictionary(
      manifests.map { ("\(ContentHash.digest(of: $0))", $0) }, uniquingKeysWith: { first, _ in first })
    let top = manifests.last ?? []
    try await withServer({ request in
      if request.path == "/v2/" { return .json("{}") }
      let name = String(request.path.split(separator: "/").last ?? "")
      guard let bytes = name == "top" ? top : known[name] else { return .reply(404) }
      return .reply(200, [], bytes)
    }) { server in
      let client = try client(server)
      let manifest = try await client.fetchManifest(tag("top"), in: repository("team/app"))
      try await body(client, manifest)
    }
  }

  private static func index(_ entries: String...) -> [UInt8] {
    let list = entries.joined(separator: ",")
    return Array("{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\"manifests\":[\(list)]}".utf8)
  }

  private static func entry(_ manifest: [UInt8], _ architecture: String?) -> String {
    let type = architecture == nil ? MediaType.ociIndex : MediaType.ociManifest
    let platform = architecture.map { ",\"platform\":{\"os\":\"linux\",\"architecture\":\"\($0)\"}" } ?? ""
    return TestImage.json(descriptor(of: manifest, mediaType: type), extra: platform)
  }

  /// H46.
  @Test func `an index within an index is read`() async throws {
    let image = TestImage(layers: [])
    let inner = Self.index(Self.entry(image.manifest, "amd64"))
    let middle = Self.index(Self.entry(inner, nil))
    try await withIndexes([inner, middle, Self.index(Self.entry(middle, nil))]) { client, manifest in
      let selected = try await client.images(of: manifest, in: repository("team/app"), platforms: .all)
      #expect(selected.images.map(\.digest) == [image.digest])
    }
  }

  /// H46.
  @Test func `indexes nested too deeply are refused`() async throws {
    var chain = [Self.index()]
    for _ in 0..<50 { chain.append(Self.index(Self.entry(chain.last ?? [], nil))) }
    try await withIndexes(chain) { client, manifest in
      let error = try await registryError {
        try await client.images(of: manifest, in: repository("team/app"), platforms: .all)
      }
      #expect(error.code == .tooLarge)
    }
  }

  @Test func `an image that is no index stands for itself`() async throws {
    let image = TestImage(layers: [])
    try await withIndexes([image.manifest]) { client, manifest in
      let selected = try await client.images(of: manifest, in: repository("team/app"), platforms: .node)
      #expect(selected.images.map(\.digest) == [image.digest])
      #expect(selected.images.first?.size == Int64(image.manifest.count))
    }
  }
}
