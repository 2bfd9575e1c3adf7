import StorageMessages

/// What a distribution's advisories are called and compared by.
package struct Distribution: Sendable, Equatable {
  /// Which name of a package an advisory's name is looked up as.
  package enum Naming: Sendable {
    /// The source package, and its version.
    case source
    /// The package itself.
    case binary
    /// Either: an advisory names what its makers found handy.
    case both
  }

  /// OSV's names of the release, e.g. `Ubuntu:22.04:LTS`, the usual one first; an advisory of any of them counts.
  package let ecosystems: [String]
  package static let packageTypes: Set = ["apk", "deb", "rpm"]
  /// Of these, the type that the distribution is made of.
  package let packageType: String
  package let order: VersionOrder
  package let naming: Naming

  /// Nil for a distribution whose advisories this matcher does not know.
  package init?(_ os: OSRelease) {
    let version = os.versionId
    let major = String(version.prefix { $0 != "." })
    switch os.id {
    case "alpine": self.init(["Alpine:v" + Self.majorMinor(version)], .apk, .source)
    case "wolfi": self.init(["Wolfi"], .apk, .both)
    case "chainguard": self.init(["Chainguard"], .apk, .both)
    case "debian": self.init([version.isEmpty ? "Debian:sid" : "Debian:\(major)"], .dpkg, .source)
    case "ubuntu":
      let isLongTerm = version.hasSuffix(".04") && (Int(major) ?? 1).isMultiple(of: 2)
      self.init((isLongTerm ? ["Ubuntu:\(version):LTS"] : []) + ["Ubuntu:\(version)"], .dpkg, .source)
    case "almalinux": self.init(["AlmaLinux:\(major)"], .rpm, .binary)
    case "rocky": self.init(["Rocky Linux:\(major)"], .rpm, .both)
    case "rhel":
      let channels = ["baseos", "appstream", "crb"]
      self.init(channels.map { "Red Hat:enterprise_linux:\(major)::\($0)" }, .rpm, .both)
    case "azurelinux", "mariner": self.init(["Azure Linux:\(major)"], .rpm, .source)
    case "photon": self.init(["Photon OS:\(version)"], .rpm, .both)
    case "sles", "opensuse-leap": self.init([Self.suse(os)], .rpm, .source)
    default: return nil
    }
  }

  private init(_ ecosystems: [String], _ order: VersionOrder, _ naming: Naming) {
    self.ecosystems = ecosystems
    self.order = order
    self.naming = naming
    packageType =
      switch order {
      case .apk: "apk"
      case .dpkg: "deb"
      case .rpm: "rpm"
      }
  }

  /// `3.18` of `3.18.9` and of `3.18_alpha20230329`.
  private static func majorMinor(_ version: String) -> String {
    version.split(separator: ".", omittingEmptySubsequences: false).prefix(2)
      .map { String($0.prefix { $0.isASCII && $0.isNumber }) }.joined(separator: ".")
  }

  /// `SUSE:Linux Enterprise Server 15 SP3` and `openSUSE:Leap 15.4` of the names for people.
  private static func suse(_ os: OSRelease) -> String {
    let vendor = os.id == "sles" ? "SUSE" : "openSUSE"
    let name = os.prettyName.hasPrefix(vendor + " ") ? String(os.prettyName.dropFirst(vendor.count + 1)) : os.prettyName
    return "\(vendor):\(name)"
  }
}
