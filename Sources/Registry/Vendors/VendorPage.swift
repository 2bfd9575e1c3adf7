/// An entry of a vendor's listing.
protocol VendorItem: Decodable, Sendable {
  /// Tells it from the other entries of the listing.
  var identity: String { get }
}

/// A page of a vendor's listing, as its JSON decodes. `Entries` is one where the JSON is an array.
protocol VendorPage: Decodable, Sendable {
  associatedtype Item: VendorItem
  var entries: Entries<Item> { get }
  /// What leads to the next page where the body tells: an address, or a token. Nil or empty: there is none.
  var next: String? { get }
  /// Whether there is another page, where the body says just that.
  var hasMore: Bool? { get }
  /// The entries of the whole listing, where the body counts them.
  var total: Int? { get }
  /// Why the page holds less than it should, where the body says so.
  var shortfall: String? { get }
}

extension VendorPage {
  var next: String? { nil }
  var hasMore: Bool? { nil }
  var total: Int? { nil }
  var shortfall: String? { nil }
}

/// A JSON array of which an entry that does not decode costs no other. Null is empty.
struct Entries<Item: VendorItem>: VendorPage {
  let items: [Item]
  /// Entries that did not decode.
  let malformed: Int

  var entries: Entries<Item> { self }

  private struct Tolerant: Decodable {
    let item: Item?

    init(from decoder: any Decoder) throws {
      do {
        item = try Item(from: decoder)
      } catch is DecodingError {
        item = nil
      }
    }
  }

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let all = container.decodeNil() ? [] : try container.decode([Tolerant].self)
    items = all.compactMap(\.item)
    malformed = all.count - items.count
  }

  static var none: Entries<Item> { Entries(items: [], malformed: 0) }

  private init(items: [Item], malformed: Int) {
    self.items = items
    self.malformed = malformed
  }
}

/// How a vendor leads from page to page.
enum PageStyle: Sendable {
  /// `page=1`, `page=2`, …: to the total where it is known, else to the first page that is not full.
  case numbered(size: Int, page: String = "page", sizeName: String = "page_size", totalHeader: String? = nil)
  /// The header `Link` with the relation `next`; of its address only the query is used. Where the server writes links
  /// under a name of its own, another origin than the one asked is no sign of anything.
  case link(sameOrigin: Bool = true, totalHeader: String? = nil)
  /// The page's `next` is an address of the same origin; only its query is used.
  case address
  /// The page's `next` is a token to send back under this name.
  case token(String)
}

/// What to ask for next. Requests with a body of their own (a search in a POST) are made from it by the driver.
enum PageCursor: Sendable, Hashable {
  case first
  /// Counted from 1.
  case number(Int)
  case token(String)
  /// The whole query.
  case query(String)
}
