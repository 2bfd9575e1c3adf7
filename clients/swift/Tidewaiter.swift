/// A daemon on its socket, and the way to all it does.
///
///     let tidewaiter = Tidewaiter(socket: "/run/tidewaiter/tidewaiter.sock")
///     var request = AddImageRequest()
///     request.reference = "hub/library/alpine:3.20"
///     let added = try await tidewaiter.images.addImage(request)
///
/// It connects with the first call, and anew with the next call after the daemon has gone. Copies share the connection,
/// which carries many calls at a time; it is closed when the last copy has gone, or by `close()`.
///
/// Cancelling the task that waits for a call ends the call at the daemon too, and throws `TidewaiterError` with the code
/// `cancelled`.
///
/// The type is not called like the module: the name of a type would hide the module's in `TidewaiterClient.Image`.
public struct Tidewaiter: Sendable {
  let channel: Channel

  /// - Parameters:
  ///   - socket: Path of the daemon's socket.
  ///   - callTimeout: Limit of each call that names none. The daemon stops working on a call at its limit. It bounds no
  ///     watch.
  ///   - reconnection: What watches do when the daemon goes.
  public init(
    socket: String, callTimeout: Duration = .seconds(30), reconnection: Reconnection = Reconnection()
  ) {
    channel = Channel(socket: socket, callTimeout: callTimeout, reconnection: reconnection)
  }

  /// Configured connections to registries.
  public var integrations: IntegrationsClient { IntegrationsClient(channel) }
  /// Images, their state and reports.
  public var images: ImagesClient { ImagesClient(channel) }
  /// Scan jobs.
  public var queue: QueueClient { QueueClient(channel) }
  /// The advisory database.
  public var advisories: AdvisoriesClient { AdvisoriesClient(channel) }
  /// The daemon itself, and what happens in it.
  public var system: SystemClient { SystemClient(channel) }
  /// Whether the daemon serves, as gRPC's health checks have it.
  public var health: HealthClient { HealthClient(channel) }

  /// Ends the connection: calls in flight fail with the code `cancelled`, later ones with `failedPrecondition`. Waits a
  /// moment for the connection's thread.
  public func close() { channel.close() }
}

/// What a watch does when its connection is lost, or the daemon stops: it connects anew and goes on from where it was.
/// A first connection that fails is an error at once.
public struct Reconnection: Sendable, Equatable {
  /// The pause before the first attempt. Each further pause is twice as long; up to a quarter is left off at random, so
  /// that many clients do not come at one instant.
  public var firstPause: Duration
  /// The longest pause.
  public var longestPause: Duration
  /// How long after a loss the watch gives up, and throws what the last attempt ended with; nil: never. Zero: at once.
  public var patience: Duration?

  public init(
    firstPause: Duration = .milliseconds(100), longestPause: Duration = .seconds(5), patience: Duration? = nil
  ) {
    self.firstPause = firstPause
    self.longestPause = longestPause
    self.patience = patience
  }

  /// The pause before the attempt after `attempts` failed ones; `chance` is in 0..<1.
  func pause(after attempts: Int, chance: Double) -> Duration {
    let doubled = firstPause * (1 << min(max(attempts, 0), 20))
    return min(doubled, longestPause) * (1 - chance / 4)
  }
}
