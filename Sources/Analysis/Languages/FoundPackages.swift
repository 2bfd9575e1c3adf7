import StorageMessages

/// Packages of one file, each kept once however often the file lists it.
struct FoundPackages {
  private let type: String
  private var seen: Set<String> = []

  init(_ type: String) { self.type = type }

  mutating func add(_ name: String, _ version: String, platform: String = "", into collector: inout PackageCollector) {
    // A NUL stands in no stored text.
    if collector.isFull || !seen.insert("\(name)\0\(version)\0\(platform)").inserted { return }
    var package = Package()
    package.type = type
    package.name = name
    package.version = version
    package.arch = platform
    collector.add(package)
  }
}
