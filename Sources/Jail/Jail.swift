import CJail
import Glibc
import Inventory

/// What a worker gives up, and the bounds it sets on itself, before it reads its first byte. None of it can be undone from
/// inside. It binds the calling thread, which must be the process's only one: hence neither Swift concurrency nor Dispatch
/// may have run before, nor may afterwards.
package enum Jail {
  /// Without this piece the worker must read nothing.
  package struct Refusal: Error, CustomStringConvertible {
    package let piece: String
    package let reason: String
    package var description: String { "the sandbox does not hold, \(piece): \(reason)" }
  }

  /// Enters piece after piece. Throws at the first required one that the kernel refuses, unless `toleratesMissing`: then
  /// the report says which do not hold, and the others do.
  /// `handsBack`: the process has a descriptor for the bytes of files.
  package static func enter(
    toleratesMissing: Bool = false, handsBack: Bool = false
  ) throws(Refusal) -> ConfinementReport {
    var report = ConfinementReport()
    let circumstances = Circumstances(handsBack: handsBack)
    for piece in Piece.all {
      let isRequired = piece.isRequired(circumstances)
      do throws(Failure) {
        let detail = try piece.enter(circumstances)
        report.pieces.append(.init(name: piece.name, holds: true, isRequired: isRequired, detail: detail))
      } catch {
        if isRequired && !toleratesMissing { throw Refusal(piece: piece.name, reason: error.reason) }
        report.pieces.append(.init(name: piece.name, holds: false, isRequired: isRequired, detail: error.reason))
      }
    }
    return report
  }

  /// Whom the worker was started by, before any of it, and what for.
  struct Circumstances: Sendable {
    let user = geteuid()
    let process = getpid()
    let handsBack: Bool
    var isRoot: Bool { user == 0 }
  }

  /// Why a piece does not hold.
  struct Failure: Error { let reason: String }

  /// Throws with what errno says where a call has failed.
  static func check(_ what: String, _ status: Int32) throws(Failure) {
    if status < 0 { throw Failure(reason: "\(what): \(String(cString: strerror(errno)))") }
  }
}
