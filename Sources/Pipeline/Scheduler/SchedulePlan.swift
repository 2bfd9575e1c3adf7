import Model
import Selection
import StorageMessages
import Store
import Zones

/// An integration's schedule as it was read, and the clocks that it goes by.
package struct SchedulePlan: Sendable {
  package struct Unusable: Error, CustomStringConvertible {
    package let description: String
  }

  let schedule: Schedule
  let zone: Zone

  /// Throws for what an older version or another node's database took, and this one does not.
  init(_ record: ScheduleRecord, zones: ZoneDatabase) throws(Unusable) {
    do {
      guard let schedule = try Schedule(kind: record.kind, value: record.value) else {
        throw Unusable(description: "the schedule's kind \"\(record.kind)\" is none")
      }
      self.schedule = schedule
      zone = try zones.zone(record.timezone)
    } catch let error as Unusable {
      throw error
    } catch {
      throw Unusable(description: "the schedule cannot be used: \(error)")
    }
  }
}

extension ScheduleTrack.State {
  init(_ record: ScheduleStateRecord) {
    self.init(
      anchor: Timestamp(nanosecondsSince1970: record.anchor), handled: Timestamp(nanosecondsSince1970: record.handled))
  }
}

extension ScheduleStateRecord {
  init(_ state: ScheduleTrack.State, of schedule: ScheduleRecord) {
    self.init()
    self.schedule = schedule.text
    anchor = state.anchor.nanosecondsSince1970
    handled = state.handled.nanosecondsSince1970
  }
}
