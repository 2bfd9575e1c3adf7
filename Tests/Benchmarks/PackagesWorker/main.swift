// The worker without its search for secrets, for Tests/Benchmarks/analysis.py: what packages alone cost. The product has no
// setting that turns the search off.
import Analysis
import Glibc
import Inventory
import Jail

func send(_ answer: some Collection<UInt8>) {
  var rest = Array(answer)[...]
  while !rest.isEmpty {
    let count = rest.withUnsafeBytes { write(WorkerProtocol.outputDescriptor, $0.baseAddress, $0.count) }
    guard count >= 0 else { exit(WorkerProtocol.exitUnusable) }
    rest = rest.dropFirst(count)
  }
}

do throws(Jail.Refusal) {
  let argument = CommandLine.arguments.dropFirst().first.flatMap(WorkerProtocol.Argument.init)
  let report = try Jail.enter(toleratesMissing: argument != nil)
  if argument == .probe {
    send(report.text.utf8)
    exit(EXIT_SUCCESS)
  }
} catch {
  exit(WorkerProtocol.exitUnconfined)
}
let analysis = LayerAnalyser().analyse(DescriptorSource(WorkerProtocol.inputDescriptor))
guard let answer = WorkerProtocol.encodeAnswer(analysis) else { exit(WorkerProtocol.exitUnusable) }
send(answer)
