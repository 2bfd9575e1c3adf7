import Foundation
import Model
import Posix
import Registry

/// Debian's docker-registry on a free port of loopback, ended with its owner.
struct RealRegistry: ~Copyable {
  static let isInstalled = Command.path(of: "docker-registry") != nil

  private let process: Process
  let port: Int

  /// Serves the storage under `root`, which several may share. `http` and `auth` are lines for its configuration.
  init(root: String, http: String = "", auth: String = "") throws {
    let configuration = """
      version: 0.1
      log: {level: info, accesslog: {disabled: true}}
      storage: {filesystem: {rootdirectory: \(root)/storage}, delete: {enabled: true}}
      http:
        addr: 127.0.0.1:0
        secret: none
      \(http)
      \(auth)
      """
    let path = "\(root)/config-\(http.isEmpty ? 0 : 1)\(auth.isEmpty ? 0 : 1).yml"
    unlink(path)
    try File.create(path, mode: 0o600, contents: Array(configuration.utf8))
    (process, port) = try Self.start(path)
  }

  private static func start(_ configuration: String) throws -> (Process, Int) {
    let process = Command.process(["docker-registry", "serve", configuration])
    let log = Pipe()
    process.standardError = log
    try process.run()
    let reading = log.fileHandleForReading
    guard let port = port(announcedAt: reading.fileDescriptor) else {
      process.terminate()
      throw Command.Failure(command: "docker-registry", status: -1)
    }
    // What it logs from here on is read and dropped, so that it never waits for a full pipe.
    reading.readabilityHandler = { handle in
      if handle.availableData.isEmpty { handle.readabilityHandler = nil }
    }
    return (process, port)
  }

  deinit {
    process.terminate()
    process.waitUntilExit()
  }

  /// It says "listening on 127.0.0.1:PORT" once it does.
  private static func port(announcedAt log: Int32) -> Int? {
    var text = ""
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(log, &chunk, chunk.count)
      guard count > 0 else { return nil }
      text += String(decoding: chunk[..<count], as: UTF8.self)
      for line in text.split(separator: "\n") {
        let words = line.split(separator: "listening on 127.0.0.1:")
        guard words.count == 2 else { continue }
        let digits = words[1].prefix { $0.isNumber }
        if !digits.isEmpty, digits.endIndex != words[1].endIndex { return Int(digits) }
      }
    }
  }

  // MARK: pushing, by the distribution API

  func push(_ image: TestImage, to repository: String, tag: String) throws {
    for blob in image.blobs { try push(blob: blob, to: repository) }
    try push(manifest: image.manifest, type: "application/vnd.oci.image.manifest.v1+json", to: repository, as: tag)
  }

  func push(blob: [UInt8], to repository: String) throws {
    let (status, headers) = try ask("POST", "/v2/\(repository)/blobs/uploads/")
    guard status == 202, let location = headers["location"] else {
      throw Command.Failure(command: "POST", status: status)
    }
    let target = location.drop { $0 != "/" }.dropFirst(2).drop { $0 != "/" }
    let digest = descriptor(of: blob).digest
    let uploaded = try ask("PUT", "\(target)&digest=\(digest)", type: "application/octet-stream", body: blob).status
    guard uploaded == 201 else { throw Command.Failure(command: "PUT blob", status: uploaded) }
  }

  func push(manifest: [UInt8], type: String, to repository: String, as reference: String) throws {
    let status = try ask("PUT", "/v2/\(repository)/manifests/\(reference)", type: type, body: manifest).status
    guard status == 201 else { throw Command.Failure(command: "PUT manifest", status: status) }
  }

  private func ask(
    _ method: String, _ target: String, type: String = "text/plain", body: [UInt8] = []
  ) throws -> (status: Int32, headers: [String: String]) {
    let connection = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    defer { close(connection) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(connection, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard connected == 0 else { throw PosixError("connect to the registry") }
    let head =
      "\(method) \(target) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nConnection: close\r\nContent-Type: \(type)\r\n"
      + "Content-Length: \(body.count)\r\n\r\n"
    try File.write(Array(head.utf8) + body, to: connection, named: "the registry")
    let answer = try File.read(connection, named: "the registry", limit: 1 << 20)
    let lines = String(decoding: answer, as: UTF8.self).split(separator: "\r\n")
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      let sides = line.split(separator: ": ", maxSplits: 1)
      if sides.count == 2 { headers[sides[0].lowercased()] = String(sides[1]) }
    }
    let words = (lines.first ?? "").split(separator: " ")
    return (words.count > 1 ? Int32(words[1]) ?? 0 : 0, headers)
  }
}
