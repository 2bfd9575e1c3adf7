import Glibc

/// A method as the server serves it, with what its owner wants of its calls.
final class ServedMethod: Sendable {
  let method: RPCMethod
  let rule: RPCServer.Policy.Rule
  /// It may exceed the limit of calls per connection.
  let isExempt: Bool
  fileprivate let service: [UInt8]
  fileprivate let name: [UInt8]

  init(_ method: RPCMethod, _ rule: RPCServer.Policy.Rule, isExempt: Bool) {
    self.method = method
    self.rule = rule
    self.isExempt = isExempt
    service = Array(method.service.utf8)
    name = Array(method.name.utf8)
  }
}

/// The methods by name. Found by the bytes of a request, since making texts of them costs more than the look-up. What is
/// in it is ours: no client can make its chains long.
struct MethodTable: Sendable {
  private let buckets: [[ServedMethod]]
  private let services: Set<String>

  /// No two of `methods` have the same name.
  init(_ methods: [ServedMethod]) {
    var buckets = [[ServedMethod]](repeating: [], count: 256)
    for served in methods {
      let bucket = served.name.withUnsafeBytes(Self.bucket)
      precondition(
        !buckets[bucket].contains { $0.method.fullName == served.method.fullName },
        "\(served.method.fullName) is served twice")
      buckets[bucket].append(served)
    }
    self.buckets = buckets
    services = Set(methods.map(\.method.service))
  }

  func find(_ request: RequestView) -> ServedMethod? {
    buckets[Self.bucket(request.method)].first {
      Self.isSame($0.name, request.method) && Self.isSame($0.service, request.service)
    }
  }

  func hasService(_ name: String) -> Bool { services.contains(name) }

  private static func bucket(_ name: UnsafeRawBufferPointer) -> Int {
    var hash: UInt32 = 2_166_136_261
    for byte in name { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    return Int((hash ^ hash >> 16) & 0xff)
  }

  private static func isSame(_ known: [UInt8], _ name: UnsafeRawBufferPointer) -> Bool {
    guard known.count == name.count, let start = name.baseAddress else { return known.isEmpty && name.isEmpty }
    return known.withUnsafeBytes { memcmp($0.baseAddress ?? start, start, name.count) == 0 }
  }
}
