import StorageMessages

extension IntegrationRecord: TableValue {}
extension SealedRecord: TableValue {}
extension ImageRecord: TableValue {}
extension TagRecord: TableValue {}
extension TagHistoryRecord: TableValue {}
extension RepositoryRecord: TableValue {}
extension ImageFactsRecord: TableValue {}
extension ScheduleStateRecord: TableValue {}
extension ReportRecord: TableValue {}
extension LayerAnalysis: TableValue {}
extension LayerMalware: TableValue {}
extension PollRecord: TableValue {}
extension EventRecord: TableValue {}

extension StateStore {
  /// Tables that the store itself owns; queue tables are declared in the queue's room.
  package static let ownTables: [TableDescription] = [
    meta.description, integrations.description, integrationNames.description, secrets.description,
    images.description, tags.description, tagHistory.description, repositories.description, imageFacts.description,
    reports.description, layers.description, malware.description, confirmations.description, polls.description,
    scheduleStates.description,
    events.description, layerUses.description, layersUnused.description, imagesUntagged.description,
  ]

  package static let meta = Table<String, UInt64>(
    "meta", "`schema_version`: version of this format; `image_epoch`: rises with each change of the analyses' meaning")
  package static let integrations = Table<UInt64, IntegrationRecord>("integrations", "integrations by id")
  package static let integrationNames = Table<String, UInt64>("integration_names", "name to id")
  package static let secrets = Table<SecretKey, SealedRecord>("secrets", "sealed credentials")
  package static let images = Table<ImageKey, ImageRecord>("images", "images that were asked for or polled (D16)")
  package static let tags = Table<TagKey, TagRecord>(
    "tags", "every tag that was ever listed: the digest it pointed to when last seen, and what was decided on it")
  package static let tagHistory = Table<TagHistoryKey, TagHistoryRecord>(
    "tag_history", "what tags pointed to before, by the time it began")
  package static let repositories = Table<RepositoryKey, RepositoryRecord>(
    "repositories", "every repository that was ever listed, and areas of a registry that are passed over whole")
  package static let imageFacts = Table<ImageKey, ImageFactsRecord>(
    "image_facts", "what is known for good of a digest in a repository: whether it is an image, and its dates")
  package static let reports = Table<ReportKey, ReportRecord>("reports", "one report for each platform of an image")
  package static let layers = Table<LayerKey, LayerAnalysis>("layers", "what a layer holds, by blob and analyser")
  package static let malware = Table<LayerKey, LayerMalware>(
    "layer_malware", "what a daemon that knows malware said last of a layer's files, by blob and analyser")
  package static let confirmations = Table<ConfirmationKey, UInt64>(
    "confirmations", "D15: the registry confirmed this digest in this repository; value: seconds since 1970")
  package static let polls = Table<PollKey, PollRecord>("polls", "the record of polls")
  package static let scheduleStates = Table<UInt64, ScheduleStateRecord>(
    "schedule_states", "where each integration's schedule stands, by integration id")
  package static let events = Table<UInt64, EventRecord>("events", "what happened, by its number in the log")
  package static let layerUses = Table<String, LayerUse>(
    "layer_uses", "how many reports name a layer, by blob digest; and, of one that none names, since when")
  package static let layersUnused = Table<UnusedLayerKey, NoValue>(
    "layers_unused", "layers by when no report named them any more; rows that `layer_uses` does not bear out are stale")
  package static let imagesUntagged = Table<UntaggedImageKey, NoValue>(
    "images_untagged", "images by when no tag pointed to them any more; rows that `images` does not bear out are stale")
}

/// The field of an integration that a secret belongs to.
package struct SecretKey: TableKey, Hashable {
  package static var layout: String { "integration id, 8 bytes big-endian; field" }
  package let integration: UInt64
  package let field: String

  package init(integration: UInt64, field: String) {
    self.integration = integration
    self.field = field
  }
  package func encode(into key: inout KeyWriter) {
    key.append(integration)
    key.append(last: field)
  }
  package init?(from key: inout KeyReader) {
    guard let integration = key.number(), let field = key.lastText() else { return nil }
    self.init(integration: integration, field: field)
  }
}

/// An image: (integration, repository, digest of the top manifest).
package struct ImageKey: TableKey, Hashable, Sendable {
  package static var layout: String { "integration id, 8 bytes big-endian; repository, NUL; digest" }
  package let integration: UInt64
  package let repository: String
  package let digest: String

  package init(integration: UInt64, repository: String, digest: String) {
    self.integration = integration
    self.repository = repository
    self.digest = digest
  }
  package func encode(into key: inout KeyWriter) {
    key.append(integration)
    key.append(terminated: repository)
    key.append(last: digest)
  }
  package init?(from key: inout KeyReader) {
    guard let integration = key.number(), let repository = key.terminatedText(), let digest = key.lastText() else {
      return nil
    }
    self.init(integration: integration, repository: repository, digest: digest)
  }
}

package struct TagKey: TableKey, Hashable, Sendable {
  package static var layout: String { "integration id, 8 bytes big-endian; repository, NUL; tag" }
  package let integration: UInt64
  package let repository: String
  package let tag: String

  package init(integration: UInt64, repository: String, tag: String) {
    self.integration = integration
    self.repository = repository
    self.tag = tag
  }
  package func encode(into key: inout KeyWriter) {
    key.append(integration)
    key.append(terminated: repository)
    key.append(last: tag)
  }
  package init?(from key: inout KeyReader) {
    guard let integration = key.number(), let repository = key.terminatedText(), let tag = key.lastText() else {
      return nil
    }
    self.init(integration: integration, repository: repository, tag: tag)
  }
}

/// What a tag pointed to from `since` on, nanoseconds since 1970.
package struct TagHistoryKey: TableKey, Hashable, Sendable {
  package static var layout: String {
    "integration id, 8 bytes big-endian; repository, NUL; tag, NUL; since, nanoseconds since 1970, 8 bytes big-endian"
  }
  package let tag: TagKey
  package let since: UInt64

  package init(tag: TagKey, since: Int64) {
    self.tag = tag
    self.since = UInt64(max(0, since))
  }
  package func encode(into key: inout KeyWriter) {
    key.append(tag.integration)
    key.append(terminated: tag.repository)
    key.append(terminated: tag.tag)
    key.append(since)
  }
  package init?(from key: inout KeyReader) {
    guard let integration = key.number(), let repository = key.terminatedText(), let tag = key.terminatedText(),
      let since = key.number()
    else { return nil }
    self.tag = TagKey(integration: integration, repository: repository, tag: tag)
    self.since = since
  }
}

package struct RepositoryKey: TableKey, Hashable, Sendable {
  package static var layout: String { "integration id, 8 bytes big-endian; repository" }
  package let integration: UInt64
  package let repository: String

  package init(integration: UInt64, repository: String) {
    self.integration = integration
    self.repository = repository
  }
  package func encode(into key: inout KeyWriter) {
    key.append(integration)
    key.append(last: repository)
  }
  package init?(from key: inout KeyReader) {
    guard let integration = key.number(), let repository = key.lastText() else { return nil }
    self.init(integration: integration, repository: repository)
  }
  /// What the keys of a repository's tags, their history and its images begin with.
  package func beginKey(_ key: inout KeyWriter) {
    key.append(integration)
    key.append(terminated: repository)
  }
}

package struct ReportKey: TableKey, Hashable, Sendable {
  package static var layout: String { "image key, NUL; platform" }
  package let image: ImageKey
  package let platform: String

  package init(image: ImageKey, platform: String) {
    self.image = image
    self.platform = platform
  }
  package func encode(into key: inout KeyWriter) {
    key.append(image.integration)
    key.append(terminated: image.repository)
    key.append(terminated: image.digest)
    key.append(last: platform)
  }
  package init?(from key: inout KeyReader) {
    guard let integration = key.number(), let repository = key.terminatedText(), let digest = key.terminatedText(),
      let platform = key.lastText()
    else { return nil }
    self.init(image: ImageKey(integration: integration, repository: repository, digest: digest), platform: platform)
  }
}

package struct LayerKey: TableKey, Hashable, Sendable {
  package static var layout: String { "analyser version, 8 bytes big-endian; blob digest" }
  package let analyserVersion: UInt64
  package let digest: String

  package init(analyserVersion: UInt64, digest: String) {
    self.analyserVersion = analyserVersion
    self.digest = digest
  }
  package func encode(into key: inout KeyWriter) {
    key.append(analyserVersion)
    key.append(last: digest)
  }
  package init?(from key: inout KeyReader) {
    guard let version = key.number(), let digest = key.lastText() else { return nil }
    self.init(analyserVersion: version, digest: digest)
  }
}

/// That a repository holds a digest, seen with one generation of an integration's credential.
package struct ConfirmationKey: TableKey, Hashable, Sendable {
  package static var layout: String {
    "integration id, 8 bytes big-endian; credential generation, 8 bytes big-endian; repository, NUL; digest"
  }
  package let integration: UInt64
  package let generation: UInt64
  package let repository: String
  package let digest: String

  package init(integration: UInt64, generation: UInt64, repository: String, digest: String) {
    self.integration = integration
    self.generation = generation
    self.repository = repository
    self.digest = digest
  }
  package func encode(into key: inout KeyWriter) {
    key.append(integration)
    key.append(generation)
    key.append(terminated: repository)
    key.append(last: digest)
  }
  package init?(from key: inout KeyReader) {
    guard let integration = key.number(), let generation = key.number(), let repository = key.terminatedText(),
      let digest = key.lastText()
    else { return nil }
    self.init(integration: integration, generation: generation, repository: repository, digest: digest)
  }
}

package struct PollKey: TableKey, Hashable, Sendable {
  package static var layout: String { "integration id, 8 bytes big-endian; poll id, 8 bytes big-endian" }
  package let integration: UInt64
  package let poll: UInt64

  package init(integration: UInt64, poll: UInt64) {
    self.integration = integration
    self.poll = poll
  }
  package func encode(into key: inout KeyWriter) {
    key.append(integration)
    key.append(poll)
  }
  package init?(from key: inout KeyReader) {
    guard let integration = key.number(), let poll = key.number() else { return nil }
    self.init(integration: integration, poll: poll)
  }
}

/// A layer that no report named from `since` on, nanoseconds since 1970.
package struct UnusedLayerKey: TableKey, Hashable, Sendable {
  package static var layout: String { "since, nanoseconds since 1970, 8 bytes big-endian; blob digest" }
  package let since: UInt64
  package let digest: String

  package init(since: Int64, digest: String) {
    self.since = UInt64(max(0, since))
    self.digest = digest
  }
  package func encode(into key: inout KeyWriter) {
    key.append(since)
    key.append(last: digest)
  }
  package init?(from key: inout KeyReader) {
    guard let since = key.number(), let digest = key.lastText() else { return nil }
    self.since = since
    self.digest = digest
  }
}

/// An image that no tag pointed to from `since` on, nanoseconds since 1970.
package struct UntaggedImageKey: TableKey, Hashable, Sendable {
  package static var layout: String { "since, nanoseconds since 1970, 8 bytes big-endian; image key" }
  package let since: UInt64
  package let image: ImageKey

  package init(since: Int64, image: ImageKey) {
    self.since = UInt64(max(0, since))
    self.image = image
  }
  package func encode(into key: inout KeyWriter) {
    key.append(since)
    image.encode(into: &key)
  }
  package init?(from key: inout KeyReader) {
    guard let since = key.number(), let image = ImageKey(from: &key) else { return nil }
    self.since = since
    self.image = image
  }
}
