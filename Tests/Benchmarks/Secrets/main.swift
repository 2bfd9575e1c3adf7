// How fast files are searched for secrets, and what is found in them: `secrets-benchmark < NAMES`, one path a line. Prints
// `name bytes seconds` for each way of reading them; with `--findings` each finding instead: rule, path, line, excerpt;
// `--under DIRECTORY` names the files as if they lay there, as what is published is searched for less than what is not.
import Glibc
import Inventory
import Secrets
import StorageMessages

struct Named {
  let path: [UInt8]
  let bytes: [UInt8]
}

func read(_ path: String) -> [UInt8]? {
  guard let file = fopen(path, "r") else { return nil }
  defer { fclose(file) }
  guard fseek(file, 0, SEEK_END) == 0 else { return nil }
  let size = ftell(file)
  rewind(file)
  let bytes = [UInt8](unsafeUninitializedCapacity: max(0, size)) { buffer, count in
    count = fread(buffer.baseAddress, 1, buffer.count, file)
  }
  return bytes.count == size ? bytes : nil
}

func seconds(_ body: () -> Void) -> Double {
  var start = timespec()
  var end = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start)
  body()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end)
  return Double(end.tv_sec - start.tv_sec) + Double(end.tv_nsec - start.tv_nsec) / 1e9
}

func search(_ files: [Named], as path: [UInt8]? = nil) -> [SecretRecord] {
  var records: [SecretRecord] = []
  var limits = AnalysisLimits.standard
  limits.secrets = 1_000_000
  let scanner = SecretScanner(limits: limits)
  for file in files {
    let end = (path ?? file.path).withUnsafeBytes { path in
      file.bytes.withUnsafeBytes { bytes -> LayerError? in
        do throws(LayerError) {
          try scanner.scan(path: path, bytes: bytes, into: &records)
          return nil
        } catch {
          return error
        }
      }
    }
    if let end { print("ended early: \(end)") }
  }
  return records
}

let arguments = CommandLine.arguments
let under =
  arguments.firstIndex(of: "--under").flatMap { arguments.indices.contains($0 + 1) ? arguments[$0 + 1] + "/" : nil }
  ?? ""
var files: [Named] = []
while let path = readLine() {
  if let bytes = read(path), bytes.count <= AnalysisLimits.standard.secretFileBytes, !bytes.prefix(8_192).contains(0) {
    files.append(Named(path: Array(under.utf8) + Array(path.utf8.drop { $0 == UInt8(ascii: "/") }), bytes: bytes))
  }
}
if arguments.contains("--findings") {
  for record in search(files) {
    print("\(record.rule)\t\(String(decoding: record.path, as: UTF8.self))\t\(record.line)\t\(record.excerpt)")
  }
} else {
  // The first text of a process: what a worker pays before it looks at anything.
  let first = [Named(path: Array("srv/app/.env".utf8), bytes: Array("AWS_ACCESS_KEY_ID=AKIAQ6KBNXJBTFQXKWOV\n".utf8))]
  let ready = seconds { _ = search(first) }
  let total = files.reduce(0) { $0 + $1.bytes.count }
  var found = 0
  let everything = seconds { found = search(files).count }
  let anchors = seconds { _ = search(files, as: Array("usr/share/doc/text".utf8)) }
  var absent = 0
  let oneByte = seconds {
    for file in files {
      file.bytes.withUnsafeBytes { bytes in
        if let start = bytes.baseAddress, memchr(start, 0, bytes.count) == nil { absent += 1 }
      }
    }
  }
  print("secrets \(total) \(everything)\nanchors \(total) \(anchors)\nmemchr \(total) \(oneByte)")
  print("ready \(first.count) \(ready)")
  print("\(found) findings in \(files.count) files, \(absent) of them without a NUL")
}
