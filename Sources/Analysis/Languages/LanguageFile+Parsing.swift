import Inventory
import JSON

extension LanguageFile {
  /// Reads the packages that `file` tells of into `collector`. Returns what is wrong with it, without its path: what could be
  /// read counts all the same. Throws what `checkTime` throws, which ends the reading of the layer.
  ///
  /// Executables are read as far as they are held, and what is no program of Go or Rust is no fault; everything else must be
  /// held whole.
  func parse(
    _ file: LayerFile, into collector: inout PackageCollector, checkTime: () throws(LayerError) -> Void
  ) throws(LayerError) -> [LayerError] {
    if self == .executable { return Self.parseExecutable(file, into: &collector) }
    guard file.isComplete else {
      return [
        LayerError(.fileTooLarge, "has \(file.size) bytes, of which \(file.bytes.count) are held; it is not read")
      ]
    }
    switch self {
    case .executable: return []
    case .javaArchive: return try JavaArchive.list(file, into: &collector, checkTime: checkTime)
    case .pythonMetadata: PythonPackages.listMetadata(file.bytes, into: &collector)
    case .pythonRequirements: PythonPackages.listRequirements(file.bytes, into: &collector)
    case .poetryLock: TOMLPackages.list(file.bytes, type: "pypi", into: &collector)
    case .cargoLock: TOMLPackages.list(file.bytes, type: "cargo", into: &collector)
    case .gemSpecification: RubyPackages.listSpecification(file.bytes, into: &collector)
    case .gemfileLock: RubyPackages.listLock(file.bytes, into: &collector)
    case .yarnLock: NPMPackages.listYarnLock(file.bytes, into: &collector)
    case .npmModule: return Self.json(file, into: &collector, NPMPackages.listModule)
    case .npmLock: return Self.json(file, into: &collector, NPMPackages.listLock)
    case .pipfileLock: return Self.json(file, into: &collector, PythonPackages.listPipfileLock)
    case .dotnetDependencies: return Self.json(file, into: &collector, NuGetPackages.listDependencies)
    case .nugetLock: return Self.json(file, into: &collector, NuGetPackages.listLock)
    case .composerInstalled: return Self.json(file, into: &collector, ComposerPackages.listInstalled)
    case .composerLock: return Self.json(file, into: &collector, ComposerPackages.listLock)
    }
    return []
  }

  private static func json(
    _ file: LayerFile, into collector: inout PackageCollector,
    _ list: (JSONDocument, inout PackageCollector) -> Void
  ) -> [LayerError] {
    let limit = collector.limits.jsonBytes
    guard file.bytes.count <= limit else {
      return [LayerError(.fileTooLarge, "has \(file.bytes.count) bytes; JSON is read up to \(limit)")]
    }
    do {
      list(try JSONDocument(Array(file.bytes), reading: .lenient), &collector)
      return []
    } catch {
      return [LayerError(.databaseMalformed, "is no proper JSON: \(error.reason)")]
    }
  }

  private static func parseExecutable(_ file: LayerFile, into collector: inout PackageCollector) -> [LayerError] {
    var errors: [LayerError] = []
    var isKnown = false
    for image in ExecutableImage.images(in: file.bytes) {
      if let go = GoBuildInformation(in: image) {
        go.list(into: &collector)
        isKnown = true
      }
      if let section = image.rustDependencies {
        isKnown = true
        if let error = RustDependencies.list(image.contents(section), into: &collector) { errors.append(error) }
      }
    }
    if !file.isComplete && !isKnown {
      errors.append(
        LayerError(
          .fileTooLarge,
          "has \(file.size) bytes, of which \(file.bytes.count) are held; no packages of Go or Rust were found in these"
        ))
    }
    return errors
  }
}
