import API
import Model
import Registry
import StorageMessages

/// Settings of how the registry is reached, each read alone.
extension IntegrationReader {
  static let descriptionLengthMaximum = 1000
  static let realmHostsMaximum = 32
  /// Of scopes and of repository keys.
  static let namesMaximum = 100
  static let nameBytesMaximum = 255
  static let pemBytesMaximum = 1 << 20

  mutating func type(_ wanted: String) -> String {
    if VendorRules.of(wanted) == nil {
      let known = VendorRules.types.joined(separator: ", ")
      refuse("type", wanted.isEmpty ? "is required: one of \(known)" : "is none of \(known)")
    }
    return wanted
  }

  /// An empty one is the type's affair.
  mutating func address(_ wanted: String, _ field: String) -> String {
    guard !wanted.isEmpty else { return "" }
    do {
      _ = try RegistryEndpoint(url: wanted)
    } catch {
      refuse(field, error.reason)
    }
    return wanted
  }

  mutating func description(_ wanted: String) -> String {
    if wanted.unicodeScalars.count > Self.descriptionLengthMaximum {
      refuse("description", "is longer than \(Self.descriptionLengthMaximum) characters")
    }
    return wanted
  }

  /// Scopes and repository keys stand in paths of the vendor's API.
  mutating func names(_ wanted: [String], _ field: String, isScope: Bool) -> [String] {
    if wanted.count > Self.namesMaximum { refuse(field, "are more than \(Self.namesMaximum)") }
    var seen: Set<String> = []
    for (index, name) in wanted.prefix(Self.namesMaximum).enumerated() {
      if !Self.isName(name, mayHaveSlashes: isScope) {
        let what = isScope ? "namespace, organisation, group, project or registry id" : "repository key"
        refuse("\(field)[\(index)]", "\"\(name.excerpt())\" can be no \(what)")
      } else if !seen.insert(name).inserted {
        refuse("\(field)[\(index)]", "\"\(name)\" is there twice")
      }
    }
    return wanted
  }

  private static func isName(_ text: String, mayHaveSlashes: Bool) -> Bool {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    return text.utf8.count <= nameBytesMaximum && (mayHaveSlashes || parts.count == 1)
      && parts.allSatisfy { part in
        !part.isEmpty && part != "." && part != ".."
          && part.utf8.allSatisfy { byte in isLetterOrDigit(byte) || "._-:~+@".utf8.contains(byte) }
      }
  }

  private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
    (0x61...0x7a).contains(byte) || (0x41...0x5a).contains(byte) || (0x30...0x39).contains(byte)
  }

  /// It becomes part of a host's name and of a signature.
  mutating func region(_ wanted: String) -> String {
    let parts = wanted.split(separator: "-", omittingEmptySubsequences: false)
    let isRegion =
      (3...5).contains(parts.count) && wanted.utf8.count <= 32
      && parts.allSatisfy { part in
        !part.isEmpty && part.utf8.allSatisfy { Self.isLetterOrDigit($0) && !(0x41...0x5a).contains($0) }
      }
    if !wanted.isEmpty && !isRegion {
      refuse("region", "\"\(wanted.excerpt())\" is no region such as eu-west-1")
    }
    return wanted
  }

  mutating func repositoryAccess(_ wanted: String) -> String {
    if !wanted.isEmpty && !VendorRules.repositoryAccesses.contains(wanted) {
      refuse("repository_access", "is none of \(VendorRules.repositoryAccesses.joined(separator: ", "))")
    }
    return wanted
  }

  mutating func takeTLS(_ wanted: Tls, _ field: String, into record: inout IntegrationRecord) {
    if field == "tls" || field == "tls.insecure" { record.insecure = wanted.insecure }
    if field == "tls" || field == "tls.ca_pem" {
      record.caPem = certificates(wanted.caPem, "tls.ca_pem")
    }
    if field == "tls" || field == "tls.client_certificate_pem" {
      record.clientCertificatePem = certificates(wanted.clientCertificatePem, "tls.client_certificate_pem")
    }
  }

  private mutating func certificates(_ wanted: String, _ field: String) -> [UInt8] {
    let pem = Array(wanted.utf8)
    guard !pem.isEmpty else { return [] }
    guard pem.count <= Self.pemBytesMaximum else {
      refuse(field, "is longer than \(Self.pemBytesMaximum) bytes")
      return []
    }
    do {
      _ = try RegistryEndpoint(url: "https://registry.invalid", caPEM: pem)
    } catch {
      refuse(field, error.reason)
    }
    return pem
  }

  mutating func proxy(_ wanted: String) -> String {
    guard !wanted.isEmpty else { return "" }
    do {
      _ = try ProxyChoice(wanted)
    } catch {
      refuse("proxy.url", error.reason)
    }
    return wanted
  }

  mutating func realmHosts(_ wanted: [String]) -> [String] {
    if wanted.count > Self.realmHostsMaximum {
      refuse("allowed_realm_hosts", "are more than \(Self.realmHostsMaximum)")
    }
    for (index, host) in wanted.prefix(Self.realmHostsMaximum).enumerated() {
      let isHost =
        !host.isEmpty && host.utf8.count <= 253
        && host.utf8.allSatisfy { Self.isLetterOrDigit($0) || ".-:[]".utf8.contains($0) }
      if !isHost { refuse("allowed_realm_hosts[\(index)]", "\"\(host.excerpt())\" is no host name") }
    }
    return wanted
  }
}
