import StorageMessages
import Store

/// The one state that a tag is in that was ever listed, and why. The image decides where it was asked for because of the
/// tag, else what the last poll decided on the tag: that another tag of one digest was taken is no reason for this one.
package struct TagState: Sendable, Equatable {
  /// In the order in which they are told.
  package static let statuses: [ImageStatus] = [.scanned, .queued, .rejected, .skipped, .failed, .gone]

  /// One of `statuses`.
  package let status: ImageStatus
  /// Why, as a word that stays the same; "" where the status says it all.
  package let reasonCode: String
  /// For people; of what is scanned or queued: why it was taken.
  package let reason: String
  /// Whether it is the image's state, so that a listing of images has it.
  package let isOfImage: Bool

  private init(_ status: ImageStatus, _ reasonCode: String, _ reason: String, isOfImage: Bool = false) {
    self.status = status
    self.reasonCode = reasonCode
    self.reason = reason
    self.isOfImage = isOfImage
  }

  /// `image` is that of the tag's digest, if one is stored.
  package init(_ tag: TagRecord, image: ImageRecord?) {
    if tag.isGone {
      self.init(.gone, "", Self.goneReason, isOfImage: image?.status == .gone)
    } else if let image, tag.isTaken, let state = TagState(of: image, takenBecause: Self.reasonToTake(tag)) {
      self = state
    } else {
      switch tag.decision {
      case .rejected: self.init(.rejected, tag.reasonCode, tag.reason)
      case .skipped: self.init(.skipped, tag.reasonCode, tag.reason)
      case .failed: self.init(.failed, tag.reasonCode, tag.reason)
      default: self.init(.failed, "not_queued", "it was selected, but is not in the queue: poll again")
      }
    }
  }

  /// Of a tag that is gone.
  package static let goneReason = "the registry does not list it any more"

  private static func reasonToTake(_ tag: TagRecord) -> String {
    guard tag.isSelected else { return "taken before it was \(tag.decision.word): \(tag.reason)" }
    return tag.reason.isEmpty ? "it was selected" : tag.reason
  }

  /// The state of an image; nil for one that was never asked for, or that a tag has come back to which was gone.
  private init?(of image: ImageRecord, takenBecause reason: String) {
    switch image.status {
    case .queued: self.init(.queued, "", reason, isOfImage: true)
    case .scanned: self.init(.scanned, "", reason, isOfImage: true)
    case .failed, .skipped:
      let (code, message) = Self.parts(of: image.statusReason)
      self.init(image.status, code, message, isOfImage: true)
    case .gone where image.scannedAt != 0: self.init(.scanned, "", reason)
    default: return nil
    }
  }

  /// What a scan left as its end, `FETCH_TIMEOUT: the registry did not answer`, in its two parts; the code as reasons
  /// write theirs.
  static func parts(of statusReason: String) -> (code: String, message: String) {
    let code = statusReason.prefix { ("A"..."Z").contains($0) || ("0"..."9").contains($0) || $0 == "_" }
    guard !code.isEmpty, statusReason[code.endIndex...].hasPrefix(": ") else { return ("", statusReason) }
    return (code.lowercased(), String(statusReason[code.endIndex...].dropFirst(2)))
  }

  /// Since when the tag is in this state, as far as is known. Nanoseconds since 1970. `job` is the image's newest.
  package func since(_ tag: TagRecord, image: ImageRecord?, job: JobRecord?) -> Int64 {
    let decided = tag.decidedAt != 0 ? tag.decidedAt : tag.since
    let known: Int64? =
      switch status {
      case .gone: tag.goneAt
      case .scanned: image?.scannedAt
      case .queued: job?.enqueuedAt
      case .failed, .skipped: isOfImage ? job?.finishedAt : nil
      default: nil
      }
    return known.flatMap { $0 == 0 ? nil : $0 } ?? decided
  }
}
