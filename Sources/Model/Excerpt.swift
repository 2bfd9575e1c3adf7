extension StringProtocol {
  /// The text for quoting in a message: whole when short, else its beginning and an ellipsis. Keeps a message small when
  /// what it quotes came from outside.
  package func excerpt(maximumScalars: Int = 64) -> String {
    let scalars = unicodeScalars
    guard let end = scalars.index(scalars.startIndex, offsetBy: maximumScalars, limitedBy: scalars.endIndex),
      end < scalars.endIndex
    else { return String(self) }
    return String(self[..<end]) + "…"
  }
}
