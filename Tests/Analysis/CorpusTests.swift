import Analysis
import FoundationEssentials
import Inventory
import StorageMessages
import TestSupport
import Testing

/// Real images, read from an OCI image layout, against what the distributions' own tools list in them.
@Suite("Corpus of real images", .enabled(if: Corpus.directory != nil, "the corpus is not there"))
struct CorpusTests {
  struct Descriptor: Decodable {
    struct Platform: Decodable {
      let architecture: String?
      let variant: String?
    }
    let digest: String
    let annotations: [String: String]?
    let platform: Platform?
  }

  /// Of a manifest or an index.
  struct Manifest: Decodable {
    let config: Descriptor?
    let layers: [Descriptor]?
    let manifests: [Descriptor]?
    let artifactType: String?
  }

  struct Image {
    /// As the tables are named: `alpine_3.18.9_arm64v8`.
    let name: String
    let layers: [Descriptor]
  }

  static func read(_ relative: String) throws -> [UInt8] {
    try Array(Data(contentsOf: URL(filePath: try #require(Corpus.path(relative)))))
  }

  static func blob(_ digest: String) throws -> [UInt8] {
    try read("oci/blobs/" + digest.replacing(":", with: "/"))
  }

  static func manifest(_ bytes: [UInt8]) throws -> Manifest {
    try JSONDecoder().decode(Manifest.self, from: Data(bytes))
  }

  static func images() throws -> [Image] {
    try manifest(read("oci/index.json")).manifests?.flatMap { top -> [Image] in
      let reference = top.annotations?["org.opencontainers.image.ref.name"] ?? ""
      let name = reference.replacing(":", with: "_")
      let content = try manifest(blob(top.digest))
      if let children = content.manifests {
        return try children.map { child in
          let platform = (child.platform?.architecture ?? "") + (child.platform?.variant ?? "")
          return Image(name: "\(name)_\(platform)", layers: try manifest(blob(child.digest)).layers ?? [])
        }
      }
      return content.artifactType == nil ? [Image(name: name, layers: content.layers ?? [])] : []
    } ?? []
  }

  /// The rows of packages that are installed, or that lock files name; empty for an image without a table, which has none.
  static func expected(_ image: String, locked: Bool = false) throws -> Set<String> {
    guard let path = Corpus.path("truth/\(image).packages.tsv"), FileManager.default.fileExists(atPath: path) else {
      return []
    }
    let rows = try tableRows(read("truth/\(image).packages.tsv")).filter { !$0.hasPrefix("type\t") }
    return Set(
      rows.compactMap { row -> String? in
        let (kind, rest) = (row.prefix { $0 != "\t" }, row.drop { $0 != "\t" })
        let isLocked = kind.contains("-lock")
        guard isLocked == locked else { return nil }
        return String(kind.prefix { $0 != "-" }) + String(rest)
      })
  }

  @Test("packages of every image are those that the distribution's tools list")
  func packages() throws {
    var table = ["image expected found missing extra"]
    for image in try Self.images() {
      let layers = try image.layers.map { analyse(try Self.blob($0.digest)) }
      let inventory = InventoryMerger.merge(layers)
      let found = Set(rows(inventory))
      let expected = try Self.expected(image.name)
      let (missing, extra) = (expected.subtracting(found), found.subtracting(expected))
      table.append("\(image.name) \(expected.count) \(found.count) \(missing.count) \(extra.count)")
      #expect(inventory.packages.count == found.count, "\(image.name)")
      #expect(missing.isEmpty, "\(image.name) misses \(missing.sorted())")
      #expect(extra.isEmpty, "\(image.name) has too many: \(extra.sorted())")
      let locked = Set(rows(inventory.lockedPackages.compactMap(\.package)))
      let expectedLocked = try Self.expected(image.name, locked: true)
      if image.name == "app_python" {
        // The truth tells nothing of its requirements.txt, which pins three.
        #expect(locked.count == 3)
      } else {
        #expect(locked == expectedLocked, "\(image.name): \(locked.sorted())")
      }
      #expect(inventory.findings.isEmpty, "\(image.name): \(inventory.findings.map(\.title))")
    }
    print(table.joined(separator: "\n"))
    #expect(table.count == 28)
  }

  @Test("distributions and tar sizes are those of the summary")
  func summary() throws {
    var summary: [String: [Substring]] = [:]
    for line in tableRows(try Self.read("truth/summary.tsv")) {
      let columns = line.split(separator: "\t", omittingEmptySubsequences: false)
      summary[String(columns[0]).replacing(":", with: "_").replacing("@", with: "_")] = columns
    }
    for image in try Self.images() {
      let columns = try #require(summary[image.name])
      let layers = try image.layers.map { analyse(try Self.blob($0.digest)) }
      #expect(layers.reduce(0) { $0 + $1.compressedBytes } == UInt64(columns[3]), "\(image.name)")
      #expect(layers.reduce(0) { $0 + $1.uncompressedBytes } == UInt64(columns[4]), "\(image.name)")
      let os = InventoryMerger.merge(layers).os
      #expect(os.map { "\($0.id) \($0.versionId)" } ?? "- -" == columns[7], "\(image.name)")
    }
  }

  @Test("packages of the image with whiteouts belong to the layers that brought them")
  func attribution() throws {
    let image = try #require(try Self.images().first { $0.name == "layers_whiteouts" })
    let inventory = InventoryMerger.merge(try image.layers.map { analyse(try Self.blob($0.digest)) })
    #expect(inventory.packages.count == 11)
    #expect(inventory.packages.allSatisfy { $0.layer == 0 })
  }
}
