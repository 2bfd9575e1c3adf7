import Glibc
import Posix
import StorageMessages
import Store
import Synchronization

/// One complete set of advisories in a file of its own, unchanged from the moment it is in force. Its file goes with the
/// last reader once a newer generation has taken its place.
final class Generation: Sendable {
  let number: UInt64
  let environment: Environment
  private let files: GenerationFiles
  private let isSuperseded = Mutex(false)

  init(_ files: GenerationFiles, number: UInt64) throws {
    self.files = files
    self.number = number
    environment = try files.openEnvironment(number, isSynchronous: true)
  }

  deinit {
    environment.close()
    if isSuperseded.withLock({ $0 }) { files.remove(number) }
  }

  func supersede() { isSuperseded.withLock { $0 = true } }
}

/// The files of the advisory directory: `current` names the generation in force (`advisories-7.mdb`), and is replaced by
/// a rename. Whatever else is there is a generation whose readers have ended, or one that was never finished.
struct GenerationFiles: Sendable {
  let directory: String
  let mapSizeBytes: Int

  private static let prefix = "advisories-"
  private static let suffix = ".mdb"
  private var pointer: String { directory + "/current" }

  private func path(_ number: UInt64) -> String { "\(directory)/\(Self.prefix)\(number)\(Self.suffix)" }

  func openEnvironment(_ number: UInt64, isSynchronous: Bool) throws(StoreError) -> Environment {
    var options = Environment.Options()
    options.mapSizeBytes = mapSizeBytes
    options.isSynchronous = isSynchronous
    return try Environment(path: path(number), tables: AdvisoryTables.all, options: options)
  }

  /// The generation in force; nil when there is none yet.
  func current() throws -> UInt64? {
    let bytes: [UInt8]
    do {
      bytes = try File.read(pointer, limit: 256)
    } catch {
      if error.errno == ENOENT { return nil }
      throw error
    }
    let text = String(decoding: bytes, as: UTF8.self)
    let name = text.hasSuffix("\n") ? String(text.dropLast()) : text
    guard let number = Self.number(name), access(path(number), F_OK) == 0 else {
      throw StoreError(
        .damaged, "\(pointer) names no advisory database: \"\(name)\"",
        hint: "remove \(pointer) and import the advisories again")
    }
    return number
  }

  /// Makes a finished generation the one in force: after a crash at any instant the pointer names the old one or this.
  func makeCurrent(_ number: UInt64) throws(PosixError) {
    let new = pointer + ".new"
    if unlink(new) != 0 && errno != ENOENT { throw PosixError("remove \(new)") }
    try File.create(new, mode: 0o600, contents: Array("\(Self.prefix)\(number)\(Self.suffix)\n".utf8))
    guard rename(new, pointer) == 0 else { throw PosixError("rename \(new)") }
    try File.syncDirectory(of: pointer)
  }

  /// Removes what a failed import built, unless the failure came after the pointer already named it.
  func removeUnlessCurrent(_ number: UInt64) {
    do {
      if try current() != number { remove(number) }
    } catch {
      // Nobody can tell whether the file is needed: the next open decides, and removes it or refuses by name.
    }
  }

  /// Removes a generation. What cannot be removed stays until the next start, and does no harm but take room.
  func remove(_ number: UInt64) {
    unlink(path(number))
    unlink(path(number) + "-lock")
  }

  /// Removes what an import that was killed, or a daemon with readers, left behind; keeps `current`.
  func removeLeftovers(keeping current: UInt64?) throws(PosixError) {
    for name in try names() where name != "current" {
      let base = name.hasSuffix("-lock") ? String(name.dropLast("-lock".count)) : name
      let number = Self.number(base)
      guard name == "current.new" || (number != nil && number != current) else { continue }
      if unlink("\(directory)/\(name)") != 0 { throw PosixError("remove \(directory)/\(name)") }
    }
  }

  private func names() throws(PosixError) -> [String] {
    guard let stream = opendir(directory) else { throw PosixError("open \(directory)") }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      names.append(withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
    }
    return names
  }

  private static func number(_ name: String) -> UInt64? {
    guard name.hasPrefix(prefix), name.hasSuffix(suffix) else { return nil }
    return UInt64(name.dropFirst(prefix.count).dropLast(suffix.count))
  }
}
