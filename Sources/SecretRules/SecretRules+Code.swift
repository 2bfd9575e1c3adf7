import Model

extension SecretRules {
  static let codeHosting: [SecretRule] = [
    .token("github-pat", "GitHub personal access token", .critical, "ghp_\\w{36}", check: .base62CRC32),
    .token("github-oauth", "GitHub OAuth token", .high, "gho_\\w{36}", check: .base62CRC32),
    .token("github-user-token", "GitHub App user token", .high, "ghu_\\w{36}", check: .base62CRC32),
    .token("github-app-token", "GitHub App installation token", .high, "ghs_\\w{36}", check: .base62CRC32),
    .token("github-refresh-token", "GitHub refresh token", .high, "ghr_\\w{36,76}"),
    .token(
      "github-fine-grained-pat", "GitHub fine-grained personal access token", .critical,
      "github_pat_\\w{22}_\\w{59}", entropy: 4),
    .token("gitlab-pat", "GitLab personal access token", .critical, "glpat-[A-Za-z0-9_.-]{20,60}"),
    .token("gitlab-deploy-token", "GitLab deploy token", .high, "gldt-\\u{20,40}"),
    .token("gitlab-runner-token", "GitLab runner token", .high, "glrt-[A-Za-z0-9_.-]{20,60}"),
    .token("gitlab-job-token", "GitLab CI job token", .medium, "glcbt-[A-Za-z0-9_.-]{20,60}"),
    .token("gitlab-trigger-token", "GitLab pipeline trigger token", .high, "glptt-\\w{40}"),
    .token("gitlab-feed-token", "GitLab feed token", .medium, "glft-\\u{20,40}"),
    .token("gitlab-agent-token", "GitLab agent token", .high, "glagent-\\u{50,60}"),
    .token("gitlab-oauth-secret", "GitLab OAuth application secret", .high, "gloas-\\w{64}"),
    .token("gitlab-scim-token", "GitLab SCIM token", .high, "glsoat-\\u{20,40}"),
    .token("bitbucket-app-password", "Bitbucket app password", .high, "ATBB\\w{32}"),
    .token("atlassian-token", "Atlassian API token", .high, "ATATT3[A-Za-z0-9_=-]{180,220}", entropy: 4),
    .token("atlassian-token", "Atlassian API token", .high, "ATCTT3[A-Za-z0-9_=-]{180,220}", entropy: 4),
    .token("circleci-token", "CircleCI token", .high, "CCIPAT_\\w{22}_\\h{40}"),
    .token("sonarqube-token", "SonarQube token", .high, "squ_\\h{40}"),
    .token("sonarqube-token", "SonarQube token", .high, "sqp_\\h{40}"),
    .token("sonarqube-token", "SonarQube token", .high, "sqa_\\h{40}"),
    .token("linear-api-key", "Linear API key", .high, "lin_api_\\w{40}"),
    .token("linear-oauth", "Linear OAuth token", .high, "lin_oauth_\\w{64}"),
    .token("prefect-key", "Prefect API key", .high, "pnu_\\w{36}"),
    .token("postman-key", "Postman API key", .high, "PMAK-\\h{24}-\\h{34}"),
  ]

  static let packageRegistries: [SecretRule] = [
    .token("npm-token", "npm access token", .critical, "npm_\\w{36}", check: .base62CRC32),
    .token("pypi-token", "PyPI upload token", .critical, "pypi-AgE\\u{80,500}", entropy: 4),
    .token("rubygems-key", "RubyGems API key", .critical, "rubygems_\\h{48}"),
    .token("nuget-key", "NuGet API key", .critical, "oy2[a-z0-9]{43}", check: .mixed, entropy: 3.8),
    .token("docker-hub-pat", "Docker Hub personal access token", .critical, "dckr_pat_\\u{27}"),
    .token("docker-hub-org-token", "Docker Hub organisation access token", .critical, "dckr_oat_\\u{32}"),
    .token("artifactory-key", "Artifactory API key", .high, "AKCp\\w{69}", entropy: 4),
    // "reftkn:01:" in base64.
    .token("artifactory-reference-token", "Artifactory reference token", .high, "cmVmdGtuOjAx\\w{52}", entropy: 4),
    .token("clojars-token", "Clojars deploy token", .high, "CLOJARS_\\h{60}"),
  ]
}
