import Store

/// How long what the store holds is kept, in days where nothing else is said.
package struct RetentionSettings: Sendable, Equatable {
  /// Jobs that have ended, with the records of their attempts.
  package var jobsDays = 90
  package var eventsDays = 90
  /// Events that are kept at most, apart from a batch.
  package var eventsMaximum = StateStore.eventsKept
  /// Images that are gone, with their reports.
  package var reportsDays = 90
  /// Where there are more reports, those of images that are gone longest go early.
  package var reportsMaximum = 500_000
  /// Analyses of layers that no report names.
  package var layersDays = 7
  package var pollsDays = 90
  /// Polls of each integration that are kept whatever their age.
  package var pollsMinimum = 10
  /// Tags and repositories that are gone, what tags pointed to before, and what was read of images that none points to.
  package var tagsDays = 90

  package init() {}
}
