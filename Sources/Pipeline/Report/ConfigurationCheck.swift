import Model
import StorageMessages

/// What can be wrong with how an image is to be run, or was built. The raw value is the finding's `id`: stable.
enum ConfigurationCheck: String, CaseIterable {
  case runsAsRoot = "RUNS_AS_ROOT"
  case secretInEnvironment = "SECRET_IN_ENV"
  case secretInHistory = "SECRET_IN_HISTORY"
  case remoteAdd = "ADD_OF_REMOTE_URL"
  case remoteShellExposed = "REMOTE_SHELL_EXPOSED"
  case noHealthCheck = "NO_HEALTHCHECK"
  case pipedToShell = "DOWNLOAD_PIPED_TO_SHELL"
  case verificationOff = "TLS_VERIFICATION_OFF"
  case unsignedPackages = "UNSIGNED_PACKAGES"
  case openMode = "CHMOD_FOR_EVERYBODY"
  case relativeSearchPath = "RELATIVE_SEARCH_PATH"
  case preloadedLibrary = "LIBRARY_PRELOADED"
  case privilegeTool = "SUDO_IN_BUILD"

  var severity: Severity {
    switch self {
    case .secretInEnvironment, .secretInHistory: .high
    case .runsAsRoot, .remoteShellExposed, .pipedToShell, .verificationOff, .unsignedPackages, .relativeSearchPath:
      .medium
    case .remoteAdd, .noHealthCheck, .openMode, .preloadedLibrary, .privilegeTool: .low
    }
  }

  var remedy: String {
    switch self {
    case .runsAsRoot: "name another user with USER in the Dockerfile"
    case .secretInEnvironment:
      "revoke the secret: it is in every copy of the image; give it to the container when it starts"
    case .secretInHistory: "revoke the secret: it is in every copy of the image; build with a secret mount"
    case .remoteAdd: "fetch with curl or wget and check a digest, or use ADD --checksum"
    case .remoteShellExposed: "remove the server and its EXPOSE; use the runtime's exec"
    case .noHealthCheck: "say with HEALTHCHECK how to tell that the program is well, or let the orchestrator probe it"
    case .pipedToShell: "fetch to a file, check its digest or signature, then run it"
    case .verificationOff: "trust the certificate authority that is needed instead of everybody"
    case .unsignedPackages: "install the repository's key and let the package manager check signatures"
    case .openMode: "give the right to the user who needs it (chown, chmod u+w)"
    case .relativeSearchPath: "leave only absolute directories in PATH"
    case .preloadedLibrary: "start the one program that needs the library with it"
    case .privilegeTool: "build as root, and switch with USER for what runs"
    }
  }

  func finding(_ title: String, layer: Int? = nil) -> FindingRecord {
    var finding = FindingRecord()
    finding.kind = .misconfiguration
    finding.id = rawValue
    finding.severity = severity.rawValue
    finding.title = title
    finding.remedy = remedy
    finding.layer = layer.map(Int32.init) ?? -1
    return finding
  }
}
