import TidewaiterClient

/// A daemon, where the results of a command go, and how long to wait.
struct Session: Sendable {
  /// For calls that only the daemon answers, and for those that ask a registry as well.
  private static let usualTimeout = Duration.seconds(30)
  private static let registryTimeout = Duration.seconds(120)
  /// For calls that look through everything the daemon has.
  static let longTimeout = Duration.seconds(3600)
  /// How long what waits or watches goes on without a daemon: longer than one takes to start again.
  private static let patience = Duration.seconds(30)

  let console: Console
  private let client: Tidewaiter
  private let explicitTimeout: Duration?
  /// When `--timeout` is over for a command that waits; nil when it was not given.
  private let deadline: ContinuousClock.Instant?

  init(socket: String, console: Console, timeout: Duration?) {
    client = Tidewaiter(
      socket: socket, callTimeout: timeout ?? Self.usualTimeout, reconnection: Reconnection(patience: Self.patience))
    self.console = console
    explicitTimeout = timeout
    deadline = timeout.map { ContinuousClock.now + $0 }
  }

  func close() { client.close() }

  /// Throws when no daemon answers at `path`. A connection alone does not tell: one that dies accepts it still.
  static func checkDaemon(at path: String) async throws {
    let client = Tidewaiter(socket: path)
    defer { client.close() }
    do throws(TidewaiterError) {
      _ = try await client.system.ping(timeout: .seconds(2))
    } catch {
      // Any other status is an answer.
      if error.code == .unavailable { throw CommandFailure.noDaemon(error.message) }
    }
  }

  var integrations: IntegrationsClient { client.integrations }
  var images: ImagesClient { client.images }
  var queue: QueueClient { client.queue }
  var advisories: AdvisoriesClient { client.advisories }
  var system: SystemClient { client.system }

  /// The limit of one call for which the daemon asks a registry.
  var registryCallTimeout: Duration { explicitTimeout ?? Self.registryTimeout }

  /// Every item of a paged list.
  func allPages<Item>(_ fetch: (_ token: String) async throws -> (items: [Item], next: String)) async throws -> [Item] {
    var items: [Item] = []
    var token = ""
    repeat {
      let page = try await fetch(token)
      items += page.items
      guard page.next.isEmpty || page.next != token else {
        throw TidewaiterError(
          .internal, "the daemon answered a page with its own token: the list would never end")
      }
      token = page.next
    } while !token.isEmpty
    return items
  }

  func allIntegrations() async throws -> [Integration] {
    try await allPages { token in
      var request = ListIntegrationsRequest()
      request.pageSize = Self.pageSize
      request.pageToken = token
      let page = try await integrations.listIntegrations(request)
      return (page.integrations, page.nextPageToken)
    }
  }

  /// Items asked for in one call.
  static let pageSize: UInt32 = 500

  /// Runs what waits or watches, for as long as `--timeout` leaves: nil when it was not given. `message` says what it means
  /// that the time is over.
  func wait<Result>(
    orFail message: String, _ body: (_ rest: Duration?) async throws -> Result
  ) async throws -> Result {
    let rest = deadline.map { $0 - .now }
    guard rest.map({ $0 > .zero }) ?? true else { throw CommandFailure.timedOut(message) }
    do {
      return try await body(rest)
    } catch let error as TidewaiterError where error.code == .deadlineExceeded && rest != nil {
      throw CommandFailure.timedOut(message)
    }
  }
}
