import Registry
import Store

/// Every code that a scan can end with: what a job, an attempt and an image carry, and statistics count by.
package enum ScanErrors {
  package enum Retry: String, Sendable {
    /// Tried again by itself, three attempts in all (D13).
    case retryable
    /// Nobody tries again before a person or a poll wants it.
    case permanent
    /// Each failure says for itself which of the two it is.
    case varies
  }

  package struct Entry: Sendable, Equatable {
    package let code: String
    package let retry: Retry
    /// What a person can do, where the failure itself says nothing better.
    package let hint: String
  }

  /// Codes that no other room has.
  enum Own: String, CaseIterable {
    /// The scan took longer than the integration allows.
    case scanTimeout = "SCAN_TIMEOUT"
    /// The daemon stopped or died five times in a row in the middle of it.
    case interrupted = "INTERRUPTED"
    case cancelled = "CANCELLED"
    /// The worker program could not be started or spoken to.
    case workerFailed = "WORKER_FAILED"
    /// A defect.
    case `internal` = "INTERNAL"
  }

  /// Nil for a code that no scan of this version ends with.
  package static func entry(_ code: String) -> Entry? { byCode[code] }

  /// In order of code.
  package static let all: [Entry] = byCode.values.sorted { $0.code < $1.code }

  private static let byCode: [String: Entry] = {
    let entries =
      RegistryError.Code.allCases.map { Entry(code: $0.rawValue, retry: retry($0), hint: $0.advice) }
      + ImageProblem.Code.allCases.map { Entry(code: $0.rawValue, retry: .permanent, hint: hint($0)) }
      + StoreError.Code.allCases.map { Entry(code: $0.rawValue, retry: retry($0), hint: hint($0)) }
      + Own.allCases.map { Entry(code: $0.rawValue, retry: retry($0), hint: hint($0)) }
    // A registry and our own queue can both hold what is no image's name.
    return Dictionary(entries.map { ($0.code, $0) }) { first, _ in first }
  }()

  private static func retry(_ code: RegistryError.Code) -> Retry {
    switch code {
    case .unreachable, .timeout, .stalled, .connectionLost, .rateLimited, .serverError: .retryable
    // A certificate that is refused stays refused, and a handshake that broke may not; so with the others.
    case .tlsFailed, .proxyFailed, .malformed: .varies
    case .unauthorized, .forbidden, .notFound, .requestRefused, .notARegistry, .sizeMismatch, .digestMismatch,
      .tooLarge, .realmNotAllowed, .redirectRefused, .addressRefused, .unsupportedManifest, .notAnImage:
      .permanent
    }
  }

  private static func retry(_ code: StoreError.Code) -> Retry {
    switch code {
    case .diskFull, .mapFull, .io, .reopening, .closed, .inUse, .notWritable, .backupTooSlow: .retryable
    case .damaged, .schemaUnknown, .secrets, .keyNotOurs, .keyTooLong, .backupUnusable, .notEmpty: .permanent
    }
  }

  private static func retry(_ code: Own) -> Retry {
    switch code {
    case .scanTimeout, .workerFailed, .internal: .retryable
    case .interrupted, .cancelled: .permanent
    }
  }

  private static func hint(_ code: ImageProblem.Code) -> String {
    switch code {
    case .noPlatform: "choose among the image's platforms with the integration's platforms"
    case .malformed: "add the image again"
    case .integrationRemoved: "add the integration again to scan its images"
    case .tooLarge: "raise the integration's --max-image-size, or the daemon's scanner.imageBytesMaximum"
    }
  }

  private static func hint(_ code: StoreError.Code) -> String {
    switch code {
    case .diskFull: "free space on the file system of the state directory; nothing is lost"
    case .mapFull: "raise store.mapSizeBytes and start the daemon anew"
    case .inUse: "stop the other process that uses the state directory"
    case .notWritable: "make the state directory and its files writable for the daemon alone"
    case .damaged: "stop the daemon and restore the state from a backup"
    case .reopening: "nothing is lost: the store opens itself anew"
    case .backupUnusable: "take a backup anew"
    case .backupTooSlow: "write the backup to something faster"
    case .notEmpty: "restore into an empty state directory"
    case .schemaUnknown: "start the version of the daemon that wrote the state, or a newer one"
    case .secrets: "give the integration's secrets anew, or put the key file back"
    case .keyNotOurs: "replace the key where the daemon is given it"
    case .keyTooLong: "rename what has so long a name; this one cannot be stored"
    case .io: "look at the disk of the state directory, and at the kernel's log"
    case .closed: "wait until the daemon runs again"
    }
  }

  private static func hint(_ code: Own) -> String {
    switch code {
    case .scanTimeout: "raise the integration's scan timeout, or see whether its registry is slow"
    case .interrupted: "look for a crash in the daemon's log, then queue the image again"
    case .cancelled: "queue it again with: tidewaiter queue retry"
    case .workerFailed: "raise the daemon's limits on processes, open files and memory, or scan fewer images at a time"
    case .internal: "see the daemon's log"
    }
  }
}
