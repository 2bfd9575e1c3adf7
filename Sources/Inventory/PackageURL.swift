import StorageMessages

/// Which package manager a distribution uses, as far as its os-release tells.
enum DistributionFamily: String {
  case alpine, debian, redHat

  /// Nil for a distribution that is not known, itself or by what it says it is like.
  init?(_ os: OSRelease) {
    for id in [os.id] + os.idLike {
      switch id {
      case "alpine", "wolfi", "chainguard", "postmarketos": self = .alpine
      case "debian", "ubuntu", "raspbian", "kali", "devuan", "linuxmint", "pureos": self = .debian
      case "rhel", "fedora", "centos", "almalinux", "rocky", "ol", "amzn", "scientific", "sles", "sled", "sle_hpc",
        "suse", "opensuse", "opensuse-leap", "opensuse-tumbleweed", "sl-micro", "mariner", "azurelinux", "photon",
        "mageia", "openeuler", "openEuler", "anolis", "alinux", "tencentos", "cloudlinux":
        self = .redHat
      default: continue
      }
      return
    }
    return nil
  }

  /// `PackageDatabase.kind`.
  var databaseKind: String {
    switch self {
    case .alpine: "apk"
    case .debian: "dpkg"
    case .redHat: "rpm"
    }
  }
}

/// Writes package URLs (purl specification) of an image's packages. The namespace of a distribution's package is the
/// distribution's id; it is left out where the distribution is unknown, or is one that has no such packages.
package struct PackageURL: Sendable {
  private let os: OSRelease?
  private let family: DistributionFamily?

  package init(os: OSRelease?) {
    self.os = os
    family = os.flatMap(DistributionFamily.init)
  }

  package func text(_ package: Package) -> String {
    switch package.type {
    case "npm", "pypi", "golang", "maven", "gem", "cargo", "nuget", "composer": Self.languageText(package)
    default: distributionText(package)
    }
  }

  private func distributionText(_ package: Package) -> String {
    var text = "pkg:\(package.type)/"
    let databaseKind = package.type == "deb" ? "dpkg" : package.type
    let distribution = family == nil || family?.databaseKind == databaseKind ? os : nil
    if let id = distribution?.id, !id.isEmpty { text += Self.encode(id.lowercased()) + "/" }
    // rpm's names distinguish case, the others' do not.
    text += Self.encode(package.type == "rpm" ? package.name : package.name.lowercased())
    var version = package.version
    var epoch: String?
    if package.type == "rpm", let colon = version.firstIndex(of: ":") {
      epoch = String(version[..<colon])
      version = String(version[version.index(after: colon)...])
    }
    text += "@" + Self.encode(version)
    var qualifiers: [String] = []
    if !package.arch.isEmpty && package.arch != "(none)" { qualifiers.append("arch=" + Self.encode(package.arch)) }
    if let distribution, !distribution.id.isEmpty {
      let version = distribution.versionId.isEmpty ? "" : "-" + distribution.versionId
      qualifiers.append("distro=" + Self.encode(distribution.id + version))
    }
    if let epoch { qualifiers.append("epoch=" + Self.encode(epoch)) }
    if !qualifiers.isEmpty { text += "?" + qualifiers.joined(separator: "&") }
    return text
  }

  /// Of a language's package; each type has its own rules ("PURL types" of the specification).
  private static func languageText(_ package: Package) -> String {
    var name = package.name
    var version = package.version
    var separator: Character = "/"
    switch package.type {
    case "npm", "composer": name = name.lowercased()
    case "pypi": name = name.lowercased().replacing("_", with: "-")
    case "golang":
      name = name.lowercased()
      if name == "stdlib" && version.hasPrefix("go") { version = String(version.dropFirst(2)) }
    case "maven": separator = ":"
    default: break
    }
    var text = "pkg:\(package.type)/"
    for part in parts(of: name, package.type, separator) { text += encode(String(part)) + "/" }
    text.removeLast()
    text += "@" + encode(version)
    if !package.arch.isEmpty {
      text += (package.type == "gem" ? "?platform=" : "?arch=") + encode(package.arch)
    }
    return text
  }

  /// Namespace and name: a name whose parts are not what its type knows stays in one piece, whatever it holds.
  private static func parts(of name: String, _ type: String, _ separator: Character) -> [Substring] {
    let parts = name.split(separator: separator, omittingEmptySubsequences: false)
    let isKnown =
      switch type {
      case "npm": parts.count == 2 && name.hasPrefix("@")
      case "composer", "maven": parts.count == 2
      case "golang": true
      default: false
      }
    return isKnown && parts.allSatisfy { !$0.isEmpty } ? parts : [Substring(name)]
  }

  /// Percent-encodes all but letters, digits, `.`, `-`, `_`, `~` and the colon (purl specification, "Character encoding").
  private static func encode(_ text: String) -> String {
    var encoded: [UInt8] = []
    let digits = Array("0123456789ABCDEF".utf8)
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"),
        UInt8(ascii: "~"), UInt8(ascii: ":"):
        encoded.append(byte)
      default: encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: encoded, as: UTF8.self)
  }
}
