import Model

extension RegistryClient {
  /// Repositories that a test lists at most: enough to tell whether listing works.
  static let testedRepositoriesMax = 1000
  /// Of which so many are looked into, until one has a tag.
  static let testedExamplesMax = 5

  private struct Enough: Error {}

  /// Lists, and reads a little of what was listed.
  func testListing(_ test: ConnectionTest) async throws {
    var counts: [RepositoryKind: Int] = [:]
    var examples: [ListedRepository] = []
    let listing = RepositoryListing(self) { found in
      counts[found.kind, default: 0] += 1
      if examples.count < Self.testedExamplesMax { examples.append(found) }
      if counts.values.reduce(0, +) >= Self.testedRepositoriesMax { throw Enough() }
    }
    var hasMore = false
    do {
      try await driver.repositories(listing)
    } catch is Enough {
      hasMore = true
    } catch let error as RegistryError {
      test.add(
        .list, .failed, error.message,
        hint: "it needs \(endpoint.vendor.type.rightsNeeded); images can still be added by hand, by their full name")
      return
    }
    let summary = listing.summary
    if let why = summary.incomplete {
      test.add(.list, .failed, "partial: \(why)", hint: "what is listed is polled; the rest is not seen")
    } else {
      test.add(.list, .ok, "\(endpoint.credential.named) may list repositories")
    }
    let count = counts.values.reduce(0, +)
    if count == 0 {
      test.add(
        .repositories, .ok, "no repositories are visible",
        hint: "check the integration's scopes, and what the account may see")
    } else {
      let shown = examples.prefix(3).map(\.repository.path).joined(separator: ", ")
      test.add(
        .repositories, .ok,
        hasMore
          ? "the first \(count) repositories: \(shown), …"
          : "\(count) repositories: \(shown)"
            + (count > 3 ? ", …" : ""))
    }
    testKinds(counts, summary.passedOver, test)
    try await testReading(examples, test)
  }

  /// Whether an image can be read that was listed: its tag and, without its bytes, its manifest.
  private func testReading(_ repositories: [ListedRepository], _ test: ConnectionTest) async throws {
    for listed in repositories {
      var first: ListedTag?
      do {
        let listing = TagListing(self) { tag in
          guard !tag.isOther else { return }
          first = tag
          throw Enough()
        }
        do { try await driver.tags(of: listed, listing) } catch is Enough {}
        guard let first else { continue }
        _ = try await resolve(.tag(first.tag), in: listed.repository)
        return test.add(
          .read, .ok, "\(endpoint.credential.named) may read images: \(listed.repository):\(first.tag) answers")
      } catch let error as RegistryError where error.code == .notFound && first != nil {
        // A tag may be gone since it was listed.
        continue
      } catch let error as RegistryError {
        return test.add(.read, .failed, error.message, hint: "it needs \(endpoint.vendor.type.rightsNeeded)")
      }
    }
    test.add(.read, .skipped, "no tag was found to try to read")
  }

  private func testKinds(
    _ counts: [RepositoryKind: Int], _ passedOver: [RepositoryKind: Int], _ test: ConnectionTest
  ) {
    let polled = RepositoryKind.allCases.compactMap { kind in counts[kind].map { "\($0) \(kind.rawValue)" } }
    let skipped = RepositoryKind.allCases.compactMap { kind in passedOver[kind].map { "\($0) \(kind.rawValue)" } }
    guard !skipped.isEmpty else {
      test.add(.kinds, .ok, polled.isEmpty ? "none" : polled.joined(separator: ", "))
      return
    }
    test.add(
      .kinds, .ok,
      (polled.isEmpty ? "" : polled.joined(separator: ", ") + "; ")
        + "not polled: \(skipped.joined(separator: ", "))",
      hint: passedOver[.remote] == nil ? nil : "remote repositories are polled with --include-remote")
  }
}
