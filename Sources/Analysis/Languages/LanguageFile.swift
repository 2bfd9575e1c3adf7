import Glibc

/// A file that tells of packages of a programming language, by what it is called or how it begins.
enum LanguageFile: Equatable {
  /// `package.json` of a module that is installed.
  case npmModule
  case npmLock, yarnLock
  /// `METADATA` of a wheel, `PKG-INFO` of an egg, or an `.egg-info` file: one format.
  case pythonMetadata
  case pythonRequirements, pipfileLock, poetryLock
  /// An executable or shared library that a Go or Rust compiler may have made.
  case executable
  case javaArchive
  case gemSpecification, gemfileLock
  case cargoLock
  case dotnetDependencies, nugetLock
  case composerInstalled, composerLock

  /// By the path alone; nil for the many that tell nothing. Allocates nothing: it is asked for each entry of every layer.
  static func of(path: UnsafeRawBufferPointer) -> LanguageFile? {
    // The shortest is "x.jar".
    guard path.count >= 5 else { return nil }
    // The last four letters sort out nearly all.
    switch UInt32(bigEndian: path.loadUnaligned(fromByteOffset: path.count - 4, as: UInt32.self)) {
    case 0x6a73_6f6e: return json(path)  // json
    case 0x6c6f_636b: return lock(path)  // lock
    case 0x4441_5441: return path.hasSuffix(".dist-info/METADATA") ? .pythonMetadata : nil  // DATA
    case 0x494e_464f: return eggInformation(path)  // INFO
    case 0x696e_666f: return path.hasSuffix(".egg-info") ? .pythonMetadata : nil  // info
    case 0x2e74_7874: return path.isNamed("requirements.txt") ? .pythonRequirements : nil  // .txt
    case 0x7370_6563: return gemSpecification(path)  // spec
    case 0x2e6a_6172, 0x2e77_6172, 0x2e65_6172, 0x2e70_6172, 0x2e6a_7069, 0x2e68_7069:
      return .javaArchive  // .jar .war .ear .par .jpi .hpi
    default: return nil
    }
  }

  /// By its first bytes, of which 20 are enough. Of ELF only what runs or is loaded: no object files or kernel modules.
  static func ofContents(_ start: UnsafeRawBufferPointer) -> LanguageFile? {
    guard start.count >= 20 else { return nil }
    switch UInt32(bigEndian: start.loadUnaligned(as: UInt32.self)) {
    case 0x7f45_4c46:
      // e_type is 2 (ET_EXEC) or 3 (ET_DYN), in the byte order of EI_DATA.
      let type = start[5] == 2 ? start[17] : start[16]
      return type == 2 || type == 3 ? .executable : nil
    // Mach-O of 32 and 64 bits, of either byte order; and several of them in one file, which Java's classes begin like:
    // where these have their version, an archive has its number of members.
    case 0xfeed_face, 0xfeed_facf, 0xcefa_edfe, 0xcffa_edfe: return .executable
    case 0xcafe_babe, 0xcafe_babf:
      let members = UInt32(bigEndian: start.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
      return members < 40 ? .executable : nil
    case 0x4d5a_0000...0x4d5a_ffff: return .executable
    default: return nil
    }
  }

  /// `PackageDatabase.kind`: the purl type of the packages, but "executable" for those of executables, which are of the types
  /// "golang" and "cargo".
  var databaseKind: String {
    switch self {
    case .npmModule, .npmLock, .yarnLock: "npm"
    case .pythonMetadata, .pythonRequirements, .pipfileLock, .poetryLock: "pypi"
    case .executable: "executable"
    case .javaArchive: "maven"
    case .gemSpecification, .gemfileLock: "gem"
    case .cargoLock: "cargo"
    case .dotnetDependencies, .nugetLock: "nuget"
    case .composerInstalled, .composerLock: "composer"
    }
  }

  /// Says what was meant to be installed, and is no evidence that it is.
  var isLockFile: Bool {
    switch self {
    case .npmLock, .yarnLock, .pythonRequirements, .pipfileLock, .poetryLock, .gemfileLock, .cargoLock, .nugetLock,
      .composerLock:
      true
    case .npmModule, .pythonMetadata, .executable, .javaArchive, .gemSpecification, .dotnetDependencies,
      .composerInstalled:
      false
    }
  }

  // MARK: - Names

  private static func json(_ path: UnsafeRawBufferPointer) -> LanguageFile? {
    if path.isNamed("package.json") { return isModule(path) ? .npmModule : nil }
    if path.hasSuffix(".deps.json") { return .dotnetDependencies }
    if path.hasSuffix("/composer/installed.json") { return .composerInstalled }
    if path.isNamed("package-lock.json") || path.isNamed("npm-shrinkwrap.json") {
      // Modules bring the lock files of their authors along.
      return path.hasDirectory("node_modules") ? nil : .npmLock
    }
    return path.isNamed("packages.lock.json") ? .nugetLock : nil
  }

  private static func lock(_ path: UnsafeRawBufferPointer) -> LanguageFile? {
    if path.isNamed("Cargo.lock") { return .cargoLock }
    if path.isNamed("Gemfile.lock") { return .gemfileLock }
    if path.isNamed("yarn.lock") { return path.hasDirectory("node_modules") ? nil : .yarnLock }
    if path.isNamed("poetry.lock") || path.isNamed("uv.lock") { return .poetryLock }
    if path.isNamed("Pipfile.lock") { return .pipfileLock }
    return path.isNamed("composer.lock") ? .composerLock : nil
  }

  /// `node_modules/name/package.json` and `node_modules/@scope/name/package.json`: what lies deeper in a module, such as the
  /// `package.json` that says only how files beside it are loaded, is no module.
  private static func isModule(_ path: UnsafeRawBufferPointer) -> Bool {
    guard let module = path.parent, let above = module.parent else { return false }
    if holdsModules(above) { return true }
    guard let top = above.parent, holdsModules(top) else { return false }
    return above[top.count + 1] == UInt8(ascii: "@")
  }

  /// `node_modules`, and where Debian's packages put modules for all: `usr/share/nodejs`, `usr/lib/nodejs` and
  /// `usr/lib/x86_64-linux-gnu/nodejs`.
  private static func holdsModules(_ directory: UnsafeRawBufferPointer) -> Bool {
    if directory.isNamed("node_modules") { return true }
    guard directory.isNamed("nodejs"), let parent = directory.parent else { return false }
    return parent.isPath("usr/share") || parent.isPath("usr/lib") || parent.parent?.isPath("usr/lib") == true
  }

  private static func eggInformation(_ path: UnsafeRawBufferPointer) -> LanguageFile? {
    guard path.isNamed("PKG-INFO"), let parent = path.parent else { return nil }
    return parent.hasSuffix(".egg-info") || parent.isNamed("EGG-INFO") ? .pythonMetadata : nil
  }

  /// `specifications/x.gemspec`, or in `specifications/default` those that come with Ruby.
  private static func gemSpecification(_ path: UnsafeRawBufferPointer) -> LanguageFile? {
    guard path.hasSuffix(".gemspec"), let parent = path.parent else { return nil }
    return parent.isNamed("specifications") || parent.hasSuffix("specifications/default") ? .gemSpecification : nil
  }
}

extension UnsafeRawBufferPointer {
  func hasSuffix(_ suffix: StaticString) -> Bool {
    let length = suffix.utf8CodeUnitCount
    guard let base = baseAddress, count >= length else { return false }
    return memcmp(base + (count - length), suffix.utf8Start, length) == 0
  }

  /// Whether this is `path`, all of it.
  func isPath(_ path: StaticString) -> Bool { count == path.utf8CodeUnitCount && hasSuffix(path) }

  /// Whether the last component of this path is `name`.
  func isNamed(_ name: StaticString) -> Bool {
    let start = count - name.utf8CodeUnitCount
    return hasSuffix(name) && (start == 0 || self[start - 1] == UInt8(ascii: "/"))
  }

  /// This path without its last component; nil where it has one alone.
  var parent: UnsafeRawBufferPointer? {
    guard let slash = lastIndex(of: UInt8(ascii: "/")) else { return nil }
    return UnsafeRawBufferPointer(rebasing: self[..<slash])
  }

  /// Whether one of the directories in this path is `name`.
  func hasDirectory(_ name: StaticString) -> Bool {
    var rest = parent
    while let directory = rest {
      if directory.isNamed(name) { return true }
      rest = directory.parent
    }
    return false
  }
}
