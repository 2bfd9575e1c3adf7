/// How a worker hands back the bytes of a layer's files, for others to look into them: at a descriptor of its own, as a
/// stream of records that ends with one of kind `end` or `endEarly`. Numbers are big-endian.
///
///     record = begin | piece | whole | cut | passedOver | end | endEarly
///     begin      = "F" name            a regular file; its pieces follow, at most `size` bytes all together
///     piece      = "D" count: 4 bytes, so many bytes of the file
///     whole      = "E"                 the file ends, with all of its bytes
///     cut        = "C"                 the layer could not be read further than this in the file
///     passedOver = reason name         a file of which no bytes come; its path is empty where the reason is "N", as its name
///                                      is none inside the image
///     end        = "Z"                 no more files come
///     endEarly   = "Y"                 the same, and the layer was not read to its end: there may be more in it
///     name       = count of the path: 2 bytes, size: 8 bytes, the path
///
/// Whatever else comes was written by somebody who took the worker over.
package enum ContentsProtocol {
  package enum Kind: UInt8, Sendable, CaseIterable {
    case begin = 0x46
    case piece = 0x44
    case whole = 0x45
    case cut = 0x43
    case tooLarge = 0x4c
    case overLayer = 0x42
    case sparse = 0x50
    case unnamed = 0x4e
    case end = 0x5a
    case endEarly = 0x59
  }

  /// Of a record of any kind before a path or the bytes of a piece, its kind left out.
  package static let nameHeaderBytes = 10
  package static let pieceHeaderBytes = 4
  package static let pieceBytesMax = 256 << 10
  package static let pathBytesMax = AnalysisLimits.standard.nameBytes

  /// Whether a path is one inside the image, as the worker writes them.
  package static func isPath(_ path: [UInt8]) -> Bool {
    path.count <= pathBytesMax
      && path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy { part in
        !part.isEmpty && !part.elementsEqual(".".utf8) && !part.elementsEqual("..".utf8) && !part.contains(0)
      }
  }

  /// What a worker is to hand back, as it is told when it is started.
  package struct Bounds: Sendable, Equatable {
    /// Of a file; larger ones are passed over.
    package let fileBytes: Int
    /// Of all files of a layer; one that would exceed it is passed over.
    package let layerBytes: Int

    package init(fileBytes: Int, layerBytes: Int) {
      self.fileBytes = fileBytes
      self.layerBytes = layerBytes
    }

    private static let prefix = "--contents="

    package var argument: String { "\(Self.prefix)\(fileBytes),\(layerBytes)" }

    /// Nil where `argument` is not what `argument` gives.
    package init?(argument: String) {
      guard argument.hasPrefix(Self.prefix) else { return nil }
      let numbers = argument.dropFirst(Self.prefix.count).split(separator: ",", omittingEmptySubsequences: false)
      guard numbers.count == 2, let fileBytes = Int(numbers[0]), let layerBytes = Int(numbers[1]), fileBytes > 0,
        layerBytes > 0
      else { return nil }
      self.init(fileBytes: fileBytes, layerBytes: layerBytes)
    }
  }
}
