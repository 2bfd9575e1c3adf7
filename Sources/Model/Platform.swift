/// A platform of an image index: operating system, architecture and, where it matters, variant, in Go's names
/// (`linux/amd64`, `linux/arm/v7`).
package struct Platform: Hashable, Sendable, CustomStringConvertible {
  package let os: String
  package let architecture: String
  package let variant: String?

  package init(os: String, architecture: String, variant: String? = nil) {
    self.os = os
    self.architecture = architecture
    self.variant = variant.flatMap { $0.isEmpty ? nil : $0 }
  }

  /// Reads `os/architecture[/variant]`.
  package init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard (2...3).contains(parts.count),
      parts.allSatisfy({ part in
        !part.isEmpty && part.utf8.count <= 32
          && part.utf8.allSatisfy { Character.isLowerAlphanumeric($0) || "._-".utf8.contains($0) }
      })
    else { return nil }
    self.init(os: String(parts[0]), architecture: String(parts[1]), variant: parts.count == 3 ? String(parts[2]) : nil)
  }

  package var description: String { variant.map { "\(os)/\(architecture)/\($0)" } ?? "\(os)/\(architecture)" }

  /// The platform this program was built for.
  package static var node: Platform {
    #if arch(x86_64)
      Platform(os: "linux", architecture: "amd64")
    #elseif arch(arm64)
      Platform(os: "linux", architecture: "arm64")
    #else
      #error("name this architecture as Go does")
    #endif
  }

  /// Whether an image for `self` is what was asked for by `wanted`. A variant that is not asked for does not matter;
  /// `arm64` and `arm64/v8` are the same.
  package func satisfies(_ wanted: Platform) -> Bool {
    guard os == wanted.os, architecture == wanted.architecture else { return false }
    guard let wantedVariant = wanted.variant else { return true }
    return variant == wantedVariant || (architecture == "arm64" && wantedVariant == "v8" && variant == nil)
  }
}
