import API
import Pipeline
import Store

extension CollectGarbageResponse {
  init(_ outcome: RetentionOutcome) {
    self.init()
    dryRun = outcome.isDryRun
    removed = outcome.removed.map { one in
      var count = GarbageCount()
      count.kind = one.kind.rawValue
      count.count = one.count
      count.rule = one.rule
      return count
    }
    storeBytesUsedBefore = UInt64(outcome.before.usedBytes)
    storeBytesUsed = UInt64(outcome.after.usedBytes)
    storeBytesLimit = UInt64(outcome.after.limitBytes)
    storeFileBytes = UInt64(outcome.after.fileBytes)
    duration = ProtoDuration(.nanoseconds(max(0, outcome.endedAt - outcome.startedAt)))
  }
}
