import Glibc

/// The time zones of the system's database.
enum TimeZones {
  private static let folder = "/usr/share/zoneinfo/"

  /// Whether `name` is one. A name that could lead out of the database is none.
  static func has(_ name: String) -> Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    let isName =
      name.utf8.count <= 64 && (1...3).contains(parts.count)
      && parts.allSatisfy { part in
        part.first?.isLetter == true
          && part.utf8.allSatisfy { byte in
            (0x61...0x7a).contains(byte) || (0x41...0x5a).contains(byte) || (0x30...0x39).contains(byte)
              || "_+-".utf8.contains(byte)
          }
      }
    var status = stat()
    return isName && stat(folder + name, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }
}
