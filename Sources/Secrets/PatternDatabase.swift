import CVectorscan
import Inventory
import SecretRules

/// The compiled anchors of all rules, in the multi-pattern library's own form, and what it needs to scan with them.
/// Making it ready takes some ten microseconds: it was compiled when Tidewaiter was built.
final class PatternDatabase {
  private let database: OpaquePointer
  private let scratch: OpaquePointer

  init() throws(LayerError) {
    var database: OpaquePointer?
    var status = CompiledPatterns.words.withUnsafeBytes { bytes in
      hs_deserialize_database(
        bytes.baseAddress?.assumingMemoryBound(to: CChar.self), CompiledPatterns.byteCount, &database)
    }
    guard status == HS_SUCCESS, let database else {
      throw LayerError(
        .secretsNotRead,
        "the patterns of secrets cannot be used on this machine (\(status)): its processor may lack SSE 4.2")
    }
    var scratch: OpaquePointer?
    status = hs_alloc_scratch(database, &scratch)
    guard status == HS_SUCCESS, let scratch else {
      hs_free_database(database)
      throw LayerError(.outOfMemory, "there is no memory to look for secrets (\(status))")
    }
    self.database = database
    self.scratch = scratch
  }

  deinit {
    hs_free_scratch(scratch)
    hs_free_database(database)
  }

  /// Calls `found` with the rule's number and the end of its anchor wherever one stands, until it answers false.
  func scan(_ bytes: UnsafeRawBufferPointer, _ found: (_ rule: Int, _ end: Int) -> Bool) throws(LayerError) {
    guard !bytes.isEmpty else { return }
    let status = withoutActuallyEscaping(found) { found in
      var body = found
      return withUnsafeMutablePointer(to: &body) { body in
        hs_scan(
          database, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), UInt32(bytes.count), 0, scratch,
          { rule, _, end, _, context in
            let found = context?.assumingMemoryBound(to: ((Int, Int) -> Bool).self)
            return found?.pointee(Int(rule), Int(end)) == true ? 0 : 1
          }, body)
      }
    }
    guard status == HS_SUCCESS || status == HS_SCAN_TERMINATED else {
      throw LayerError(.secretsNotRead, "the search for secrets failed (\(status))")
    }
  }
}
