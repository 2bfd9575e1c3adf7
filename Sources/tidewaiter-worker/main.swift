// Analyses one layer: bytes in, one answer out (`WorkerProtocol`). One thread, plain blocking calls: neither Swift
// concurrency nor Dispatch runs in a confined process.
import Analysis
import Glibc
import Inventory
import Jail
import Secrets

func end(_ reason: String, _ status: Int32) -> Never {
  let line = Array("tidewaiter-worker: \(reason)\n".utf8)
  _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
  exit(status)
}

func send(_ answer: some Collection<UInt8>) {
  var rest = Array(answer)[...]
  while !rest.isEmpty {
    let count = rest.withUnsafeBytes { write(WorkerProtocol.outputDescriptor, $0.baseAddress, $0.count) }
    if count < 0 && errno != EINTR {
      end("the answer could not be written: \(String(cString: strerror(errno)))", WorkerProtocol.exitUnusable)
    }
    rest = rest.dropFirst(max(0, count))
  }
}

var words = Array(CommandLine.arguments.dropFirst())
let contents = words.last.flatMap(ContentsProtocol.Bounds.init(argument:))
if contents != nil { words.removeLast() }
let arguments = words.compactMap(WorkerProtocol.Argument.init)
// A probe reads nothing: what is said of reading does not go with it.
guard arguments.count == words.count, !arguments.contains(.probe) || arguments.count == 1 && contents == nil else {
  end("this program is started by tidewaiterd", EX_USAGE)
}
// A parent that is gone shows as an error of write, not as a signal.
signal(SIGPIPE, SIG_IGN)
do throws(Jail.Refusal) {
  let report = try Jail.enter(
    toleratesMissing: arguments.contains(.probe) || arguments.contains(.bestEffort), handsBack: contents != nil)
  if arguments.contains(.probe) {
    send(report.text.utf8)
    exit(EXIT_SUCCESS)
  }
} catch {
  end(error.description, WorkerProtocol.exitUnconfined)
}
let scanner = SecretScanner()
var limits = AnalysisLimits.standard
if arguments.contains(.largeWindow) { limits.zstdWindowLog = AnalysisLimits.zstdLargeWindowLog }
let output = contents.map { ContentsOutput(WorkerProtocol.contentsDescriptor, bounds: $0) }
let analyser = LayerAnalyser(
  limits: limits, secretSearch: { file, found throws(LayerError) in try scanner.scan(file, into: &found) }, sink: output
)
let analysis = analyser.analyse(DescriptorSource(WorkerProtocol.inputDescriptor))
if analysis.needsLargeWindow {
  end("the layer needs a larger window of zstd", WorkerProtocol.exitNeedsLargeWindow)
}
guard let answer = WorkerProtocol.encodeAnswer(analysis) else {
  end("the analysis is larger than an answer may be", WorkerProtocol.exitUnusable)
}
send(answer)
