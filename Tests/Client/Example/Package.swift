// swift-tools-version: 6.2
// A program of another package, as users of the library write one: built by Tests/Integration/test_client_library.py.
import PackageDescription

let package = Package(
  name: "Example",
  dependencies: [.package(name: "Tidewaiter", path: "../../..")],
  targets: [
    .executableTarget(
      name: "watcher", dependencies: [.product(name: "TidewaiterClient", package: "Tidewaiter")],
      swiftSettings: [
        .treatAllWarnings(as: .error),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
