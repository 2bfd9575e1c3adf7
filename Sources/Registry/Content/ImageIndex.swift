import Model

/// Which platforms of an image are wanted.
package enum PlatformSelection: Sendable, Hashable {
  /// The one this program runs on.
  case node
  case list([Platform])
  case all

  /// The platforms by name; nil for all.
  var wanted: [Platform]? {
    switch self {
    case .node: [.node]
    case .list(let platforms): platforms
    case .all: nil
    }
  }
}

/// A list of manifests, one for each platform, with attestations and other indexes among them.
package struct ImageIndex: Sendable, Hashable {
  package static let childrenMax = 1000
  /// How deep indexes may lie in each other, the outermost counted.
  package static let depthMax = 3

  package let children: [Descriptor]
  package let annotations: [String: String]

  package struct Selected: Sendable, Hashable {
    /// In the order of the index, each once.
    package let children: [Descriptor]
    /// What was wanted by name and is not there.
    package let missing: [Platform]
  }

  /// Children that are indexes themselves; their children count as this one's.
  package var nestedIndexes: [Descriptor] { children.filter { MediaType.isIndex($0.mediaType) } }

  /// Children that are images for a platform that is named. Attestations, children without a platform or for an
  /// unknown one, and artifacts are passed over.
  package var images: [Descriptor] { children.filter(Self.isImage) }

  package func select(_ platforms: PlatformSelection) -> Selected { Self.select(platforms, from: images) }

  static func select(_ platforms: PlatformSelection, from images: [Descriptor]) -> Selected {
    guard let wanted = platforms.wanted else { return Selected(children: unique(images), missing: []) }
    var chosen: Set<Digest> = []
    var missing: [Platform] = []
    for platform in wanted {
      if let child = best(for: platform, in: images) {
        chosen.insert(child.digest)
      } else {
        missing.append(platform)
      }
    }
    return Selected(children: unique(images.filter { chosen.contains($0.digest) }), missing: missing)
  }

  private static func isImage(_ child: Descriptor) -> Bool {
    guard MediaType.isImage(child.mediaType), child.annotations["vnd.docker.reference.type"] == nil,
      child.artifactType == nil, let platform = child.platform
    else { return false }
    return platform.os != "unknown" && platform.architecture != "unknown"
  }

  /// The child with exactly the variant wanted; else, where none was, the one without a variant, else the highest.
  private static func best(for wanted: Platform, in images: [Descriptor]) -> Descriptor? {
    func rank(_ child: Descriptor) -> (Int, String) {
      guard let platform = child.platform else { return (0, "") }
      return (platform.variant == wanted.variant ? 1 : 0, platform.variant ?? "")
    }
    var best: Descriptor?
    for child in images where child.platform?.satisfies(wanted) ?? false {
      // Of equals, such as builds of Windows, the first is taken.
      if let current = best, rank(child) <= rank(current) { continue }
      best = child
    }
    return best
  }

  private static func unique(_ children: [Descriptor]) -> [Descriptor] {
    var seen: Set<Digest> = []
    return children.filter { seen.insert($0.digest).inserted }
  }
}
