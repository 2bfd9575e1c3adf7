import CCurl
import CCurlShim
import Glibc
import Posix

/// The connections of one integration. No other integration's requests travel on them, whatever their address: they
/// may carry another credential, or have been made without verification. Names, TLS sessions and connections are kept
/// while the group lives.
package final class ConnectionGroup: Sendable {
  let id: UInt64
  let tls: TLSSettings
  private let mailbox: TransportMailbox

  init(id: UInt64, tls: TLSSettings, mailbox: TransportMailbox) {
    self.id = id
    self.tls = tls
    self.mailbox = mailbox
  }

  deinit { mailbox.post(.closeGroup(id)) }
}

/// The curl thread's half of a group.
final class GroupConnections {
  private static let systemBundle = "/etc/ssl/certs/ca-certificates.crt"
  private static let systemBundleBytesMax = 16 << 20

  let share: UnsafeMutableRawPointer
  let isInsecure: Bool
  /// The system's authorities and the integration's own in one; nil to leave libcurl its default.
  let authorities: UnsafeMutableRawBufferPointer?
  /// Kinds of address that requests to the registry itself were answered from.
  var registryAddressKinds: UInt32 = 0
  var transferCount = 0
  /// The integration is gone: close as soon as the last transfer has ended.
  var isClosing = false

  init(_ tls: TLSSettings) throws {
    guard let share = curl_share_init() else { throw RegistryError(.unreachable, "out of memory", isTransient: true) }
    self.share = share
    isInsecure = tls.isInsecure
    if let additional = tls.additionalAuthorities {
      var bundle: [UInt8] = []
      do {
        bundle = try File.read(Self.systemBundle, limit: Self.systemBundleBytesMax)
      } catch  where error.errno == ENOENT {
        // A machine without the system's bundle trusts the given authorities alone.
      } catch {
        curl_share_cleanup(share)
        throw RegistryError(
          .tlsFailed, "cannot read the system's certificate authorities: \(error)",
          hint: "make \(Self.systemBundle) readable for the daemon", isTransient: true)
      }
      bundle += [UInt8(ascii: "\n")] + additional
      let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bundle.count, alignment: 1)
      copy.copyBytes(from: bundle)
      authorities = copy
    } else {
      authorities = nil
    }
    for data in [CURL_LOCK_DATA_CONNECT, CURL_LOCK_DATA_SSL_SESSION, CURL_LOCK_DATA_DNS] {
      let code = ccurl_share_data(share, data)
      precondition(code == CURLSHE_OK, "libcurl cannot share: \(String(cString: curl_share_strerror(code)))")
    }
  }

  deinit {
    let code = curl_share_cleanup(share)
    precondition(code == CURLSHE_OK, "connections closed under a transfer")
    authorities?.deallocate()
  }
}
