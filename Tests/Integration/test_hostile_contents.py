"""Files in layers that mean harm: what says which distribution it is, package databases, manifests, jars, programs, secrets.
Rows H81 to H96 of the catalogue of hostile inputs; all of them are scanned by one daemon, as in test_hostile_layers.py."""
import json
import re
import sqlite3
import struct
import zlib

import pytest

from support import corpus, osv, tars
from support.images import Link, layer
from support.packages import ALPINE_318, APK_PATH, DEBIAN_12, DPKG_PATH, alpine, apk, debian, dpkg, stanza
from support.rows import Bench, Case, Rows

ROWS = Rows()
row = ROWS.row
RPM_PATH = "var/lib/rpm/rpmdb.sqlite"
ALMALINUX = 'NAME="AlmaLinux"\nID="almalinux"\nVERSION_ID="9.3"\nID_LIKE="rhel centos fedora"\n'
MODULE = "srv/node_modules/{}/package.json"


@pytest.fixture(scope="module")
def bench(module_daemon, module_registry, tmp_path_factory):
    module_daemon.cli.import_advisories(osv.archive(tmp_path_factory.mktemp("advisories") / "all.zip", [
        osv.advisory(f"ROW-{number}", "libcompared", fixed=version) for number, version in enumerate(ODD_VERSIONS + ["1.5-r0"])]))
    return Bench(module_daemon, module_registry, ROWS)


@pytest.mark.parametrize("name", ROWS, ids=lambda name: f"{ROWS[name].rows}-{name}")
def test_row(bench, name):
    bench.scanned(name).verify()


def test_the_daemon_is_sane(bench):
    bench.verify_sane()


def with_alpine(files, *packages):
    return layer(alpine(*((name, "1.0-r0") for name in packages)) | files)


# -- which distribution it is

@row("H81")
def no_os_release():
    return Case([layer({APK_PATH: apk(("libfirst", "1.0-r0"))})], {"libfirst"}, {("OS_RELEASE_MISSING", None)})


@row("H81")
def two_os_releases():
    return Case([layer(debian(("libfirst", "1.0-1")) | {"usr/lib/os-release": DEBIAN_12.replace("12", "11")})], {"libfirst"},
                {("OS_RELEASE_CONFLICT", 0)}, says=("debian 12 is used",))


@row("H81")
def os_release_of_another():
    """Packages stay what their database says, and are compared as such."""
    return Case([layer({"etc/os-release": ALPINE_318, DPKG_PATH: dpkg(("libfirst", "1:1.0-1"))})], {"libfirst"}, {("OS_RELEASE_MISMATCH", 0)},
                says=("a dpkg database",), check=lambda one: one.names("deb") == {"libfirst"} or pytest.fail(str(one.report)))


@row("H82")
def os_release_for_a_shell():
    text = 'ID="alpine$(touch /tmp/x)`id`"\nVERSION_ID=\'3.18"\'$HOME\nNAME=\x1b[2J\nPRETTY_NAME="' + "x" * (1 << 20) + '"\n'

    def check(one):
        assert "uid=" not in json.dumps(one.report["os"]) and "/root" not in json.dumps(one.report["os"])
        shown = one.cli.run("image", "report", one.reference, output="table").out
        assert len(json.dumps(one.report)) < 100_000 and not re.search("[\x00-\x09\x0b-\x1f]", shown)
    return Case([layer({"etc/os-release": text, APK_PATH: apk(("libfirst", "1.0-r0"))})], {"libfirst"}, {("FILE_TOO_LARGE", 0)}, check=check)


@row("H83")
def database_removed():
    return Case([with_alpine({}, "libfirst", "libsecond", "libthird"), layer({"lib/apk/db/.wh.installed": ""})], set(),
                {("PACKAGE_DATABASE_REMOVED", 1)}, says=("3 packages vanished",))


@row("H83")
def database_emptied():
    return Case([layer(debian(("libfirst", "1.0-1"), ("libsecond", "1.0-1"))), layer({DPKG_PATH: ""})], set(),
                {("PACKAGE_DATABASE_REMOVED", 1)}, says=("2 packages vanished",))


@row("H83")
def directory_replaced():
    return Case([with_alpine({}, "libfirst"), layer({"lib/apk/db": Link("/nowhere")})], set(),
                {("PACKAGE_DATABASE_REMOVED", 1), ("PACKAGE_DATABASE_BEHIND_LINK", None)}, says=("1 packages vanished",))


# -- databases that are text

def dpkg_case(text, told=(), packages=("libfirst", "liblast")):
    first, last = dpkg(("libfirst", "1.0-1")), dpkg(("liblast", "1.0-1"))
    return Case([layer({"etc/os-release": DEBIAN_12, DPKG_PATH: first + text + "\n\n" + last})], set(packages), {(code, 0) for code in told})


@row("H84")
def dpkg_one_line():
    """Over what is held: what was read before it stays."""
    return dpkg_case("Description: " + "x" * (100 << 20), ["FILE_TOO_LARGE"], ["libfirst"])


@row("H84")
def dpkg_folded_for_ever():
    return dpkg_case("Package: libfolded\nStatus: install ok installed\nVersion: 1\nDescription: x\n" + " y\n" * (1 << 20),
                     packages=["libfirst", "libfolded", "liblast"])


@row("H84")
def dpkg_fields_that_come_again():
    return dpkg_case("Package: libtwice\nStatus: install ok installed\n" + "Version: 1.0\n" * 10_000 + "Package: libother\n" * 10_000,
                     packages=["libfirst", "libtwice", "liblast"])


@row("H84")
def dpkg_without_what_it_needs():
    return dpkg_case("Status: install ok installed\nVersion: 1.0\n\nPackage: libnone\nStatus: install ok installed\n\n"
                     "Package: libstate\nVersion: 1.0\nStatus: x\n\nPackage: " + "l" * 2000 + "\nVersion: 1.0\nStatus: install ok installed",
                     ["DATABASE_MALFORMED"])


@row("H85")
def apk_cut():
    text = apk(("libfirst", "1.0-r0"), ("libsecond", "1.0-r0"))
    return Case([layer(alpine() | {APK_PATH: text[:text.index("V:1.0-r0", text.index("libsecond"))]})], {"libfirst"}, {("DATABASE_MALFORMED", 0)})


@row("H85")
def apk_without_its_last_line():
    return Case([layer(alpine() | {APK_PATH: apk(("libfirst", "1.0-r0")).rstrip("\n")})], {"libfirst"})


@row("H85")
def apk_of_many_lines():
    text = apk(("libfirst", "1.0-r0"))
    return Case([layer(alpine() | {APK_PATH: "x:1\n\x00\nZ\n" * 10 + text[:-1] + "R:x\n" * 1_000_000 + "\n" + apk(("liblast", "1.0-r0"))})],
                {"libfirst", "liblast"})


# -- rpm's database in SQLite

def rpm_layer(data, **more):
    return layer({"etc/os-release": ALMALINUX, RPM_PATH: data} | more)


def rpm_database(statements=(), headers=("librpm",), table="CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)"):
    with sqlite3.connect(":memory:") as database:
        database.execute("PRAGMA page_size=4096")
        database.execute(table)
        for header in headers:
            blob = header if isinstance(header, bytes) else tars.rpm_header(header)
            database.execute("INSERT INTO Packages (blob) VALUES (?)", (blob,))
        for statement in statements:
            database.execute(statement)
        database.commit()
        return database.serialize()


@row("H86")
def rpm_with_triggers_and_views():
    """What a schema would have done is not done."""
    statements = ("CREATE TRIGGER more AFTER INSERT ON Packages BEGIN DELETE FROM Packages; END",
                  "CREATE VIEW Names AS SELECT load_extension('/tmp/x')", "CREATE INDEX lengths ON Packages (length(blob))")
    return Case([rpm_layer(rpm_database(statements))], {"librpm"})


@row("H86")
def rpm_whose_table_is_a_view():
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE VIEW Packages AS WITH RECURSIVE n(blob) AS (SELECT x'00' UNION ALL SELECT blob FROM n) SELECT blob FROM n")
        database.commit()
        return Case([rpm_layer(database.serialize())], set(), {("DATABASE_MALFORMED", 0)})


@row("H86")
def rpm_with_a_damaged_page():
    """SQLite goes through the pages in their order and reads no further than the damaged one: what lies before it is listed."""
    names = [f"lib{number}" + "x" * 300 for number in range(60)]
    data = bytearray(rpm_database(headers=names))
    pages = [data[start:start + 4096] for start in range(0, len(data), 4096)]
    bad = 5
    before = {name for name in names if any(name.encode() in page for page in pages[:bad])}
    assert 10 < len(before) < 40 and not before & {name for name in names if name.encode() in pages[bad]}
    data[bad * 4096 + 8:bad * 4096 + 400] = b"\xff" * 392

    def check(one):
        assert before <= one.names() <= set(names), sorted(name.rstrip("x") for name in before ^ one.names())
    return Case([rpm_layer(bytes(data))], None, {("DATABASE_MALFORMED", 0)}, check=check)


@row("H86")
def rpm_log_alone():
    """A write-ahead log without its database holds packages that nobody sees."""
    return Case([layer({"etc/os-release": ALMALINUX, RPM_PATH + "-wal": b"7\x7f\x06\x82" + bytes(5000)})], set(), {("DATABASE_INCOMPLETE", 0)})


@row("H86")
def rpm_database_that_is_none():
    return Case([rpm_layer(b"SQLite format 3\0" + b"\xff" * 5000), rpm_layer("no database"), rpm_layer(b"")], set(),
                {("DATABASE_MALFORMED", number) for number in range(3)})


@row("H89")
def rpm_headers():
    wrong = [tars.rpm_header("libwrong", claimed=0x7FFF_FFFF), struct.pack(">IIIIII", 1, 4, 1000, 6, 0xFFFF_FFF0, 1) + b"abcd",
             struct.pack(">IIIIII", 1, 4, 1000, 6, 0, 1) + b"abcd", b"", b"\0" * 7]
    return Case([rpm_layer(rpm_database(headers=["libfirst", *wrong, "liblast"]))], {"libfirst", "liblast"}, {("DATABASE_MALFORMED", 0)},
                says=("5 headers",))


# -- its other two databases, of real ones

def real(name, *changes):
    """A database of the corpus with other bytes at some offsets."""
    data = bytearray((corpus.CORPUS / "rpmdb" / name).read_bytes())
    for offset, new in changes:
        data[offset:offset + len(new)] = new
    return bytes(data)


def word(number):
    return struct.pack("<I", number)


@row("H87", missing=corpus.MISSING)
def berkeley_pages_in_a_circle():
    """The pages of one header that lead back to the first of them, and one that leads to itself."""
    page, following = 4096, 16
    return Case([layer({"etc/os-release": ALMALINUX, "var/lib/rpm/Packages": real("one-package.Packages", (last * page + following, word(3)))})
                 for last in (12, 3)], set(), {("DATABASE_MALFORMED|DATABASE_INCOMPLETE", number) for number in range(2)})


@row("H88", missing=corpus.MISSING)
def ndb_slots_that_lie():
    """One with no blocks and one with more than there can be cost their own packages."""
    slot, count = 16, 12
    text = real("sles-15.Packages.db", (4 * slot + count, word(0)), (5 * slot + count, word(0xFFFF_FFFF)))
    known = {row["name"] for row in corpus.truth("sles_15-rpmdb", "packages") if row["type"] == "rpm"}

    def check(one):
        assert one.names() < known and len(known - one.names()) == 2, known - one.names()
    return Case([layer({"etc/os-release": ALMALINUX, "usr/lib/sysimage/rpm/Packages.db": text})], None,
                {("DATABASE_MALFORMED|DATABASE_INCOMPLETE", 0)}, check=check)


# -- manifests

@row("H90")
def odd_modules():
    good = {"name": "good", "version": "1.0.0"}
    files = {"deep": "[" * 100_000 + "]" * 100_000, "huge": json.dumps(good | {"more": "x" * (17 << 20)}), "cut": json.dumps(good)[:-5],
             "array": json.dumps({"name": ["a"], "version": "1.0.0"}), "none": "[]", "empty": "",
             "long": json.dumps({"name": "x" * 2000, "version": "1.0.0"}), "good": json.dumps(good),
             "bytes": b'{"name": "bad\xff", "version": "1.0.0"}', "surrogate": '{"name": "lone\\ud800", "version": "1.0.0"}'}

    def check(one):
        for package in one.report["packages"]:
            assert re.fullmatch(r"[\x21-\x7e]+", package["purl"]), package
        json.dumps(one.report, ensure_ascii=False).encode()
    return Case([with_alpine({MODULE.format(name): text for name, text in files.items()}, "libfirst")],
                {"libfirst", "good", "bad\ufffd", "lone\ufffd\ufffd\ufffd"}, {("DATABASE_MALFORMED", 0), ("FILE_TOO_LARGE", 0),
                 ("SECRETS_NOT_READ", 0)}, check=check)


@row("H90")
def names_of_modules():
    """Names are data: percent-encoded in a purl, and kept from terminals."""
    names = ["../../x", "a\nb", "@a/b@c?d#e", "\x1b[2J", "%2e%2e", "<script>"]
    files = {MODULE.format(f"m{number}"): json.dumps({"name": name, "version": "1.0.0"}) for number, name in enumerate(names)}

    def check(one):
        for package in one.report["packages"]:
            assert re.fullmatch(r"pkg:[a-z]+/[A-Za-z0-9._~%@/+:-]+(\?[\x21-\x7e]*)?", package["purl"]), package["purl"]
            assert "/../" not in package["purl"]
        assert not re.search("[\x00-\x09\x0b-\x1f]", one.cli.run("image", "report", one.reference, output="table").out)
    return Case([with_alpine(files, "libfirst")], {"libfirst", *names}, check=check)


# -- archives of Java

def maven(*artifacts):
    return {f"org.example:{one}" for one in artifacts}


@row("H91")
def jars_in_jars():
    """Four deep are read, the fifth is told of; each beside another."""
    data = tars.module("level50")
    for level in range(49, 0, -1):
        data = tars.module(f"level{level}", **{"inner.jar": data})
    return Case([with_alpine({"srv/deep.jar": data}, "libfirst")], {"libfirst", *maven("level1", "level2", "level3", "level4")},
                {("ARCHIVE_LIMIT", 0)}, says=("lies deeper than 4 archives",))


@row("H91")
def one_bad_jar_among_good_ones():
    bad = tars.module("bad")
    at = bad.index(b"PK\x01\x02")
    bad = bad[:at - 20] + b"\xff" * 20 + bad[at:]
    outer = tars.module("outer", **{"a.jar": tars.module("first"), "b.jar": "text", "c.jar": bad, "d.jar": tars.module("last")})
    return Case([with_alpine({"srv/outer.jar": outer, "srv/text.jar": "hello", "srv/none.jar": ""}, "libfirst")],
                {"libfirst", *maven("outer", "first", "last")}, {("ARCHIVE_MALFORMED", 0)}, says=("b.jar", "c.jar"))


@row("H92")
def archives_that_overlap():
    """Two members of the directory, one of the file."""
    plain = tars.jar({"a/pom": "x"} | tars.properties("overlapping"))
    at = plain.index(b"PK\x01\x02")
    end = plain.index(b"PK\x05\x06")
    entry_bytes = plain.index(b"PK\x01\x02", at + 4) - at
    directory = plain[at:end] + plain[at:at + entry_bytes]
    record = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 3, 3, len(directory), at, 0)
    return Case([with_alpine({"srv/x.jar": plain[:at] + directory + record}, "libfirst")], {"libfirst"}, {("ARCHIVE_MALFORMED", 0)},
                says=("overlap",))


@row("H92")
def archives_that_claim():
    """65,535 members, of which one is there; more bytes than there are."""
    plain = tars.module("claims")
    end = plain.index(b"PK\x05\x06")
    many = plain[:end + 8] + b"\xff\xff\xff\xff" + plain[end + 12:]
    at = plain.index(b"PK\x01\x02")
    long = plain[:at + 20] + struct.pack("<II", 1 << 30, 1 << 30) + plain[at + 28:]
    return Case([with_alpine({"srv/many.jar": many, "srv/long.jar": long}, "libfirst")], {"libfirst", *maven("claims")},
                {("ARCHIVE_MALFORMED", 0)}, says=("claims 65535 members and has 1",))


@row("H93")
def jars_that_unpack_to_much():
    bomb = tars.jar({"META-INF/MANIFEST.MF": bytes(200 << 20)})
    return Case([with_alpine({"srv/bomb.jar": bomb, "srv/good.jar": tars.module("good")}, "libfirst")], {"libfirst", *maven("good")},
                {("ARCHIVE_LIMIT", 0)})


# -- programs

@row("H94")
def odd_programs():
    go = tars.go_information([("example.org/lib", "v1.0.0")])
    good = tars.elf({".go.buildinfo": go})
    bomb = zlib.compress(bytes(64 << 20))
    crates = zlib.compress(json.dumps({"packages": [{"name": "crate", "version": "1.0.0", "source": "crates.io"}]}).encode())
    files = {
        "good": good, "rust": tars.elf({".dep-v0": crates}),
        "sections": tars.elf({".go.buildinfo": go}, claimed=0xFFFF), "no-sections": tars.elf({".go.buildinfo": go}, claimed=0),
        "table": tars.elf({".go.buildinfo": go}, patch=[(40, b"\xff" * 8)]), "rows": tars.elf({".go.buildinfo": go}, patch=[(58, b"\1\0")]),
        "pointer": tars.elf({".go.buildinfo": b"\xff Go buildinf:" + bytes([8, 0]) + b"\xff" * 64}),
        "length": tars.elf({".go.buildinfo": go[:32] + b"\xff" * 9}), "bomb": tars.elf({".dep-v0": bomb}),
        "no-json": tars.elf({".dep-v0": zlib.compress(b"[" * 10_000)}), "no-zlib": tars.elf({".dep-v0": b"\xff" * 100}),
        "cut": good[:100], "head": good[:20], "mach": b"\xca\xfe\xba\xbe\0\0\0\x08" + b"\xff" * 200, "pe": b"MZ" + b"\xff" * 200}
    return Case([with_alpine({f"usr/bin/{name}": data for name, data in files.items()}, "libfirst")],
                {"libfirst", "example.org/lib", "stdlib", "crate"}, {("ARCHIVE_LIMIT", 0), ("DATABASE_MALFORMED", 0)})


# -- secrets

@row("H95")
def secrets_by_the_million():
    """Bounded by file, however many there are; a line without end is one line; the report stays small."""
    lines = "".join(f"password = Zx{number:08x}kQ9vLm2Tr7\n" for number in range(200_000))
    one_line = "password=" * (10 << 20 >> 4) + "ghp_" + "a" * 100
    files = {"srv/app/.env": lines, "srv/app/line.conf": one_line, "srv/app/large.conf": "x" * (200 << 20)}

    def check(one):
        secrets = [finding for finding in one.report["findings"] if finding["kind"] == "secret"]
        assert 100 <= len(secrets) <= 200 and all(len(finding["excerpt"]) <= 768 for finding in secrets)
        assert len(json.dumps(one.report)) < 200_000
    return Case([with_alpine(files, "libfirst")], {"libfirst"}, {("SECRET_LIMIT", 0), ("SECRETS_NOT_READ", 0)}, check=check)


# -- versions

ODD_VERSIONS = ["1:1:1", "", "9" * 1024, "1." * 511 + "1", "-", "1.0_alpha_beta", "~", "\u00e9", "1.0-r-1", "0" * 1000 + "1"]


@row("H96")
def odd_versions():
    """Compared in time that grows with their length; what is too long or none at all is told."""
    many = [("libcompared", version) for version in ODD_VERSIONS] + [("libcompared", "1.0-r0"), ("libdigits", "1" * 1_000_000)]
    text = apk(*many).encode() + apk(("libbad", "1.0-r0")).encode().replace(b"V:1.0-r0", b"V:1.0\xff\xfe")

    def check(one):
        versions = {package["version"] for package in one.report["packages"] if package["name"] == "libcompared"}
        assert versions == set(ODD_VERSIONS) - {""} | {"1.0-r0"}, versions
        matched = {finding["id"] for finding in one.report["findings"] if finding["installedVersion"] == "1.0-r0"}
        assert f"ROW-{len(ODD_VERSIONS)}" in matched, matched
    return Case([layer({"etc/os-release": ALPINE_318, APK_PATH: text})], {"libcompared", "libbad"}, {("DATABASE_MALFORMED", 0)},
                says=("2 records",), check=check)
