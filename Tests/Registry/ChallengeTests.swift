import Testing

@testable import Registry

struct ChallengeTests {
  private func parse(_ headers: String...) -> [Challenge] { Challenge.parse(headers) }

  @Test func `quoted values may hold commas and escapes`() {
    let parsed = parse(
      #"Bearer realm="https://auth.test/token?a=b,c",service="r\"eg",scope="repository:a/b:pull,push""#)
    #expect(
      parsed == [
        Challenge(
          scheme: "bearer",
          parameters: [
            "realm": "https://auth.test/token?a=b,c", "service": "r\"eg", "scope": "repository:a/b:pull,push",
          ])
      ])
  }

  /// H27.
  @Test func `several challenges come in one header or many`() {
    let expected = [
      Challenge(scheme: "basic", parameters: ["realm": "x"]),
      Challenge(scheme: "bearer", parameters: ["realm": "y", "service": "z"]),
    ]
    #expect(parse(#"BASIC Realm="x", bearer realm="y" , service = "z""#) == expected)
    #expect(parse(#"Basic realm="x""#, #"Bearer realm="y",service="z""#) == expected)
  }

  @Test func `unquoted values are read to the next comma`() {
    #expect(
      parse("Bearer realm=https://auth.test/token,service=reg")
        == [Challenge(scheme: "bearer", parameters: ["realm": "https://auth.test/token", "service": "reg"])])
  }

  /// H27.
  @Test(arguments: [
    "", ",,,", "=", "\"", "Bearer", "Bearer realm", "Bearer realm=", "Bearer realm=\"", "Bearer realm=\"\\",
    "\u{0}\u{ff}",
    "Negotiate abc==", "Bearer ,realm=\"x\"", "realm=\"x\"",
  ])
  func `malformed headers are read to their end`(header: String) {
    #expect(parse(header).count <= 3)
  }

  /// H27.
  @Test func `long headers are left alone and many challenges are cut`() {
    #expect(parse("Bearer realm=\"" + String(repeating: "a", count: 64 * 1024) + "\"").isEmpty)
    #expect(parse(String(repeating: "Basic,", count: 2000)).count == Challenge.challengesMax)
  }
}
