import Glibc
import Model
import Posix
import Synchronization

/// The system's database of time zones, and which of them is the node's own. A zone is read again when its file was
/// replaced.
package final class ZoneDatabase: Sendable {
  /// What a file is told by: another one in its place differs.
  private struct Stamp: Equatable {
    let device: UInt
    let inode: UInt
    let size: Int
    let seconds: Int
    let nanoseconds: Int
  }

  /// Zones that are kept in memory at a time.
  private static let keptMaximum = 32
  private static let nameBytesMaximum = 64

  let folder: String
  private let localFile: String
  private let variable: String?
  /// By path.
  private let kept = Mutex([String: (stamp: Stamp, zone: Zone)]())

  package static let system = ZoneDatabase()

  /// `variable` is what the environment says of TZ.
  package init(
    folder: String = "/usr/share/zoneinfo", localFile: String = "/etc/localtime",
    variable: String? = ProcessEnvironment.variables["TZ"]
  ) {
    self.folder = folder
    self.localFile = localFile
    self.variable = variable
  }

  /// The zone of that name, an empty one being the node's own: what the variable TZ names if it does name one, else
  /// `/etc/localtime`, else UTC.
  package func zone(_ name: String) throws(ZoneError) -> Zone {
    guard !name.isEmpty else { return try nodeZone() }
    guard Self.isName(name) else {
      throw ZoneError(
        .notAName, "\"\(name.excerpt())\" can be no time zone",
        hint: "names are letters, digits, _ + - and slashes, such as Europe/Berlin")
    }
    let path = folder + "/" + name
    guard let stamp = Self.stamp(path) else {
      throw ZoneError(.unknown, "\"\(name)\" is no time zone that this node knows", hint: suggestion(for: name))
    }
    return try zone(at: path, stamp, name: name)
  }

  private func suggestion(for name: String) -> String {
    let near = nearNames(to: name)
    guard near.isEmpty else { return "perhaps \(near.joined(separator: " or "))" }
    return Self.stamp(folder + "/UTC") == nil
      ? "install the package tzdata: \(folder) holds no zones" : "use a name such as Europe/Berlin or UTC"
  }

  // MARK: - The node's

  private func nodeZone() throws(ZoneError) -> Zone {
    if let zone = try namedByVariable() { return zone }
    // As the C library has it.
    guard let stamp = Self.stamp(localFile) else { return .utc }
    return try zone(at: localFile, stamp, name: Self.name(behind: localFile))
  }

  private func namedByVariable() throws(ZoneError) -> Zone? {
    guard var text = variable else { return nil }
    if text.hasPrefix(":") { text.removeFirst() }
    if text.isEmpty { return .utc }
    if text.hasPrefix(folder + "/") { text.removeFirst(folder.count + 1) }
    let path = folder + "/" + text
    if Self.isName(text), let stamp = Self.stamp(path) { return try zone(at: path, stamp, name: text) }
    return YearlyRule(text.utf8).map { Zone(name: text, changes: [], offsets: [$0.standard], rule: $0) }
  }

  /// The name that a link into a database leads to; empty for a file of its own.
  private static func name(behind link: String) -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink(link, &buffer, buffer.count)
    guard count > 0 else { return "" }
    let target = String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
    guard let range = target.firstRange(of: "/zoneinfo/") else { return "" }
    let name = String(target[range.upperBound...])
    return isName(name) ? name : ""
  }

  // MARK: - Files

  private func zone(at path: String, _ stamp: Stamp, name: String) throws(ZoneError) -> Zone {
    if let known = kept.withLock({ $0[path] }), known.stamp == stamp { return known.zone.named(name) }
    let bytes: [UInt8]
    do {
      bytes = try File.read(path, limit: ZoneFile.bytesMaximum)
    } catch {
      throw ZoneError(.unreadable, "\(error)", hint: "check the file; the package tzdata has it")
    }
    let zone: Zone
    do {
      zone = try ZoneFile.parse(bytes, name: name)
    } catch {
      throw ZoneError(
        error.isUnsupported ? .unsupported : .damaged, "the time zone file \(path) cannot be used: \(error.reason)",
        hint: "use a name such as Europe/Berlin; the package tzdata has the files")
    }
    kept.withLock { kept in
      if kept.count >= Self.keptMaximum { kept.removeAll() }
      kept[path] = (stamp, zone)
    }
    return zone
  }

  /// Nil for what is no regular file.
  private static func stamp(_ path: String) -> Stamp? {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return Stamp(
      device: UInt(status.st_dev), inode: UInt(status.st_ino), size: Int(status.st_size),
      seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
  }

  /// Whether `name` stays within the database wherever it is looked for.
  static func isName(_ name: String) -> Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    return name.utf8.count <= nameBytesMaximum && (1...3).contains(parts.count)
      && parts.allSatisfy { part in
        part.utf8.first.map(isLetter) == true
          && part.utf8.allSatisfy { isLetter($0) || (0x30...0x39).contains($0) || "_+-".utf8.contains($0) }
      }
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
  }
}
