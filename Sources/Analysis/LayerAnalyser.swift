import Inventory
import StorageMessages

/// Reads one layer from its first byte to its last and says what is in it. Synchronous and without global state: it runs
/// in a worker process of its own, as the bytes are an attacker's.
package struct LayerAnalyser {
  /// Looks for secrets in a text file, and adds what it finds. What it throws is told, and ends nothing else.
  package typealias SecretSearch =
    (_ file: LayerFile, _ found: inout [SecretRecord]) throws(LayerError) -> Void

  private let limits: AnalysisLimits
  private let secretSearch: SecretSearch?
  private let sink: (any BodySink)?

  /// `sink` gets the bodies of regular files as they are passed, and is told how the reading ended.
  package init(
    limits: AnalysisLimits = .standard, secretSearch: SecretSearch? = nil, sink: (any BodySink)? = nil
  ) {
    self.sink = sink
    self.limits = limits
    self.secretSearch = secretSearch
  }

  /// Never fails: whatever ends the reading early is a fault in the result, beside all that was read before. The input
  /// is read to its end unless such a fault came first.
  package func analyse(_ input: any ChunkSource) -> LayerAnalysis {
    var contents = LayerContents(limits: limits, secretSearch: secretSearch)
    var analysis = LayerAnalysis()
    analysis.analyserVersion = analyserVersion
    var isWhole = false
    do throws(LayerError) {
      let stream = try LayerStream(input, limits: limits)
      analysis.compression = stream.compression.rawValue
      let reader = TarReader(stream, limits: limits, sink: sink)
      do throws(LayerError) {
        while try reader.next() { try contents.take(reader, stream) }
        isWhole = true
      } catch {
        contents.end(by: error)
      }
      contents.readHeld(stream)
      reader.warnings.forEach { contents.report($0) }
      analysis.entries = UInt64(reader.headers)
      analysis.droppedNames = UInt64(reader.droppedNames)
      analysis.uncompressedBytes = UInt64(stream.uncompressedBytes)
      analysis.compressedBytes = UInt64(stream.compressedBytes)
    } catch {
      contents.end(by: error)
    }
    sink?.finish(isWhole: isWhole)
    contents.finish(into: &analysis)
    return analysis
  }
}
