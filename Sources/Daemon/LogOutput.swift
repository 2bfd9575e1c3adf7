import Glibc
import Logging
import Model
import Posix
import Synchronization

/// Writes each log event as one line to standard error: text for people, or a JSON object. Values are escaped, so that
/// nothing from outside can start a line of its own.
package struct LogOutput: LogHandler {
  package var metadata: Logger.Metadata = [:]
  /// A logger may have a level of its own; else it is that of the settings, as they are now.
  package var logLevel: Logger.Level {
    get { ownLevel ?? settings.level }
    set { ownLevel = newValue }
  }
  private var ownLevel: Logger.Level?
  private let settings: LogSettings
  private let clock: WallClock
  /// Of one value: what comes from outside must not fill the log.
  private static let textScalarsMaximum = 4096
  /// Whole lines: two threads must not mix theirs.
  private static let writing = Mutex(())

  package init(_ settings: LogSettings, clock: WallClock = .system) {
    self.settings = settings
    self.clock = clock
  }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  package func log(event: LogEvent) {
    var line = line(event)
    Self.writing.withLock { _ in
      line.withUTF8 { bytes in
        var rest = UnsafeRawBufferPointer(bytes)[...]
        while !rest.isEmpty {
          let count = write(2, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
          // A log that cannot be written has nowhere to say so.
          if count <= 0 && errno != EINTR { return }
          rest = rest.dropFirst(max(0, count))
        }
      }
    }
  }

  /// The event as it is written, with the line's end.
  func line(_ event: LogEvent) -> String {
    let all = metadata.merging(event.metadata ?? [:]) { _, new in new }.sorted { $0.key < $1.key }
    let time = Self.timestamp(clock.now)
    var line: String
    switch settings.format {
    case .text:
      line = "\(time) \(event.level) \(Self.escaped("\(event.message)", quotesToo: false))"
      for (key, value) in all { line += " \(key)=\(Self.quoted("\(value)"))" }
    case .json:
      line = "{\"time\":\"\(time)\",\"level\":\"\(event.level)\",\"message\":\"\(Self.escaped("\(event.message)"))\""
      for (key, value) in all { line += ",\"\(Self.escaped(key))\":\"\(Self.escaped("\(value)"))\"" }
      line += "}"
    }
    return line + "\n"
  }

  /// UTC to the millisecond, as RFC 3339 writes it. Foundation's formatter would load calendars and time zones: 1.4 MiB of
  /// memory from the first line on.
  private static func timestamp(_ nanoseconds: Int64) -> String {
    func digits(_ number: some BinaryInteger, _ count: Int) -> String {
      let text = String(number)
      return String(repeating: "0", count: max(0, count - text.count)) + text
    }
    var seconds = time_t(nanoseconds / 1_000_000_000)
    var time = tm()
    gmtime_r(&seconds, &time)
    return "\(digits(time.tm_year + 1900, 4))-\(digits(time.tm_mon + 1, 2))-\(digits(time.tm_mday, 2))"
      + "T\(digits(time.tm_hour, 2)):\(digits(time.tm_min, 2)):\(digits(time.tm_sec, 2))"
      + ".\(digits(nanoseconds / 1_000_000 % 1000, 3))Z"
  }

  private static func quoted(_ text: String) -> String {
    let isPlain =
      !text.isEmpty && text.utf8.count <= textScalarsMaximum
      && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
    return isPlain ? text : "\"\(escaped(text))\""
  }

  private static func escaped(_ text: String, quotesToo: Bool = true) -> String {
    var output = ""
    for scalar in text.excerpt(maximumScalars: textScalarsMaximum).unicodeScalars {
      switch scalar {
      case "\"" where quotesToo, "\\" where quotesToo: output += "\\\(scalar)"
      case "\n": output += "\\n"
      default:
        switch scalar.properties.generalCategory {
        // What moves the cursor, starts a line or turns the reading direction, or is not there to be seen.
        case .control, .format, .lineSeparator, .paragraphSeparator:
          for unit in UTF16.encode(scalar) ?? UTF16.encodedReplacementCharacter {
            let hex = String(unit, radix: 16)
            output += "\\u" + String(repeating: "0", count: max(0, 4 - hex.count)) + hex
          }
        default:
          output.unicodeScalars.append(scalar)
        }
      }
    }
    return output
  }
}
