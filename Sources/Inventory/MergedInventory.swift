import StorageMessages

/// What an image holds once its layers lie over one another.
package struct MergedInventory: Sendable, Equatable {
  /// Nil when the image has no os-release file.
  package var os: OSRelease?
  /// Each with the index of the layer that brought it, and its purl; sorted by type, name, version and architecture.
  package var packages: [InventoryPackage] = []
  /// Of lock files in the image: meant to be installed, which is no evidence that they are. Sorted by the files' paths.
  package var lockedPackages: [InventoryPackage] = []
  package var secrets: [Secret] = []
  package var malware: [Malware] = []
  package var fileFindings: [FileFault] = []
  /// All of kind error: faults of layers, and contradictions between them.
  package var findings: [FindingRecord] = []
  /// Said aloud in the report, without being wrong.
  package var notes: [String] = []
}

extension MergedInventory {
  /// A secret that some layer holds, whether or not it is in sight.
  package struct Secret: Sendable, Equatable {
    package let record: SecretRecord
    package let layer: Int
    /// The layer that removed or replaced its file.
    package let hiddenBy: Int?
  }

  /// A file with malware that some layer holds, whether or not it is in sight.
  package struct Malware: Sendable, Equatable {
    package let record: FileMalware
    package let layer: Int
    /// The layer that removed or replaced the file.
    package let hiddenBy: Int?
  }

  /// What is wrong with a file that is in sight.
  package struct FileFault: Sendable, Equatable {
    package let record: FileFinding
    package let layer: Int
  }
}

/// Codes of the findings that merging adds to those of the layers; stable, and the finding's `id`.
package enum MergeFinding: String, Sendable, CaseIterable {
  case databaseRemoved = "PACKAGE_DATABASE_REMOVED"
  case databaseBehindLink = "PACKAGE_DATABASE_BEHIND_LINK"
  case logOfOtherLayer = "PACKAGE_DATABASE_LOG_OF_OTHER_LAYER"
  case linkUnresolvable = "LINK_UNRESOLVABLE"
  case osReleaseMissing = "OS_RELEASE_MISSING"
  case osReleaseConflict = "OS_RELEASE_CONFLICT"
  case osReleaseMismatch = "OS_RELEASE_MISMATCH"
  case limit = "INVENTORY_LIMIT"

  func record(_ title: String, path: [UInt8] = [], layer: Int?) -> FindingRecord {
    FindingRecord(error: rawValue, title, path: path, layer: layer)
  }
}

extension FindingRecord {
  package init(error code: String, _ title: String, path: [UInt8], layer: Int?) {
    self.init()
    kind = .error
    id = code
    self.title = title
    self.path = storedText(path)
    self.layer = layer.map(Int32.init) ?? -1
  }
}
