import Posix
import Queue
import Registry
import StorageMessages
import Store
import Testing

@testable import Pipeline

/// The table of codes, and what an error means for its job.
struct ScanErrorTests {
  @Test func `Every code that a scan can end with is in the table, once, with a hint`() {
    let codes =
      RegistryError.Code.allCases.map(\.rawValue) + ImageProblem.Code.allCases.map(\.rawValue)
      + StoreError.Code.allCases.map(\.rawValue) + ScanErrors.Own.allCases.map(\.rawValue)
    for code in codes {
      let entry = ScanErrors.entry(code)
      #expect(entry?.code == code)
      #expect(entry?.hint.isEmpty == false)
    }
    #expect(ScanErrors.all.map(\.code) == Set(codes).sorted())
    #expect(ScanErrors.entry("WORKER_ENDED") == nil)
    // Those that the queue, and who removes an integration, write by themselves.
    for code in ["INTERRUPTED", "CANCELLED", "INTEGRATION_REMOVED", "SCAN_TIMEOUT", "STALLED", "IMAGE_TOO_LARGE"] {
      #expect(ScanErrors.entry(code) != nil)
    }
  }

  @Test func `What an error says of another try is what the table says of its code`() {
    let errors: [(any Error, code: String, isRetried: Bool)] = [
      (RegistryError(.stalled, "slow", isTransient: true), "STALLED", true),
      (RegistryError(.tlsFailed, "broken", isTransient: true), "TLS_FAILED", true),
      (RegistryError(.tlsFailed, "refused"), "TLS_FAILED", false),
      (RegistryError(.forbidden, "refused"), "FORBIDDEN", false),
      (ImageProblem(code: .tooLarge, message: "large", hint: "no"), "IMAGE_TOO_LARGE", false),
      (ImageProblem(code: .malformed, message: "what", hint: "no"), "MALFORMED", false),
      (TimeLimitExceeded(limit: .seconds(7)), "SCAN_TIMEOUT", true),
      (StoreError(.io, "gone", hint: "look"), "STORE_IO", true),
      (StoreError(.damaged, "cut", hint: "restore"), "STORE_DAMAGED", false),
      (PosixError("pipe", errno: 24), "WORKER_FAILED", true),
      (CancellationError(), "INTERNAL", true),
    ]
    for (error, code, isRetried) in errors {
      let found = ScanFailure(error, JobRecord(), .seconds(5)...(.seconds(600)))
      #expect(found.failure.code == code)
      #expect(!found.failure.hint.isEmpty)
      #expect((found.retryAfter != nil) == isRetried)
      #expect(found.failure.isTransient == isRetried)
      #expect(found.isTimeout == (code == "SCAN_TIMEOUT"))
      let retry = ScanErrors.entry(code)?.retry
      #expect(retry == .varies || (retry == .retryable) == isRetried)
    }
  }
}
