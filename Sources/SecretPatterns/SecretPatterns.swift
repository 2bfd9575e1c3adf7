import PackagePlugin

/// Builds the compiled anchors of all kinds of secrets into the target that it is used by.
@main
struct SecretPatterns: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
    let output = context.pluginWorkDirectoryURL.appending(path: "CompiledPatterns.generated.swift")
    return [
      .buildCommand(
        displayName: "Compiling the patterns of secrets", executable: try context.tool(named: "secret-patterns").url,
        arguments: [output.path], outputFiles: [output])
    ]
  }
}
