import Foundation
import Model
import StorageMessages
import Testing

@testable import Matching

@Suite struct EndOfLifeTests {
  private func os(_ id: String, _ version: String, name: String = "") -> OSRelease {
    var os = OSRelease()
    (os.id, os.versionId, os.name) = (id, version, name)
    return os
  }

  @Test(arguments: [
    ("debian", "8", "", "2020-06-30"), ("alpine", "3.18.9", "", "2025-05-09"), ("almalinux", "9.3", "", "2032-05-31"),
    ("ubuntu", "18.04", "", "2023-05-31"), ("sles", "15.3", "", "2022-12-31"), ("sles", "15", "", "2019-12-31"),
    ("amzn", "2018.03", "", "2023-12-31"), ("centos", "8", "CentOS Linux", "2021-12-31"),
    ("centos", "8", "CentOS Stream", "2024-05-31"), ("ubuntu", "10.04", "", "2017-04-28"),
    ("debian", "3.1", "", "2016-02-29"),
    ("alpine", "2.7.9", "", "2016-05-01"), ("fedora", "20", "", "2021-05-25"), ("mariner", "2.0", "", "2025-07-31"),
  ])
  func `A release is known by what its version begins with`(id: String, version: String, name: String, date: String) {
    #expect(EndOfLife(os(id, version, name: name))?.date == date)
  }

  @Test(arguments: [
    ("debian", ""), ("debian", "99"), ("debian", "7x"), ("amzn", "1000000000000000000000"),
    ("alpine", "3.20_alpha20231219"), ("alpine", "edge"), ("sles", "15.99"),
    ("busybox", "1"), ("", ""),
  ])
  func `What is not in the list has no end`(id: String, version: String) {
    #expect(EndOfLife(os(id, version)) == nil)
  }

  @Test func `The last day is not past`() throws {
    let end = try #require(EndOfLife(os("debian", "8")))
    let last = try #require(CivilDate(year: 2020, month: 6, day: 30))
    let next = try #require(CivilDate(year: 2020, month: 7, day: 1))
    #expect(!end.isPast(on: last) && end.note(os("debian", "8"), on: last) == nil)
    #expect(end.isPast(on: next))
    #expect(
      end.note(os("debian", "8"), on: next)?.contains("debian 8 has had no fixes for everybody since 2020-06-30")
        == true)
  }

  @Test func `Every date is one`() {
    for releases in EndOfLife.releases.values {
      for (release, date) in releases.ends {
        let parts = date.split(separator: "-").compactMap { Int($0) }
        #expect(parts.count == 3 && date.utf8.count == 10)
        #expect(CivilDate(year: parts[0], month: parts[1], day: parts[2])?.description == date)
        #expect(release.split(separator: ".").count <= releases.components)
      }
    }
  }

  private static let distroInfo = "/usr/share/distro-info"
  private static let hasDistroInfo = FileManager.default.fileExists(atPath: distroInfo + "/debian.csv")

  /// Of the package distro-info-data: Debian's long term support where there is one, else its security support.
  @Test(.enabled(if: hasDistroInfo, "needs the package distro-info-data"), arguments: ["debian", "ubuntu"])
  func `Debian's and Ubuntu's dates are those of distro-info`(id: String) throws {
    let lines = try String(contentsOfFile: "\(Self.distroInfo)/\(id).csv", encoding: .utf8).split(separator: "\n")
    let columns = lines[0].split(separator: ",").map(String.init)
    let end = try #require(columns.firstIndex(of: "eol"))
    let longTerm = columns.firstIndex(of: "eol-lts")
    let releases = try #require(EndOfLife.releases[id])
    var theirs: [String: String] = [:]
    for line in lines.dropFirst() {
      let fields = line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
      guard fields.count > end else { continue }
      let date = longTerm.flatMap { $0 < fields.count && !fields[$0].isEmpty ? fields[$0] : nil } ?? fields[end]
      let version = fields[0].prefix { $0 != " " }.split(separator: ".")
      theirs[version.prefix(releases.components).joined(separator: ".")] = date
    }
    for (release, date) in releases.ends {
      #expect(theirs[release] == date, "\(id) \(release)")
    }
  }
}
