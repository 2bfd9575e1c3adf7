import TestSupport

extension TemporaryDirectory {
  var database: String { path + "/advisories" }

  /// Names in the database's directory, in order.
  var databaseFiles: [String] { Self.names(in: database) }
}
