import StorageMessages
import Store

/// Counts tags by the state that they are in. Each is counted once, so that the sum is what was ever listed.
package struct CoverageCount: Sendable, Equatable {
  package struct State: Sendable, Equatable {
    package let status: ImageStatus
    package let reasonCode: String
    package internal(set) var tags: UInt64
    /// The first of them.
    package let example: TagKey
    package let reason: String
  }

  private struct Group: Hashable {
    let status: Int32
    let reasonCode: String
  }

  private var groups: [Group: State] = [:]
  /// The sum over all states.
  package private(set) var tags: UInt64 = 0
  /// All but those that are gone.
  package private(set) var listed: UInt64 = 0

  package init() {}

  package mutating func add(_ key: TagKey, _ state: TagState) {
    tags += 1
    if state.status != .gone { listed += 1 }
    let group = Group(status: state.status.rawValue, reasonCode: state.reasonCode)
    if (groups[group]?.tags += 1) != nil { return }
    groups[group] = State(
      status: state.status, reasonCode: state.reasonCode, tags: 1, example: key, reason: state.reason)
  }

  /// In the order of statuses, of one status the largest first.
  package var states: [State] {
    let order = Dictionary(uniqueKeysWithValues: TagState.statuses.enumerated().map { ($1.rawValue, $0) })
    return groups.values.sorted { a, b in
      let (first, second) = (order[a.status.rawValue] ?? .max, order[b.status.rawValue] ?? .max)
      if first != second { return first < second }
      return a.tags != b.tags ? a.tags > b.tags : a.reasonCode < b.reasonCode
    }
  }
}

/// Counts repositories by the state that they are in. An area that was passed over whole counts as what it stands for.
package struct RepositoryCount: Sendable, Equatable {
  package struct State: Sendable, Equatable {
    package let state: RepositoryState
    package let reasonCode: String
    package internal(set) var repositories: UInt64
    /// The first of them.
    package let example: String
    package let reason: String
  }

  private struct Group: Hashable {
    let state: Int32
    let reasonCode: String
  }

  private var groups: [Group: State] = [:]
  package private(set) var repositories: UInt64 = 0

  package init() {}

  package mutating func add(_ name: String, _ record: RepositoryRecord) {
    let count = UInt64(max(record.count, 1))
    repositories += count
    let group = Group(state: record.state.rawValue, reasonCode: record.reasonCode)
    if (groups[group]?.repositories += count) != nil { return }
    groups[group] = State(
      state: record.state, reasonCode: record.reasonCode, repositories: count, example: name, reason: record.reason)
  }

  package var states: [State] {
    groups.values.sorted { a, b in
      (a.state.rawValue, b.repositories, a.reasonCode) < (b.state.rawValue, a.repositories, b.reasonCode)
    }
  }
}
