/// Names of Python packages as PEP 503 compares them.
package enum PythonName {
  /// Lower case, with every run of `-`, `_` and `.` made one `-`.
  package static func normalised(_ name: String) -> String {
    var result: [UInt8] = []
    var isRun = false
    for byte in name.lowercased().utf8 {
      let isSeparator = byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".")
      if !isSeparator {
        result.append(byte)
      } else if !isRun {
        result.append(UInt8(ascii: "-"))
      }
      isRun = isSeparator
    }
    return String(decoding: result, as: UTF8.self)
  }
}
