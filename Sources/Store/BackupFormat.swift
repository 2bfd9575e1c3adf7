/// What a backup says of itself. SCHEMA.md draws it.
package struct BackupInfo: Sendable, Equatable {
  /// Nanoseconds since 1970, UTC.
  package let createdAt: Int64
  package let schemaVersion: UInt64
  /// Size of the state environment in it.
  package let stateBytes: UInt64
  /// Keys of sealed secrets in it; none where the service's unit gives the key.
  package let keyCount: Int

  package init(createdAt: Int64, schemaVersion: UInt64, stateBytes: UInt64, keyCount: Int) {
    self.createdAt = createdAt
    self.schemaVersion = schemaVersion
    self.stateBytes = stateBytes
    self.keyCount = keyCount
  }
}

/// The head of a backup and the sum at its end; numbers are big-endian.
enum BackupFormat {
  static let magic = Array("TWBACKUP".utf8)
  static let version: UInt32 = 1
  static let headBytes = 48
  static let sumBytes = 32
  static let keysMaximum = 2

  /// What the fixed part of the head says; the keys follow it.
  struct Head {
    let info: BackupInfo
    let pageBytes: UInt32
    let formatVersion: UInt32

    init(info: BackupInfo, pageBytes: UInt32) {
      self.info = info
      self.pageBytes = pageBytes
      formatVersion = BackupFormat.version
    }

    /// Nil when the bytes are not the head of a backup, of this or a later version of the format.
    init?(_ bytes: [UInt8]) {
      guard bytes.count == headBytes, Array(bytes[..<8]) == magic else { return nil }
      func number(_ range: Range<Int>) -> UInt64 { bytes[range].reduce(0) { $0 << 8 | UInt64($1) } }
      formatVersion = UInt32(number(8..<12))
      pageBytes = UInt32(number(12..<16))
      info = BackupInfo(
        createdAt: Int64(bitPattern: number(24..<32)), schemaVersion: number(16..<24), stateBytes: number(32..<40),
        keyCount: Int(number(40..<44)))
    }

    var bytes: [UInt8] {
      func big(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.bigEndian, Array.init) }
      return magic + big(formatVersion) + big(pageBytes) + big(info.schemaVersion) + big(info.createdAt)
        + big(info.stateBytes) + big(UInt32(info.keyCount)) + big(0 as UInt32)
    }
  }
}
