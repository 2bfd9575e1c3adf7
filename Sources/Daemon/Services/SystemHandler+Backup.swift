import API
import Model
import Posix
import RPC
import Registry
import Store
import Synchronization

extension SystemHandler {
  /// The client sets the pace: the store waits for it, and others do not.
  func backup(
    _ request: BackupRequest, _ responses: ResponseStream<BackupResponse>, _ context: CallContext
  ) async throws {
    let sum = BackupSum()
    let info = try await store.backup(now: clock.now, on: files) { bytes in
      sum.add(bytes)
      var response = BackupResponse()
      response.data = bytes
      try await responses.sendWhenReady(response)
    }
    var end = sum.end
    end.takenAt = API.Timestamp(nanoseconds: info.createdAt)
    end.schemaVersion = UInt32(clamping: info.schemaVersion)
    var last = BackupResponse()
    last.end = end
    try await responses.sendWhenReady(last)
  }
}

/// Size and digest of what was sent.
private final class BackupSum: Sendable {
  private struct State {
    let hash = ContentHash(.sha256)
    var size: UInt64 = 0
  }

  private let state = Mutex(State())

  func add(_ bytes: [UInt8]) {
    state.withLock { state in
      state.hash.update(bytes)
      state.size += UInt64(bytes.count)
    }
  }

  /// Once, after all.
  var end: BackupEnd {
    state.withLock { state in
      var end = BackupEnd()
      end.size = state.size
      end.sha256 = state.hash.finish().hex
      return end
    }
  }
}
