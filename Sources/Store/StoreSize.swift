import Glibc
import Posix

/// How much of its map a store takes up.
package struct StoreSize: Sendable, Equatable {
  /// From this share of the map on, somebody should do something about it.
  package static let warningPercent = 80

  /// Pages that hold something.
  package let usedBytes: Int
  /// Of the map, which the file cannot outgrow.
  package let limitBytes: Int
  /// The file with the pages that are free in it: it does not shrink.
  package let fileBytes: Int

  package init(usedBytes: Int, limitBytes: Int, fileBytes: Int) {
    self.usedBytes = usedBytes
    self.limitBytes = limitBytes
    self.fileBytes = fileBytes
  }

  /// By what is in use, not by the file: pages that were given up are used again.
  package var isNearlyFull: Bool {
    Double(usedBytes) >= Double(limitBytes) * Double(Self.warningPercent) / 100
  }
}

extension StateStore {
  package func size() throws -> StoreSize {
    let taken = environment.usedBytes
    let free = try read { try $0.freePages() } * Int(sysconf(Int32(_SC_PAGESIZE)))
    let status: stat
    do {
      status = try File.status(environment.path)
    } catch {
      throw StoreError(error, path: environment.path)
    }
    return StoreSize(
      usedBytes: max(0, taken - free), limitBytes: environment.mapSizeBytes, fileBytes: Int(status.st_size))
  }
}
