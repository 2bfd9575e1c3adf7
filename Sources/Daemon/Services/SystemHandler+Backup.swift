import API
import Model
import Posix
import RPC
import Store

extension SystemHandler {
  /// The client sets the pace: the store waits for it, and others do not.
  func backup(
    _ request: BackupRequest, _ responses: ResponseStream<BackupResponse>, _ context: CallContext
  ) async throws {
    let written = try await store.backup(now: clock.now, on: files) { bytes in
      var response = BackupResponse()
      response.data = bytes
      try await responses.sendWhenReady(response)
    }
    var end = BackupEnd()
    end.size = written.bytes
    end.sha256 = written.digest.hex
    end.takenAt = API.Timestamp(nanoseconds: written.info.createdAt)
    end.schemaVersion = UInt32(clamping: written.info.schemaVersion)
    var last = BackupResponse()
    last.end = end
    try await responses.sendWhenReady(last)
  }
}
