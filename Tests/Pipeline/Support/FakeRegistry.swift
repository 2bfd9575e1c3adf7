import Digests
import Glibc
import Model
import Posix
import Synchronization
import TestSupport

@testable import Pipeline
@testable import Registry

/// An image as a registry holds it.
struct FakeImage: Sendable {
  let manifest: [UInt8]
  let config: [UInt8]
  let layers: [[UInt8]]

  var digest: Digest { ContentHash.digest(of: manifest) }

  init(
    layers: [[UInt8]], created: String? = "2026-02-01T08:00:00Z", history: [String]? = nil, os: String = "linux",
    architecture: String = Platform.node.architecture
  ) {
    self.layers = layers
    let commands = history ?? layers.indices.map { "RUN step \($0)" }
    let date = created.map { "\"created\":\"\($0)\"," } ?? ""
    config = Array(
      """
      {\(date)"os":"\(os)","architecture":"\(architecture)",
      "rootfs":{"type":"layers","diff_ids":[\(layers.map { "\"\(ContentHash.digest(of: $0))\"" }.joined(separator: ","))]},
      "history":[\(commands.map { "{\"created_by\":\"\($0)\"}" }.joined(separator: ","))]}
      """.utf8)
    let entries = layers.map { Self.descriptor($0, "application/vnd.oci.image.layer.v1.tar") }
    manifest = Array(
      """
      {"schemaVersion":2,"mediaType":"\(Self.manifestType)",
      "config":\(Self.descriptor(config, "application/vnd.oci.image.config.v1+json")),
      "layers":[\(entries.joined(separator: ","))]}
      """.utf8)
  }

  /// One of its own, without a layer worth reading.
  init(_ name: String, created: String? = "2026-02-01T08:00:00Z") {
    self.init(layers: [Array(name.utf8)], created: created)
  }

  static let manifestType = "application/vnd.oci.image.manifest.v1+json"
  static let indexType = "application/vnd.oci.image.index.v1+json"

  static func descriptor(_ bytes: [UInt8], _ type: String, extra: String = "") -> String {
    "{\"mediaType\":\"\(type)\",\"digest\":\"\(ContentHash.digest(of: bytes))\",\"size\":\(bytes.count)\(extra)}"
  }

  /// A chart, which is no image.
  static let artifact = Array(
    """
    {"schemaVersion":2,"mediaType":"\(manifestType)",
    "config":\(descriptor([UInt8]("{}".utf8), "application/vnd.cncf.helm.config.v1+json")),"layers":[]}
    """.utf8)
}

/// A registry in memory, whose answers a test may change one by one.
final class FakeRegistry: Sendable {
  private struct Content {
    var tags: [String: [String: String]] = [:]
    var manifests: [String: (type: String, bytes: [UInt8])] = [:]
    var blobs: [String: [UInt8]] = [:]
    var intercept: (@Sendable (ScriptedServer.Request) -> ScriptedServer.Answer?)?
  }

  private final class Store: Sendable {
    let content = Mutex(Content())
  }

  private let store: Store
  private let server: ScriptedServer
  /// "METHOD path" of each request.
  let events: Events

  var url: String { server.url }

  init() throws {
    let store = Store()
    let events = Events()
    self.store = store
    self.events = events
    server = try ScriptedServer { request in
      events.record("\(request.method) \(request.path)")
      let intercept = store.content.withLock { $0.intercept }
      return intercept?(request) ?? store.content.withLock { Self.answer(request, $0) }
    }
  }

  deinit { server.stop() }

  func requests(_ request: String) -> Int { events.count(request) }

  /// Answers instead of the registry where it returns one.
  func intercept(_ answer: (@Sendable (ScriptedServer.Request) -> ScriptedServer.Answer?)?) {
    store.content.withLock { $0.intercept = answer }
  }

  func put(_ image: FakeImage, _ repository: String, tag: String? = nil) {
    store.content.withLock { content in
      for blob in image.layers + [image.config] {
        content.blobs["\(repository)/\(ContentHash.digest(of: blob))"] = blob
      }
    }
    put(manifest: image.manifest, type: FakeImage.manifestType, repository, tag: tag)
  }

  func put(manifest: [UInt8], type: String, _ repository: String, tag: String? = nil) {
    let digest = ContentHash.digest(of: manifest).description
    store.content.withLock { content in
      content.manifests["\(repository)/\(digest)"] = (type, manifest)
      content.tags[repository, default: [:]][tag ?? ""] = digest
    }
  }

  func removeTag(_ tag: String, of repository: String) {
    store.content.withLock { content in
      content.tags[repository]?[tag] = nil
    }
  }

  func removeRepository(_ name: String) {
    store.content.withLock { content in
      content.tags[name] = nil
      content.manifests = content.manifests.filter { !$0.key.hasPrefix("\(name)/") }
    }
  }

  func addRepository(_ name: String) { store.content.withLock { $0.tags[name] = [:] } }

  private static func answer(_ request: ScriptedServer.Request, _ content: Content) -> ScriptedServer.Answer {
    let path = request.path
    if path == "/v2/" { return .json("{}") }
    if path == "/v2/_catalog" { return .json("{\"repositories\":\(list(content.tags.keys.sorted()))}") }
    let parts = path.dropFirst("/v2/".count).split(separator: "/").map(String.init)
    guard parts.count >= 3 else { return .reply(404) }
    let repository = parts.dropLast(2).joined(separator: "/")
    let last = parts[parts.count - 1]
    switch parts[parts.count - 2] {
    case "tags":
      guard let tags = content.tags[repository] else { return .reply(404) }
      return .json("{\"tags\":\(list(tags.keys.filter { !$0.isEmpty }.sorted()))}")
    case "manifests":
      let digest = last.hasPrefix("sha256:") ? last : content.tags[repository]?[last] ?? ""
      guard let manifest = content.manifests["\(repository)/\(digest)"] else { return .reply(404) }
      return .reply(
        200, [("Content-Type", manifest.type), ("Docker-Content-Digest", digest)], manifest.bytes)
    case "blobs":
      guard let blob = content.blobs["\(repository)/\(last)"] else { return .reply(404) }
      return .reply(200, [("Content-Type", "application/octet-stream")], blob)
    default: return .reply(404)
    }
  }

  private static func list(_ names: [String]) -> String {
    "[" + names.map { "\"\($0)\"" }.joined(separator: ",") + "]"
  }
}

extension FakeRegistry {
  static func digest(_ bytes: [UInt8]) -> Digest { ContentHash.digest(of: bytes) }
}

extension FakeRegistry {
  /// The image as the pipeline reads it.
  static func parse(_ image: FakeImage) throws -> PlatformImage {
    let (mediaType, manifest) = try Manifest.parse(image.manifest, contentType: FakeImage.manifestType, subject: "test")
    guard case .image(let parsed) = manifest else { throw RegistryError.malformed("no image") }
    return PlatformImage(
      platform: .node,
      manifest: FetchedManifest(digest: image.digest, mediaType: mediaType, bytes: image.manifest, manifest: manifest),
      image: parsed, config: try ImageConfig.parse(image.config, subject: "test"))
  }
}
