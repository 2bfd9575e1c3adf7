import Testing

@testable import Registry

struct ECRHostTests {
  @Test(arguments: [
    ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1", "api.ecr.eu-west-1.amazonaws.com"),
    ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", "api.ecr.cn-north-1.amazonaws.com.cn"),
    ("123456789012.dkr.ecr-fips.us-gov-east-1.amazonaws.com", "us-gov-east-1", "ecr-fips.us-gov-east-1.amazonaws.com"),
  ])
  func `the account, the region and the API's host`(host: String, region: String, api: String) throws {
    let read = try #require(ECRHost(host))
    #expect(read.account == "123456789012")
    #expect(read.region == region)
    #expect(read.apiHost == api)
  }

  @Test(arguments: [
    "", "example.com", "12345678901.dkr.ecr.eu-west-1.amazonaws.com", "12345678901x.dkr.ecr.eu-west-1.amazonaws.com",
    "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example", "123456789012.dkr.ecr.eu/west-1.amazonaws.com",
    "x.123456789012.dkr.ecr.eu-west-1.amazonaws.com", "123456789012.dkr.ecr..amazonaws.com", "public.ecr.aws",
  ])
  func `another host tells nothing`(host: String) {
    #expect(ECRHost(host) == nil)
  }

  @Test func `the API of a region`() {
    #expect(ECRHost.apiHost(in: "eu-west-1") == "api.ecr.eu-west-1.amazonaws.com")
    #expect(ECRHost.apiHost(in: "cn-north-1") == "api.ecr.cn-north-1.amazonaws.com.cn")
    for text in ["eu-west-1", "us-gov-east-1", "ap-southeast-2"] { #expect(ECRHost.isRegion(text)) }
    for text in ["", "eu", "eu-west", "EU-west-1", "eu-west-1:ecr", "eu-west-1.evil", "eu--1", "a-b-c-d-e-f"] {
      #expect(!ECRHost.isRegion(text))
    }
  }
}
