import API
import RPC

/// A connected daemon, and how long to wait for it.
struct Session: Sendable {
  /// For calls that only the daemon answers, and for those that ask a registry as well.
  private static let usualTimeout = Duration.seconds(30)
  private static let registryTimeout = Duration.seconds(120)

  let console: Console
  private let connection: RPCConnection
  private let explicitTimeout: Duration?
  /// When `--timeout` is over for a command that waits; nil when it was not given.
  private let deadline: ContinuousClock.Instant?

  init(connection: RPCConnection, console: Console, timeout: Duration?) {
    self.connection = connection
    self.console = console
    explicitTimeout = timeout
    deadline = timeout.map { ContinuousClock.now + $0 }
  }

  static func connect(to path: String) throws -> RPCConnection {
    do throws(RPCError) {
      return try RPCConnection.connect(toSocket: path)
    } catch {
      throw error.code == .unavailable ? .noDaemon(error.message) : CommandFailure(error, socket: path)
    }
  }

  /// Throws when no daemon answers at `path`. A connection alone does not tell: one that dies accepts it still.
  static func checkDaemon(at path: String) async throws {
    let connection = try connect(to: path)
    defer { connection.close() }
    do {
      _ = try await SystemClient(connection).ping(PingRequest(), timeout: .seconds(2))
    } catch let error as RPCError {
      // Any other status is an answer.
      if error.code == .unavailable { throw CommandFailure.noDaemon(error.message) }
    }
  }

  var integrations: IntegrationsClient { IntegrationsClient(connection) }
  var images: ImagesClient { ImagesClient(connection) }
  var queue: QueueClient { QueueClient(connection) }
  var advisories: AdvisoriesClient { AdvisoriesClient(connection) }
  var system: SystemClient { SystemClient(connection) }

  /// The limit of one call.
  var callTimeout: Duration { explicitTimeout ?? Self.usualTimeout }
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
        throw RPCError(.internal, "the daemon answered a page with its own token: the list would never end")
      }
      token = page.next
    } while !token.isEmpty
    return items
  }

  /// Items asked for in one call.
  static let pageSize: UInt32 = 500

  /// Asks again and again until `check` answers other than nil. Each pause is a tenth of the time waited so far, within
  /// bounds, so that asking adds a tenth to any wait at most. Throws when an explicit `--timeout` is over; `message`
  /// says what that means.
  func wait<Result>(
    orFail message: String, upTo longest: Duration = .milliseconds(500),
    _ check: (_ timeout: Duration) async throws -> Result?
  ) async throws -> Result {
    let begin = ContinuousClock.now
    while true {
      let rest = deadline.map { $0 - .now }
      guard rest.map({ $0 > .zero }) ?? true else { throw CommandFailure.timedOut(message) }
      if let result = try await check(min(rest ?? callTimeout, callTimeout)) { return result }
      let pause = min(max((.now - begin) / 10, Self.pauseMinimum), longest)
      try await Task.sleep(for: deadline.map { min(pause, max($0 - .now, .zero)) } ?? pause)
    }
  }

  private static let pauseMinimum = Duration.milliseconds(20)
}
