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

  /// What an account must be allowed at least to be polled with, for people.
  var rightsNeeded: String {
    switch self {
    case .dockerHub: "an account that sees the namespace, or an access token with the right to read and list"
    case .harbor: "the role of a guest in the project"
    case .artifactory: "the permission to read the repository keys"
    case .nexus: "the privileges nx-repository-view-docker-*-browse and nx-repository-view-docker-*-read"
    case .gitlab: "the role of a reporter, and a token with read_api and read_registry"
    case .quay: "the right to read the repositories; for Quay's API an OAuth token with repo:read"
    case .dockerRegistry: "the right to pull, and to read the catalog"
    case .ecr:
      "ecr:GetAuthorizationToken, ecr:DescribeRepositories, ecr:DescribeImages, ecr:BatchGetImage and"
        + " ecr:GetDownloadUrlForLayer"
    case .ghcr: "a token with read:packages"
    case .acr: "the role AcrPull, or a token that may read content and metadata and the catalog"
    case .gar: "the role of an Artifact Registry reader"
    case .yandex: "the roles container-registry.viewer and container-registry.images.puller"
    }
  }
}
