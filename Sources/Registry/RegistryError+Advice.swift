extension RegistryError {
  /// What a person can do: the error's own hint, or what holds for every error of its code.
  package var advice: String { hint ?? code.advice }
}

extension RegistryError.Code {
  /// What holds for every error of the code.
  package var advice: String {
    switch self {
    case .unreachable: "check the integration's url, the name's DNS entry, and that the registry runs"
    case .timeout: "the registry or the way to it is slow: test the integration"
    case .stalled:
      "see why the registry is so slow; the daemon's setting scanner.blobBytesPerSecondMinimum says how slow it may be"
    case .tlsFailed: "give the registry's certificate authority with --ca-file"
    case .connectionLost: "try again; if it stays, look at the registry's log and at proxies before it"
    case .unauthorized: "check the integration's user name and password or key"
    case .forbidden: "give the account the right to read this repository"
    case .notFound: "check the spelling; a private repository may look absent to this account"
    case .rateLimited: "wait, or poll less often"
    case .serverError: "look at the registry's log, and try again"
    case .requestRefused: "check that the integration's url is the registry's own address"
    case .notARegistry: "check the integration's url: the address is asked for /v2/"
    case .sizeMismatch, .digestMismatch: "push the image again: what the registry stores is damaged"
    case .malformed: "push the image again with a current client"
    case .tooLarge: "this is over a bound that protects the daemon; such an image cannot be scanned"
    case .realmNotAllowed: "if that host is trusted with the credential, allow it with --allow-realm-host"
    case .proxyFailed: "check the integration's proxy, or the one in the daemon's environment"
    case .redirectRefused: "check where the registry redirects to"
    case .addressRefused: "check what the host name resolves to"
    case .unsupportedManifest: "push the image again with a current client"
    case .notAnImage: "only images can be scanned: choose another tag or digest"
    }
  }
}
