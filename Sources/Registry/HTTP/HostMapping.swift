import CCurlShim

/// A host that is reached at another address than its name resolves to: "host:port=address:port". What is sent, the name
/// that a certificate must have, and who may see a credential stay those of the host.
package struct HostMapping: Sendable, Hashable, CustomStringConvertible {
  package static let countMax = 256

  package struct Malformed: Error, Equatable, CustomStringConvertible {
    package let description: String

    package init(description: String) { self.description = description }
  }

  let host: String
  let port: Int
  let address: String
  let addressPort: Int

  package var description: String { "\(host):\(port)=\(address):\(addressPort)" }

  /// What is mapped: "host:port".
  package var source: String { "\(host):\(port)" }

  /// In libcurl's spelling.
  var connectTo: String { "\(host):\(port):\(address):\(addressPort)" }

  package init(_ text: String) throws(Malformed) {
    let sides = text.split(separator: "=", omittingEmptySubsequences: false)
    guard sides.count == 2 else {
      throw Malformed(description: "\"\(ForeignText.escaped(text))\" is not of the form host:port=address:port")
    }
    (host, port) = try Self.endpoint(sides[0], of: text)
    (address, addressPort) = try Self.endpoint(sides[1], of: text)
    guard ccurl_address_kind(address.filter { $0 != "[" && $0 != "]" }) != 0 else {
      throw Malformed(
        description:
          "\"\(ForeignText.escaped(text))\": \(ForeignText.escaped(sides[1])) does not begin with an IP address"
          + " (IPv6 in brackets)")
    }
  }

  private static func endpoint(_ side: Substring, of text: String) throws(Malformed) -> (String, Int) {
    func malformed(_ reason: String) -> Malformed {
      Malformed(description: "\"\(ForeignText.escaped(text))\": \(ForeignText.escaped(side)) \(reason)")
    }
    guard let colon = side.lastIndex(of: ":"), !side[colon...].contains("]") else { throw malformed("has no port") }
    let digits = side[side.index(after: colon)...]
    guard let port = Int(digits), (1...65535).contains(port), digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 })
    else {
      throw malformed("has no port from 1 to 65535")
    }
    do {
      let address = try WebAddress("http://\(side)")
      guard address.path == "/", address.query == nil, !address.hasFragment, !address.host.contains("%") else {
        throw malformed("is more than a host and a port")
      }
      return (address.host, port)
    } catch let error as Malformed {
      throw error
    } catch let error as WebAddress.Malformed {
      throw malformed("is no host: \(error.reason)")
    } catch {
      throw malformed("is no host")
    }
  }
}
