import Model
import Registry
import StorageMessages

/// One platform of an image, as its manifest and config describe it.
struct PlatformImage: Sendable {
  let platform: Platform
  let manifest: FetchedManifest
  let image: ImageManifest
  let config: ImageConfig
}

/// Why an image cannot be scanned, beside what the registry says.
package struct ImageProblem: Error, Sendable, Equatable {
  package enum Code: String, Sendable, CaseIterable {
    /// None of the wanted platforms is in the index.
    case noPlatform = "NO_PLATFORM"
    /// What the queue holds is no image that can be asked for.
    case malformed = "MALFORMED"
    case integrationRemoved = "INTEGRATION_REMOVED"
    /// Its layers are declared to be larger than is read.
    case tooLarge = "IMAGE_TOO_LARGE"
  }
  package let code: Code
  package let message: String
  package let hint: String
}

/// Reads what an image consists of: its manifest, the selected platforms' manifests and configs. Every document is read
/// by this integration's credential from this repository (D15).
struct ImageFetch: Sendable {
  let client: RegistryClient
  let repository: Repository
  let platforms: PlatformSelection

  struct Result: Sendable {
    /// One a platform.
    let images: [PlatformImage]
    /// Wanted by name, and not in the index.
    let missing: [Platform]
    /// Further images of a platform that `images` has already, such as builds of Windows: a report is of one.
    let passedOver: [Descriptor]
  }

  /// The platforms of the image whose top manifest is `digest`. An image without an index is taken whatever its platform.
  func images(of digest: Digest) async throws -> Result {
    let top = try await client.fetchManifest(.digest(digest), in: repository)
    return try await images(of: top)
  }

  func images(of top: FetchedManifest) async throws -> Result {
    let selected = try await client.images(of: top, in: repository, platforms: platforms)
    guard !selected.images.isEmpty else { throw noPlatform(top, selected.missing) }
    var images: [PlatformImage] = []
    var passedOver: [Descriptor] = []
    var platforms: Set<String> = []
    for child in selected.images {
      if let platform = child.platform, !platforms.insert(platform.description).inserted {
        passedOver.append(child)
        continue
      }
      let manifest =
        child.digest == top.digest ? top : try await client.fetchManifest(.digest(child.digest), in: repository)
      guard case .image(let image) = manifest.manifest else {
        throw RegistryError.malformed(
          "\(child.digest) in the index \(top.digest) is an index where an image was promised")
      }
      images.append(try await read(image, manifest, platform: child.platform))
    }
    return Result(images: images, missing: selected.missing, passedOver: passedOver)
  }

  private func read(
    _ image: ImageManifest, _ manifest: FetchedManifest, platform: Platform?
  ) async throws -> PlatformImage {
    let config = try await client.fetchConfig(image.config, in: repository).config
    return PlatformImage(
      platform: platform ?? config.platform ?? Platform(os: "unknown", architecture: "unknown"), manifest: manifest,
      image: image, config: config)
  }

  private func noPlatform(_ top: FetchedManifest, _ missing: [Platform]) -> ImageProblem {
    var present: [String] = []
    if case .index(let index) = top.manifest { present = index.images.compactMap { $0.platform?.description } }
    let wanted = missing.isEmpty ? "any platform" : missing.map(\.description).joined(separator: ", ")
    return ImageProblem(
      code: .noPlatform, message: "the index \(top.digest) has no image for \(wanted)",
      hint: present.isEmpty
        ? "it names no platforms at all"
        : "it has \(present.joined(separator: ", ")): choose with the integration's platforms")
  }
}
