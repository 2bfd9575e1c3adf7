/// What kind of registry an integration connects to. Raw values are the settings' words.
package enum RegistryType: String, Sendable, CaseIterable {
  case dockerHub = "docker-hub"
  case harbor
  case artifactory
  case nexus
  case gitlab
  case quay
  /// Anything that speaks the distribution API.
  case dockerRegistry = "docker-registry"
  case ecr
  case ghcr
  case acr
  case gar
  case yandex
}

/// How Artifactory's repository keys show up in addresses (D1).
package enum RepositoryAccess: String, Sendable, CaseIterable {
  case repositoryPath = "repository-path"
  case subdomain
  case port
}

extension RegistryType {
  /// The one place that knows every driver.
  func makeDriver(_ session: RegistrySession) -> any RegistryDriver {
    switch self {
    case .dockerHub: DockerHubDriver(session)
    case .harbor: HarborDriver(session)
    case .gitlab: GitLabDriver(session)
    case .quay: QuayDriver(session)
    case .nexus: NexusDriver(session)
    case .artifactory: ArtifactoryDriver(session)
    case .dockerRegistry: DockerRegistryDriver(session)
    case .ecr: ECRDriver(session)
    case .ghcr: GHCRDriver(session)
    case .acr: ACRDriver(session)
    case .gar: GARDriver(session)
    case .yandex: YandexDriver(session)
    }
  }
}
