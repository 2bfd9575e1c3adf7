/// The way through a vendor's pages. Servers may lead in circles, repeat themselves, never end, end before all they
/// counted has come, or lose entries while a listing is on its way; whatever was not seen is told by `incomplete`.
///
/// Of all pages but the last two only fingerprints are kept.
struct VendorPageWalk {
  struct Page {
    let identities: [String]
    /// Entries that could not be read.
    let malformed: Int
    let total: Int?
    /// Where it leads when it says so.
    let next: Next
  }

  enum Next {
    case end
    case page(PageCursor)
    /// The page does not say. Pages are numbered; a full one has this many entries.
    case numbered(size: Int)
    case unusable(String)
  }

  /// The page to ask for; nil at the end.
  private(set) var cursor: PageCursor? = .first
  private(set) var incomplete: String?

  private var visited: Set<Int> = [PageCursor.first.hashValue]
  private var fingerprints: Set<Int> = []
  private var pageCount = 0
  private var entryCount = 0
  private var total: Int?
  /// The page before the one at `cursor`.
  private var previous: PageCursor?
  /// Identities of the last two pages, by hash.
  private var window: [Set<Int>] = []
  /// While a page is read for the second time: where to go on after it.
  private var resumption: Next?

  /// Takes note of the page at `cursor` and moves on. Gives the indices of the entries that are new.
  mutating func arrived(_ page: Page) -> [Int] {
    guard let here = cursor else { return [] }
    let before = previous
    let hashes = page.identities.map(\.hashValue)
    let isReread = resumption != nil
    if !isReread {
      guard hashes.isEmpty || fingerprints.insert(hashes.hashValue).inserted else {
        stop("the registry sent the same page again")
        return []
      }
      previous = here
      pageCount += 1
      entryCount += page.malformed
    }
    var seen = window.reduce(into: Set<Int>()) { $0.formUnion($1) }
    let fresh = hashes.indices.filter { seen.insert(hashes[$0]).inserted }
    window = window.suffix(1) + [Set(hashes)]
    entryCount += fresh.count
    let lost = total.flatMap { before in page.total.map { before - $0 } } ?? 0
    total = page.total ?? total
    let next = resumption ?? decided(page.next, after: here, count: hashes.count + page.malformed)
    resumption = nil
    if lost > 0 {
      // Entries of pages that were read have gone, so as many that were to come have moved to the page before this one:
      // there they are seen, unless they are more than it holds.
      if let before, !isReread, lost <= hashes.count {
        resumption = next
        cursor = before
        return fresh
      }
      incomplete = "entries were removed while it was listed"
    }
    advance(to: next)
    return fresh
  }

  /// What `next` means after a page with `count` entries.
  private func decided(_ next: Next, after here: PageCursor, count: Int) -> Next {
    guard case .numbered(let size) = next else { return next }
    let number = if case .number(let number) = here { number } else { 1 }
    if size == 0, count == 0 { return .unusable("the registry says that there is more and sends nothing") }
    let hasMore = total.map { entryCount < $0 && count > 0 } ?? (count >= size)
    return hasMore ? .page(.number(number + 1)) : .end
  }

  private mutating func advance(to next: Next) {
    switch next {
    case .page(let page):
      guard visited.insert(page.hashValue).inserted else {
        return stop("the way to the next page leads back to an earlier one")
      }
      guard pageCount < RegistryClient.pagesMax else {
        return stop("there are more than \(RegistryClient.pagesMax) pages")
      }
      cursor = page
    case .unusable(let reason): stop(reason)
    case .end, .numbered:
      cursor = nil
      if let total, entryCount < total, incomplete == nil {
        incomplete = "the registry counts \(total) entries and sent \(entryCount)"
      }
    }
  }

  private mutating func stop(_ reason: String) {
    incomplete = reason
    cursor = nil
  }
}
