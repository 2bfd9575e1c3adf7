import ArgumentParser
import Glibc
import Model

/// The client's entry.
package enum CommandLineClient {
  /// Runs one command line (without the program's name) and returns the exit code.
  package static func run(_ arguments: [String]) async -> Int32 {
    // A reader that goes away shows as EPIPE, not as our death.
    signal(SIGPIPE, SIG_IGN)
    do {
      var command = try TidewaiterCommand.parseAsRoot(arguments)
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
      return 0
    } catch let failure as CommandFailure {
      return report(failure, arguments)
    } catch {
      return reportUsage(error, arguments)
    }
  }

  private static func report(_ failure: CommandFailure, _ arguments: [String]) -> Int32 {
    Console.report(failure, as: format(in: arguments))
    return failure.exit.rawValue
  }

  /// Help that was asked for, a command line that does not parse, or an error nobody expected.
  private static func reportUsage(_ error: any Error, _ arguments: [String]) -> Int32 {
    let exit = TidewaiterCommand.exitCode(for: error)
    if exit.isSuccess {
      do {
        try Console(format: .table, noColour: true).print(TidewaiterCommand.fullMessage(for: error) + "\n")
        return 0
      } catch let failure as CommandFailure {
        return report(failure, arguments)
      } catch {
        return report(.local("\(error)", hint: nil), arguments)
      }
    }
    let message = TidewaiterCommand.message(for: error)
    guard exit == .validationFailure else { return report(.local(message, hint: nil), arguments) }
    // The parser's own text has the usage line of the command in question.
    let lines = TidewaiterCommand.fullMessage(for: error).split(separator: "\n").map { line in
      String(line.drop { $0 == " " })
    }
    let usage = lines.last { $0.hasPrefix("Usage: ") }.map { "usage: " + $0.dropFirst("Usage: ".count) }
    return report(.usage(message, hint: usage ?? "see tidewaiter --help"), arguments)
  }

  /// The output format that the arguments ask for, read without the parser: it has failed, or its result is gone.
  package static func format(in arguments: [String]) -> OutputFormat {
    var format = OutputFormat.table
    for (index, argument) in arguments.enumerated() {
      let value: Substring? =
        switch argument {
        case "--": nil
        case "-o", "--output": arguments.dropFirst(index + 1).first.map { $0[...] }
        case _ where argument.hasPrefix("--output="): argument.dropFirst("--output=".count)
        case _ where argument.hasPrefix("-o"): argument.dropFirst(argument.hasPrefix("-o=") ? 3 : 2)
        default: nil
        }
      if argument == "--" { break }
      if let value, let named = OutputFormat(rawValue: String(value)) { format = named }
    }
    return format
  }
}

/// `tidewaiter`.
struct TidewaiterCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "tidewaiter",
    abstract: "Watch registries, scan the images that arrive, and read what was found.",
    discussion: """
      The client of tidewaiterd: every command asks the daemon over its Unix socket.

      Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a scan failed under --wait, 4 no daemon on the socket, \
      5 permission denied, 124 --timeout ran out.

      Example:
        tidewaiter integration add hub --type docker-registry \\
          --url https://registry.example.com
        tidewaiter image add hub/library/alpine:3.20 --wait
        tidewaiter image report hub/library/alpine:3.20
      """,
    version: Build.version,
    subcommands: [
      IntegrationCommand.self, ImageCommand.self, QueueCommand.self, DatabaseCommand.self, EventsCommand.self,
      StatusCommand.self, SystemCommand.self, BackupCommand.self, GarbageCommand.self, VersionCommand.self,
    ])

  @OptionGroup(title: "Global options") var global: GlobalOptions
}

/// A command that only holds others: called alone it is incomplete.
protocol CommandGroup: ParsableCommand {}

extension CommandGroup {
  func run() throws {
    Console.writeError(TidewaiterCommand.helpMessage(for: Self.self) + "\n")
    throw CommandFailure.usage("a command is missing", hint: "name one of those above")
  }
}
