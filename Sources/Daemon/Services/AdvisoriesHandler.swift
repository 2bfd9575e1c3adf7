import API
import Advisories
import Model
import RPC
import StorageMessages
import Store

/// `tidewaiter.v1.Advisories`. Uploads belong to the user who made them.
struct AdvisoriesHandler: AdvisoriesService {
  let uploads: Uploads
  let imports: Imports
  let advisories: AdvisoryDatabase

  func createUpload(_ request: CreateUploadRequest, _ context: CallContext) async throws -> API.Upload {
    do {
      try AdvisoryDatabase.check(request.name)
    } catch {
      throw RPCError.invalidArgument([("name", error.message)])
    }
    if request.size == 0 { throw RPCError.invalidArgument([("size", "is required: the number of bytes to come")]) }
    return API.Upload(
      try await uploads.create(name: request.name, size: request.size, owner: context.peer.uid))
  }

  func writeUpload(_ request: WriteUploadRequest, _ context: CallContext) async throws -> API.Upload {
    guard request.data.count <= Uploads.chunkBytesMaximum else {
      throw RPCError.invalidArgument([("data", "has \(request.data.count) bytes; at most 1 MiB at a time")])
    }
    return API.Upload(
      try await uploads.write(request.id, offset: request.offset, request.data, owner: context.peer.uid))
  }

  func deleteUpload(_ request: DeleteUploadRequest, _ context: CallContext) async throws -> DeleteUploadResponse {
    try await uploads.drop(request.id, owner: context.peer.uid)
    return DeleteUploadResponse()
  }

  func importUploads(_ request: ImportUploadsRequest, _ context: CallContext) async throws -> API.Import {
    guard !request.uploadIds.isEmpty else { throw RPCError.invalidArgument([("upload_ids", "is required")]) }
    return try imports.start(request.uploadIds, owner: context.peer.uid, actor: context.peer.actor)
  }

  func getImport(_ request: GetImportRequest, _ context: CallContext) async throws -> API.Import {
    try status(request.id)
  }

  func status(_ id: String) throws -> API.Import {
    guard let found = imports.status(id) else {
      throw RPCError(
        .notFound, reason: "UNKNOWN_IMPORT", "no import \(id.excerpt()) is known",
        hint: "the daemon forgets imports when it stops: see what is in force with: tidewaiter db status")
    }
    return found
  }

  func getAdvisoryStatus(_ request: GetAdvisoryStatusRequest, _ context: CallContext) async throws -> API.AdvisoryStatus
  {
    let current = try advisories.status()
    var status = API.AdvisoryStatus()
    status.ecosystems = current.ecosystems.map { record in
      var ecosystem = Ecosystem()
      ecosystem.name = record.name
      ecosystem.advisories = record.advisories
      ecosystem.updatedAt = API.Timestamp(nanoseconds: record.updatedAt)
      return ecosystem
    }
    status.sets = current.sets.map { record in
      var set = AdvisorySet()
      set.name = record.name
      set.records = record.records
      set.importedAt = API.Timestamp(nanoseconds: record.importedAt)
      return set
    }
    return status
  }
}

extension API.Upload {
  fileprivate init(_ upload: Uploads.Upload) {
    self.init()
    id = upload.id
    name = upload.name
    size = upload.size
    received = upload.received
  }
}
