import Inventory
import Posix

/// What confines workers on this machine.
package enum WorkerSandbox {
  /// Why it is not known.
  package struct Unknown: Error, CustomStringConvertible {
    package let description: String
  }

  private static let reportBytesMaximum = 64 * 1024

  /// Has a worker confine itself and say which pieces hold. Throws `Unknown`, and `PosixError` when it cannot be started.
  package static func probe(program: String) async throws -> ConfinementReport {
    let worker = WorkerProcess(program: program, arguments: [.probe], answerBytesMaximum: reportBytesMaximum)
    let answer = try await withCheckedThrowingContinuation { continuation in
      do throws(PosixError) {
        try startThreadIfPossible(named: "probe") {
          continuation.resume(with: Result { try worker.run { nil } })
        }
      } catch {
        continuation.resume(throwing: error)
      }
    }
    switch answer {
    case .failure(let end): throw Unknown(description: end.description)
    case .success(let bytes):
      do {
        return try ConfinementReport(text: String(decoding: bytes, as: UTF8.self))
      } catch {
        throw Unknown(description: error.description)
      }
    }
  }
}
