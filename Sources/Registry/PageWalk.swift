/// The way through the pages of a listing, whose server may lead in circles, repeat itself or never end. Of every page
/// only a fingerprint is kept.
struct PageWalk {
  /// What `last` means to a server, for the page that is asked for on a guess.
  enum Last: Sendable {
    case name
    /// Artifactory counts.
    case count
  }

  /// The query of the page to ask for; nil at the end.
  private(set) var nextQuery: String?
  /// Why the walk stopped before the registry said that it was over.
  private(set) var incomplete: String?

  private let last: Last
  private var pageSize: Int?
  private var pageCount = 0
  private var lastPageCount = 0
  private var nameCount = 0
  private var queries: Set<Int>
  private var pages: Set<Int> = []
  /// The page was asked for on a guess, since no link led to it: finding nothing new there is no failing.
  private var isGuess = false

  init(pageSize: Int, last: Last = .name) {
    let query = "n=\(pageSize)"
    self.last = last
    self.pageSize = pageSize
    nextQuery = query
    queries = [query.hashValue]
  }

  /// After a refusal: whether to ask again, for a page of the registry's own size.
  mutating func dropPageSize() -> Bool {
    guard pageSize != nil, pageCount == 0 else { return false }
    pageSize = nil
    nextQuery = ""
    return true
  }

  /// Takes note of a page; false when it was there before, which ends the walk.
  mutating func arrived(_ names: [String?]) -> Bool {
    pageCount += 1
    lastPageCount = names.count
    nameCount += names.count
    if names.isEmpty { return true }
    guard pages.insert(names.hashValue).inserted else {
      if !isGuess { stop("the registry sent the same page again") }
      nextQuery = nil
      return false
    }
    return true
  }

  /// Decides the next page from the link of this one, which came from `url`.
  mutating func advance(_ link: String?, from url: WebAddress, last: String?) {
    isGuess = false
    guard let link else { return guess(last) }
    let target: WebAddress
    do {
      target = try WebAddress(link, relativeTo: url)
    } catch {
      return stop("the link to the next page cannot be read: \(error.reason)")
    }
    guard target.origin == url.origin else {
      return stop("the link to the next page leads to another origin, \(target.origin)")
    }
    // Only the query is used: some registries link to a path that does not exist.
    guard let query = target.query else { return stop("the link to the next page has no query") }
    go(to: query)
  }

  /// Without a link a page of exactly the size asked for may be the last or not.
  private mutating func guess(_ lastName: String?) {
    guard let pageSize, lastPageCount == pageSize, let lastName else {
      nextQuery = nil
      return
    }
    isGuess = true
    let marker = last == .count ? String(nameCount) : WebAddress.encodedQueryValue(lastName)
    go(to: "n=\(pageSize)&last=\(marker)")
  }

  private mutating func go(to query: String) {
    guard queries.insert(query.hashValue).inserted else {
      return stop("the link to the next page leads back to an earlier one")
    }
    guard pageCount < RegistryClient.pagesMax else {
      return stop("there are more than \(RegistryClient.pagesMax) pages")
    }
    nextQuery = query
  }

  private mutating func stop(_ reason: String) {
    incomplete = reason
    nextQuery = nil
  }
}
