/// What the host name of a private ECR registry tells: `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, with `-fips` after `ecr`
/// and `.cn` at the end where that applies.
package struct ECRHost: Sendable, Equatable {
  static let accountDigits = 12

  let account: String
  let region: String
  private let isFIPS: Bool
  private let domain: String

  /// Nil for every other host: the region must then be given, and nothing is guessed.
  package init?(_ host: String) {
    let labels = host.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard labels.count >= 6, Self.isAccount(labels[0]), labels[1] == "dkr",
      labels[2] == "ecr" || labels[2] == "ecr-fips",
      Self.isRegion(labels[3])
    else { return nil }
    let domain = labels[4...].joined(separator: ".")
    guard domain == "amazonaws.com" || domain == "amazonaws.com.cn" else { return nil }
    account = labels[0]
    region = labels[3]
    isFIPS = labels[2] == "ecr-fips"
    self.domain = domain
  }

  /// The host of the JSON API beside it.
  var apiHost: String { "\(isFIPS ? "ecr-fips" : "api.ecr").\(region).\(domain)" }

  /// The host of the JSON API in a region, for a registry behind a name of one's own.
  static func apiHost(in region: String) -> String {
    "api.ecr.\(region).amazonaws.com" + (region.hasPrefix("cn-") ? ".cn" : "")
  }

  static func isAccount(_ text: String) -> Bool {
    text.utf8.count == accountDigits && text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }

  /// Such as `eu-west-1` or `us-gov-east-1`. It goes into a host name and a signature.
  static func isRegion(_ text: String) -> Bool {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    return (3...5).contains(parts.count) && text.utf8.count <= 32
      && parts.allSatisfy { part in
        !part.isEmpty
          && part.utf8.allSatisfy {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
          }
      }
  }
}
