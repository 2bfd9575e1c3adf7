import Posix

/// What every request of one integration shares, to whichever of its hosts: settings, connections, and the bound on
/// requests that run at once.
package final class RegistrySession: Sendable {
  package let endpoint: RegistryEndpoint
  let transport: HTTPTransport
  let group: ConnectionGroup
  let permits: Permits

  /// `limiter` is the integration's, where it is to outlive the session.
  package init(_ endpoint: RegistryEndpoint, transport: HTTPTransport, limiter: RateLimiter? = nil) {
    self.endpoint = endpoint
    self.transport = transport
    permits = Permits(endpoint.concurrentRequestsMax)
    group = transport.makeGroup(
      endpoint.connection, limiter: limiter ?? RateLimiter(endpoint.rates), permits: permits)
  }
}
