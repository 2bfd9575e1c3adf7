import Model

/// What a token is to be good for, in the token specification's words.
struct Scope: Hashable, Sendable, CustomStringConvertible {
  private static let bytesMax = 512

  let description: String

  /// Listing the registry's repositories.
  static let catalog = Scope(unchecked: "registry:catalog:*")

  /// Reading one repository.
  static func pull(_ repository: Repository) -> Scope { Scope(unchecked: "repository:\(repository):pull") }

  /// Seeing what is said about one repository, in Azure's words.
  static func metadata(_ repository: Repository) -> Scope { Scope(unchecked: "repository:\(repository):metadata_read") }

  private init(unchecked text: String) { description = text }

  /// What a challenge asks for beside `wanted`, cut down to what reading needs: a registry must not obtain, through us,
  /// a token for more than we came for. Nil when nothing acceptable is left, or nothing new.
  init?(challenge text: String, wanted: Scope) {
    guard text.utf8.count <= Self.bytesMax, let asked = Self.parts(text), let own = Self.parts(wanted.description),
      asked.type == own.type,
      // Some registries put a key or a project in front of the name.
      asked.name == own.name || asked.name.hasSuffix("/" + own.name)
    else { return nil }
    let readable: Set<Substring> = own.type == "registry" ? ["*"] : ["pull", "metadata_read"]
    let actions = asked.actions.split(separator: ",").filter { readable.contains($0) }
    guard !actions.isEmpty else { return nil }
    let scope = "\(asked.type):\(asked.name):\(actions.joined(separator: ","))"
    guard scope != wanted.description else { return nil }
    description = scope
  }

  /// `type:name:actions`; the name may hold colons.
  private static func parts(_ text: String) -> (type: Substring, name: Substring, actions: Substring)? {
    guard let first = text.firstIndex(of: ":"), let last = text.lastIndex(of: ":"), first < last else { return nil }
    return (text[..<first], text[text.index(after: first)..<last], text[text.index(after: last)...])
  }
}
