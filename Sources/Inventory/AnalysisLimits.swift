/// What one layer may cost. Every bound that ends an analysis early leaves a fault in its result; none is silent.
package struct AnalysisLimits: Sendable {
  /// Bytes of the tar stream.
  package var uncompressedBytes = 64 << 30
  /// Bytes of the tar stream for each compressed byte, once `expansionFreeBytes` are exceeded. Deflate reaches 1,032 and
  /// real layers stay below 20; a large zero-filled file beside little else is the one honest layer that meets this.
  package var expansionRatio = 200
  /// Bytes of the tar stream that are never held against `expansionRatio`.
  package var expansionFreeBytes = 256 << 20
  /// CPU time of the analysing thread. The worker's RLIMIT_CPU lies above it, for loops that this check cannot see.
  package var cpuSeconds = 300
  /// What databases that were held until the layer's end have of it beside, however the reading of the layer ended.
  package var heldDatabaseCPUSeconds = 15
  /// Logarithm of the largest zstd window that any layer may have: 8 MiB, what every decoder takes (RFC 8878).
  package var zstdWindowLog: Int32 = 23
  /// The same where a worker was told that it may: 128 MiB, the zstd tool's own default.
  package static let zstdLargeWindowLog: Int32 = 27
  /// Headers in a tar stream, extension headers included.
  package var entries = 2_000_000
  /// Length of a path inside the image, and of a link's target; entries beyond it are dropped and counted.
  package var nameBytes = 4_096
  /// Body of a pax or GNU extension header, and the blocks of an old GNU sparse map.
  package var extensionBytes = 1 << 20
  /// A file held in memory to be parsed.
  package var fileBytes = 64 << 20
  /// Databases in SQLite format and their write-ahead logs, which are held until the layer ends, all together.
  package var heldDatabaseBytes = 64 << 20
  /// An rpm header that is put together from the pages of its database.
  package var rpmHeaderBytes = 32 << 20
  /// An os-release file.
  package var osReleaseBytes = 1 << 20
  /// Files below `var/lib/dpkg/status.d` in one layer.
  package var databaseFiles = 20_000
  /// Paths kept, all together, each as often as an answer says it: of what a layer removes, and of the files that packages and
  /// secrets were found in. This, `packageBytes`, `secretsBytes` and what is bounded by number stay together below what an
  /// answer may have, so that no layer is lost for saying too much.
  package var keptPathBytes = 12 << 20
  /// Packages of one layer, and their texts all together.
  package var packages = 100_000
  package var packageBytes = 20 << 20
  /// A package's name, version or another of its texts; a value of os-release.
  package var textBytes = 1_024
  /// How far a NUL in a file tells that it is no text.
  package var textProbeBytes = 8 << 10
  /// A text file that is searched for secrets.
  package var secretFileBytes = 10 << 20
  /// Secrets kept of one file and of one layer; one of them, in bytes; the masked piece of its line.
  package var secretsOfFile = 100
  package var secrets = 5_000
  package var secretBytes = 8_192
  package var excerptBytes = 256
  /// Secrets of one layer with their excerpts, all together.
  package var secretsBytes = 8 << 20
  /// Findings on files of one layer.
  package var fileFindings = 1_000
  /// Archives in archives, the outermost counted.
  package var archiveDepth = 4
  /// Members of an archive and of those in it, all together.
  package var archiveMembers = 500_000
  /// What the members of one archive, and of those in it, are unpacked to, all together; and those of a layer.
  package var archiveBytes = 512 << 20
  package var layerArchiveBytes = 16 << 30
  /// A member that is read for what it says, such as a manifest.
  package var archiveTextBytes = 16 << 20
  /// A file in JSON. While it is read, eight times as much may be held.
  package var jsonBytes = 16 << 20
  /// A text packed into an executable.
  package var packedTextBytes = 8 << 20
  /// Faults kept of one layer.
  package var faults = 1_000

  package init() {}

  package static let standard = AnalysisLimits()
}
