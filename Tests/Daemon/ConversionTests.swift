import API
import Advisories
import Glibc
import Model
import Posix
import ProtobufRuntime
import Queue
import RPC
import Registry
import StorageMessages
import Store
import Testing

@testable import Daemon
@testable import Pipeline

struct PagingTests {
  @Test(arguments: ["", "7 app sha256:0", "é 漢", "a\nb"])
  func `A token gives back its position`(position: String) throws {
    #expect(try Paging.position(Paging.token(position)) == position)
  }

  @Test(arguments: [
    "0", "zz", "+f+f", "7G", "ff", "c3", "AF", " 6", "6é", String(repeating: "61", count: 2_000_000),
  ])
  func `A token that nobody gave is refused at once`(token: String) throws {
    let error = try #require(throws: RPCError.self) { try Paging.position(token) }
    #expect(error.code == .invalidArgument)
    #expect(error.message.hasPrefix("page_token: "))
  }

  @Test func `Sizes have a default and a bound`() {
    #expect([0, 1, 1000, 1001, UInt32.max].map(Paging.size) == [100, 1, 1000, 1000, 1000])
  }
}

struct ReportSlicesTests {
  private static func report(packages: Int, findings: Int, layers: Int = 3, notes: Int = 2) -> ReportRecord {
    var report = ReportRecord()
    report.platform = "linux/amd64"
    report.scannedAt = 5
    report.matchedAt = 6
    report.layers = (0..<layers).map { index in
      var layer = ReportLayer()
      layer.digest = "sha256:" + String(repeating: "0", count: 60) + String(1000 + index)
      layer.createdBy = String(repeating: "c", count: 500)
      return layer
    }
    report.packages = (0..<packages).map { index in
      var item = InventoryPackage()
      item.package = StorageMessages.Package()
      item.package?.name = "package-\(index)"
      item.package?.version = "1.\(index)-1+deb12u1"
      item.purl = "pkg:deb/debian/package-\(index)@1.\(index)"
      item.layer = UInt32(index % layers)
      return item
    }
    report.findings = (0..<findings).map { index in
      var finding = FindingRecord()
      finding.id = "CVE-2026-\(index)"
      finding.kind = .vulnerability
      finding.title = String(repeating: "t", count: 100)
      return finding
    }
    report.notes = (0..<notes).map { "note \($0)" }
    return report
  }

  /// Reads it as a client does: the first slice, and the lists of the others.
  private func joined(_ record: ReportRecord) throws -> (report: API.Report, slices: Int) {
    var report = try ReportSlices.slice(record, reference: "r", digest: "d", token: "")
    var slices = 1
    while !report.nextPageToken.isEmpty {
      let next = try ReportSlices.slice(record, reference: "r", digest: "d", token: report.nextPageToken)
      try #require(next.nextPageToken != report.nextPageToken)
      #expect(next.packed().count < 4 << 20)
      report.packages += next.packages
      report.findings += next.findings
      report.layers += next.layers
      report.notes += next.notes
      report.nextPageToken = next.nextPageToken
      slices += 1
    }
    return (report, slices)
  }

  @Test func `A report of 100,000 packages joins to the same from its slices`() throws {
    let record = Self.report(packages: 100_000, findings: 20_000)
    let (report, slices) = try joined(record)
    #expect(slices > 3)
    #expect(report.packages.map(\.name) == record.packages.map { $0.package?.name ?? "" })
    #expect(report.findings.map(\.id) == record.findings.map(\.id))
    #expect(report.layers.map(\.digest) == record.layers.map(\.digest))
    #expect(report.notes == record.notes)
    #expect(report.counts?.unknown == 20_000)
  }

  @Test func `A report with the most layers fits into messages, and ends`() throws {
    let record = Self.report(packages: 50_000, findings: 1, layers: 1000, notes: 5000)
    let first = try ReportSlices.slice(record, reference: "r", digest: "d", token: "")
    #expect(first.packed().count < 4 << 20)
    let (report, _) = try joined(record)
    #expect(report.layers.count == 1000)
    #expect(report.packages.count == 50_000)
    #expect(report.notes.count == 501)
  }

  @Test func `A small report is one slice`() throws {
    let (report, slices) = try joined(Self.report(packages: 10, findings: 1))
    #expect(slices == 1)
    #expect(report.packages.count == 10)
  }

  @Test func `A report that was made anew is not joined with its predecessor`() throws {
    var record = Self.report(packages: 50_000, findings: 1)
    let token = try ReportSlices.slice(record, reference: "r", digest: "d", token: "").nextPageToken
    record.matchedAt = 7
    let error = try #require(throws: RPCError.self) {
      try ReportSlices.slice(record, reference: "r", digest: "d", token: token)
    }
    #expect(error.code == .aborted)
  }

  @Test(arguments: [
    "1", "1 2", "1 2 0 5", "1 2 0 5 6 7", "-1 0 0 5 6", "0 -1 0 5 6", "0 0 -1 5 6", "2 0 0 5 6", "0 11 0 5 6",
    "0 0 1 5 6", "x y z w v", " 1 2 0 5 6", "99999999999999999999 0 0 5 6",
  ])
  func `A hostile position is refused`(position: String) throws {
    let record = Self.report(packages: 10, findings: 1)
    let error = try #require(throws: RPCError.self) {
      try ReportSlices.slice(record, reference: "r", digest: "d", token: Paging.token(position))
    }
    #expect(error.code == .invalidArgument)
  }
}

struct ErrorTranslationTests {
  static let table: [(any Error & Sendable, RPCError.Code)] = [
    (IntegrationError.nameTaken("hub"), .alreadyExists), (IntegrationError.unknown("hub"), .notFound),
    (IntegrationError.beingRemoved("hub"), .notFound), (IntegrationError.changed("hub"), .aborted),
    (RegistryError(.notFound, "m"), .notFound), (RegistryError(.unauthorized, "m"), .failedPrecondition),
    (RegistryError(.forbidden, "m"), .failedPrecondition),
    (RegistryError(.rateLimited, "m", isTransient: true), .resourceExhausted),
    (RegistryError(.serverError, "m", isTransient: true), .unavailable),
    (RegistryError(.digestMismatch, "m"), .failedPrecondition),
    (StoreError(.diskFull, "m", hint: "h"), .resourceExhausted),
    (StoreError(.mapFull, "m", hint: "h"), .resourceExhausted),
    (StoreError(.damaged, "m", hint: "h"), .dataLoss), (StoreError(.closed, "m", hint: "h"), .unavailable),
    (StoreError(.io, "m", hint: "h"), .internal), (StoreError(.keyTooLong, "m", hint: "h"), .invalidArgument),
    (StoreError(.secrets, "m", hint: "h"), .failedPrecondition),
    (Uploads.Failure.unknown("x"), .notFound), (Uploads.Failure.tooMany, .resourceExhausted),
    (Uploads.Failure.noRoom(wanted: 2, left: 1), .resourceExhausted),
    (Uploads.Failure.wrongOffset(expected: 4), .invalidArgument), (Uploads.Failure.tooLong, .invalidArgument),
    (Uploads.Failure.incomplete("x", received: 1, size: 2), .failedPrecondition), (Uploads.Failure.busy("x"), .aborted),
    (Uploads.Failure.disk(PosixError("write", errno: ENOSPC)), .resourceExhausted),
    (Uploads.Failure.disk(PosixError("write", errno: EIO)), .internal),
    (ImageProblem(code: .noPlatform, message: "m", hint: "h"), .failedPrecondition),
    (AdvisoryError(.badName, "m", hint: "h"), .failedPrecondition), (Poller.Stopping(), .unavailable),
    (Poller.AlreadyStarting(), .aborted), (CancellationError(), .cancelled), (PosixError("x", errno: EIO), .internal),
    (RPCError(.dataLoss, "m"), .dataLoss),
  ]

  @Test(arguments: table.indices)
  func `Every error has its code, and a hint where people can do something`(index: Int) {
    let (error, code) = Self.table[index]
    let status = ErrorTranslation.status(error)
    #expect(status.code == code)
    #expect(!status.message.isEmpty)
    let needsNone = error is RPCError || error is CancellationError
    #expect(needsNone || !status.details.isEmpty, "\(status)")
  }

  @Test func `A long name from outside stays short in a message`() {
    let long = String(repeating: "x", count: 100_000)
    for error in [
      IntegrationError.unknown(long) as any Error, Uploads.Failure.unknown(long), Uploads.Failure.busy(long),
    ] {
      #expect(ErrorTranslation.status(error).message.utf8.count < 300)
    }
  }
}
