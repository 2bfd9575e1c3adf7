import Model
import Testing

struct DigestTests {
  static let zeros = String(repeating: "0", count: 64)

  @Test(arguments: [
    "sha256:\(zeros)", "sha256:\(String(repeating: "0123456789abcdef", count: 4))", "sha512:\(zeros)\(zeros)",
  ])
  func reads(text: String) throws {
    let digest = try #require(Digest(text))
    #expect(digest.description == text)
    #expect(digest.short.count == 12 && text.contains(digest.short))
  }

  @Test(arguments: [
    "", ":", "sha256", "sha256:", zeros, "sha256:\(zeros)0", "sha256:\(zeros.dropLast())", "sha512:\(zeros)",
    "md5:\(zeros)", "SHA256:\(zeros)", "sha256:A\(zeros.dropFirst())", "sha256:g\(zeros.dropFirst())",
    "sha256:../\(zeros.dropFirst(3))", " sha256:\(zeros)", "sha256:\(zeros)\n", "sha256:é\(zeros.dropFirst(2))",
    "sha256::\(zeros.dropFirst())",
  ])
  func refuses(text: String) {
    #expect(Digest(text) == nil)
  }

  @Test func fromBytes() {
    let bytes = (0..<32).map { UInt8($0 * 8 + 7) }
    #expect(
      Digest(algorithm: .sha256, bytes: bytes)?.hex
        == "070f171f272f373f474f575f676f777f878f979fa7afb7bfc7cfd7dfe7eff7ff")
    #expect(Digest(algorithm: .sha512, bytes: bytes) == nil)
    #expect(Digest(algorithm: .sha256, bytes: bytes.dropLast()) == nil)
  }
}

struct RepositoryTests {
  @Test(arguments: [
    "a", "alpine", "library/alpine", "a/b/c/d/e", "my.app", "my_app", "my__app", "my-app", "my---app", "0/1",
    "a1.b2/c3", String(repeating: "a", count: 255),
  ])
  func reads(path: String) {
    #expect(Repository(path)?.path == path)
  }

  @Test(arguments: [
    "", "/", "/a", "a/", "a//b", "A", "library/Alpine", ".a", "a.", "-a", "a-", "_a", "a_", "a..b", "a___b", "a.-b",
    "a_.b", "a b", "a:b", "a@b", "../a", "a/../b", "a/./b", "a%2fb", "ä", "a\0", "a\n", "a\u{1b}[2J", "a*",
    String(repeating: "a", count: 256), "../../v2/x",
  ])
  func refuses(path: String) {
    #expect(Repository(path) == nil)
  }

  @Test(arguments: [("alpine", "alpine"), ("library/alpine", "alpine"), ("a/b/c", "c")])
  func lastComponent(path: String, last: String) {
    #expect(Repository(path)?.lastComponent == Substring(last))
  }
}

struct TagTests {
  @Test(arguments: ["latest", "1", "_", "1.2.3-rc1_x", "V1", "a-", "a..b", String(repeating: "a", count: 128)])
  func reads(name: String) {
    #expect(Tag(name)?.name == name)
  }

  @Test(arguments: [
    "", ".a", "-a", "a b", "a/b", "a:b", "a+b", "é", "a\0", "a\n", "*", String(repeating: "a", count: 129),
  ])
  func refuses(name: String) {
    #expect(Tag(name) == nil)
  }
}

struct AttachmentTests {
  private static let digits = String(repeating: "0a", count: 32)

  @Test(arguments: ["", ".sig", ".att", ".sbom"])
  func attachment(end: String) {
    #expect(Tag("sha256-" + Self.digits + end)?.isAttachment == true)
  }

  @Test(arguments: [
    "latest", "sha256", "sha256-", "sha256-1.0", "sha256-\(digits)0", "sha256-\(digits).txt",
    "sha256-\(digits.uppercased())",
  ])
  func image(name: String) {
    #expect(Tag(name)?.isAttachment == false)
  }
}

struct IntegrationNameTests {
  @Test(arguments: ["a", "0", "prod-hub", "a.b_c-", String(repeating: "a", count: 63)])
  func reads(text: String) {
    #expect(IntegrationName(text)?.text == text)
  }

  @Test(arguments: ["", "A", "-a", ".a", "_a", "a/b", "a b", "a:b", "é", String(repeating: "a", count: 64)])
  func refuses(text: String) {
    #expect(IntegrationName(text) == nil)
  }
}

struct ImageReferenceTests {
  static let digest = "sha256:\(DigestTests.zeros)"

  @Test(
    arguments: [
      ("hub/alpine", "hub", "alpine", "latest", nil),
      ("hub/library/alpine:3.18", "hub", "library/alpine", "3.18", nil),
      ("hub/alpine@\(digest)", "hub", "alpine", nil, digest),
      ("hub/alpine:3@\(digest)", "hub", "alpine", "3", digest),
      ("a.b/c/d:e", "a.b", "c/d", "e", nil),
    ] as [(String, String, String, String?, String?)])
  func reads(text: String, integration: String, repository: String, tag: String?, digest: String?) throws {
    let reference = try ImageReference(parsing: text)
    #expect(reference.integration.text == integration)
    #expect(reference.repository.path == repository)
    #expect(reference.tag?.name == tag)
    #expect(reference.digest?.description == digest)
    #expect(try ImageReference(parsing: reference.description) == reference)
  }

  @Test(arguments: [
    ("", "INTEGRATION/REPOSITORY"), ("alpine", "INTEGRATION/REPOSITORY"), ("/alpine", "name of an integration"),
    ("Hub/alpine", "name of an integration"), ("hub/", "cannot be a repository"),
    ("hub/Alpine", "lower-case"), ("hub/alpine:", "cannot be a tag"), ("hub/alpine:a:b", "cannot be a tag"),
    ("hub/host:5000/alpine", "cannot be a repository"), ("hub/alpine@", "a digest is expected"),
    ("hub/alpine@sha256:00", "64 lower-case"), ("hub/alpine@latest", "a digest is expected"),
    ("hub:x/alpine", "name of an integration"),
  ])
  func refuses(text: String, reason: String) {
    let error = #expect(throws: ImageReference.Malformed.self) { try ImageReference(parsing: text) }
    #expect(error?.reason.contains(reason) == true)
  }

  @Test func quotesLongTextInPart() {
    for text in [
      String(repeating: "a", count: 1 << 20), "hub/" + String(repeating: "A", count: 1 << 20),
      "hub/a:" + String(repeating: "/", count: 1 << 20),
    ] {
      let error = #expect(throws: ImageReference.Malformed.self) { try ImageReference(parsing: text) }
      #expect((error?.description.utf8.count ?? .max) < 400)
    }
  }
}

struct PlatformTests {
  @Test(
    arguments: [
      ("linux/amd64", "linux", "amd64", nil), ("linux/arm/v7", "linux", "arm", "v7"),
      ("windows/amd64", "windows", "amd64", nil),
    ] as [(String, String, String, String?)])
  func reads(text: String, os: String, architecture: String, variant: String?) {
    let platform = Platform(text)
    #expect(platform == Platform(os: os, architecture: architecture, variant: variant))
    #expect(platform?.description == text)
  }

  @Test(arguments: [
    "", "linux", "linux/", "/amd64", "linux//v7", "linux/arm/v7/x", "Linux/amd64", "linux/amd 64", "all", "linux/*",
    "linux/" + String(repeating: "a", count: 33),
  ])
  func refuses(text: String) {
    #expect(Platform(text) == nil)
  }

  @Test(arguments: [
    ("linux/amd64", "linux/amd64", true), ("linux/arm64/v8", "linux/arm64", true),
    ("linux/arm64", "linux/arm64/v8", true), ("linux/arm/v7", "linux/arm", true), ("linux/arm", "linux/arm/v7", false),
    ("linux/arm/v6", "linux/arm/v7", false), ("linux/amd64", "linux/arm64", false),
    ("windows/amd64", "linux/amd64", false),
  ])
  func satisfies(image: String, wanted: String, expected: Bool) throws {
    let (image, wanted) = (try #require(Platform(image)), try #require(Platform(wanted)))
    #expect(image.satisfies(wanted) == expected)
  }

  @Test func anEmptyVariantIsNone() {
    #expect(Platform(os: "linux", architecture: "amd64", variant: "") == Platform("linux/amd64"))
  }
}

struct ExcerptTests {
  @Test func cutsOnlyLongText() {
    #expect("abc".excerpt(maximumScalars: 3) == "abc")
    #expect("abcd".excerpt(maximumScalars: 3) == "abc…")
    #expect("".excerpt() == "")
    #expect(("e" + String(repeating: "\u{301}", count: 1 << 20)).excerpt().unicodeScalars.count == 65)
  }
}
