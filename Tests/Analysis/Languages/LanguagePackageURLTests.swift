import Inventory
import StorageMessages
import Testing

@Suite("Package URLs of languages' packages")
struct LanguagePackageURLTests {
  @Test(
    "each type has its own rules",
    arguments: [
      ("npm", "@Babel/core", "7.22.0", "", "pkg:npm/%40babel/core@7.22.0"),
      ("npm", "ms", "2.0.0", "", "pkg:npm/ms@2.0.0"),
      ("npm", "../../x", "1", "", "pkg:npm/..%2F..%2Fx@1"), ("npm", "a\nb", "1", "", "pkg:npm/a%0Ab@1"),
      ("pypi", "Sample_Package", "1!2.0+local", "", "pkg:pypi/sample-package@1%212.0%2Blocal"),
      ("golang", "github.com/Gin-gonic/gin", "v1.6.3", "", "pkg:golang/github.com/gin-gonic/gin@v1.6.3"),
      ("golang", "example.org/a", "v3.2.0+incompatible", "", "pkg:golang/example.org/a@v3.2.0%2Bincompatible"),
      ("golang", "stdlib", "go1.22.1", "", "pkg:golang/stdlib@1.22.1"),
      ("golang", "a//b", "v1", "", "pkg:golang/a%2F%2Fb@v1"),
      ("maven", "com.google.guava:guava", "31.1-jre", "", "pkg:maven/com.google.guava/guava@31.1-jre"),
      ("maven", "log4j", "1.2", "", "pkg:maven/log4j@1.2"), ("maven", "a:b:c", "1", "", "pkg:maven/a:b:c@1"),
      ("gem", "nokogiri", "1.13.0", "x86_64-linux", "pkg:gem/nokogiri@1.13.0?platform=x86_64-linux"),
      ("cargo", "aho-corasick", "1.1.4", "", "pkg:cargo/aho-corasick@1.1.4"),
      ("nuget", "Newtonsoft.Json", "13.0.1", "", "pkg:nuget/Newtonsoft.Json@13.0.1"),
      ("composer", "Example/One", "1.2.3", "", "pkg:composer/example/one@1.2.3"),
    ])
  func languages(type: String, name: String, version: String, platform: String, expected: String) {
    var package = Package()
    package.type = type
    package.name = name
    package.version = version
    package.arch = platform
    var os = OSRelease()
    os.id = "debian"
    os.versionId = "12"
    #expect(PackageURL(os: os).text(package) == expected)
    #expect(PackageURL(os: nil).text(package) == expected)
  }
}
