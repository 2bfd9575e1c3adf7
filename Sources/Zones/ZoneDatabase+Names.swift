import Glibc

extension ZoneDatabase {
  /// Names that are looked at for one that is near.
  private static let namesMaximum = 4096
  /// Names that are told.
  private static let nearMaximum = 3

  /// Names of the database that a person who wrote `text` may have meant, the nearest first: those that differ in the case
  /// of letters, in what stands before the last slash, or in a few letters.
  func nearNames(to text: String) -> [String] {
    let wanted = Array(text.lowercased().utf8)
    let wantedCity = Self.city(wanted)
    let limit = max(1, wantedCity.count / 3)
    let rated: [(distance: Int, name: String)] = names().compactMap { name in
      let bytes = Array(name.lowercased().utf8)
      if bytes == wanted { return (0, name) }
      // A city in another continent is nearer than another city.
      let whole = Self.distance(wanted, bytes, limit: limit)
      let city = Self.distance(wantedCity, Self.city(bytes), limit: limit).map { $0 * 2 + 1 }
      return [whole.map { $0 * 2 }, city].compactMap(\.self).min().map { ($0, name) }
    }
    let best = rated.sorted { ($0.distance, $0.name) < ($1.distance, $1.name) }
    return best.prefix(Self.nearMaximum).map(\.name)
  }

  private static func city(_ name: [UInt8]) -> [UInt8] {
    name.lastIndex(of: UInt8(ascii: "/")).map { Array(name[($0 + 1)...]) } ?? name
  }

  /// All names, in no order. The copies of the database that count in other ways are left out.
  private func names() -> [String] {
    var found: [String] = []
    var folders = [""]
    while let prefix = folders.popLast(), found.count < Self.namesMaximum {
      for (name, isFolder) in Self.entries(of: folder + "/" + prefix, limit: Self.namesMaximum) {
        let whole = prefix + name
        guard Self.isName(whole), !["posix", "right", "posixrules", "localtime", "leapseconds"].contains(whole) else {
          continue
        }
        if isFolder { folders.append(whole + "/") } else { found.append(whole) }
      }
    }
    return found
  }

  private static func entries(of directory: String, limit: Int) -> [(name: String, isFolder: Bool)] {
    guard let stream = opendir(directory) else { return [] }
    defer { closedir(stream) }
    var found: [(String, Bool)] = []
    while found.count < limit, let entry = readdir(stream) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      found.append((name, entry.pointee.d_type == UInt8(DT_DIR)))
    }
    return found
  }

  /// Letters to insert, drop, change or swap with the next to make `b` of `a`; nil for more than `limit`.
  private static func distance(_ a: [UInt8], _ b: [UInt8], limit: Int) -> Int? {
    guard abs(a.count - b.count) <= limit else { return nil }
    var (before, last) = ([Int](), Array(0...b.count))
    for row in a.indices {
      var next = [row + 1]
      for column in b.indices {
        var cost = min(last[column + 1] + 1, next[column] + 1, last[column] + (a[row] == b[column] ? 0 : 1))
        if row > 0, column > 0, a[row] == b[column - 1], a[row - 1] == b[column] {
          cost = min(cost, before[column - 1] + 1)
        }
        next.append(cost)
      }
      (before, last) = (last, next)
    }
    return last[b.count] <= limit ? last[b.count] : nil
  }
}
