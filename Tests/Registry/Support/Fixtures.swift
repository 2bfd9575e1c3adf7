import Digests
import Model
import Posix
import Synchronization
import TestSupport
import Testing

@testable import Registry

/// Occurs in every credential of these tests, and must occur nowhere else.
let canary = "CANARY-9f2c-secret/slash"

/// Short times, so that a test of silence is short.
let hasty: TransportTimeouts = {
  var timeouts = TransportTimeouts()
  timeouts.connect = .seconds(5)
  timeouts.firstByte = .milliseconds(200)
  timeouts.total = .seconds(20)
  timeouts.idle = .milliseconds(200)
  return timeouts
}()

/// Sends nothing twice: what a test counts is what it asked for.
let patient = HTTPTransport(retries: .none, environment: [:])

func client(
  _ server: ScriptedServer, _ credential: Credential = .anonymous, realmHosts: [String] = [], concurrency: Int = 8,
  transport: HTTPTransport = patient
) throws -> RegistryClient {
  try client(server.url, credential, realmHosts: realmHosts, concurrency: concurrency, transport: transport)
}

func client(
  _ url: String, _ credential: Credential = .anonymous, caPEM: [UInt8]? = nil, isInsecure: Bool = false,
  realmHosts: [String] = [], concurrency: Int = 8, transport: HTTPTransport = patient
) throws -> RegistryClient {
  try client(
    RegistryEndpoint(
      url: url, credential: credential, caPEM: caPEM, isInsecure: isInsecure, allowedRealmHosts: realmHosts,
      concurrentRequestsMax: concurrency), transport: transport)
}

func client(
  _ endpoint: RegistryEndpoint, transport: HTTPTransport = patient, pace: FakePace = FakePace()
) -> RegistryClient {
  RegistryClient(endpoint, transport: transport, limiter: RateLimiter(endpoint.rates, clock: pace.clock))
}

/// Time that passes only where somebody sleeps, and at once.
final class FakePace: Sendable {
  static let wallStart: Int64 = 1_700_000_000

  private struct State {
    var elapsed = Duration.zero
    var sleeps: [Duration] = []
  }
  private let state = Mutex(State())

  var sleeps: [Duration] { state.withLock { $0.sleeps } }
  var elapsed: Duration { state.withLock { $0.elapsed } }
  func advance(_ time: Duration) { state.withLock { $0.elapsed += time } }

  var clock: PacingClock {
    PacingClock(
      elapsed: { self.elapsed },
      sleep: { time in
        try Task.checkCancellation()
        self.state.withLock {
          $0.elapsed += time
          $0.sleeps.append(time)
        }
      }, wallSeconds: { Self.wallStart + self.elapsed.components.seconds }, random: { 0.5 })
  }
}

let account = Credential.account(user: "scanner", password: Secret(canary))

func repository(_ path: String) throws -> Repository { try #require(Repository(path)) }
func tag(_ name: String) throws -> ManifestReference { .tag(try #require(Tag(name))) }

func descriptor(of bytes: [UInt8], mediaType: String = "application/vnd.oci.image.layer.v1.tar") -> Descriptor {
  Descriptor(mediaType: mediaType, digest: ContentHash.digest(of: bytes), size: Int64(bytes.count))
}

/// How each kind of step of a connection test went; the worst where a kind came more than once.
func outcomes(_ steps: [ConnectionStep]) -> [ConnectionStep.Name: ConnectionStep.Outcome] {
  Dictionary(steps.map { ($0.name, $0.outcome) }) { $0 == .failed ? $0 : $1 }
}

/// Bytes that no compression helps and every run repeats.
func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var state = seed
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return UInt8(truncatingIfNeeded: state >> 33)
  }
}

/// The error that `body` ends with, which must not hold a secret.
func registryError(
  _ body: () async throws -> some Any, sourceLocation: SourceLocation = #_sourceLocation
) async throws -> RegistryError {
  do {
    _ = try await body()
  } catch let error as RegistryError {
    let text = "\(error) \(error.hint ?? "")"
    #expect(!text.contains("CANARY"), "a secret in an error", sourceLocation: sourceLocation)
    return error
  }
  throw Unexpected.success
}

enum Unexpected: Error { case success }

/// Reads a blob to its end on a thread, as the pipeline does.
func readAll(_ reader: BlobReader) async throws -> [UInt8] {
  try await withCheckedThrowingContinuation { continuation in
    startThread(named: "reader") {
      continuation.resume(
        with: Result {
          var bytes: [UInt8] = []
          while let chunk = try reader.read() { bytes += chunk }
          return bytes
        })
    }
  }
}

/// An image as a registry would hold it: every part with its descriptor.
struct TestImage: Sendable {
  let layers: [[UInt8]]
  let config: [UInt8]
  let manifest: [UInt8]

  var digest: Digest { ContentHash.digest(of: manifest) }
  var configDescriptor: Descriptor { descriptor(of: config, mediaType: "application/vnd.oci.image.config.v1+json") }
  var blobs: [[UInt8]] { layers + [config] }

  init(architecture: String = "amd64", variant: String? = nil, layers: [[UInt8]]) {
    self.layers = layers
    let ids = layers.map { "\"\(ContentHash.digest(of: $0))\"" }.joined(separator: ",")
    let shownVariant = variant.map { ",\"variant\":\"\($0)\"" } ?? ""
    config = Array(
      """
      {"created":"2026-02-01T08:00:00.5Z","os":"linux","architecture":"\(architecture)"\(shownVariant),
      "config":{"User":"web","Env":["PATH=/bin"],"ExposedPorts":{"80/tcp":{}},"Labels":{"a":"b"}},
      "rootfs":{"type":"layers","diff_ids":[\(ids)]},
      "history":[{"created_by":"COPY . /app"},{"created_by":"USER web","empty_layer":true}]}
      """.utf8)
    let entries = layers.map { Self.json(descriptor(of: $0)) }.joined(separator: ",")
    let configJSON = Self.json(descriptor(of: config, mediaType: "application/vnd.oci.image.config.v1+json"))
    manifest = Array(
      """
      {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","config":\(configJSON),"layers":[\(entries)]}
      """.utf8)
  }

  static func json(_ descriptor: Descriptor, extra: String = "") -> String {
    "{\"mediaType\":\"\(descriptor.mediaType)\",\"digest\":\"\(descriptor.digest)\",\"size\":\(descriptor.size)\(extra)}"
  }
}

final class Counter: Sendable {
  private let value = Atomic(0)
  @discardableResult
  func add() -> Int { value.add(1, ordering: .relaxed).newValue }
  var count: Int { value.load(ordering: .relaxed) }
}

/// A text that a handler needs before it is known.
final class Box: Sendable {
  private let text = Mutex("")
  var value: String { text.withLock { $0 } }
  func set(_ new: String) { text.withLock { $0 = new } }
}
