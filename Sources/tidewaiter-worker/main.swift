// Analyses one layer: bytes in, one answer out (`WorkerProtocol`). One thread, plain blocking calls: neither Swift
// concurrency nor Dispatch runs in a confined process.
import Analysis
import Glibc
import Inventory
import Secrets

func end(_ reason: String) -> Never {
  let line = Array("tidewaiter-worker: \(reason)\n".utf8)
  _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
  exit(WorkerProtocol.exitUnusable)
}

func send(_ answer: [UInt8]) {
  var sent = 0
  while sent < answer.count {
    let count = answer[sent...].withUnsafeBytes { write(WorkerProtocol.outputDescriptor, $0.baseAddress, $0.count) }
    if count < 0 && errno != EINTR { end("the answer could not be written: \(String(cString: strerror(errno)))") }
    sent += max(0, count)
  }
}

// A parent that is gone shows as an error of write, not as a signal.
signal(SIGPIPE, SIG_IGN)
do throws(Confinement.Failure) {
  try Confinement.enter()
} catch {
  end(error.description)
}
let scanner = SecretScanner()
let analyser = LayerAnalyser { file, found throws(LayerError) in try scanner.scan(file, into: &found) }
let analysis = analyser.analyse(DescriptorSource(WorkerProtocol.inputDescriptor))
guard let answer = WorkerProtocol.encodeAnswer(analysis) else { end("the analysis is larger than an answer may be") }
send(answer)
