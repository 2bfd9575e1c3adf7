import Inventory

extension LanguageFile {
  /// Reads the packages that `file` tells of into `collector`. Returns what is wrong with it, for its path: what could be
  /// read counts all the same. Throws what `checkTime` throws, which ends the reading of the layer.
  func parse(
    _ file: LayerFile, into collector: inout PackageCollector, checkTime: () throws(LayerError) -> Void
  ) throws(LayerError) -> [LayerError] {
    []
  }
}
