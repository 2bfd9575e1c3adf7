import Inventory

/// Files of a layer of which something is left out for one and the same reason: told once, however many they are, so that
/// they take no other fault's place.
struct LeftOut {
  private var files = 0
  private var first: [UInt8] = []

  mutating func add(_ path: [UInt8]) {
    if files == 0 { first = path }
    files += 1
  }

  /// Nil where there are none. The path is the first one's.
  func error(_ code: LayerError.Code, _ message: (_ files: Int) -> String) -> LayerError? {
    files == 0 ? nil : LayerError(code, message(files), path: first)
  }
}
