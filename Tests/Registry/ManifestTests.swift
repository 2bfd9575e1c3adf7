import Model
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(1)))
struct ManifestTests {
  static let image = TestImage(layers: [noise(1000), noise(2000, seed: 2), noise(1000)])

  private func parse(_ text: String, type: String? = nil) throws -> Manifest {
    try Manifest.parse(Array(text.utf8), contentType: type, subject: "team/app:1").manifest
  }

  private func code(_ text: String, type: String? = nil) async throws -> RegistryError.Code {
    try await registryError { try parse(text, type: type) }.code
  }

  private var text: String { String(decoding: Self.image.manifest, as: UTF8.self) }

  private static let digest = "sha256:" + String(repeating: "a", count: 64)
  private static func descriptor(_ type: String = "x", digest: String = digest, size: String = "1") -> String {
    "{\"mediaType\":\"\(type)\",\"digest\":\"\(digest)\",\"size\":\(size)}"
  }
  private static func image(config: String, layers: String = "", rest: String = "") -> String {
    "{\"schemaVersion\":2,\"config\":\(config),\"layers\":[\(layers)]\(rest)}"
  }
  private static let config = descriptor("application/vnd.oci.image.config.v1+json")

  @Test func `an image names its config and layers in order`() throws {
    guard case .image(let manifest) = try parse(text, type: MediaType.ociManifest) else {
      Issue.record("no image")
      return
    }
    #expect(manifest.config == Self.image.configDescriptor)
    #expect(manifest.layers == Self.image.layers.map { RegistryTests.descriptor(of: $0) })
  }

  @Test(arguments: [
    nil, "application/json", "application/octet-stream", "text/plain; charset=utf-8",
    "APPLICATION/vnd.oci.image.manifest.v1+JSON; x=y",
  ])
  func `the content type may say nothing, or say it oddly`(type: String?) throws {
    guard case .image = try parse(text, type: type) else {
      Issue.record("no image")
      return
    }
  }

  @Test func `an OCI manifest without a media type is known by its fields`() throws {
    guard case .image = try parse(Self.image(config: Self.config)) else {
      Issue.record("no image")
      return
    }
    guard case .index = try parse("{\"schemaVersion\":2,\"manifests\":[]}") else {
      Issue.record("no index")
      return
    }
  }

  /// H45.
  @Test func `a manifest that could be read as two is malformed`() async throws {
    #expect(try await code(text, type: MediaType.ociIndex) == .malformed)
    #expect(try await code(text, type: "application/vnd.example+json") == .malformed)
    let manifests = ",\"manifests\":[]"
    #expect(try await code(Self.image(config: Self.config, rest: manifests)) == .malformed)
    #expect(try await code(Self.image(config: Self.config, rest: manifests), type: MediaType.ociIndex) == .malformed)
    #expect(try await code(Self.image(config: Self.config), type: MediaType.ociIndex) == .malformed)
    #expect(try await code(Self.image(config: Self.config, rest: ",\"layers\":[]")) == .malformed)
    #expect(try await code(Self.image(config: Self.config, rest: ",\"l\\u0061yers\":[]")) == .malformed)
  }

  /// H55.
  @Test func `schema 1 is refused by name`() async throws {
    #expect(try await code("{\"schemaVersion\":1,\"fsLayers\":[]}") == .unsupportedManifest)
    #expect(try await code("{}", type: MediaType.schema1Signed) == .unsupportedManifest)
    #expect(
      try await code("{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.schema1)\"}") == .unsupportedManifest)
    #expect(try await code("{\"schemaVersion\":2}", type: "application/vnd.example+json") == .unsupportedManifest)
  }

  @Test(arguments: [
    ("application/vnd.cncf.helm.config.v1+json", "", "", "Helm chart"),
    ("application/vnd.buildkit.cacheconfig.v0", "", "", "build cache"),
    ("application/vnd.oci.empty.v1+json", "", ",\"artifactType\":\"application/spdx+json\"", "application/spdx+json"),
    ("application/vnd.oci.empty.v1+json", "", "", "artifact"),
    ("application/vnd.example.thing", "", "", "application/vnd.example.thing"),
    ("", "", "", "without a type"),
    ("application/vnd.oci.image.config.v1+json", "application/vnd.in-toto+json", "", "attestation"),
    (
      "application/vnd.oci.image.config.v1+json", "application/vnd.dev.cosign.simplesigning.v1+json", "", "signature"
    ),
  ])
  func `artifacts are named`(config: String, layer: String, rest: String, kind: String) async throws {
    let text = Self.image(
      config: Self.descriptor(config), layers: layer.isEmpty ? "" : Self.descriptor(layer), rest: rest)
    let error = try await registryError { try parse(text, type: MediaType.ociManifest) }
    #expect(error.code == .notAnImage)
    #expect(error.message.contains(kind))
    #expect(!error.isTransient)
  }

  /// H44.
  @Test(arguments: [
    "sha256:../../x", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:", "", "sha256",
    "sha256:" + String(repeating: "A", count: 64), "sha256:" + String(repeating: "a", count: 63),
    "sha256:" + String(repeating: "a", count: 65), "sha512:" + String(repeating: "a", count: 64),
  ])
  func `digests of other forms are malformed`(digest: String) async throws {
    #expect(
      try await code(Self.image(config: Self.config, layers: Self.descriptor(digest: digest))) == .malformed)
  }

  /// H49.
  @Test(arguments: ["-1", "9223372036854775808", "1e400", "1.5", "\"12\"", "null", "[]"])
  func `sizes that are none are malformed`(size: String) async throws {
    #expect(try await code(Self.image(config: Self.config, layers: Self.descriptor(size: size))) == .malformed)
  }

  /// H48 and H50.
  @Test func `JSON that is none is malformed, at any depth`() async throws {
    let deep = String(repeating: "[", count: 100_000)
    for text in [
      "", " ", "\u{feff}" + text, text + "x", String(text.dropLast()), "{\"a\":\"\u{0}\"}", deep,
      deep + String(repeating: "]", count: 100_000), "1,2", "]", "\"\\", "{\"a\":{\"b\":1,\"b\":2}}",
    ] {
      let isMalformed = try await code(text) == .malformed
      #expect(isMalformed, "\(text.prefix(20))")
    }
    let broken = try await registryError {
      try Manifest.parse(Self.image.manifest.dropLast(2) + [0xff, 0x7d, 0x7d], contentType: nil, subject: "x")
    }
    #expect(broken.code == .malformed)
  }

  @Test func `JSON within the bounds is not found fault with`() {
    let deep = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
    for text in [deep, "{\"a\":{\"a\":[{\"a\":1},{\"a\":2}]},\"b\":\"[{\\\"\"}", " [1,2] "] {
      #expect(JSONReader.flaw(in: Array(text.utf8)) == nil)
    }
  }

  @Test func `more layers or children than the bound are refused`() async throws {
    let many = Array(repeating: Self.descriptor(), count: 1001).joined(separator: ",")
    #expect(try await code(Self.image(config: Self.config, layers: many)) == .tooLarge)
    #expect(try await code("{\"schemaVersion\":2,\"manifests\":[\(many)]}") == .tooLarge)
  }

  // MARK: over the wire

  private static func serve(_ manifests: [String: [UInt8]], _ type: String) -> ScriptedServer.Handler {
    { request in
      if request.path == "/v2/" { return .json("{}") }
      guard let bytes = manifests[String(request.path.split(separator: "/").last ?? "")] else { return .reply(404) }
      return .reply(200, [("Content-Type", type), ("Docker-Content-Digest", Self.digest)], bytes)
    }
  }

  /// H42.
  @Test func `the bytes decide the digest, not the header`() async throws {
    let image = Self.image
    let other = try #require(Digest(Self.digest))
    try await withServer(
      Self.serve(["1": image.manifest, "\(other)": image.manifest], MediaType.ociManifest)
    ) { server in
      let client = try client(server)
      let fetched = try await client.fetchManifest(tag("1"), in: repository("team/app"))
      #expect(fetched.digest == image.digest)
      #expect(fetched.bytes == image.manifest)
      let error = try await registryError {
        try await client.fetchManifest(.digest(other), in: repository("team/app"))
      }
      #expect(error.code == .digestMismatch)
      #expect(!error.isTransient)
    }
  }

  /// H47.
  @Test func `a manifest over its bound is cut off`() async throws {
    let big = [UInt8](repeating: 0x20, count: RegistryClient.manifestBytesMax + 1)
    try await withServer(Self.serve(["1": big], MediaType.ociManifest)) { server in
      let error = try await registryError {
        try await client(server).fetchManifest(tag("1"), in: repository("team/app"))
      }
      #expect(error.code == .tooLarge)
    }
  }

  @Test func `a tag is resolved by HEAD, and by reading where HEAD is refused or says little`() async throws {
    let image = Self.image
    let full = [
      ("Content-Type", MediaType.ociManifest), ("Docker-Content-Digest", "\(image.digest)"),
      ("Content-Length", "\(image.manifest.count)"),
    ]
    for (headers, status, reads) in [(full, 200, 0), ([full[0]], 200, 1), ([], 405, 1), ([], 403, 1)] {
      try await withServer({ request in
        if request.path == "/v2/" { return .json("{}") }
        return request.method == "HEAD" ? .reply(status, headers) : .reply(200, [full[0]], image.manifest)
      }) { server in
        let resolved = try await client(server).resolve(tag("1"), in: repository("team/app"))
        #expect(
          resolved
            == ResolvedManifest(
              digest: image.digest, mediaType: MediaType.ociManifest, size: Int64(image.manifest.count)))
        #expect(server.requests.count { $0.method == "GET" && $0.path != "/v2/" } == reads)
      }
    }
    try await withServer({ _ in .reply(404) }) { server in
      let error = try await registryError { try await client(server).resolve(tag("1"), in: repository("a")) }
      #expect(error.code == .notFound)
    }
  }
}
