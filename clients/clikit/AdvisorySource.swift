import CPosix
import Glibc
import Posix

/// A file as it was when it was found. It must still have that size when it is read.
package struct SourceFile: Equatable, Sendable {
  package let path: String
  /// As the daemon names it in its complaints: relative to what the command line named.
  package let name: String
  package let size: UInt64
}

/// One set of advisories on this machine: an archive as OSV publishes it, or JSON files that go as one bundle.
package struct AdvisorySource: Equatable, Sendable {
  package enum Content: Equatable, Sendable {
    case archive(SourceFile)
    case bundle([SourceFile])
  }

  /// A later import of this name replaces the set whole.
  package let name: String
  package let content: Content

  /// Bytes to upload.
  package var size: UInt64 {
    switch content {
    case .archive(let file): file.size
    case .bundle(let files): AdvisoryBundle.size(of: files)
    }
  }
}

/// The advisory sets at the paths that a command line names.
package struct AdvisoryDiscovery {
  private static let archiveName = "all.zip"
  /// Folders in folders, and JSON files of one set.
  private static let depthMaximum = 16
  private static let filesMaximum = 2_000_000

  package private(set) var sources: [AdvisorySource] = []
  /// What was left out and why.
  package private(set) var warnings: [String] = []

  package init() {}

  /// Adds what is at `path`: a zip archive, one JSON file, or a folder of either.
  package mutating func add(_ path: String) throws {
    let status: stat
    do throws(PosixError) {
      status = try File.status(path)
    } catch {
      throw CommandFailure.local("\(error)", hint: "name an OSV archive (all.zip), a .json file or a folder")
    }
    let found: [AdvisorySource]
    switch status.st_mode & S_IFMT {
    case S_IFREG: found = [try file(path, size: UInt64(status.st_size))]
    case S_IFDIR: found = try folder(path)
    default:
      throw CommandFailure.local(
        "\(path) is neither a file nor a folder", hint: "name an OSV archive (all.zip), a .json file or a folder")
    }
    for source in found {
      guard !sources.contains(where: { $0.name == source.name }) else {
        throw CommandFailure.usage(
          "two of the paths hold a set named \(source.name), of which one would replace the other",
          hint: "import them one after the other, or rename one")
      }
      sources.append(source)
    }
  }

  private func file(_ path: String, size: UInt64) throws -> AdvisorySource {
    let base = Self.baseName(path)
    if try Self.isArchive(path) { return archive(path, name: try Self.setName(ofArchive: path), size: size) }
    guard base.hasSuffix(".json") else {
      throw CommandFailure.local(
        "\(path) is neither a zip archive nor a .json file",
        hint: base.hasSuffix(".zip") ? "it is damaged: get it again" : "name an OSV archive (all.zip) or a record")
    }
    let file = SourceFile(path: path, name: base, size: size)
    return AdvisorySource(name: Self.stem(base), content: .bundle([file]))
  }

  private func archive(_ path: String, name: String, size: UInt64) -> AdvisorySource {
    AdvisorySource(name: name, content: .archive(SourceFile(path: path, name: Self.baseName(path), size: size)))
  }

  /// A folder holds archives (itself, or folders named like their ecosystems, as OSV lays them out) or records.
  private mutating func folder(_ path: String) throws -> [AdvisorySource] {
    let name = try Self.folderName(path)
    var archives: [AdvisorySource] = []
    var records: [SourceFile] = []
    var folders = [(prefix: "", name: name, depth: 0)]
    while let folder = folders.popLast() {
      let inner = folder.prefix.isEmpty ? path : path + "/" + folder.prefix.dropLast()
      if let archive = try archive(inFolder: inner, named: folder.name) {
        // The same records as single files may stand beside it.
        archives.append(archive)
        continue
      }
      for entry in try entries(of: inner) {
        let relative = folder.prefix + entry.name
        switch entry.kind {
        case S_IFREG where entry.name.hasSuffix(".json"):
          guard records.count < Self.filesMaximum else {
            throw CommandFailure.local("\(path) holds more than \(Self.filesMaximum) records", hint: "split it")
          }
          records.append(SourceFile(path: path + "/" + relative, name: relative, size: entry.size))
        case S_IFDIR where folder.depth < Self.depthMaximum:
          folders.append((relative + "/", entry.name, folder.depth + 1))
        case S_IFDIR: warnings.append("\(path)/\(relative): folders are nested too deep, left out")
        default: break
        }
      }
    }
    if !archives.isEmpty {
      if let record = records.first {
        warnings.append("\(records.count) .json files beside archives, such as \(record.path), left out")
      }
      return archives.sorted { $0.name < $1.name }
    }
    guard !records.isEmpty else {
      throw CommandFailure.local(
        "\(path) holds no .json file and no \(Self.archiveName)", hint: "name a folder of OSV records")
    }
    return [AdvisorySource(name: name, content: .bundle(records.sorted { $0.name < $1.name }))]
  }

  private func archive(inFolder folder: String, named name: String) throws -> AdvisorySource? {
    let path = folder + "/" + Self.archiveName
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    guard try Self.isArchive(path) else {
      throw CommandFailure.local("\(path) is no zip archive", hint: "it is damaged: get it again")
    }
    return archive(path, name: name, size: UInt64(status.st_size))
  }

  private struct Entry {
    let name: String
    let kind: mode_t
    let size: UInt64
  }

  /// The regular files and folders in a folder, by name; warns of everything else.
  private mutating func entries(of path: String) throws -> [Entry] {
    guard let directory = opendir(path) else {
      throw CommandFailure.local(PosixError("open \(path)"))
    }
    defer { closedir(directory) }
    var entries: [Entry] = []
    while true {
      errno = 0
      guard let entry = readdir(directory) else {
        if errno != 0 { throw CommandFailure.local(PosixError("read \(path)")) }
        return entries.sorted { $0.name < $1.name }
      }
      let bytes = withUnsafeBytes(of: entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
      guard let name = String(validating: bytes, as: UTF8.self) else {
        warnings.append("\(path)/\(String(decoding: bytes, as: UTF8.self)): the name is not UTF-8, left out")
        continue
      }
      if name == "." || name == ".." { continue }
      var status = stat()
      guard lstat(path + "/" + name, &status) == 0 else {
        throw CommandFailure.local(PosixError("stat \(path)/\(name)"))
      }
      let kind = status.st_mode & S_IFMT
      if kind == S_IFREG || kind == S_IFDIR {
        entries.append(Entry(name: name, kind: kind, size: UInt64(status.st_size)))
      } else {
        warnings.append("\(path)/\(name): \(kind == S_IFLNK ? "a symbolic link" : "no regular file"), left out")
      }
    }
  }

  /// Whether the file begins as a zip does; an empty archive has only the end record.
  private static func isArchive(_ path: String) throws -> Bool {
    let descriptor = cposix_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0)
    guard descriptor >= 0 else { throw CommandFailure.local(PosixError("open \(path)")) }
    defer { close(descriptor) }
    var magic = [UInt8](repeating: 0, count: 4)
    guard pread(descriptor, &magic, 4, 0) >= 0 else {
      throw CommandFailure.local(PosixError("read \(path)"))
    }
    return magic == [0x50, 0x4b, 3, 4] || magic == [0x50, 0x4b, 5, 6]
  }

  /// `Debian` for `Debian/all.zip`, `debian-12` for `debian-12.zip`.
  private static func setName(ofArchive path: String) throws -> String {
    let base = baseName(path)
    guard base == archiveName else { return stem(base) }
    let parent = path.dropLast(base.utf8.count)
    return try folderName(parent.isEmpty ? "." : String(parent))
  }

  /// The folder's own name, also for `.` and `..`.
  private static func folderName(_ path: String) throws -> String {
    guard let resolved = realpath(path, nil) else {
      throw CommandFailure.local(PosixError("resolve \(path)"))
    }
    defer { free(resolved) }
    let name = baseName(String(cString: resolved))
    guard !name.isEmpty else {
      throw CommandFailure.usage("\(path) has no name that the set could have", hint: "put the files in a folder")
    }
    return name
  }

  private static func baseName(_ path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? ""
  }

  private static func stem(_ base: String) -> String {
    guard let dot = base.lastIndex(of: "."), dot != base.startIndex else { return base }
    return String(base[..<dot])
  }
}
