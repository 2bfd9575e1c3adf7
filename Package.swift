// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]
let strictC: [CSetting] = [.treatAllWarnings(as: .error)]

/// How the programs are linked for release, so that little is loaded and relocated at their start. They export nothing, and
/// what nothing reaches is left out; functions that are the same are kept once; relocations are packed.
let lean: [LinkerSetting] = [
  .unsafeFlags(
    [
      "-use-ld=lld", "-L\(Context.packageDirectory)/Sources/Linking", "-Xlinker", "--no-export-dynamic", "-Xlinker",
      "--icf=safe", "-Xlinker", "-z", "-Xlinker", "pack-relative-relocs",
    ], .when(configuration: .release))
]

func library(_ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = []) -> Target {
  .target(
    name: name, dependencies: dependencies, path: name == "TestSupport" ? "Tests/Support" : "Sources/" + name,
    exclude: exclude, swiftSettings: strict)
}

func tests(
  _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = [], resources: [Resource] = [],
  linkerSettings: [LinkerSetting] = []
) -> Target {
  .testTarget(
    name: name + "Tests", dependencies: dependencies, path: "Tests/" + name, exclude: exclude, resources: resources,
    swiftSettings: strict, linkerSettings: linkerSettings)
}

/// Lets functions of the test program take the place of the C library's in the libraries it uses.
func replacing(_ functions: String...) -> [LinkerSetting] {
  [.unsafeFlags(functions.flatMap { ["-Xlinker", "--export-dynamic-symbol=\($0)"] })]
}

/// `TIDEWAITER_TESTS=RPC,Client` leaves out the tests of other rooms, and with them what these need: a sanitizer's build is
/// one of its own.
let keptTests = Context.environment["TIDEWAITER_TESTS"]?.split(separator: ",").map { String($0) + "Tests" }

let package = Package(
  name: "Tidewaiter",
  products: [
    .executable(name: "tidewaiterd", targets: ["tidewaiterd"]),
    .executable(name: "tidewaiter-worker", targets: ["tidewaiter-worker"]),
    .executable(name: "tidewaiter", targets: ["cli"]),
    .library(name: "TidewaiterClient", targets: ["TidewaiterClient"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
  ],
  targets: [
    // System libraries: a module map and a shim header, nothing else.
    .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
    .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "CProtobufC", pkgConfig: "libprotobuf-c", providers: [.apt(["libprotobuf-c-dev"])]),
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CIsal", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    // Without its pkg-config file, which would link all of it, shared: what scans and what compiles are linked apart below.
    .systemLibrary(name: "CVectorscan", providers: [.apt(["libvectorscan-dev"])]),
    .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),

    // C of our own: what Swift cannot say, and the generated protobuf-c code.
    .target(name: "CPosix", cSettings: strictC),
    .target(name: "CCurlShim", dependencies: ["CCurl", "CSSL"], cSettings: strictC),
    // For the daemon alone: takes the place of the C library's `free` in what it is linked to.
    .target(name: "CWipe", cSettings: strictC),
    .target(name: "CMessages", dependencies: ["CProtobufC"], cSettings: strictC),
    // Of the worker alone: the system calls that confine it.
    .target(name: "CJail", cSettings: strictC),

    // What several rooms need of the operating system.
    library("Posix", ["CPosix"]),

    // The nouns, and the generated value types.
    library("Model"),
    library("ProtobufRuntime", ["CMessages"]),
    library("StorageMessages", ["CMessages", "ProtobufRuntime"]),

    // Hashes of content; of all that links libcrypto, and of nothing the worker is made of.
    library("Digests", ["Model", "CCrypto"]),

    // Pure rooms.
    library("JSON"),
    library("YAML", ["CYAML"]),
    // Time zones; besides pure rules, a reader of the system's database of them.
    library("Zones", ["Model", "Posix"]),
    library("Selection", ["Model", "Zones"]),
    library("Matching", ["Model", "StorageMessages"]),
    // The kinds of secrets; what tells people about them needs no more.
    library("SecretRules", ["Model"]),
    library("Inventory", ["Model", "ProtobufRuntime", "SecretRules", "StorageMessages"]),
    // Looks for them. Their anchors are compiled by a program of its own, as the build goes.
    .target(
      name: "Secrets", dependencies: ["Inventory", "SecretRules", "StorageMessages", "CVectorscan"],
      swiftSettings: strict, linkerSettings: [.unsafeFlags(["-Xlinker", "-l:libhs_runtime.a"])],
      plugins: ["SecretPatterns"]),
    .executableTarget(
      name: "secret-patterns", dependencies: ["SecretRules", "CVectorscan"], swiftSettings: strict,
      linkerSettings: [.unsafeFlags(["-Xlinker", "-l:libhs.a"]), .linkedLibrary("stdc++"), .linkedLibrary("m")]),
    .plugin(
      name: "SecretPatterns", capability: .buildTool(), dependencies: ["secret-patterns"],
      path: "Sources/SecretPatterns"),
    // Of the worker alone: what parses bytes from images is not in the daemon.
    library("Analysis", ["Inventory", "JSON", "Secrets", "StorageMessages", "CIsal", "CZstd", "CSQLite"]),

    // Of the worker alone: what confines it.
    library("Jail", ["CJail", "Inventory"]),

    // Rooms that own I/O.
    library(
      "Registry", ["JSON", "Model", "Digests", "CCurl", "CCurlShim", "CCrypto", "CPosix", "Posix"],
      exclude: ["Vendors/README.md"]),
    library(
      "Store", ["Model", "Digests", "ProtobufRuntime", "StorageMessages", "CLMDB", "CCrypto", "CPosix", "Posix"],
      exclude: ["SCHEMA.md"]),
    library("Advisories", ["Model", "StorageMessages", "Matching", "Store", "CIsal", "CPosix", "Posix"]),
    library("Queue", ["Model", "StorageMessages", "Store", "Posix"]),
    library(
      "Pipeline",
      [
        "Model", "StorageMessages", "Registry", "Store", "Queue", "Selection", "Inventory", "Matching", "Advisories",
        "SecretRules", "CPosix", "Posix", "Zones",
        .product(name: "Logging", package: "swift-log"),
      ]),

    // The wire.
    library("RPC", ["CPosix", "Posix"]),
    library("API", ["CMessages", "ProtobufRuntime", "RPC"]),

    // The daemon, the worker, the client.
    library(
      "Daemon",
      [
        "Model", "Digests", "StorageMessages", "Registry", "Store", "Queue", "Selection", "Inventory", "Advisories",
        "Matching",
        "Pipeline", "ProtobufRuntime", "RPC", "API", "YAML", "CPosix", "Posix", "Zones",
        .product(name: "Logging", package: "swift-log"),
      ]),
    .executableTarget(
      name: "tidewaiterd",
      dependencies: [
        "Advisories", "CPosix", "CWipe", "Daemon", "Model", "Posix", "Store",
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict, linkerSettings: lean),
    .executableTarget(
      name: "tidewaiter-worker", dependencies: ["Analysis", "Inventory", "Jail", "Secrets"], swiftSettings: strict,
      linkerSettings: lean),
    // The client library: the one target that other packages see.
    .target(
      name: "TidewaiterClient", dependencies: ["CMessages", "ProtobufRuntime", "RPC"], path: "clients/swift",
      swiftSettings: strict),
    // All of the command line but its entry point, so that tests reach it.
    .target(
      name: "CLIKit",
      dependencies: [
        "Model", "Digests", "TidewaiterClient", "ProtobufRuntime", "Posix", "CPosix", "YAML", "Zones",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "clients/clikit", swiftSettings: strict),
    .executableTarget(
      name: "cli", dependencies: ["CLIKit"], path: "clients/cli", swiftSettings: strict, linkerSettings: lean),

    // How fast tags are decided on: Tests/Benchmarks/selection.py runs it.
    .executableTarget(
      name: "selection-benchmark", dependencies: ["Selection", "Model"], path: "Tests/Benchmarks/Selection",
      swiftSettings: strict),
    // Stores with many jobs, and what leases cost: Tests/Benchmarks/enqueue.py runs it.
    .executableTarget(
      name: "queue-benchmark", dependencies: ["Pipeline", "Posix", "Queue", "StorageMessages", "Store"],
      path: "Tests/Benchmarks/Queue", swiftSettings: strict),
    // How fast files are searched for secrets: Tests/Benchmarks/secret_search.py runs it.
    .executableTarget(
      name: "secrets-benchmark", dependencies: ["Secrets", "Inventory", "StorageMessages"],
      path: "Tests/Benchmarks/Secrets", swiftSettings: strict),
    // The worker without its search for secrets: Tests/Benchmarks/analysis.py runs it.
    .executableTarget(
      name: "packages-worker", dependencies: ["Analysis", "Inventory", "Jail"], path: "Tests/Benchmarks/PackagesWorker",
      swiftSettings: strict, linkerSettings: lean),

    // Unit tests of rooms. What users see is tested in Tests/Integration, against real processes.
    library("TestSupport", ["Posix", .product(name: "Logging", package: "swift-log")]),
    tests("Model", ["Model"], resources: [.copy("Fixtures")]),
    tests("ProtobufRuntime", ["ProtobufRuntime", "StorageMessages", "API", "RPC", "TestSupport"]),
    tests("JSON", ["JSON"]),
    tests("YAML", ["YAML"]),
    tests("Zones", ["Zones", "Model", "Posix", "TestSupport"]),
    tests("Selection", ["Selection", "Model", "Zones"]),
    tests("Matching", ["Matching", "Model", "StorageMessages", "Posix", "TestSupport"]),
    tests(
      "Analysis", ["Analysis", "Inventory", "Model", "StorageMessages", "TestSupport"], resources: [.copy("Fixtures")]),
    tests("Jail", ["Jail", "CJail", "Inventory"]),
    tests("Secrets", ["Secrets", "SecretRules", "Inventory", "Model", "StorageMessages", "TestSupport"]),
    tests("Registry", ["Registry", "Digests", "Model", "Posix", "TestSupport"]),
    tests(
      "Store", ["Store", "Digests", "StorageMessages", "Posix", "TestSupport"],
      linkerSettings: replacing("fdatasync", "pwrite")),
    tests(
      "Advisories", ["Advisories", "Matching", "StorageMessages", "Store", "Posix", "TestSupport"],
      resources: [.copy("Fixtures")]),
    tests("Queue", ["Queue", "Store", "StorageMessages", "Posix", "TestSupport"]),
    tests("RPC", ["RPC", "Posix", "CPosix", "TestSupport"]),
    tests(
      "Pipeline",
      [
        "Pipeline", "Advisories", "Analysis", "Digests", "Inventory", "Model", "Posix", "Queue", "Registry",
        "Selection",
        "StorageMessages", "Store", "TestSupport", "Zones", "tidewaiter-worker",
        .product(name: "Logging", package: "swift-log"),
      ], resources: [.copy("Fixtures")]),
    tests(
      "Daemon",
      [
        "Daemon", "API", "Advisories", "Inventory", "Model", "Pipeline", "Posix", "ProtobufRuntime", "Queue", "RPC",
        "Registry",
        "StorageMessages",
        "Store", "TestSupport", .product(name: "Logging", package: "swift-log"),
      ]),
    tests(
      "Client", ["TidewaiterClient", "CPosix", "Posix", "ProtobufRuntime", "RPC", "TestSupport"],
      exclude: ["Example"]),
    tests("CLI", ["CLIKit", "TidewaiterClient", "ProtobufRuntime", "Posix", "TestSupport", "Zones"]),
  ],
  swiftLanguageModes: [.v6]
)

if let keptTests { package.targets.removeAll { $0.isTest && !keptTests.contains($0.name) } }
