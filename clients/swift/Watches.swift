internal import ProtobufRuntime

extension SystemClient {
  /// What happened after a cursor, in order, each event once; then, with `request.follow`, what happens.
  ///
  /// A watch goes on after the last event it told. To go on after a restart of your own program, keep the `cursor` of the
  /// last event you are done with, and give it as `request.cursor`. An empty one begins with the oldest event that is
  /// kept, `latest` with the next to come (also when the daemon dies before it has told one). One from which not everything is kept any more throws `outOfRange` with the
  /// reason `CURSOR_EXPIRED`, and the place to go on from as the error's `cursor`.
  ///
  /// - Parameter timeout: Limit of the whole watch, over reconnections too; nil: none. Throws `deadlineExceeded`.
  public func watchEvents(
    _ request: WatchEventsRequest = WatchEventsRequest(), timeout: Duration? = nil
  ) -> Watch<Event> {
    Watch(channel, timeout: timeout) { EventSource(request: request) }
  }
}

extension QueueClient {
  /// The jobs that match as they stand, then each of their changes, with the progress of those that run.
  ///
  /// After a loss of the connection the jobs are told anew, as they stand then.
  ///
  /// - Parameter timeout: Limit of the whole watch, over reconnections too; nil: none. Throws `deadlineExceeded`.
  public func watchJobs(
    _ request: WatchJobsRequest = WatchJobsRequest(), timeout: Duration? = nil
  ) -> Watch<JobUpdate> {
    Watch(channel, timeout: timeout) { JobSource(request: request) }
  }
}

extension IntegrationsClient {
  /// The poll as it stands, then as it stands after each change; ends when the poll has ended, which a suspended one has
  /// not. After a loss of the connection the poll is told as it stands then.
  ///
  /// - Parameter timeout: Limit of the whole watch, over reconnections too; nil: none. Throws `deadlineExceeded`.
  public func watchPoll(_ request: WatchPollRequest, timeout: Duration? = nil) -> Watch<Poll> {
    Watch(channel, timeout: timeout) {
      PlainSource { channel, timeout throws(TidewaiterError) in
        try IntegrationsClient(channel).openWatchPoll(request, timeout: timeout)
      }
    }
  }
}

extension IntegrationsClient {
  /// What a poll would select now and why: each message has some images, some repositories, or, the last one, the summary.
  /// The daemon waits for a reader that is slow. A loss of the connection ends it: `unavailable`.
  ///
  /// - Parameter timeout: Limit of the whole preview; nil: none. Throws `deadlineExceeded`.
  public func previewIntegration(
    _ request: PreviewIntegrationRequest, timeout: Duration? = nil
  ) -> Watch<PreviewIntegrationResponse> {
    Watch(channel, timeout: timeout, renewal: .never) {
      PlainSource { channel, timeout throws(TidewaiterError) in
        try IntegrationsClient(channel).openPreviewIntegration(request, timeout: timeout)
      }
    }
  }
}

extension SystemClient {
  /// A backup in pieces, in order, its end with size and digest last: without that message it is not whole. It holds the
  /// secrets and their key. The daemon waits for a reader that is slow. A loss of the connection ends it: `unavailable`.
  ///
  /// - Parameter timeout: Limit of the whole backup; nil: none. Throws `deadlineExceeded`.
  public func backup(
    _ request: BackupRequest = BackupRequest(), timeout: Duration? = nil
  ) -> Watch<BackupResponse> {
    Watch(channel, timeout: timeout, renewal: .never) {
      PlainSource { channel, timeout throws(TidewaiterError) in
        try SystemClient(channel).openBackup(request, timeout: timeout)
      }
    }
  }
}

extension AdvisoriesClient {
  /// The import as it stands, then as it stands after each change; ends when the import has ended. No import outlives its
  /// daemon: when the connection is lost the watch throws `unavailable`.
  ///
  /// - Parameter timeout: Limit of the whole watch; nil: none. Throws `deadlineExceeded`.
  public func watchImport(_ request: WatchImportRequest, timeout: Duration? = nil) -> Watch<Import> {
    Watch(channel, timeout: timeout, renewal: .whileConnected) {
      PlainSource { channel, timeout throws(TidewaiterError) in
        try AdvisoriesClient(channel).openWatchImport(request, timeout: timeout)
      }
    }
  }
}

extension HealthClient {
  /// The state as it is, then as it is after each change. After a loss of the connection it is told as it is then.
  ///
  /// - Parameter timeout: Limit of the whole watch, over reconnections too; nil: none. Throws `deadlineExceeded`.
  public func watch(
    _ request: HealthCheckRequest = HealthCheckRequest(), timeout: Duration? = nil
  ) -> Watch<HealthCheckResponse> {
    Watch(channel, timeout: timeout) {
      PlainSource { channel, timeout throws(TidewaiterError) in
        try HealthClient(channel).openWatch(request, timeout: timeout)
      }
    }
  }
}

/// A part of what a watch of jobs tells.
public enum JobUpdate: Sendable, Equatable {
  /// The jobs as they stand follow. All told before is out of date: what does not follow is there no more.
  case snapshotBegins
  /// A job as it stands.
  case present(Job)
  /// Every job that stood has been told.
  case snapshotEnds
  /// A job has changed, or has come. With states in the request, it may also have left them: once, in its new state.
  case changed(Job)
}

private struct EventSource: WatchSource {
  var request: WatchEventsRequest
  private var stream: ServerStream<Event>?

  init(request: WatchEventsRequest) { self.request = request }

  mutating func open(_ channel: Channel, timeout: Duration?) throws(TidewaiterError) -> Event? {
    stream = try SystemClient(channel).openWatchEvents(request, timeout: timeout)
    return nil
  }

  mutating func next() async throws(TidewaiterError) -> Event? {
    do throws(TidewaiterError) {
      let event = try await stream?.next()
      if let event { request.cursor = event.cursor }
      return event
    } catch {
      // Of what was told, and of what did not match: so that a watch of little does not read the log again.
      if error.code == .unavailable || error.code == .resourceExhausted {
        request.cursor = error.cursor ?? request.cursor
      }
      throw error
    }
  }
}

private struct JobSource: WatchSource {
  let request: WatchJobsRequest
  private var stream: ServerStream<WatchJobsResponse>?
  private var isInSnapshot = true

  init(request: WatchJobsRequest) { self.request = request }

  mutating func open(_ channel: Channel, timeout: Duration?) throws(TidewaiterError) -> JobUpdate? {
    stream = try QueueClient(channel).openWatchJobs(request, timeout: timeout)
    isInSnapshot = true
    return .snapshotBegins
  }

  mutating func next() async throws(TidewaiterError) -> JobUpdate? {
    guard let response = try await stream?.next() else { return nil }
    if response.snapshotComplete {
      isInSnapshot = false
      return .snapshotEnds
    }
    guard let job = response.job else { throw TidewaiterError(.internal, "the daemon told of no job") }
    return isInSnapshot ? .present(job) : .changed(job)
  }
}

/// Streams that begin with the present state have nothing to go on from.
private struct PlainSource<Response: ProtoMessage>: WatchSource {
  let begin: @Sendable (Channel, Duration?) throws(TidewaiterError) -> ServerStream<Response>
  private var stream: ServerStream<Response>?

  init(_ begin: @escaping @Sendable (Channel, Duration?) throws(TidewaiterError) -> ServerStream<Response>) {
    self.begin = begin
  }

  mutating func open(_ channel: Channel, timeout: Duration?) throws(TidewaiterError) -> Response? {
    stream = try begin(channel, timeout)
    return nil
  }

  mutating func next() async throws(TidewaiterError) -> Response? { try await stream?.next() }
}
