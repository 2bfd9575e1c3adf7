import ArgumentParser
import TidewaiterClient

struct SelectionSettings: ParsableArguments {
  @Option(
    help: ArgumentHelp("Select only what matches: name, name:tag or :tag, with * (repeatable).", valueName: "PATTERN"))
  var criteria: [String] = []

  @Option(help: ArgumentHelp("Never pull what matches (repeatable).", valueName: "PATTERN"))
  var never: [String] = []

  @Option(help: ArgumentHelp("Always pull what matches, whatever else holds (repeatable).", valueName: "PATTERN"))
  var always: [String] = []

  @Option(
    help: ArgumentHelp("Only images created within this time: 60d, 2mo, 1y.", valueName: "PERIOD"),
    transform: Period.init(parsing:))
  var createdWithin: Period?

  @Option(help: ArgumentHelp("Only the newest tags of each repository.", valueName: "N"))
  var latest: UInt32?

  @Flag(help: "Neither --created-within nor --latest.")
  var noCondition = false

  @Flag(inversion: .prefixedNo, help: "With every poll, also queue what was scanned before and is still there.")
  var rescan: Bool?

  @Flag(inversion: .prefixedNo, help: "Also poll remote and proxy repositories, for what they hold already.")
  var includeRemote: Bool?

  @Option(help: ArgumentHelp("Platform to scan, such as linux/arm64, or all (repeatable).", valueName: "PLATFORM"))
  var platform: [String] = []

  func validate() throws {
    guard [createdWithin != nil, latest != nil, noCondition].count(where: { $0 }) <= 1 else {
      throw ValidationError("Only one of --created-within, --latest and --no-condition can hold.")
    }
    guard latest != 0 else { throw ValidationError("--latest must be 1 or more.") }
  }

  func apply(to change: inout SettingsChange) {
    change.set("criteria", patterns: \.criteria, criteria)
    change.set("never", patterns: \.never, never)
    change.set("always", patterns: \.always, always)
    if let condition { change.change("condition") { $0.condition = condition } }
    change.set("rescan", \.rescan, rescan)
    change.set("include_remote", \.includeRemote, includeRemote)
    change.set("platforms", list: \.platforms, platform)
  }

  /// Nil where nothing was said of it.
  private var condition: Condition? {
    if let createdWithin { return .createdWithin(createdWithin) }
    if let latest { return .latest(latest) }
    var none = Condition()
    none.kind = .none
    return noCondition ? none : nil
  }
}

extension Condition {
  static func createdWithin(_ period: Period) -> Condition {
    var condition = Condition()
    condition.kind = .createdWithin
    switch period.unit {
    case .days: condition.days = period.count
    case .months: condition.months = period.count
    case .years: condition.years = period.count
    }
    return condition
  }

  static func latest(_ count: UInt32) -> Condition {
    var condition = Condition()
    condition.kind = .latest
    condition.count = count
    return condition
  }
}

extension ProtoDuration {
  init(_ duration: Duration) {
    self.init(seconds: duration.components.seconds)
    nanos = Int32(duration.components.attoseconds / 1_000_000_000)
  }
}

struct ScopeSettings: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Namespace, organisation, group, project or registry id to read (repeatable).", valueName: "SCOPE"))
  var scope: [String] = []

  func apply(to change: inout SettingsChange) { change.set("scopes", list: \.scopes, scope) }
}

struct LimitSettings: ParsableArguments {
  @Option(
    help: ArgumentHelp("A scan that takes longer is stopped: 30m, 2h.", valueName: "TIME"),
    transform: DurationText.parse)
  var scanTimeout: Duration?

  @Option(help: ArgumentHelp("Requests at a time (default: 8).", valueName: "N"))
  var maxConcurrent: UInt32?

  @Option(help: ArgumentHelp("Requests a second; 0 for no limit.", valueName: "N"))
  var maxRequestsPerSecond: UInt32?

  @Option(help: ArgumentHelp("Bytes a second; 0 for no limit.", valueName: "N"))
  var maxBytesPerSecond: UInt64?

  @Option(help: ArgumentHelp("Scans of its images at a time; 0 for as many as the daemon allows.", valueName: "N"))
  var maxScans: UInt32?

  @Option(
    help: ArgumentHelp(
      "Images whose layers are larger together are not fetched: 20GiB, 500MB; 0 or none for the daemon's own limit.",
      valueName: "SIZE"),
    transform: SizeText.parse)
  var maxImageSize: UInt64?

  @Option(
    help: ArgumentHelp(
      "Hours of every day without automatic scans, in the node's time: 08:00-18:00.", valueName: "HOURS"))
  var quietHours: String?

  func validate() throws {
    guard maxConcurrent != 0 else { throw ValidationError("--max-concurrent must be 1 or more.") }
  }

  func apply(to change: inout SettingsChange) {
    if let scanTimeout { change.change("scan_timeout") { $0.scanTimeout = ProtoDuration(scanTimeout) } }
    change.set("max_concurrent", \.maxConcurrent, maxConcurrent)
    change.set("requests_per_second", \.requestsPerSecond, maxRequestsPerSecond)
    change.set("bytes_per_second", \.bytesPerSecond, maxBytesPerSecond)
    change.set("max_scans", \.maxScans, maxScans)
    change.set("max_image_bytes", \.maxImageBytes, maxImageSize)
    change.set("quiet_hours", \.quietHours, quietHours)
  }
}
