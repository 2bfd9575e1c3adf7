import API
import Model
import Posix
import RPC

/// `grpc.health.v1.Health`: of the daemon as a whole ("") and of each of its services, which serve or stop together.
struct HealthHandler: HealthService {
  let health: Health
  /// Full names.
  let services: Set<String>

  func check(_ request: HealthCheckRequest, _ context: CallContext) throws -> HealthCheckResponse {
    guard isKnown(request.service) else {
      throw RPCError(
        .notFound, reason: "UNKNOWN_SERVICE", "no service \(request.service.excerpt())",
        hint: "ask for \"\", or one of: \(services.sorted().joined(separator: ", "))")
    }
    return Self.response(health.state)
  }

  func watch(
    _ request: HealthCheckRequest, _ responses: ResponseStream<HealthCheckResponse>, _ context: CallContext
  ) async throws {
    guard isKnown(request.service) else {
      // As gRPC has it: the stream goes on, for a service that may come. None does while this daemon runs.
      var unknown = HealthCheckResponse()
      unknown.status = .serviceUnknown
      try responses.send(unknown)
      while true { try await health.change(from: .stopping) }
    }
    health.beginWatch()
    var isTold = false
    defer { if !isTold { health.endWatch() } }
    var state = health.state
    while true {
      try responses.send(Self.response(state))
      if state == .stopping && !isTold {
        isTold = true
        health.endWatch()
      }
      try await health.change(from: state)
      state = health.state
    }
  }

  private func isKnown(_ service: String) -> Bool { service.isEmpty || services.contains(service) }

  private static func response(_ state: Health.State) -> HealthCheckResponse {
    var response = HealthCheckResponse()
    response.status = state == .serving ? .serving : .notServing
    return response
  }
}
