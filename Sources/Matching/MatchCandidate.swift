import StorageMessages

/// A name under which advisories may know an installed package, and the version to compare then.
struct MatchCandidate: Equatable {
  let name: String
  let version: String
  /// Which entries under that name mean this package.
  let means: Meaning
  /// Whether the package is built from a module of its distribution.
  let isModular: Bool

  enum Meaning {
    case any, onlyBinary, onlySource
  }

  static func all(of package: Package, naming: Distribution.Naming) -> [MatchCandidate] {
    let sourceName = package.sourceName.isEmpty ? package.name : package.sourceName
    let isModular = !package.modularity.isEmpty || isModular(package.version)
    func source(_ means: Meaning) -> MatchCandidate {
      MatchCandidate(name: sourceName, version: sourceVersion(of: package), means: means, isModular: isModular)
    }
    let binary = MatchCandidate(name: package.name, version: package.version, means: .onlyBinary, isModular: isModular)
    return switch naming {
    case .source: [source(.any)]
    case .binary: [binary, source(.onlySource)]
    case .both: [binary, source(.any)]
    }
  }

  /// Whether an entry under this name is about this package: by the kind of name, and, where its fixes are builds of a
  /// module, only if the package comes from a module too (the same name outside of modules has versions of its own).
  func isMeant(by entry: AffectedRecord) -> Bool {
    switch means {
    case .any: break
    case .onlyBinary where entry.namesSource: return false
    case .onlySource where !entry.namesSource: return false
    default: break
    }
    return isModular || !entry.ranges.contains { $0.events.contains(where: Self.fixesModule) }
  }

  /// An rpm header names its source without an epoch; the source's epoch is that of its packages.
  private static func sourceVersion(of package: Package) -> String {
    if package.sourceVersion.isEmpty { return package.version }
    guard package.type == "rpm", RpmVersion.epoch(of: package.sourceVersion) == nil,
      let epoch = RpmVersion.epoch(of: package.version)
    else { return package.sourceVersion }
    return "\(epoch):\(package.sourceVersion)"
  }

  private static func fixesModule(_ event: RangeEvent) -> Bool {
    guard case .fixed(let version)? = event.event else { return false }
    return isModular(version)
  }

  /// Builds of modules say so in their release: `1.14.el8` is none, `1.module_el8.9.0+3704+f1f917ce` is one.
  private static func isModular(_ version: String) -> Bool {
    version.contains(".module_el") || version.contains(".module+el")
  }
}
