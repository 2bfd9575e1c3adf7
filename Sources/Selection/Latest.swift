/// A tag that reached the condition, with the date of its image.
package struct DatedTag: Hashable, Sendable {
  package let tag: String
  package let created: CreationDate

  package init(tag: String, created: CreationDate) {
    self.tag = tag
    self.created = created
  }
}

extension LatestCount {
  /// Decides for all tags of one repository that reached the condition, in the order given. The newest by creation date
  /// are selected; of equally old ones the higher by natural version order. All dates must be known by then: the answer
  /// for one tag depends on all others.
  package func decide(_ tags: [DatedTag]) -> [Decision] {
    let newestFirst = tags.indices.sorted { a, b in
      tags[a].created.moment != tags[b].created.moment
        ? tags[a].created.moment > tags[b].created.moment
        : NaturalOrder.precedes(tags[b].tag, tags[a].tag)
    }
    var ranks = [Int](repeating: 0, count: tags.count)
    for (rank, index) in newestFirst.enumerated() { ranks[index] = rank + 1 }
    return zip(tags, ranks).map { tag, rank in
      let place = "\(tag.created), number \(rank) of \(tags.count) by date"
      return rank <= value
        ? .selected(Reason(code: .latest, text: "\(place), among the newest \(value)"))
        : .rejected(Reason(code: .notLatest, text: "\(place), only the newest \(value) are taken"))
    }
  }
}
