/// One page of a catalog or a tag list.
enum NamePage {
  private struct JSON: Decodable {
    let repositories: [Entry]?
    let tags: [Entry]?
  }

  /// An entry that is no string must not cost the rest of the page.
  private struct Entry: Decodable {
    let name: String?

    init(from decoder: any Decoder) throws {
      do {
        name = try decoder.singleValueContainer().decode(String.self)
      } catch is DecodingError {
        name = nil
      }
    }
  }

  /// The entries under `key`, nil for each that is no string. None where the field is null or missing.
  static func names(in bytes: [UInt8], key: String, subject: String) throws(RegistryError) -> [String?] {
    let json = try JSONReader.decode(JSON.self, bytes, what: subject)
    return ((key == "tags" ? json.tags : json.repositories) ?? []).map(\.name)
  }
}
