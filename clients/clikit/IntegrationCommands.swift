import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

/// `tidewaiter integration`.
struct IntegrationCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "integration",
    abstract: "Manage the registries that are watched.",
    discussion: "Example:\n  tidewaiter integration list",
    subcommands: [
      IntegrationAdd.self, IntegrationEdit.self, IntegrationList.self, IntegrationShow.self, IntegrationRemove.self,
      IntegrationTest.self, IntegrationPreview.self, IntegrationPoll.self, IntegrationPolls.self,
      IntegrationCoverage.self, IntegrationApply.self,
    ])
}

/// An integration's name on the command line.
struct IntegrationArgument: ParsableArguments {
  @Argument(help: ArgumentHelp("Name of the integration.", valueName: "NAME"))
  var name: String
}

struct IntegrationList: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the integrations.",
    discussion: "Example:\n  tidewaiter integration list -o json")

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    try await global.perform { session in
      let integrations = try await session.allIntegrations()
      if integrations.isEmpty { session.console.remark("There is no integration: tidewaiter integration add --help") }
      try session.console.show(list: "integrations", integrations.map(\.clientJSON)) {
        session.console.render(IntegrationView.table(of: integrations))
      }
    }
  }
}

struct IntegrationShow: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show an integration's settings, and how its patterns were read.",
    discussion: "Example:\n  tidewaiter integration show hub")

  @OptionGroup var integration: IntegrationArgument
  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var request = GetIntegrationRequest()
    request.name = integration.name
    try await global.perform { session in
      let found = try await session.integrations.getIntegration(request)
      try session.console.show(found.clientJSON) { session.console.render(IntegrationView.facts(of: found)) }
    }
  }
}

struct IntegrationRemove: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove",
    abstract: "Remove an integration, its secret, its jobs, images and reports.",
    discussion: "Example:\n  tidewaiter integration remove hub")

  @OptionGroup var integration: IntegrationArgument
  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var request = DeleteIntegrationRequest()
    request.name = integration.name
    try await global.perform { session in
      _ = try await session.integrations.deleteIntegration(request)
      let document = JSONValue.object([("name", .string(request.name)), ("removed", .bool(true))])
      try session.console.show(document) { "removed \(TerminalText.escape(request.name))\n" }
    }
  }
}

struct IntegrationTest: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "test",
    abstract: "Connect to the registry and report each step; exit 1 if one fails.",
    discussion: "Example:\n  tidewaiter integration test hub")

  @OptionGroup var integration: IntegrationArgument
  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var request = TestIntegrationRequest()
    request.name = integration.name
    try await global.perform { session in
      let test = try await session.integrations.testIntegration(request, timeout: session.registryCallTimeout)
      try session.console.show(test.json) { IntegrationView.steps(of: test, session.console) }
      let failed = test.steps.filter { $0.outcome == .failed }
      guard let first = failed.first else { return }
      throw CommandFailure.local(
        "\(request.name) failed at \(failed.map(\.name).joined(separator: ", "))",
        hint: first.hint.isEmpty ? "correct the integration's settings, or the registry" : first.hint)
    }
  }
}
