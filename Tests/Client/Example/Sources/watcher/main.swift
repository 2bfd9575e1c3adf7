import FoundationEssentials
import TidewaiterClient

/// Prints the daemon's version, what an error has to say, and the events so far.
func run(_ socket: String) async throws {
  let tidewaiter = Tidewaiter(socket: socket, callTimeout: .seconds(10))
  defer { tidewaiter.close() }
  let version: Version = try await tidewaiter.system.getVersion()
  print("version", version.version)

  var health = HealthCheckRequest()
  health.service = "tidewaiter.v1.System"
  print("serving", try await tidewaiter.health.check(health).status == .serving)

  do throws(TidewaiterError) {
    var request = GetIntegrationRequest()
    request.name = "absent"
    _ = try await tidewaiter.integrations.getIntegration(request, timeout: .seconds(5))
  } catch {
    guard error.code == .notFound else { throw error }
    print(error.code.name, error.hint ?? "")
  }

  var integration = Integration()
  integration.name = "example"
  integration.type = "docker-registry"
  integration.url = "http://127.0.0.1:9"
  integration.scanTimeout = ProtoDuration(seconds: 600)
  var creation = CreateIntegrationRequest()
  creation.integration = integration
  let created = try await tidewaiter.integrations.createIntegration(creation)
  print("created", created.name, created.createdAt.map { $0.date.timeIntervalSince1970 > 0 } ?? false)

  for try await event in tidewaiter.system.watchEvents(WatchEventsRequest(), timeout: .seconds(10)) {
    print("event", event.kind, event.integration)
  }
  var jobs = WatchJobsRequest()
  jobs.untilEnded = true
  for try await update in tidewaiter.queue.watchJobs(jobs) {
    switch update {
    case .snapshotBegins, .snapshotEnds: print("jobs", update)
    case .present(let job), .changed(let job): print("job", job.id, job.state.name)
    }
  }
}

do {
  try await run(CommandLine.arguments[1])
} catch {
  print("failed:", error)
  throw error
}
