import CCurl
import CCurlShim
import Posix

/// The connections of one integration. No other integration's requests travel on them, whatever their address: they
/// may carry another credential, or have been made without verification. Names, TLS sessions and connections are kept
/// while the group lives.
package final class ConnectionGroup: Sendable {
  let id: UInt64
  let settings: ConnectionSettings
  package let limiter: RateLimiter
  /// For requests that run at once.
  package let permits: Permits
  private let mailbox: TransportMailbox

  init(
    id: UInt64, settings: ConnectionSettings, limiter: RateLimiter, permits: Permits, mailbox: TransportMailbox
  ) {
    self.id = id
    self.settings = settings
    self.limiter = limiter
    self.permits = permits
    self.mailbox = mailbox
  }

  deinit { mailbox.post(.closeGroup(id)) }
}

/// The curl thread's half of a group.
final class GroupConnections {
  private static let chainsMax = 16

  /// Connections for what is collected, over HTTP/2 where the server has it.
  private let calls: UnsafeMutableRawPointer
  /// Connections for bodies that are streamed. Apart, because libcurl would send calls over them too, one at a time.
  private let streams: UnsafeMutableRawPointer
  let settings: ConnectionSettings
  private let stores: TrustStores
  /// What a server's chain may end in; nil before the first request over TLS, since it takes megabytes.
  private var trust: OpaquePointer?
  /// Kinds of address that requests to the registry itself were answered from.
  var registryAddressKinds: UInt32 = 0
  var transferCount = 0
  /// The integration is gone: close as soon as the last transfer has ended.
  var isClosing = false
  /// What hosts showed when their connections were made: later requests on those have no handshake to look at.
  private var chains: [WebAddress.Origin: PeerChain] = [:]

  init(_ settings: ConnectionSettings, stores: TrustStores) {
    self.settings = settings
    self.stores = stores
    calls = Self.makeShare()
    streams = Self.makeShare()
  }

  private static func makeShare() -> UnsafeMutableRawPointer {
    guard let share = curl_share_init() else { preconditionFailure("out of memory") }
    for data in [CURL_LOCK_DATA_CONNECT, CURL_LOCK_DATA_SSL_SESSION, CURL_LOCK_DATA_DNS] {
      let code = ccurl_share_data(share, data)
      precondition(code == CURLSHE_OK, "libcurl cannot share: \(String(cString: curl_share_strerror(code)))")
    }
    return share
  }

  deinit {
    for share in [calls, streams] {
      let code = curl_share_cleanup(share)
      precondition(code == CURLSHE_OK, "connections closed under a transfer")
    }
    if let trust { ccurl_trust_free(trust) }
  }

  func trusted() throws(RegistryError) -> OpaquePointer {
    if let trust { return trust }
    let made = try stores.make(additional: settings.tls.additionalAuthorities)
    trust = made
    return made
  }

  func share(forStreams isStream: Bool) -> UnsafeMutableRawPointer { isStream ? streams : calls }

  func remember(_ chain: PeerChain, of origin: WebAddress.Origin) {
    if chains[origin] == nil, chains.count >= Self.chainsMax { chains.removeAll() }
    chains[origin] = chain
  }

  func chain(of origin: WebAddress.Origin) -> PeerChain? { chains[origin] }
}
