import Analysis
import Inventory
import StorageMessages

/// Layers whose bytes are the answer of a worker: `echo` gives back what it read.
enum Layers {
  /// The analysis of a layer that holds `files`.
  static func analysis(_ files: [(name: String, text: String)]) -> LayerAnalysis {
    LayerAnalyser().analyse(MemorySource(tar(files)))
  }

  /// A layer for the worker `echo`.
  static func answer(_ files: [(name: String, text: String)]) -> [UInt8] {
    WorkerProtocol.encodeAnswer(analysis(files)) ?? []
  }

  /// A layer for the worker `echo` with nothing of interest in it; different for each `name`.
  static func plain(_ name: String) -> [UInt8] {
    var analysis = analysis([])
    analysis.droppedNames = 0
    analysis.entries = UInt64(name.utf8.reduce(7) { ($0 &* 31 &+ Int($1)) % 1_000_000 })
    return WorkerProtocol.encodeAnswer(analysis) ?? []
  }

  static let osRelease = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"

  static func dpkg(_ packages: [String]) -> String {
    packages.map { name in
      "Package: \(name)\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.34+dfsg-1.2\n"
    }.joined(separator: "\n") + "\n"
  }

  static let debian = [("etc/os-release", osRelease), ("var/lib/dpkg/status", dpkg(["tar", "base-files"]))]

  static func tar(_ files: [(name: String, text: String)]) -> [UInt8] {
    var archive: [UInt8] = []
    for (name, text) in files {
      var header = [UInt8](repeating: 0, count: 512)
      func put(_ text: String, _ offset: Int) {
        header.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
      }
      func octal(_ number: Int, _ digits: Int) -> String {
        let text = String(number, radix: 8)
        return String(repeating: "0", count: digits - text.count) + text
      }
      put(name, 0)
      put("0000644", 100)
      put(octal(text.utf8.count, 11), 124)
      put("00000000000", 136)
      put("        ", 148)
      put("0ustar", 156)
      put("00", 263)
      put(octal(header.reduce(0) { $0 + Int($1) }, 6) + "\0", 148)
      archive += header + Array(text.utf8)
      archive += [UInt8](repeating: 0, count: (512 - text.utf8.count % 512) % 512)
    }
    return archive + [UInt8](repeating: 0, count: 1024)
  }
}
