import Registry
import StorageMessages

/// How large an image may be, by what its manifests declare: looked at before a byte of a layer is fetched. A registry that
/// sends more than it declares is cut off where its layer is read.
struct Admission: Sendable, Equatable {
  let bytesMaximum: UInt64
  /// The setting that says so, for people.
  let setting: String

  /// The integration's own limit, else the daemon's.
  init(_ integration: IntegrationRecord, daemonMaximum: UInt64) {
    let isOwn = integration.maxImageBytes > 0
    bytesMaximum = isOwn ? integration.maxImageBytes : daemonMaximum
    setting =
      isOwn
      ? "the integration \(integration.name)'s maximum image size" : "the daemon's setting scanner.imageBytesMaximum"
  }

  /// Of each layer once, over all platforms. Throws `IMAGE_TOO_LARGE`.
  func admit(_ layers: [Descriptor]) throws(ImageProblem) {
    if let layer = layers.first(where: { UInt64($0.size) > bytesMaximum }) {
      throw refusal("the layer \(layer.digest) is declared with", UInt64(layer.size))
    }
    let total = Self.total(layers)
    guard total <= bytesMaximum else {
      throw refusal("the image's \(layers.count) layers are declared with", total)
    }
  }

  /// The sum of declared sizes, or the largest number where they are beyond all numbers.
  static func total(_ layers: [Descriptor]) -> UInt64 {
    layers.reduce(0) { sum, layer in
      let (next, isOver) = sum.addingReportingOverflow(UInt64(layer.size))
      return isOver ? .max : next
    }
  }

  private func refusal(_ what: String, _ bytes: UInt64) -> ImageProblem {
    ImageProblem(
      code: .tooLarge, message: "\(what) \(bytes) bytes, more than the \(bytesMaximum) of \(setting)",
      hint: "raise that limit if the image is to be scanned all the same")
  }
}
