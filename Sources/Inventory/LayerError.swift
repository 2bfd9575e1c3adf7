import StorageMessages

/// Why a layer, or a file in it, could not be read. What was read before stays: the analyser turns the error into a
/// `LayerFault`, which becomes a finding of kind error in the report.
package struct LayerError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Stable: reports and tests name these.
  package enum Code: String, Sendable, CaseIterable {
    case empty = "LAYER_EMPTY"
    case inputFailed = "LAYER_INPUT_FAILED"
    case truncated = "LAYER_TRUNCATED"
    case corrupt = "LAYER_CORRUPT"
    case trailingBytes = "LAYER_TRAILING_BYTES"
    case compressionNotSupported = "LAYER_COMPRESSION_NOT_SUPPORTED"
    case windowTooLarge = "LAYER_WINDOW_TOO_LARGE"
    /// Not larger than may be, but than this analyser was allowed.
    case windowNotAllowed = "LAYER_WINDOW_NOT_ALLOWED"
    case expansionLimit = "LAYER_EXPANSION_LIMIT"
    case cpuLimit = "LAYER_CPU_LIMIT"
    case outOfMemory = "LAYER_OUT_OF_MEMORY"
    case notTar = "LAYER_NOT_TAR"
    case tarMalformed = "TAR_MALFORMED"
    case tarAmbiguous = "TAR_AMBIGUOUS"
    case tarExtensionTooLarge = "TAR_EXTENSION_TOO_LARGE"
    case tarDataAfterEnd = "TAR_DATA_AFTER_END"
    case entryLimit = "LAYER_ENTRY_LIMIT"
    case keptPathLimit = "LAYER_PATH_LIMIT"
    case packageLimit = "LAYER_PACKAGE_LIMIT"
    case faultLimit = "LAYER_FAULT_LIMIT"
    case findingLimit = "LAYER_FINDING_LIMIT"
    case fileTooLarge = "FILE_TOO_LARGE"
    case fileSparse = "FILE_SPARSE"
    case hardLinkNotKept = "HARD_LINK_NOT_READ"
    case notAFile = "DATABASE_NOT_A_FILE"
    case databaseMalformed = "DATABASE_MALFORMED"
    case databaseNotSupported = "DATABASE_NOT_SUPPORTED"
    case secretLimit = "SECRET_LIMIT"
    case secretsNotRead = "SECRETS_NOT_READ"
    case databaseIncomplete = "DATABASE_INCOMPLETE"
    case archiveMalformed = "ARCHIVE_MALFORMED"
    case archiveLimit = "ARCHIVE_LIMIT"

    /// Whether the same bytes give it again: not where the machine, its load or the connection had a part in it.
    package var isLasting: Bool {
      switch self {
      case .inputFailed, .cpuLimit, .outOfMemory: false
      default: true
      }
    }
  }

  package let code: Code
  package let message: String
  /// The file it is about, inside the image and without a leading slash; empty for the layer as a whole.
  package var path: [UInt8]

  package init(_ code: Code, _ message: String, path: [UInt8] = []) {
    self.code = code
    self.message = message
    self.path = path
  }

  package var description: String {
    path.isEmpty
      ? "\(code.rawValue): \(message)" : "\(code.rawValue): \(String(decoding: path, as: UTF8.self)): \(message)"
  }

  /// A message may quote what a library said about hostile bytes.
  static let messageBytes = 1_024

  package var fault: LayerFault {
    var fault = LayerFault()
    fault.code = code.rawValue
    fault.path = path
    fault.message = message.cut(toBytes: Self.messageBytes)
    return fault
  }
}

extension String {
  /// As many of its first scalars as fit into `count` bytes of UTF-8.
  fileprivate func cut(toBytes count: Int) -> String {
    guard utf8.count > count else { return self }
    var end = utf8.index(startIndex, offsetBy: count)
    while UTF8.isContinuation(utf8[end]) { end = utf8.index(before: end) }
    return String(self[..<end])
  }
}
