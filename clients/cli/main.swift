import CLIKit
import Glibc

exit(await CommandLineClient.run(Array(CommandLine.arguments.dropFirst())))
