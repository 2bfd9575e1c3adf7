import Glibc
import Testing

/// A packaging system's own tool, asked about many pairs of versions at once.
struct Oracle: Sendable {
  /// Shell text that reads `a TAB b` lines and writes `-1`, `0` or `1` for each, or `?` where it refuses the pair.
  let command: String

  /// Dpkg's Perl module where it is installed (milliseconds for thousands of pairs); nil elsewhere.
  static let dpkgModule = Oracle(
    command: #"""
      perl -MDpkg::Version -ne 'chomp; my ($a, $b) = split /\t/;
      my $r = eval { version_compare($a, $b) }; print defined $r ? "$r\n" : "?\n"'
      """#
  ).ifAvailable(probe: "perl -MDpkg::Version -e 1")

  /// `dpkg --compare-versions`, one process or two a pair: for a few hundred pairs.
  static let dpkg = Oracle(
    command: #"""
      while IFS="$(printf '\t')" read -r a b; do
      if dpkg --compare-versions "$a" lt "$b" 2>/dev/null; then echo -1
      elif dpkg --compare-versions "$a" gt "$b" 2>/dev/null; then echo 1; else echo 0; fi; done
      """#
  ).ifAvailable(probe: "dpkg --version")

  static let rpm = Oracle(
    command: #"""
      /usr/bin/python3 -c '
      import rpm, sys
      def label(text):
          epoch, colon, rest = text.partition(":")
          if not (colon and (epoch == "" or (epoch.isascii() and epoch.isdigit()))): epoch, rest = "", text
          version, hyphen, release = rest.rpartition("-")
          return (epoch or "0", version, release) if hyphen else (epoch or "0", rest, None)
      for line in sys.stdin:
          a, b = line.rstrip("\n").split("\t")
          print(rpm.labelCompare(label(a), label(b)))
      '
      """#
  ).ifAvailable(probe: "/usr/bin/python3 -c 'import rpm'")

  private func ifAvailable(probe: String) -> Oracle? {
    system("(\(probe)) >/dev/null 2>&1") == 0 ? self : nil
  }

  /// The answers, in the order of the pairs; nil where the tool refuses one.
  func answers(_ pairs: [(String, String)]) throws -> [Int?] {
    var path = Array("/tmp/tidewaiter-pairs-XXXXXX".utf8CString)
    let descriptor = mkstemp(&path)
    try #require(descriptor >= 0)
    let name = String(decoding: path.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    defer { unlink(name) }
    let text = pairs.map { "\($0.0)\t\($0.1)\n" }.joined()
    let written = text.utf8CString.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count - 1) }
    close(descriptor)
    try #require(written == text.utf8.count)
    let pipe = try #require(popen("{ \(command) ; } < \(name)", "r"))
    var answers: [Int?] = []
    var line = [CChar](repeating: 0, count: 64)
    while fgets(&line, Int32(line.count), pipe) != nil {
      let text = String(decoding: line.prefix { $0 != 0 && $0 != 10 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      answers.append(Int(text))
    }
    pclose(pipe)
    try #require(answers.count == pairs.count)
    return answers
  }
}
