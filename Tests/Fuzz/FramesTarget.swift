@testable import API
@testable import ProtobufRuntime
@testable import RPC

/// What libFuzzer calls: the first byte says what the rest is. Any trap, leak or memory error is a find.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  guard let data, size > 0 else { return 0 }
  let bytes = UnsafeRawBufferPointer(start: data + 1, count: size - 1)
  switch data[0] & 3 {
  case 0: frames(bytes, piece: Int(data[0] >> 2) + 1)
  case 1: envelopes(bytes)
  default: message(bytes, Int(data[0] >> 1))
  }
  return 0
}

/// A connection's bytes, in pieces: frames do not depend on where they are cut.
private func frames(_ bytes: UnsafeRawBufferPointer, piece: Int) {
  func parse(_ piece: Int) -> [Frame.Header] {
    let connection = ServerConnection(
      token: 2, descriptor: -1, peer: Peer(uid: 0, gid: 0, pid: 0), unsentMaximum: 1 << 20,
      budget: UserBudget(limit: .max))
    var headers: [Frame.Header] = []
    var start = 0
    while start < bytes.count {
      let end = min(bytes.count, start + piece)
      connection.receive(UnsafeRawBufferPointer(rebasing: bytes[start..<end])) { header, data in
        headers.append(header)
        if let data { envelopes(data) }
      }
      start = end
    }
    return headers
  }
  precondition(parse(piece) == parse(bytes.count + 1), "frames depend on where they are cut")
}

/// What decodes, encodes to something that decodes to the same.
private func envelopes(_ bytes: UnsafeRawBufferPointer) {
  if let request = try? RequestEnvelope(reading: bytes) {
    precondition((try? RequestEnvelope(decoding: request.encoded())) == request, "a request changed")
  }
  if let response = try? ResponseEnvelope.decode(bytes) {
    let again = try? ResponseEnvelope.decode(ResponseEnvelope.encode(response))
    precondition(again == response, "a response changed")
  }
}

private func message(_ bytes: UnsafeRawBufferPointer, _ choice: Int) {
  func check<M: ProtoMessage>(_: M.Type) {
    guard let message = try? M(packed: bytes, limits: .rpc) else { return }
    let packed = message.packed()
    // A number that is not one differs from itself: the bytes are compared.
    precondition((try? M(packed: packed, limits: .rpc))?.packed() == packed, "\(M.messageName) changed")
  }
  switch choice % 12 {
  case 0: check(Integration.self)
  case 1: check(CreateIntegrationRequest.self)
  case 2: check(UpdateIntegrationRequest.self)
  case 3: check(Report.self)
  case 4: check(ListJobsResponse.self)
  case 5: check(WatchJobsRequest.self)
  case 6: check(Event.self)
  case 7: check(Status.self)
  case 8: check(WriteUploadRequest.self)
  case 9: check(ErrorInfo.self)
  case 10: check(TestIntegrationResponse.self)
  default: check(HealthCheckResponse.self)
  }
}
