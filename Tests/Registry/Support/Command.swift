import Foundation

/// A program of the system, run to its end or kept running.
enum Command {
  struct Failure: Error { let command: String, status: Int32 }

  static func path(of program: String) -> String? {
    ["/usr/bin/", "/usr/sbin/", "/bin/"].map { $0 + program }.first { access($0, X_OK) == 0 }
  }

  static func run(_ arguments: [String]) throws {
    let process = process(arguments)
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Failure(command: arguments.joined(separator: " "), status: process.terminationStatus)
    }
  }

  /// Reads nothing and writes to nowhere.
  static func process(_ arguments: [String]) -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    return process
  }
}
