/// What this build calls itself, the daemon and the command line client alike.
package enum Build {
  package static let version = "0.1.0"
  /// The commit it was built from; "" when the build did not say.
  package static let commit = ""
}
