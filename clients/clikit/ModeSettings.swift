import ArgumentParser
import TidewaiterClient

enum ModeChoice: String, CaseIterable, ExpressibleByArgument {
  case manual, automatic

  var mode: Mode { self == .manual ? .manual : .automatic }
}

struct ModeSettings: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "manual (nothing is pulled by itself) or automatic (by a schedule; what a schedule means).", valueName: "MODE"))
  var mode: ModeChoice?

  @Option(help: ArgumentHelp("Poll every so many minutes, hours or days: 30m, 6h, 1d.", valueName: "PERIOD"))
  var every: String?

  @Option(help: ArgumentHelp("Poll daily at that time.", valueName: "HH:MM"))
  var dailyAt: String?

  @Option(help: ArgumentHelp("Poll on those days: mon,thu@02:30.", valueName: "DAYS@HH:MM"))
  var weeklyOn: String?

  @Option(help: ArgumentHelp("Poll as five fields of cron say: '0 2 * * *'.", valueName: "EXPRESSION"))
  var cron: String?

  @Option(
    help: ArgumentHelp("Time zone of the schedule, such as Europe/Berlin (default: the node's).", valueName: "TZ"))
  var timezone: String?

  private var given: [(kind: String, value: String)] {
    [("every", every), ("daily", dailyAt), ("weekly", weeklyOn), ("cron", cron)].compactMap { kind, value in
      value.map { (kind, $0) }
    }
  }

  func validate() throws {
    guard given.count <= 1 else {
      throw ValidationError("Only one of --every, --daily-at, --weekly-on and --cron can hold.")
    }
    guard mode != .manual || given.isEmpty else { throw ValidationError("--mode manual has no schedule.") }
    guard timezone == nil || !given.isEmpty else {
      throw ValidationError("--timezone goes with --every, --daily-at, --weekly-on or --cron.")
    }
  }

  func apply(to change: inout SettingsChange) {
    if let mode = mode?.mode ?? (given.isEmpty ? nil : .automatic) { change.change("mode") { $0.mode = mode } }
    if let given = given.first {
      change.change("schedule") {
        $0.schedule = Schedule(kind: given.kind, value: given.value, timezone: timezone ?? "")
      }
    } else if mode == .manual {
      change.change("schedule") { $0.schedule = nil }
    }
  }
}

extension Schedule {
  init(kind: String, value: String, timezone: String) {
    self.init()
    self.kind = kind
    self.value = value
    self.timezone = timezone
  }

  /// Reads an answer by its first word where that is a kind, else by its form: a cron line has blanks, a week's days an @, a
  /// time of day a colon.
  init(reading answer: String, timezone: String) {
    let words = answer.split(separator: " ", maxSplits: 1).map(String.init)
    if words.count == 2, ["every", "daily", "weekly", "cron"].contains(words[0]) {
      self.init(kind: words[0], value: words[1], timezone: timezone)
      return
    }
    let kind =
      answer.contains(" ") ? "cron" : answer.contains("@") ? "weekly" : answer.contains(":") ? "daily" : "every"
    self.init(kind: kind, value: answer, timezone: timezone)
  }
}
