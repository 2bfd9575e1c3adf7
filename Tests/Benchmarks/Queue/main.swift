// Makes stores for the benchmark of the queue, with the daemon's own code, and measures what no client can: leases.
//
//   queue-benchmark seed STATE URL NAME=IMAGES …   integrations with images that were scanned, for clients to queue anew
//   queue-benchmark fill STATE URL JOBS            jobs that wait, of ten integrations
//   queue-benchmark lease STATE COUNT              leases so many; prints the median and 99th percentile in microseconds
//
// Images are team-N/service-N@sha256:NUMBER, those of `seed` app@sha256:NUMBER, from 1 on.
import Glibc
import Pipeline
import Posix
import Queue
import StorageMessages
import Store

private struct Failure: Error, CustomStringConvertible { let description: String }

private let batch: UInt64 = 1_000
private let integrationCount: UInt64 = 10

private func digest(_ number: UInt64) -> String {
  let digits = String(number, radix: 16)
  return "sha256:" + String(repeating: "0", count: 64 - digits.count) + digits
}

private func open(_ path: String, isSynchronous: Bool) async throws -> StateStore {
  var options = Environment.Options()
  options.isSynchronous = isSynchronous
  return try await StateStore(
    directory: try StateDirectory(opening: path), tables: QueueTables.all, options: options)
}

private func makeIntegration(_ name: String, _ url: String, in store: StateStore) async throws -> UInt64 {
  var record = IntegrationRecord()
  record.name = name
  record.type = "docker-registry"
  record.url = url
  record.scanTimeoutSeconds = 1800
  record.maxConcurrent = 8
  return try await store.createIntegration(record, now: WallClock.system.now).id
}

private func seed(_ path: String, _ url: String, _ wanted: [Substring]) async throws {
  let store = try await open(path, isSynchronous: false)
  defer { store.close() }
  for one in wanted {
    let parts = one.split(separator: "=")
    guard parts.count == 2, let count = UInt64(parts[1]) else { throw Failure(description: "\(one): NAME=IMAGES") }
    let id = try await makeIntegration(String(parts[0]), url, in: store)
    for first in stride(from: 1, through: count, by: Int(batch)) {
      try await store.write { transaction in
        let now = WallClock.system.now
        for number in first..<min(first + batch, count + 1) {
          let key = ImageKey(integration: id, repository: "app", digest: digest(number))
          _ = try store.remember(key, now: now, in: transaction)
          try store.changeImage(key, in: transaction) { image in
            image.status = .scanned
            image.scannedAt = now
          }
        }
      }
    }
  }
  try await JobQueue(store: store).pause(nil, reason: "benchmark", actor: "")
  try store.environment.sync()
}

private func fill(_ path: String, _ url: String, _ count: UInt64) async throws {
  let store = try await open(path, isSynchronous: false)
  defer { store.close() }
  let clock = WallClock.system
  let queue = JobQueue(store: store, clock: clock)
  let intake = Intake(store: store, queue: queue, clock: clock) {}
  var integrations: [UInt64] = []
  for number in 1...integrationCount {
    integrations.append(try await makeIntegration("registry-\(number)", url, in: store))
  }
  for first in stride(from: 1, through: count, by: Int(batch)) {
    let items = (first..<min(first + batch, count + 1)).map { number in
      let image = ImageKey(
        integration: integrations[Int(number % integrationCount)],
        repository: "team-\(number % 20)/service-\(number % 500)", digest: digest(number))
      return Intake.Item(image: image, tag: "")
    }
    _ = try await intake.queue(items, priority: .newImage)
  }
  try await queue.pause(nil, reason: "benchmark", actor: "")
  try store.environment.sync()
}

private func lease(_ path: String, _ count: Int) async throws {
  let store = try await open(path, isSynchronous: true)
  defer { store.close() }
  let queue = JobQueue(store: store)
  try await queue.resume(nil, actor: "")
  var times: [Double] = []
  var last = seconds()
  for _ in 0..<count {
    guard try await queue.lease(gate: { _ in .open }) != nil else { throw Failure(description: "no job is left") }
    let now = seconds()
    times.append((now - last) * 1e6)
    last = now
  }
  times.sort()
  print(times[count / 2], times[count * 99 / 100])
}

private func seconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

private let arguments = CommandLine.arguments.dropFirst().map { $0[...] }
private let (command, path) = (arguments.first ?? "", arguments.dropFirst().first.map(String.init) ?? "")
private let rest = Array(arguments.dropFirst(2))
if command == "seed", let url = rest.first, rest.count > 1 {
  try await seed(path, String(url), Array(rest.dropFirst()))
} else if command == "fill", let url = rest.first, let count = rest.last.flatMap({ UInt64($0) }) {
  try await fill(path, String(url), count)
} else if command == "lease", let count = rest.first.flatMap({ Int($0) }), count > 0 {
  try await lease(path, count)
} else {
  throw Failure(description: "usage: see Tests/Benchmarks/Queue/main.swift")
}
