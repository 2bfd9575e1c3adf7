import Foundation
import Model
import Posix
import TestSupport
import Testing

@testable import Registry

/// Against Debian's docker-registry: what the scripted server cannot prove.
@Suite(
  .serialized, .timeLimit(.minutes(2)),
  .enabled(if: RealRegistry.isInstalled, "docker-registry is not installed (apt-get install docker-registry)"))
struct RealRegistryTests {
  let amd64 = TestImage(layers: [noise(300_000), noise(5000, seed: 2)])
  let arm64 = TestImage(architecture: "arm64", variant: "v8", layers: [noise(4000, seed: 3)])

  private func url(_ registry: borrowing RealRegistry, scheme: String = "http", host: String = "127.0.0.1") -> String {
    "\(scheme)://\(host):\(registry.port)"
  }

  @Test func `an image is listed, resolved, selected and read`() async throws {
    let scratch = try TemporaryDirectory()
    let registry = try RealRegistry(root: scratch.path)
    try registry.push(amd64, to: "team/app", tag: "amd64")
    try registry.push(arm64, to: "team/app", tag: "arm64")
    let index = Array(
      """
      {"schemaVersion":2,"mediaType":"\(MediaType.ociIndex)","manifests":[
      \(TestImage.json(descriptor(of: amd64.manifest, mediaType: MediaType.ociManifest),
        extra: ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}")),
      \(TestImage.json(descriptor(of: arm64.manifest, mediaType: MediaType.ociManifest),
        extra: ",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"}"))]}
      """.utf8)
    try registry.push(manifest: index, type: MediaType.ociIndex, to: "team/app", as: "latest")
    let names = ["a", "b/c", "d", "e"]
    for name in names { try registry.push(amd64, to: name, tag: "1") }

    let client = try client(url(registry))
    let repo = try repository("team/app")
    var listed: [String] = []
    let summary = try await client.repositories { listed.append($0.repository.path) }
    #expect(listed == names + ["team/app"])
    #expect(summary.incomplete == nil)
    #expect(summary.pages == 1)
    var tags: [String] = []
    _ = try await client.tags(of: ListedRepository(repo)) { tags.append($0.tag.name) }
    #expect(tags.sorted() == ["amd64", "arm64", "latest"])

    let resolved = try await client.resolve(tag("latest"), in: repo)
    let manifest = try await client.fetchManifest(tag("latest"), in: repo)
    #expect(resolved.digest == manifest.digest)
    #expect(resolved.size == Int64(index.count))
    #expect(manifest.bytes == index)
    let wanted = try PlatformSelection.list([#require(Platform("linux/arm64")), #require(Platform("linux/s390x"))])
    let selected = try await client.images(of: manifest, in: repo, platforms: wanted)
    #expect(selected.images.map(\.digest) == [arm64.digest])
    #expect(selected.missing.map(\.description) == ["linux/s390x"])

    guard case .image(let image) = try await client.fetchManifest(.digest(amd64.digest), in: repo).manifest else {
      Issue.record("no image")
      return
    }
    #expect(try await client.fetchConfig(image.config, in: repo).bytes == amd64.config)
    for (layer, bytes) in zip(image.layers, amd64.layers) {
      #expect(try await client.confirmBlob(layer.digest, in: repo))
      #expect(try await readAll(client.openBlob(layer, in: repo)) == bytes)
    }
    // Another repository's blob is not this one's.
    #expect(try await !client.confirmBlob(amd64.digest, in: repository("nowhere")))
    for missing in try [tag("no-such"), .digest(descriptor(of: [1]).digest)] {
      #expect(try await registryError { try await client.fetchManifest(missing, in: repo) }.code == .notFound)
    }
    let steps = try await client.test()
    #expect(outcomes(steps) == Self.wellOverHTTP)
    #expect(steps.first { $0.name == .repositories }?.detail == "5 repositories: a, b/c, d, …")
  }

  private static let wellOverHTTP: [ConnectionStep.Name: ConnectionStep.Outcome] = [
    .connect: .ok, .tls: .skipped, .api: .ok, .clock: .ok, .authentication: .ok, .list: .ok, .repositories: .ok,
    .kinds: .ok, .read: .ok,
  ]

  @Test(.enabled(if: Command.path(of: "htpasswd") != nil, "htpasswd is not installed (apt-get install apache2-utils)"))
  func `an account opens what anonymous access does not`() async throws {
    let scratch = try TemporaryDirectory()
    let path = scratch.path + "/htpasswd"
    try Command.run(["htpasswd", "-Bbc", path, "scanner", canary])
    do {
      let open = try RealRegistry(root: scratch.path)
      try open.push(amd64, to: "team/app", tag: "1")
    }
    let registry = try RealRegistry(root: scratch.path, auth: "auth: {htpasswd: {realm: test, path: \(path)}}")
    let repo = try repository("team/app")
    let good = try client(url(registry), account)
    #expect(try await good.fetchManifest(tag("1"), in: repo).digest == amd64.digest)
    #expect(try await readAll(good.openBlob(descriptor(of: amd64.layers[0]), in: repo)) == amd64.layers[0])
    #expect(try await good.checkAPI() == RegistryVersion(apiVersion: "registry/2.0", authentication: .basic))
    let went = try await outcomes(good.test())
    #expect(went == Self.wellOverHTTP)
    for credential in [
      .anonymous, .account(user: "scanner", password: Secret("wrong-\(canary)")), .apiKey(Secret(canary)),
    ] as [Credential] {
      let client = try client(url(registry), credential)
      let error = try await registryError { try await client.fetchManifest(tag("1"), in: repo) }
      #expect(error.code == .unauthorized)
      #expect(!error.isTransient)
      let went = try await outcomes(client.test())
      #expect(
        went == [
          .connect: .ok, .tls: .skipped, .api: .ok, .clock: .ok, .authentication: .failed, .list: .skipped,
        ])
    }
  }

  @Test(.enabled(if: Command.path(of: "openssl") != nil, "openssl is not installed"))
  func `certificates are verified unless that is switched off`() async throws {
    let scratch = try TemporaryDirectory()
    let root = scratch.path
    try Self.makeCertificates(in: root)
    do {
      let plain = try RealRegistry(root: root)
      try plain.push(amd64, to: "team/app", tag: "1")
    }
    let registry = try RealRegistry(
      root: root, http: "  tls: {certificate: \(root)/server.pem, key: \(root)/server.key}")
    let repo = try repository("team/app")
    let authority = try File.read(root + "/ca.pem", limit: 1 << 20)
    let address = url(registry, scheme: "https")

    let trusting = try client(address, caPEM: authority)
    let steps = try await trusting.test()
    #expect(steps.allSatisfy { $0.outcome == .ok })
    #expect(steps.first?.detail.contains("HTTP/2") == true)
    #expect(try await trusting.fetchManifest(tag("1"), in: repo).digest == amd64.digest)
    #expect(try await readAll(trusting.openBlob(descriptor(of: amd64.layers[0]), in: repo)) == amd64.layers[0])
    // A paused HTTP/2 stream fills memory, so blobs come over HTTP/1.1 though the connection next to it is HTTP/2.
    let blob = HTTPRequest(
      .get,
      RegistryClient.Call(
        .get, trusting.driver.base, "\(repo)/blobs/\(amd64.configDescriptor.digest)", scope: nil, bodyMax: 0
      ).url, bodyMax: 0)
    guard case .stream(let stream) = try await patient.open(blob, in: trusting.session.group) else {
      Issue.record("no stream")
      return
    }
    #expect(stream.response.connection.version == 2)
    stream.cancel()

    // Beside the trusting client, whose connections are open, the others stay strict.
    let stranger = try File.read(root + "/other.pem", limit: 1 << 20)
    for client in [
      try client(address), try client(address, caPEM: stranger),
      try client(url(registry, scheme: "https", host: "localhost"), caPEM: authority),
    ] {
      let error = try await registryError { try await client.checkAPI() }
      #expect(error.code == .tlsFailed)
      #expect(!error.isTransient)
      let went = try await outcomes(client.test())
      #expect(
        went == [
          .connect: .ok, .tls: .failed, .api: .skipped, .authentication: .skipped, .list: .skipped,
        ])
    }
    let insecure = try client(address, isInsecure: true)
    #expect(try await insecure.fetchManifest(tag("1"), in: repo).digest == amd64.digest)
    #expect(try await registryError { try await client(address).checkAPI() }.code == .tlsFailed)
    // Plain HTTP at a port that speaks TLS.
    #expect(try await registryError { try await client(url(registry)).checkAPI() }.code != .unreachable)
  }

  @Test(.enabled(if: Command.path(of: "openssl") != nil, "openssl is not installed"))
  func `from https nothing leads to plain HTTP`() async throws {
    let scratch = try TemporaryDirectory()
    let root = scratch.path
    try Self.makeCertificates(in: root)
    let plain = try ScriptedServer { _ in .json(#"{"token":"T"}"#) }
    defer { plain.stop() }
    let registry = try RealRegistry(
      root: root, http: "  tls: {certificate: \(root)/server.pem, key: \(root)/server.key}",
      auth: "auth: {token: {realm: \"\(plain.url)/token\", service: s, issuer: i, rootcertbundle: \(root)/ca.pem}}")
    let client = try client(
      url(registry, scheme: "https"), account, caPEM: File.read(root + "/ca.pem", limit: 1 << 20))
    let error = try await registryError { try await client.checkAPI() }
    #expect(error.code == .realmNotAllowed)
    #expect(plain.requests.isEmpty)
  }

  /// `ca.pem`, a server's certificate for 127.0.0.1 signed by it, and `other.pem`, an authority nobody uses.
  private static func makeCertificates(in directory: String) throws {
    func authority(_ name: String) throws {
      try Command.run([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=\(name)", "-keyout", "\(directory)/\(name).key", "-out", "\(directory)/\(name).pem",
      ])
    }
    try authority("ca")
    try authority("other")
    try Command.run([
      "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=server",
      "-keyout", "\(directory)/server.key", "-out", "\(directory)/server.csr",
    ])
    try File.create(
      "\(directory)/server.ext", mode: 0o600, contents: Array("subjectAltName=IP:127.0.0.1".utf8))
    try Command.run([
      "openssl", "x509", "-req", "-in", "\(directory)/server.csr", "-CA", "\(directory)/ca.pem", "-CAkey",
      "\(directory)/ca.key", "-CAcreateserial", "-days", "2", "-extfile", "\(directory)/server.ext", "-out",
      "\(directory)/server.pem",
    ])
  }
}
