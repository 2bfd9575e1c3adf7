import Model

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
  /// for one tag depends on all others. Reasons name no ranks, so that a new tag changes none of the others'.
  package func decide(_ tags: [DatedTag]) -> [Decision] {
    let ranks = tags.map(\.created.rank)
    let newestFirst = tags.indices.sorted { a, b in
      ranks[a] != ranks[b] ? ranks[a] > ranks[b] : NaturalOrder.precedes(tags[b].tag, tags[a].tag)
    }
    var isAmongNewest = [Bool](repeating: false, count: tags.count)
    for index in newestFirst.prefix(value) { isAmongNewest[index] = true }
    let among = "among the newest \(value)"
    return zip(tags, isAmongNewest).map { tag, isAmongNewest in
      isAmongNewest
        ? .selected(Reason(.latest, among, tag.created)) : .rejected(Reason(.notLatest, "not " + among, tag.created))
    }
  }
}

extension CreationDate {
  /// What the newest are chosen by. Images of which only is known when the daemon first saw them are as old as that day:
  /// the moments within it say in what order a poll came by, and versions tell more.
  fileprivate var rank: Int64 {
    let rank =
      source == .firstSeen ? Timestamp(seconds: Int64(moment.date.daysSince1970) * Timestamp.secondsPerDay) : moment
    return rank.nanosecondsSince1970
  }
}
