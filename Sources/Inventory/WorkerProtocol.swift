import ProtobufRuntime
import StorageMessages

/// Rises whenever the same layer would give another analysis; stored analyses of another version are not used.
package let analyserVersion: UInt32 = 4

/// How the daemon and a worker talk: the layer's bytes go in at one descriptor until its end, one answer comes out of
/// another, and the worker exits with 0. A worker that met a bound may answer before it has read all; the writer then
/// sees EPIPE, which is no error.
///
///     answer = "TWA1"  length: 4 bytes, big-endian  LayerAnalysis, packed
package enum WorkerProtocol {
  package static let inputDescriptor: Int32 = 0
  package static let outputDescriptor: Int32 = 1
  /// Where the bytes of files go (`ContentsProtocol`), of a worker that is to hand them back.
  package static let contentsDescriptor: Int32 = 3
  /// The first two, and standard error, of which a worker has no more; one that hands file bytes back has a fourth.
  package static func descriptors(handsBack: Bool) -> Int { handsBack ? 4 : 3 }
  package static let magic = Array("TWA1".utf8)
  package static let headerBytes = 8
  /// Of the packed analysis. A reader never takes more than `headerBytes` and this.
  package static let answerBytesMax = 64 << 20

  /// Bounds of the worker process. `cpuSeconds` lies above `AnalysisLimits.cpuSeconds`, so that the analysis can still
  /// say what happened.
  package static let addressSpaceBytes: UInt64 = 1 << 30
  package static let cpuSeconds: UInt64 = 330
  /// The protocol's, and one more while the worker confines itself.
  package static func openFiles(handsBack: Bool) -> UInt64 { UInt64(descriptors(handsBack: handsBack) + 1) }

  /// What the worker program may be told; without, it refuses to read anything unless it is wholly confined, and takes no
  /// window of zstd that is larger than `AnalysisLimits.zstdWindowLog` says. Another argument, `ContentsProtocol.Bounds`, has
  /// it hand file bytes back.
  package enum Argument: String, Sendable, CaseIterable {
    /// Says which pieces of the confinement hold, as a `ConfinementReport`, and ends.
    case probe = "--probe"
    /// Reads also where a piece does not hold.
    case bestEffort = "--best-effort"
    /// Takes windows of zstd up to `AnalysisLimits.zstdLargeWindowLog`.
    case largeWindow = "--large-window"
  }

  /// Exit codes other than 0; the reason is on standard error.
  package static let exitUnusable: Int32 = 71
  package static let exitUnconfined: Int32 = 72
  /// Would have to be told `Argument.largeWindow`. There is no answer then, and the rest of the layer is of no use.
  package static let exitNeedsLargeWindow: Int32 = 73

  /// Why an answer cannot be used. The answer is hostile input: whoever took over a worker wrote it.
  package struct MalformedAnswer: Error, Equatable, CustomStringConvertible {
    package let reason: String
    package var description: String { "the worker's answer is malformed: \(reason)" }
  }

  /// Nil when the analysis is larger than an answer may be.
  package static func encodeAnswer(_ analysis: LayerAnalysis) -> [UInt8]? {
    let packed = analysis.packed()
    guard packed.count <= answerBytesMax else { return nil }
    return magic + withUnsafeBytes(of: UInt32(packed.count).bigEndian, Array.init) + packed
  }

  /// The length of the packed analysis that follows a header.
  package static func answerLength(header: some Collection<UInt8>) throws(MalformedAnswer) -> Int {
    guard header.count == headerBytes, header.starts(with: magic) else {
      throw MalformedAnswer(reason: "it does not begin with its magic number and length")
    }
    let length = header.suffix(4).reduce(0) { $0 << 8 | Int($1) }
    guard length <= answerBytesMax else { throw MalformedAnswer(reason: "it claims \(length) bytes") }
    return length
  }

  /// The analysis in a whole answer, header included, once each part of it was found to be what a worker of this version
  /// can say.
  package static func decodeAnswer(_ answer: [UInt8]) throws(MalformedAnswer) -> LayerAnalysis {
    let length = try answerLength(header: answer.prefix(headerBytes))
    guard answer.count == headerBytes + length else {
      throw MalformedAnswer(reason: "it announces \(length) bytes and holds \(max(0, answer.count - headerBytes))")
    }
    let analysis: LayerAnalysis
    do throws(MalformedMessage) {
      analysis = try LayerAnalysis(packed: Array(answer[headerBytes...]), limits: .workerAnswer)
    } catch {
      throw MalformedAnswer(reason: error.description)
    }
    try AnalysisValidator().validate(analysis)
    return analysis
  }
}

extension LayerAnalysis {
  /// It ended for want of `WorkerProtocol.Argument.largeWindow`.
  package var needsLargeWindow: Bool { faults.contains { $0.code == LayerError.Code.windowNotAllowed.rawValue } }

  /// Whether the same bytes give the same again, so that it may be kept for the next who asks.
  package var isLasting: Bool { faults.allSatisfy { LayerError.Code(rawValue: $0.code)?.isLasting != false } }
}

extension MessageLimits {
  /// A layer's packages are at most 100,000 messages; the rest is paths.
  package static var workerAnswer: MessageLimits {
    var limits = storage
    limits.depth = 8
    limits.elements = 4_000_000
    limits.memoryBytes = 512 << 20
    return limits
  }
}
