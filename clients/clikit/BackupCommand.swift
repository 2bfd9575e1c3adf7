import ArgumentParser
import Digests
import Glibc
import Model
import ProtobufRuntime
import TidewaiterClient

/// `tidewaiter backup`.
struct BackupCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backup",
    abstract: "Write everything the daemon has, but its advisories, to a file.",
    discussion: """
      It shows one instant, while the daemon goes on. It holds the secrets of the integrations, and their key where the \
      daemon has it in its state directory: nobody else can read the file. It has its name when it is whole; until then it \
      is FILE.partial. With - it goes to standard output: to something that takes 64 KiB a second at least, since the \
      daemon's store grows meanwhile, and the daemon ends what is slower.

      tidewaiterd --restore FILE puts it in place of an empty state directory.

      Example:
        tidewaiter backup /var/backups/tidewaiter.backup
      """)

  @Argument(help: ArgumentHelp("Where to write it; - for standard output.", valueName: "FILE"))
  var file: String

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    let isStream = file == "-"
    guard !isStream || isatty(STDOUT_FILENO) == 0 else {
      throw CommandFailure.usage("a terminal shows no backup", hint: "redirect standard output, or name a file")
    }
    try await global.perform { session in
      let target = isStream ? nil : try PartialFile(for: file)
      do {
        let end = try await receive(session, target)
        try target?.finish()
        guard !isStream else { return }
        var document = end.json
        document["file"] = .string(file)
        try session.console.show(document) { session.console.render(facts(of: end)) }
      } catch {
        target?.abandon()
        throw error
      }
    }
  }

  private func receive(_ session: Session, _ target: PartialFile?) async throws -> BackupEnd {
    var progress = ProgressLine(session.console)
    defer { progress.clear() }
    let sum = ContentHash()
    var size: UInt64 = 0
    let end = try await session.wait(orFail: "the backup did not end within --timeout") { rest -> BackupEnd? in
      for try await part in session.system.backup(timeout: rest) {
        if let end = part.end { return end }
        if let target { try target.write(part.data) } else { try session.console.print(bytes: part.data) }
        sum.update(part.data)
        size += UInt64(part.data.count)
        progress.show("\(People.size(size)) written")
      }
      return nil
    }
    guard let end, end.size == size, end.sha256 == sum.finish().hex else {
      throw CommandFailure.local("the backup that came is not whole", hint: "make it again")
    }
    guard !session.console.isOutputClosed else {
      throw CommandFailure.local("nobody reads standard output any more", hint: "make the backup again")
    }
    return end
  }

  private func facts(of end: BackupEnd) -> FactList {
    var facts = FactList()
    facts.add("backup", file)
    facts.add("size", People.size(end.size))
    facts.add("sha256", end.sha256)
    facts.add("taken", People.time(end.takenAt))
    return facts
  }
}
