import Model
import Registry
import Selection
import StorageMessages
import Store

/// What is known of a digest of one repository, and what of that is new and worth keeping.
struct ImageKnowledge {
  private let key: ImageKey
  private var facts: ImageFactsRecord
  private let image: ImageRecord?
  private var isChanged: Bool
  /// Nothing was kept of it before.
  private let isNew: Bool
  private(set) var skipped: (code: TagReason, reason: String)?
  /// What the vendor says that the config says.
  var told: Timestamp?

  init(key: ImageKey, known: ImageFactsRecord?, image: ImageRecord?, now: Timestamp) {
    self.key = key
    self.image = image
    var facts = known ?? ImageFactsRecord()
    if facts.firstSeenAt == 0 { facts.firstSeenAt = image?.firstSeenAt ?? now.nanosecondsSince1970 }
    self.facts = facts
    isNew = known == nil && image == nil
    isChanged = false
    if !facts.notImage.isEmpty {
      skipped = (TagReason(rawValue: facts.notImageCode) ?? .notAnImage, facts.notImage)
    }
  }

  var isImage: Bool {
    get { facts.isImage || (image?.wasPulled ?? false) }
    set {
      guard newValue, !isImage else { return }
      facts.isImage = true
    }
  }

  /// Whether no config need be read for these platforms.
  func hasDates(for platforms: PlatformSelection, _ now: Timestamp) -> Bool {
    if facts.isDated && facts.platforms == platforms.text { return true }
    // A placeholder that the vendor tells is one of the config.
    return told != nil
  }

  /// Its manifest was read.
  mutating func learnIsImage() {
    isChanged = isChanged || !isImage
    isImage = true
  }

  /// What the vendor told of it when it was asked.
  mutating func learn(_ details: ListedTag, _ platforms: PlatformSelection) {
    if details.isImage { learnIsImage() }
    guard let created = details.createdAt else { return }
    var date = PlatformDate()
    date.createdAt = created.nanosecondsSince1970
    facts.dates = [date]
    facts.isDated = true
    facts.platforms = platforms.text
    isChanged = true
  }

  mutating func learn(_ images: [PlatformImage], _ platforms: PlatformSelection) {
    facts.isDated = true
    facts.platforms = platforms.text
    facts.dates = images.map { image in
      var date = PlatformDate()
      date.platform = image.platform.description
      date.createdAt = image.config.created.flatMap { Timestamp(rfc3339: $0) }?.nanosecondsSince1970 ?? 0
      return date
    }
    told = nil
    isChanged = true
  }

  /// Whatever its tag, this digest is none.
  mutating func learn(notImage error: RegistryError) {
    let code: TagReason = error.code == .notAnImage ? .notAnImage : .unsupported
    facts.notImage = error.message
    facts.notImageCode = code.rawValue
    isChanged = true
    skip(code, error.message)
  }

  /// It is passed over, for a reason that may change.
  mutating func skip(_ code: TagReason, _ reason: String) { skipped = (code, reason) }

  mutating func creationDate(pushed: Timestamp?, now: Timestamp) -> CreationDate {
    var configs = facts.dates.map { $0.createdAt == 0 ? nil : Timestamp(nanosecondsSince1970: $0.createdAt) }
    if let told { configs = [told] }
    let date = CreationDate(
      configs: configs, pushed: pushed, firstSeen: Timestamp(nanosecondsSince1970: facts.firstSeenAt), now: now)
    // The day it was first seen counts from now on: it must not be another one at the next poll.
    if date.source == .firstSeen && isNew { isChanged = true }
    return date
  }

  /// What is to be kept; nil when nothing is new, or all of it comes with the next listing anyway.
  var learnt: TagExamination.Learnt? {
    isChanged ? TagExamination.Learnt(key: key, facts: facts) : nil
  }
}

extension PlatformSelection {
  /// As it is kept beside the dates that were read for it.
  fileprivate var text: String {
    switch self {
    case .node: "node"
    case .all: "all"
    case .list(let platforms): platforms.map(\.description).joined(separator: ",")
    }
  }
}
