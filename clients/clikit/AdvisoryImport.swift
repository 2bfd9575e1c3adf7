import TidewaiterClient

/// Uploads advisory sets and has them imported together.
struct AdvisoryImport {
  /// Longest part of an upload that one call carries.
  private static let chunkMaximum = 1 << 20

  private let session: Session
  private var progress: ProgressLine
  private var uploads: [Upload] = []

  init(_ session: Session) {
    self.session = session
    progress = ProgressLine(session.console)
  }

  /// The import when it has ended, well or not. What was uploaded is taken back where the import did not come about.
  mutating func run(_ sources: [AdvisorySource]) async throws -> Import {
    defer { progress.clear() }
    do {
      for source in sources { try await upload(source) }
      let ended = try await importUploads()
      if ended.state != .finished { await takeBack() }
      return ended
    } catch {
      await takeBack()
      throw error
    }
  }

  private mutating func upload(_ source: AdvisorySource) async throws {
    var creation = CreateUploadRequest()
    creation.name = source.name
    creation.size = source.size
    let upload = try await session.advisories.createUpload(creation)
    uploads.append(upload)
    var stream = AdvisoryStream(source)
    var offset: UInt64 = 0
    while true {
      progress.show("uploading \(source.name): \(People.size(offset)) of \(People.size(source.size))")
      var write = WriteUploadRequest()
      write.id = upload.id
      write.offset = offset
      write.data = try stream.next(atMost: Self.chunkMaximum)
      if write.data.isEmpty { return }
      offset += UInt64(write.data.count)
      let answer = try await session.advisories.writeUpload(write)
      guard answer.received == offset else {
        throw TidewaiterError(
          .dataLoss, "the daemon has \(answer.received) bytes of \(source.name) where \(offset) were sent")
      }
    }
  }

  private mutating func importUploads() async throws -> Import {
    var request = ImportUploadsRequest()
    request.uploadIds = uploads.map(\.id)
    let started = try await session.advisories.importUploads(request)
    if started.state != .running { return started }
    var question = WatchImportRequest()
    question.id = started.id
    return try await session.wait(orFail: "the import did not end within --timeout") { rest in
      var latest = started
      for try await state in session.advisories.watchImport(question, timeout: rest) {
        latest = state
        progress.show("importing: \(state.recordsRead) records read, \(state.recordsSkipped) skipped")
      }
      return latest
    }
  }

  /// Deletes the uploads, so that they do not fill the daemon's disk.
  private mutating func takeBack() async {
    progress.clear()
    for upload in uploads {
      var request = DeleteUploadRequest()
      request.id = upload.id
      do throws(TidewaiterError) {
        _ = try await session.advisories.deleteUpload(request)
      } catch let error where error.code == .notFound {
        // The daemon has dropped it by itself.
      } catch let error where error.code == .unavailable {
        // The daemon is gone, which the failure at hand says already.
        return
      } catch {
        session.console.warn("the upload of \(upload.name) is still with the daemon: \(error)")
      }
    }
    uploads = []
  }
}
