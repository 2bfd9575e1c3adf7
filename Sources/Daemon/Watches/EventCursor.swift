import API
import RPC
import Store

/// A place in the event log as clients hold it: after the event that carried it. The text is nothing to build or to read;
/// it stays good across restarts of either side for as long as the log reaches back to it.
enum EventCursor {
  /// Stands for the end of the log as it is now.
  static let latest = "latest"
  private static let digits = 16

  static func text(_ sequence: UInt64) -> String {
    let hex = String(sequence, radix: 16)
    return String(repeating: "0", count: digits - hex.count) + hex
  }

  /// The event after which a watcher begins: with an empty cursor the one before the oldest that is kept.
  static func position(_ cursor: String, in log: StateStore.EventRange) throws -> UInt64 {
    if cursor.isEmpty { return max(log.oldest, 1) - 1 }
    if cursor == latest { return log.newest }
    guard cursor.utf8.count == digits, cursor.utf8.allSatisfy(isHexadecimal),
      let sequence = UInt64(cursor, radix: 16), sequence <= log.newest
    else {
      throw RPCError.invalidArgument([
        ("cursor", "is none that this daemon gave; begin without one, or with \"\(latest)\" for what comes")
      ])
    }
    guard log.reaches(back: sequence) else { throw expired(oldest: log.oldest) }
    return sequence
  }

  private static func isHexadecimal(_ digit: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(digit)
  }

  /// Events after the cursor are gone. The details' cursor is one from which nothing that is kept is missed.
  static func expired(oldest: UInt64) -> RPCError {
    RPCError(
      .outOfRange, reason: "CURSOR_EXPIRED",
      "events after the cursor are not kept any more: the log has at most \(StateStore.eventsKept)",
      hint: "go on from the cursor in the details, and look at the present state for what was missed",
      cursor: text(max(oldest, 1) - 1))
  }

  static func stopping(at sequence: UInt64) -> RPCError {
    RPCError(
      .unavailable, reason: "STOPPING", "the daemon is stopping", hint: "go on from the cursor when it runs again",
      cursor: text(sequence))
  }
}
