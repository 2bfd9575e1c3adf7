import Model
import StorageMessages

/// Until when the makers of a release publish fixes for everybody: with Debian's long term support, without what is sold.
/// Afterwards no new advisory says what is wrong in an image of it, so that few findings are no good sign.
///
/// Dates: distro-info-data (Debian, Ubuntu), and the makers' own pages. Releases before the first one listed had their end
/// before that one's.
package struct EndOfLife: Sendable, Equatable {
  /// The day, as `2020-06-30`.
  package let date: String

  /// Nil where it is not known: of a release that is too new, or of a distribution that is not in the list.
  package init?(_ os: OSRelease) {
    let isStream = os.id == "centos" && os.name.contains("Stream")
    guard let releases = Self.releases[isStream ? "centos-stream" : os.id] else { return nil }
    let version = os.versionId.split(separator: ".", omittingEmptySubsequences: false)
    let release = version.prefix(releases.components).joined(separator: ".")
    guard let date = releases.ends[release] ?? releases.end(before: release) else { return nil }
    self.date = date
  }

  /// Whether that day is over.
  package func isPast(on day: CivilDate) -> Bool { date < day.description }

  /// For people; nil before the end.
  package func note(_ os: OSRelease, on day: CivilDate) -> String? {
    guard isPast(on: day) else { return nil }
    return
      "end of life: \(os.id) \(os.versionId) has had no fixes for everybody since \(date); what was found to be wrong "
      + "with it later is not in its advisories"
  }

  /// A distribution's releases by their first components, as many as fixes tell apart.
  struct Releases: Sendable {
    let components: Int
    let ends: [String: String]

    /// That of the first release listed, where `release` came before it.
    func end(before release: String) -> String? {
      func numbers(_ text: String) -> [Int]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
        return parts.contains(nil) ? nil : parts.compactMap { $0 }
      }
      guard let wanted = numbers(release),
        let first = ends.keys.compactMap({ key in numbers(key).map { (key, $0) } })
          .min(by: { $0.1.lexicographicallyPrecedes($1.1) }),
        wanted.lexicographicallyPrecedes(first.1)
      else { return nil }
      return ends[first.0]
    }
  }

  private static let redHat8To10 = ["8": "2029-05-31", "9": "2032-05-31", "10": "2035-05-31"]

  static let releases: [String: Releases] = [
    "almalinux": Releases(components: 1, ends: ["8": "2029-03-01", "9": "2032-05-31", "10": "2035-05-31"]),
    "alpine": Releases(
      components: 2,
      ends: [
        "3.0": "2016-05-01", "3.1": "2016-11-01", "3.2": "2017-05-01", "3.3": "2017-11-01", "3.4": "2018-05-01",
        "3.5": "2018-11-01", "3.6": "2019-05-01", "3.7": "2019-11-01", "3.8": "2020-05-01", "3.9": "2020-11-01",
        "3.10": "2021-05-01", "3.11": "2021-11-01", "3.12": "2022-05-01", "3.13": "2022-11-01", "3.14": "2023-05-01",
        "3.15": "2023-11-01", "3.16": "2024-05-23", "3.17": "2024-11-22", "3.18": "2025-05-09", "3.19": "2025-11-01",
        "3.20": "2026-04-01", "3.21": "2026-11-01", "3.22": "2027-05-01", "3.23": "2027-11-01", "3.24": "2028-06-01",
      ]),
    "amzn": Releases(
      components: 1,
      ends: [
        "2014": "2023-12-31", "2015": "2023-12-31", "2016": "2023-12-31", "2017": "2023-12-31", "2018": "2023-12-31",
        "2": "2026-06-30",
      ]),
    "centos": Releases(
      components: 1, ends: ["5": "2017-03-31", "6": "2020-11-30", "7": "2024-06-30", "8": "2021-12-31"]),
    "centos-stream": Releases(components: 1, ends: ["8": "2024-05-31", "9": "2027-05-31", "10": "2030-05-31"]),
    "debian": Releases(
      components: 1,
      ends: [
        "6": "2016-02-29", "7": "2018-05-31", "8": "2020-06-30", "9": "2022-06-30", "10": "2024-06-30",
        "11": "2026-08-31", "12": "2028-06-30", "13": "2030-06-30",
      ]),
    "fedora": Releases(
      components: 1,
      ends: [
        "32": "2021-05-25", "33": "2021-11-30", "34": "2022-06-07", "35": "2022-12-13", "36": "2023-05-16",
        "37": "2023-12-05", "38": "2024-05-21", "39": "2024-11-26", "40": "2025-05-13", "41": "2025-12-15",
        "42": "2026-05-13",
      ]),
    "mariner": Releases(components: 1, ends: ["1": "2023-07-31", "2": "2025-07-31"]),
    "ol": Releases(
      components: 1,
      ends: ["5": "2017-06-30", "6": "2021-03-31", "7": "2024-12-31", "8": "2029-07-31", "9": "2032-06-30"]),
    "opensuse-leap": Releases(
      components: 2,
      ends: [
        "42.1": "2017-05-17", "42.2": "2018-01-26", "42.3": "2019-06-30", "15.0": "2019-12-03", "15.1": "2021-02-02",
        "15.2": "2022-01-04", "15.3": "2022-12-31", "15.4": "2023-12-07", "15.5": "2024-12-31", "15.6": "2026-04-30",
      ]),
    "photon": Releases(components: 2, ends: ["1.0": "2022-02-28", "2.0": "2022-12-31", "3.0": "2024-06-30"]),
    "rhel": Releases(
      components: 1, ends: redHat8To10.merging(["5": "2017-03-31", "6": "2020-11-30", "7": "2024-06-30"]) { $1 }),
    "rocky": Releases(components: 1, ends: redHat8To10),
    "sles": Releases(
      components: 2,
      ends: [
        "11": "2010-12-31", "11.1": "2012-08-31", "11.2": "2014-01-31", "11.3": "2016-01-31", "11.4": "2019-03-31",
        "12": "2016-06-30", "12.1": "2017-05-31", "12.2": "2018-03-31", "12.3": "2019-06-30", "12.4": "2020-06-30",
        "12.5": "2024-10-31", "15": "2019-12-31", "15.1": "2021-01-31", "15.2": "2021-12-31", "15.3": "2022-12-31",
        "15.4": "2023-12-31", "15.5": "2024-12-31", "15.6": "2025-12-31", "15.7": "2031-07-31",
      ]),
    "ubuntu": Releases(
      components: 2,
      ends: [
        "12.04": "2017-04-28", "12.10": "2014-05-16", "13.04": "2014-01-27", "13.10": "2014-07-17",
        "14.04": "2019-04-25", "14.10": "2015-07-23", "15.04": "2016-02-04", "15.10": "2016-07-28",
        "16.04": "2021-04-30", "16.10": "2017-07-20", "17.04": "2018-01-13", "17.10": "2018-07-19",
        "18.04": "2023-05-31", "18.10": "2019-07-18", "19.04": "2020-01-23", "19.10": "2020-07-17",
        "20.04": "2025-05-29", "20.10": "2021-07-22", "21.04": "2022-01-20", "21.10": "2022-07-14",
        "22.04": "2027-06-01", "22.10": "2023-07-20", "23.04": "2024-01-25", "23.10": "2024-07-11",
        "24.04": "2029-05-31", "24.10": "2025-07-10", "25.04": "2026-01-15", "25.10": "2026-07-09",
        "26.04": "2031-05-29",
      ]),
  ]
}
