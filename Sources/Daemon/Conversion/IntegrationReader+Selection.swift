import API
import Model
import Registry
import Selection
import StorageMessages
import Zones

/// Settings of what is pulled and how fast, each read alone.
extension IntegrationReader {
  static let scanTimeoutSeconds = 10...86_400
  static let scanTimeoutSecondsDefault: UInt32 = 1800
  static let concurrentRequests = 1...64
  static let platformsMaximum = 16
  static let requestsPerSecondMaximum = 10_000
  static let scansMaximum = 256
  /// A slower limit could not move a layer within any scan's time.
  static let bytesPerSecondMinimum = 1024

  mutating func isAutomatic(_ wanted: Mode) -> Bool {
    if ![.manual, .automatic, .unspecified].contains(wanted) { refuse("mode", "is none of manual, automatic") }
    return wanted == .automatic
  }

  mutating func schedule(_ wanted: API.Schedule?) -> ScheduleRecord? {
    guard let wanted else { return nil }
    do {
      if try Selection.Schedule(kind: wanted.kind, value: wanted.value) == nil {
        let kinds = Selection.Schedule.kinds.joined(separator: ", ")
        refuse("schedule.kind", "\"\(wanted.kind.excerpt())\" is none of \(kinds), such as daily with the value 02:30")
      }
    } catch {
      refuse("schedule.value", "\(error)")
    }
    do {
      _ = try zones.zone(wanted.timezone)
    } catch {
      refuse("schedule.timezone", "\(error)")
    }
    var record = ScheduleRecord()
    record.kind = wanted.kind
    record.value = wanted.value
    record.timezone = wanted.timezone
    return record
  }

  mutating func patterns(_ wanted: [API.Pattern], _ field: String) -> [String] {
    let texts = wanted.map(\.pattern)
    do {
      _ = try Selection.Pattern.list(parsing: texts)
    } catch {
      if error.failures.isEmpty { refuse(field, "\(error)") }
      for failure in error.failures.prefix(Self.violationsMaximum) {
        refuse("\(field)[\(failure.index)]", "\(failure.error)")
      }
    }
    return texts
  }

  mutating func condition(_ wanted: API.Condition?) -> ConditionRecord? {
    guard let wanted else { return nil }
    var record = ConditionRecord()
    do {
      switch wanted.kind {
      case .none, .unspecified: return nil
      case .createdWithin:
        let period = try CalendarPeriod(days: Int(wanted.days), months: Int(wanted.months), years: Int(wanted.years))
        record.kind = .createdWithin(CreatedWithinRecord(period))
      case .latest:
        _ = try LatestCount(Int(wanted.count))
        record.kind = .latest(wanted.count)
      default: refuse("condition.kind", "is none of none, created_within, latest")
      }
    } catch {
      refuse(error.part.map { "condition.\($0.rawValue)" } ?? "condition", "\(error)")
    }
    return record
  }

  mutating func scanTimeout(_ wanted: ProtoDuration?) -> UInt32 {
    guard let wanted, wanted.seconds != 0 || wanted.nanos != 0 else { return Self.scanTimeoutSecondsDefault }
    guard Self.scanTimeoutSeconds.contains(Int(wanted.seconds)) else {
      refuse("scan_timeout", "must be from 10 seconds to 24 hours")
      return Self.scanTimeoutSecondsDefault
    }
    return UInt32(wanted.seconds)
  }

  mutating func platforms(_ wanted: [String]) -> [String] {
    if wanted.count > Self.platformsMaximum { refuse("platforms", "are more than \(Self.platformsMaximum)") }
    if wanted.contains("all") && wanted.count > 1 { refuse("platforms", "\"all\" stands alone") }
    for (index, text) in wanted.prefix(Self.platformsMaximum).enumerated() where text != "all" && Platform(text) == nil
    {
      refuse("platforms[\(index)]", "\"\(text.excerpt())\" is no platform such as linux/amd64 or linux/arm/v7")
    }
    return wanted
  }

  mutating func maxConcurrent(_ wanted: UInt32) -> UInt32 {
    let number = wanted == 0 ? UInt32(RegistryEndpoint.concurrentRequestsDefault) : wanted
    let range = Self.concurrentRequests
    if !range.contains(Int(number)) {
      refuse("max_concurrent", "must be from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  mutating func requestsPerSecond(_ wanted: UInt32) -> UInt32 {
    if wanted > Self.requestsPerSecondMaximum {
      refuse("requests_per_second", "must be from 1 to \(Self.requestsPerSecondMaximum), or 0 for no limit")
    }
    return wanted
  }

  mutating func bytesPerSecond(_ wanted: UInt64) -> UInt64 {
    if wanted != 0 && (wanted < Self.bytesPerSecondMinimum || wanted > UInt64(Int64.max)) {
      refuse("bytes_per_second", "must be \(Self.bytesPerSecondMinimum) or more, or 0 for no limit")
    }
    return wanted
  }

  mutating func maxScans(_ wanted: UInt32) -> UInt32 {
    if wanted > Self.scansMaximum {
      refuse("max_scans", "must be from 1 to \(Self.scansMaximum), or 0 for the daemon's own")
    }
    return wanted
  }

  mutating func maxImageBytes(_ wanted: UInt64) -> UInt64 {
    if wanted > UInt64(Int64.max) { refuse("max_image_bytes", "is more than any image can have") }
    return wanted
  }

  mutating func quietHours(_ wanted: String) -> String {
    if !wanted.isEmpty && DailyWindow(wanted) == nil {
      refuse("quiet_hours", "\"\(wanted.excerpt())\" are no hours such as 22:00-06:00")
    }
    return wanted
  }
}

extension CreatedWithinRecord {
  fileprivate init(_ period: CalendarPeriod) {
    self.init()
    switch period.unit {
    case .days: days = UInt32(period.count)
    case .months: months = UInt32(period.count)
    case .years: years = UInt32(period.count)
    }
  }
}
