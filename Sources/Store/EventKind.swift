/// What an event tells. The texts are part of the RPC and of what is stored: none changes its meaning.
package enum EventKind: String, Sendable, CaseIterable {
  case integrationCreated = "integration.created"
  case integrationUpdated = "integration.updated"
  /// Nothing finds it any more; its images go in the background.
  case integrationRemoved = "integration.removed"
  case pollStarted = "poll.started"
  case pollEnded = "poll.ended"
  /// The registry grants no more requests for now; the poll goes on later.
  case pollSuspended = "poll.suspended"
  case pollResumed = "poll.resumed"
  /// A run that was due was left out, because a poll had not ended.
  case pollPassedOver = "poll.passed_over"
  /// A run that was due could not start; it is tried again.
  case pollNotStarted = "poll.not_started"
  case jobQueued = "job.queued"
  /// The job reached another state.
  case jobChanged = "job.changed"
  /// A selection of jobs was cancelled; each of them is told of as that is carried out.
  case queueCancelled = "queue.cancelled"
  /// Jobs that have ended were taken off the list by somebody.
  case queueCleared = "queue.cleared"
  /// No more scans start, of one integration or at all.
  case queuePaused = "queue.paused"
  case queueResumed = "queue.resumed"
  /// Reports of the image are stored.
  case imageScanned = "image.scanned"
  /// The image could not be scanned, or is none.
  case imageFailed = "image.failed"
  case advisoriesImported = "advisories.imported"
  /// A call was refused for want of a role.
  case callDenied = "call.denied"
  /// What is kept no longer was removed.
  case storeCollected = "store.collected"
  /// Somebody begins to take everything there is, secrets too.
  case backupStarted = "backup.started"
  /// The backup was given whole, or why it was not.
  case backupEnded = "backup.ended"
  /// Secrets are sealed with another key.
  case keyRotated = "key.rotated"
}
