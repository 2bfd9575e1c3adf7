import Posix
import StorageMessages
import Zones

extension Scanner {
  /// Why no scan of an integration begins now, pauses aside.
  package enum Hold: Sendable, Equatable {
    /// So many run, and no more may at a time.
    case busy(running: Int)
    /// Only what a person asked for begins, until then; nanoseconds since 1970.
    case quiet(until: Int64)
  }

  /// What holds back a job of `integration` that is in line; `isWished`: a person asked for it. Nil where only others
  /// before it do. Throws what keeps the node's time from being told.
  package func hold(of integration: IntegrationRecord, isWished: Bool) throws(ZoneError) -> Hold? {
    let running = slots.count(of: integration.id)
    if running >= scansMaximum(of: integration) { return .busy(running: running) }
    if isWished { return nil }
    return try ScanGate.quietUntil(integration.quietHours, now: clock.now, zones: settings.zones).map {
      .quiet(until: $0)
    }
  }

  /// Scans of an integration at a time.
  package func scansMaximum(of integration: IntegrationRecord) -> Int {
    ScanGate.scansMaximum(integration.maxScans, slots: settings.slots)
  }
}
