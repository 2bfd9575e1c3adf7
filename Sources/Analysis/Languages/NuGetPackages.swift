import Inventory
import JSON
import StorageMessages

/// Reads which packages a .NET program was built with, and NuGet's lock file.
enum NuGetPackages {
  /// `*.deps.json`: `libraries` names each as `Name/version`; the program's own projects and runtime packs are of other types.
  static func listDependencies(_ json: JSONDocument, into collector: inout PackageCollector) {
    guard let libraries = json.member("libraries", of: 0) else { return }
    var found = FoundPackages("nuget")
    json.forEachObject(of: libraries) { key, library in
      guard let type = json.member("type", of: library), json.isText(type, "package") else { return }
      guard let slash = key.firstIndex(of: "/") else { return collector.addMalformed() }
      found.add(String(key[..<slash]), String(key[key.index(after: slash)...]), into: &collector)
    }
  }

  /// `packages.lock.json`: for each framework, packages by name.
  static func listLock(_ json: JSONDocument, into collector: inout PackageCollector) {
    guard let frameworks = json.member("dependencies", of: 0) else { return }
    var found = FoundPackages("nuget")
    json.forEachObject(of: frameworks) { _, packages in
      json.forEachObject(of: packages) { name, package in
        // Projects of the same solution are not resolved.
        guard let version = json.member("resolved", of: package).flatMap(json.storedText) else { return }
        found.add(name, version, into: &collector)
      }
    }
  }
}
