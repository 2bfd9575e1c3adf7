import Model

/// The parts of an image's config that are used. What an image's maker may write at any length is cut to a bound.
package struct ImageConfig: Sendable, Hashable {
  package static let historyMax = 5000
  package static let entriesMax = 1000
  /// Bytes kept of one text.
  package static let textBytesMax = 8 * 1024

  /// One step of the build, in the order of the layers; a step that changed no file has no layer.
  package struct History: Sendable, Hashable {
    package let createdBy: String
    package let isEmptyLayer: Bool
  }

  /// As written, RFC 3339 or not; nil when absent, null or longer than any date.
  package let created: String?
  package let os: String
  package let architecture: String
  package let variant: String?
  package let history: [History]
  /// Digests of the layers' uncompressed bytes.
  package let diffIDs: [Digest]
  package let user: String
  package let environment: [String]
  package let exposedPorts: [String]
  package let labels: [String: String]
  /// Docker's own: the image says how to tell that its program is well.
  package let hasHealthCheck: Bool

  /// Nil where the config names none or no proper one.
  package var platform: Platform? {
    Platform([os, architecture, variant ?? ""].filter { !$0.isEmpty }.joined(separator: "/"))
  }

  private struct JSON: Decodable {
    struct Entry: Decodable {
      let createdBy: String?
      let emptyLayer: Bool?

      enum CodingKeys: String, CodingKey {
        case createdBy = "created_by"
        case emptyLayer = "empty_layer"
      }
    }

    struct RootFS: Decodable {
      let diffIDs: [String]?

      enum CodingKeys: String, CodingKey { case diffIDs = "diff_ids" }
    }

    struct Nothing: Decodable {
      init(from decoder: any Decoder) {}
    }

    struct HealthCheck: Decodable {
      let test: [String]?

      enum CodingKeys: String, CodingKey { case test = "Test" }

      /// "NONE" takes away what a base image has.
      var isOne: Bool { test.map { !$0.isEmpty && $0[0] != "NONE" } ?? false }
    }

    struct Execution: Decodable {
      let user: String?
      let environment: [String]?
      let exposedPorts: [String: Nothing]?
      let labels: [String: String]?
      let healthCheck: Loose<HealthCheck>?

      enum CodingKeys: String, CodingKey {
        case user = "User"
        case environment = "Env"
        case exposedPorts = "ExposedPorts"
        case labels = "Labels"
        case healthCheck = "Healthcheck"
      }
    }

    /// What is no text is no date.
    let created: Loose<String>?
    let os: String?
    let architecture: String?
    let variant: String?
    let history: [Entry]?
    let rootfs: RootFS?
    let config: Execution?
  }

  /// Reads a config's bytes; `subject` names it in errors.
  package static func parse(_ bytes: [UInt8], subject: String) throws(RegistryError) -> ImageConfig {
    let json = try JSONReader.decode(JSON.self, bytes, what: subject)
    guard let rootfs = json.rootfs else { throw .malformed("\(subject) is no image config: it names no layers") }
    let ids = rootfs.diffIDs ?? []
    guard ids.count <= ImageManifest.layersMax, json.history?.count ?? 0 <= historyMax else {
      throw RegistryError(
        .tooLarge, "\(subject) names more than \(ImageManifest.layersMax) layers or \(historyMax) steps")
    }
    var diffIDs: [Digest] = []
    for (number, id) in ids.enumerated() {
      guard let digest = Digest(id) else {
        throw .malformed("\(subject): diff_ids[\(number)] is \"\(ForeignText.escaped(id, lengthMax: 160))\", no digest")
      }
      diffIDs.append(digest)
    }
    let execution = json.config
    return ImageConfig(
      created: json.created?.value.flatMap { $0.isEmpty || $0.utf8.count > 64 ? nil : $0 }, os: clipped(json.os),
      architecture: clipped(json.architecture), variant: json.variant.flatMap { $0.isEmpty ? nil : clipped($0) },
      history: (json.history ?? []).map {
        History(createdBy: clipped($0.createdBy), isEmptyLayer: $0.emptyLayer ?? false)
      },
      diffIDs: diffIDs, user: clipped(execution?.user),
      environment: (execution?.environment ?? []).prefix(entriesMax).map { clipped($0) },
      exposedPorts: (execution?.exposedPorts ?? [:]).keys.sorted().prefix(entriesMax).map { clipped($0) },
      labels: Dictionary(
        (execution?.labels ?? [:]).sorted { $0.key < $1.key }.prefix(entriesMax).map {
          (clipped($0.key), clipped($0.value))
        }, uniquingKeysWith: { first, _ in first }),
      hasHealthCheck: execution?.healthCheck?.value?.isOne ?? false)
  }

  private static func clipped(_ text: String?) -> String { ForeignText.clipped(text ?? "", to: textBytesMax) }
}
