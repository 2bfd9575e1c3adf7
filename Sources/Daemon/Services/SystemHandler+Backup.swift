import API
import Logging
import Model
import Posix
import RPC
import StorageMessages
import Store

extension SystemHandler {
  /// The client sets the pace, within limits: the store waits for it, and others do not. Who takes all there is, with its
  /// secrets, is told in the event log before anything is given, and how that ended.
  func backup(
    _ request: BackupRequest, _ responses: ResponseStream<BackupResponse>, _ context: CallContext
  ) async throws {
    await note(.backupStarted, "", context)
    let written: BackupWritten
    do {
      written = try await store.backup(now: clock.now, on: files) { bytes in
        var response = BackupResponse()
        response.data = bytes
        try await responses.sendWhenReady(response)
      }
    } catch {
      let status = ErrorTranslation.status(error)
      await note(.backupEnded, "\(status.code.name): \(status.message)", context)
      throw error
    }
    await note(.backupEnded, "\(written.bytes) bytes", context)
    var end = BackupEnd()
    end.size = written.bytes
    end.sha256 = written.digest.hex
    end.takenAt = API.Timestamp(nanoseconds: written.info.createdAt)
    end.schemaVersion = UInt32(clamping: written.info.schemaVersion)
    var last = BackupResponse()
    last.end = end
    try await responses.sendWhenReady(last)
  }

  /// A store that cannot be written can still be saved: that is when a backup is needed most.
  private func note(_ kind: EventKind, _ detail: String, _ context: CallContext) async {
    var event = EventRecord(kind, time: clock.now)
    event.actor = context.peer.actor
    event.detail = detail
    do {
      try await store.write { [store, event] in try store.append(event, in: $0) }
    } catch {
      log.error(
        "a backup could not be recorded as an event",
        metadata: ["event": "\(kind.rawValue)", "actor": "\(event.actor)", "detail": "\(detail)", "error": "\(error)"])
    }
  }
}
