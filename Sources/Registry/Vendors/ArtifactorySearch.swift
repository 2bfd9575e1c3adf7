import Model
import Posix

/// A search for manifests in Artifactory's query language: one request gives the tags of an image, or of a whole
/// repository key, with dates of upload and digests.
///
/// Only administrators may sort, and only what is included may be seen; `sha256` is known since 5.5.
struct ArtifactorySearch {
  static let pageSize = 1_000

  /// As searches know the key: the cache of a remote one has a name of its own.
  let key: String
  /// Nil for every image of the key.
  let image: String?

  func request(_ cursor: PageCursor) -> VendorAPI.Request {
    let offset = if case .token(let text) = cursor { text } else { "0" }
    // Keys and images hold nothing that JSON would have to escape: they are checked names.
    let path = image.map { ",\"path\":{\"$match\":\"\($0)/*\"}" } ?? ""
    let query = """
      items.find({"repo":"\(key)"\(path),"$or":[{"name":"manifest.json"},{"name":"list.manifest.json"}]})\
      .include("repo","path","name","created","modified","sha256").offset(\(offset)).limit(\(Self.pageSize))
      """
    return .post("/api/search/aql", contentType: "text/plain", Secret(query))
  }

  struct Page: VendorPage {
    private struct Range: Decodable {
      let endPosition: Int?
      let total: Int?
      let notification: String?

      enum CodingKeys: String, CodingKey {
        case total, notification
        case endPosition = "end_pos"
      }
    }

    private let results: Entries<Item>?
    private let range: Range?

    var entries: Entries<Item> { results ?? .none }
    private var count: Int { entries.items.count + entries.malformed }

    /// Some versions count what the answer holds, not what there is.
    var total: Int? { range?.total.flatMap { $0 > count ? $0 : nil } }

    var next: String? {
      guard count > 0, let end = range?.endPosition else { return nil }
      return count >= ArtifactorySearch.pageSize || (total ?? 0) > end ? String(end) : nil
    }

    /// Over its own limit, Artifactory cuts.
    var shortfall: String? { range?.notification }
  }

  struct Item: VendorItem {
    let path: String
    let name: String
    let created: Loose<String>?
    let modified: Loose<String>?
    let sha256: Loose<String>?
    var identity: String { "\(path)/\(name)" }

    /// Nil for what is no tag's manifest: a child of an index, which has its digest for a folder, or an upload on its
    /// way.
    var place: (image: String, tag: Tag)? {
      guard let slash = path.lastIndex(of: "/") else { return nil }
      let folder = path[path.index(after: slash)...]
      guard folder != "_uploads", !folder.hasPrefix("sha256__"), let tag = Tag(folder) else { return nil }
      return (String(path[..<slash]), tag)
    }

    func listed(as tag: Tag) -> ListedTag {
      ListedTag(
        tag, digest: sha256?.value.flatMap { Digest("sha256:" + $0) },
        pushedAt: [created?.date, modified?.date].compactMap { $0 }.max())
    }
  }
}
