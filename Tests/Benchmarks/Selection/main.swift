// Decides on a million tags of ten thousand repositories, as a poll does that knows every date: patterns first, and the
// period for what they leave open. Prints decisions a second, and what was decided.
import Glibc
import Model
import Selection

let repositoryCount = 10_000
let tagCount = 100

let period = try CalendarPeriod(60, .days)

/// Twenty patterns as people write them: names, tags, both, with and without stars.
let criteria = Criteria(
  patterns: try Pattern.list(parsing: [
    "team-1*/*", "team-2*/*:v*", "team-3*/api", "payments", "*/frontend:*.*.*", "library/*:3.*", "infra/*:2026-*",
    "*/worker*:1.*",
    "mirror/*/*", "4.*", "shop/checkout:release-*",
  ]),
  never: try Pattern.list(parsing: [":*-dev", ":*-SNAPSHOT", ":pr-*", "sandbox/*", ":sha-*", "*/cache*"]),
  always: try Pattern.list(parsing: [":stable", "base/*:latest", "infra/*:*-lts"]),
  condition: .createdWithin(period))

let teams =
  ["payments", "library", "infra", "shop", "sandbox", "mirror/docker.io", "base", "data/platform"]
  + (0..<40).map { "team-\($0)" }
let parts = ["api", "frontend", "backend", "worker", "checkout", "cache", "scheduler", "alpine", "ingest", "exporter"]

func repositoryName(_ number: Int) -> String {
  let team = teams[number % teams.count]
  let part = parts[number / teams.count % parts.count]
  return number % 7 == 0 ? "\(team)/\(part)" : "\(team)/\(part)-\(number / (teams.count * parts.count))"
}

func tagName(_ number: Int, _ slot: Int) -> String {
  let build = number &* 31 &+ slot &* 7
  return switch slot % 10 {
  case 0: "v1.\(slot).\(build % 20)"
  case 1: "1.\(slot).\(build % 20)"
  case 2: "2026-0\(1 + build % 9)-1\(build % 10)"
  case 3: "sha-\(String(build &* 2_654_435_761 & 0xfff_ffff, radix: 16))"
  case 4: "3.\(build % 30)-alpine"
  case 5: "4.\(build % 12).\(slot)"
  case 6: "pr-\(build % 5000)"
  case 7: "1.\(slot)-SNAPSHOT"
  case 8: "release-\(build % 400)"
  default: ["latest", "stable", "main-dev", "edge", "22.04-lts"][slot / 10 % 5]
  }
}

func seconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

let repositories = (0..<repositoryCount).map(repositoryName)
let tags = (0..<repositoryCount).map { number in (0..<tagCount).map { tagName(number, $0) } }
let now = Timestamp(seconds: 1_790_000_000)

var counts: [Reason.Code: Int] = [:]
var textBytes = 0
let start = seconds()
for (repository, tags) in zip(repositories, tags) {
  let narrowed = criteria.narrowed(to: repository)
  for (slot, tag) in tags.enumerated() {
    let decision: Decision
    switch narrowed.screen(tag: tag) {
    case .selected(let reason): decision = .selected(reason)
    case .rejected(let reason): decision = .rejected(reason)
    case .needsDate:
      let config = now.advanced(bySeconds: -Int64(slot + 1) * Timestamp.secondsPerDay)
      decision = period.decide(
        created: CreationDate(config: config, pushed: nil, firstSeen: now, now: now), now: now)
    }
    counts[decision.reason.code, default: 0] += 1
    textBytes += decision.reason.text.utf8.count
  }
}
let wall = seconds() - start
print(Int(Double(repositoryCount * tagCount) / wall))
let shown = counts.sorted { $0.value > $1.value }.map { "\($0.value) \($0.key.rawValue)" }.joined(separator: ", ")
print("\(repositoryCount * tagCount) decisions with their reasons, \(textBytes) bytes of text: \(shown)")
