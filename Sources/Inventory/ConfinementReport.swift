/// Which pieces of its confinement a worker has, as it says on request: before it is given any bytes from outside, so that
/// it can be believed.
package struct ConfinementReport: Sendable, Equatable {
  package struct Piece: Sendable, Equatable {
    /// As people are told, such as "seccomp".
    package var name: String
    package var holds: Bool
    /// Without it a worker runs only where the settings allow that.
    package var isRequired: Bool
    /// What holds, or why it does not.
    package var detail: String

    package init(name: String, holds: Bool, isRequired: Bool, detail: String) {
      self.name = name
      self.holds = holds
      self.isRequired = isRequired
      self.detail = detail
    }
  }

  package struct Malformed: Error, Equatable, CustomStringConvertible {
    package let line: String
    package var description: String { "the worker's report of its confinement has a line that is none: \(line)" }
  }

  /// In the order in which they are entered.
  package var pieces: [Piece]

  package init(pieces: [Piece] = []) { self.pieces = pieces }

  /// Required pieces that do not hold.
  package var missing: [Piece] { pieces.filter { $0.isRequired && !$0.holds } }

  private static let separator: Character = "\t"
  private static let piecesMaximum = 64

  /// A line for each piece.
  package var text: String {
    pieces.map { piece in
      [piece.holds ? "holds" : "missing", piece.isRequired ? "required" : "extra", piece.name, piece.detail]
        .joined(separator: String(Self.separator)) + "\n"
    }.joined()
  }

  package init(text: String) throws(Malformed) {
    pieces = []
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: Self.separator, maxSplits: 3, omittingEmptySubsequences: false)
      guard fields.count == 4, ["holds", "missing"].contains(fields[0]), ["required", "extra"].contains(fields[1]),
        pieces.count < Self.piecesMaximum
      else { throw Malformed(line: String(line.prefix(200))) }
      pieces.append(
        Piece(
          name: String(fields[2]), holds: fields[0] == "holds", isRequired: fields[1] == "required",
          detail: String(fields[3])))
    }
    guard !pieces.isEmpty else { throw Malformed(line: "") }
  }
}
