import Posix

/// What every request of one integration shares, to whichever of its hosts: settings, connections, and the bound on
/// requests that run at once.
package final class RegistrySession: Sendable {
  package let endpoint: RegistryEndpoint
  let transport: HTTPTransport
  let group: ConnectionGroup
  let permits: Permits

  package init(_ endpoint: RegistryEndpoint, transport: HTTPTransport) {
    self.endpoint = endpoint
    self.transport = transport
    group = transport.makeGroup(tls: endpoint.tls)
    permits = Permits(endpoint.concurrentRequestsMax)
  }
}
