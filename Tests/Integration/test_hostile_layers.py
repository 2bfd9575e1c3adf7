"""Layers that mean harm by how they are packed and by what their tar is: rows H57 to H80 of the catalogue of hostile inputs.
All of them are scanned by one daemon, in one poll; each image is reported with all that could be read of it, what could not
is told with layer and reason, and the daemon is none the worse."""
import random
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from support import tars
from support.images import OCI_LAYER, layer_of
from support.packages import APK_PATH, alpine, apk
from support.rows import Bench, Case, Rows, raw
from support.tars import archive, file, files, gzip_member, header, link, long_name, named, patched, pax, zstd_frame

ROWS = Rows()
row = ROWS.row
ZEROS = 64 << 20
OUTSIDE = Path(tempfile.gettempdir()) / f"tidewaiter-hostile-{random.SystemRandom().randrange(1 << 64):x}"


@pytest.fixture(scope="module")
def bench(module_daemon, module_registry):
    return Bench(module_daemon, module_registry, ROWS)


@pytest.mark.parametrize("name", ROWS, ids=lambda name: f"{ROWS[name].rows}-{name}")
def test_row(bench, name):
    bench.scanned(name).verify()


def test_the_daemon_is_sane(bench):
    bench.verify_sane()
    assert not OUTSIDE.exists()


def found(*names):
    """Entries of an image that has these packages."""
    return files(alpine(*((name, "1.0-r0") for name in names)))


def database(*names):
    return file(APK_PATH, apk(*((name, "1.0-r0") for name in names)))


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


# -- compression

@row("H57")
def gzip_bomb():
    """10 GiB of zeros in a file, after a database."""
    zeros = gzip_member(bytes(ZEROS), 9)
    start = gzip_member(found("libfirst") + header("srv/zeros", 10 << 30))
    return Case([raw(start + zeros * (10 << 30 >> 26), "+gzip")], {"libfirst"}, {("LAYER_EXPANSION_LIMIT", 0)})


@row("H58")
def zstd_bomb():
    """1 GiB in some 30 KiB, as dense as the tool makes it."""
    made = subprocess.Popen(["zstd", "-q", "-c", "-19"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    zeros, _ = made.communicate(bytes(ZEROS))
    start = zstd_frame(found("libfirst") + header("srv/zeros", 10 << 30))
    return Case([raw(start + zeros * (10 << 30 >> 26), "+zstd")], {"libfirst"}, {("LAYER_EXPANSION_LIMIT", 0)})


@row("H59")
def layers_in_layers():
    """Packed once more it is no layer; in a layer it is a file."""
    inner = archive(found("libinner"), file("srv/noise", noise(3000)))
    return Case([raw(gzip_member(gzip_member(inner)), "+gzip"),
                 layer_of(archive(found("libouter"), file("srv/inner.tar", inner), file("srv/inner.tar.gz", gzip_member(inner))))],
                {"libouter"}, {("LAYER_NOT_TAR", 0)})


@row("H60")
def gzip_in_members():
    data = archive(found("libfirst"), file("srv/noise", noise(3000)))
    return Case([raw(gzip_member(data[:700]) + gzip_member(b"") + gzip_member(data[700:2000]) + gzip_member(data[2000:]), "+gzip")],
                {"libfirst"})


@row("H61")
def bytes_after_gzip():
    whole = [gzip_member(archive(database(f"lib{number}"))) for number in range(4)]
    return Case([raw(whole[0] + bytes(512), "+gzip"), raw(whole[1] + b"GARBAGE", "+gzip"), raw(whole[2] + bytes(512) + b"X", "+gzip"),
                 layer_of(archive(found("liblast")))], {"liblast"}, {("LAYER_TRAILING_BYTES", 1), ("LAYER_TRAILING_BYTES", 2)})


@row("H62")
def media_types_that_are_wrong():
    """The bytes decide, and the report says that they were not what was announced."""
    layers = [layer_of(archive(file("srv/a")), "zstd", OCI_LAYER + "+gzip"), layer_of(archive(file("srv/b")), "none", OCI_LAYER + "+gzip"),
              layer_of(archive(file("srv/c")), "gzip", OCI_LAYER), layer_of(archive(found("libfirst")), "gzip", OCI_LAYER + "+zstd")]
    return Case(layers, {"libfirst"}, says=(
        "layer 0: its media type says compression gzip, its bytes are zstd", "layer 1: its media type says compression gzip, its bytes are none",
        "layer 2: its media type says compression none, its bytes are gzip", "layer 3: its media type says compression zstd, its bytes are gzip"))


@row("H63")
def zstd_windows():
    data = archive(found("libfirst"))
    return Case([raw(zstd_frame(archive(file("srv/wide")), 31), "+zstd"), raw(zstd_frame(archive(file("srv/odd")), 28), "+zstd"),
                 raw(zstd_frame(data, 27), "+zstd")],
                {"libfirst"}, {("LAYER_WINDOW_TOO_LARGE", 0), ("LAYER_WINDOW_TOO_LARGE", 1)}, says=("128 MiB",))


def cut_and_flipped(compression):
    whole = layer_of(archive(found("libfirst"), file("srv/noise", noise(1500))), compression).blob
    suffix = "+" + compression
    layers = [raw(whole[:length], suffix) for length in range(100, len(whole), 100)]
    # The last bytes are the checksum: of gzip before its length.
    at = len(whole) - (8 if compression == "gzip" else 4)
    layers.append(raw(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:], suffix))
    told = {("LAYER_TRUNCATED|LAYER_CORRUPT|LAYER_NOT_TAR|LAYER_EMPTY", number) for number in range(len(layers))}
    # zstd hands out whole blocks: of one that is cut, or whose checksum is wrong, there is nothing.
    return Case(layers, {"libfirst"} if compression == "gzip" else set(), told)


@row("H64")
def cut_gzip():
    return cut_and_flipped("gzip")


@row("H64")
def cut_zstd():
    return cut_and_flipped("zstd")


# -- headers that say different things

@row("H65")
def sizes_that_differ():
    """The size of an extended header counts, whether it hides what would be an entry or shows one."""
    hidden, shown = database("libhidden"), database("libshown")
    return Case([layer_of(archive(found("libfirst"), pax({"size": str(len(hidden))}), header("srv/outer", 0), hidden)),
                 layer_of(archive(pax({"size": "0"}), header("srv/outer", len(shown)), shown))], {"libshown"})


@row("H66")
def size_before_a_long_name():
    hidden = database("libhidden")
    return Case([layer_of(archive(found("libfirst"), pax({"size": str(512 + len(hidden))}), long_name("srv/longname.txt"),
                                  header("a", 16), tars.padded(b"A" * 16), hidden))], {"libfirst"})


@row("H67")
def sparse_maps():
    """Nothing is done by the numbers of a map."""
    def sparse(name, text):
        body = tars.padded(text)
        return pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name, "GNU.sparse.realsize": str(1 << 40)}) \
            + header("GNUSparseFile.0/x", len(body)) + body
    return Case([layer_of(archive(found("libfirst"), sparse("srv/big", b"99999999\n0\n1\n"))),
                 layer_of(archive(sparse(APK_PATH, b"-1\n" + b"9" * 400)))], set(),
                {("FILE_SPARSE", 0), ("FILE_SPARSE", 1), ("PACKAGE_DATABASE_REMOVED", 1)})


@row("H68")
def sizes_that_are_none():
    blocks = [header("huge", 2**63 - 1), patched(header("negative"), 124, b"-0000000001\0"), patched(header("binary"), 124, b"\xff" * 12),
              patched(header("words"), 124, b"12 apples\0\0\0"), pax({"size": "-1"}) + header("less"), pax({"size": "1" * 30}) + header("more")]
    layers = [layer_of(archive(block, database("libhidden"))) for block in blocks] + [layer_of(archive(found("libfirst"), blocks[0]))]
    return Case(layers, {"libfirst"}, {("TAR_MALFORMED", number) for number in range(len(layers))})


@row("H69")
def headers_too_long():
    claims = [pax({"path": "a" * 2_000_000}), header("pax", 2 << 30, b"x"), long_name("a" * 2_000_000), header("pax", 2 << 30, b"g")]
    layers = [layer_of(archive(database(f"lib{number}"), claim, file("srv/x"))) for number, claim in enumerate(claims)]
    return Case(layers, {"lib3"}, {("TAR_EXTENSION_TOO_LARGE", number) for number in range(len(layers))} | {("OS_RELEASE_MISSING", None)})


# -- names

@row("H70")
def names_that_leave():
    up = "../" * 12
    outside = [up + str(OUTSIDE)[1:], "a/../../" + APK_PATH, "..", "../" + APK_PATH]
    entries = b"".join(file(name, apk(("libescaped", "1.0-r0"))) for name in outside)
    entries += file(".", "x") + file("./", "x") + file("//", "x") + file(b"", b"x") + link(".", "/etc")
    inside = file("/./lib//apk/../apk/db/./installed", apk(("libinside", "1.0-r0")))
    return Case([layer_of(archive(files({"etc/os-release": alpine()["etc/os-release"]}), inside, entries))], {"libinside"},
                says=("entries with names outside the image",))


@row("H71")
def links_of_os_release():
    return Case([layer_of(archive(link("etc/os-release", "../../../../etc/passwd"), database("libfirst")))], {"libfirst"},
                {("PACKAGE_DATABASE_BEHIND_LINK", None), ("OS_RELEASE_MISSING", None)},
                check=lambda one: not one.report.get("os"))


@row("H71")
def links_to_themselves():
    return Case([layer_of(archive(link("etc/os-release", "os-release"), link("lib/apk", "apk"), link(APK_PATH, "installed")))], set(),
                {("LINK_UNRESOLVABLE", None), ("LINK_UNRESOLVABLE", 0)})


@row("H71")
def chain_of_links():
    chain = b"".join(link(f"srv/{number}", f"{number + 1}") for number in range(1000))
    return Case([layer_of(archive(files({"etc/os-release": alpine()["etc/os-release"]}), link(APK_PATH, "/srv/0"), chain,
                                  file("srv/1000", apk(("libfar", "1.0-r0")))))], set(), {("PACKAGE_DATABASE_BEHIND_LINK", None)})


@row("H71")
def links_among_directories():
    """Resolved in the image's own tree: what leads out of it leads to its root."""
    return Case([layer_of(archive(files({"etc/os-release": alpine()["etc/os-release"]}), link("lib", "../../../../usr/lib"),
                                  file("usr/lib/apk/db/installed", apk(("liblinked", "1.0-r0")))))], {"liblinked"})


@row("H72")
def databases_that_are_no_files():
    def of(kind):
        return layer_of(archive(header(APK_PATH, kind=kind), header("etc/os-release", kind=kind)))
    return Case([of(kind) for kind in (b"5", b"6", b"3", b"4")] + [layer_of(archive(header("var/lib/dpkg/status", kind=b"6")))], set(),
                {("DATABASE_NOT_A_FILE", number) for number in range(5)})


@row("H73")
def paths_that_come_twice():
    """The last one wins, as it would on a disk."""
    jar, other = tars.module("twice", "1.0"), tars.module("once", "1.0")
    entries = found("libold") + database("libnew") + file("srv/a.jar", jar) + file("srv/a.jar", other)
    entries += file("opt/b.jar", jar) + header("opt/b.jar", kind=b"5") + file("opt/c.jar", jar) + header("opt/c.jar", kind=b"5")
    entries += file("opt/c.jar", other)
    return Case([layer_of(archive(entries))], {"libnew", "org.example:once"})


@row("H74")
def names_for_terminals():
    odd = [b"\xff\x1b[2J\n", "evil\u202ename\u200b".encode(), b"\r\x9b31m\x07"]
    entries = b"".join(named(b"srv/" + name, mode=0o4755) for name in odd)
    entries += b"".join(pax({"path": name}) + header("short", mode=0o4755) for name in ("n" * 5000, "a/" * 10_000 + "x", "b/" * 2000 + "x"))

    def check(one):
        paths = [finding["path"] for finding in one.report["findings"] if finding["id"] == "SETUID_FILE"]
        assert len(paths) == len(odd) + 1 and max(map(len, paths)) == 4001, paths
        for output in ("json", "table"):
            shown = one.cli.run("image", "report", one.reference, output=output).out
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown), shown
            assert output == "json" or not re.search("[\u202a-\u202e\u200b]", shown), shown
    return Case([layer_of(archive(found("libfirst"), entries))], {"libfirst"}, says=("2 entries with names outside the image",), check=check)


@row("H75")
def wide_and_deep():
    """A directory of very many files, and as many directories in each other as a name can have."""
    template = header("srv/wide/000000")
    wide = b"".join(patched(template, 9, b"%06d" % number) for number in range(50_000))
    deep = b"".join(pax({"path": "d/" * depth}) + header("d/", kind=b"5") for depth in range(1, 2048, 7))
    return Case([layer_of(archive(found("libfirst"), wide, deep, pax({"path": "d/" * 2000 + "x.jar"}), file("x.jar", tars.module("deep"))))],
                {"libfirst", "org.example:deep"})


# -- ends

@row("H76")
def data_after_the_end():
    return Case([layer_of(archive(found("libfirst")) + archive(database("libhidden")), compression) for compression in ("none", "gzip", "zstd")],
                {"libfirst"}, {("TAR_DATA_AFTER_END", number) for number in range(3)})


@row("H77")
def cut_archives():
    whole = archive(database("libhidden"), file("srv/noise", noise(2000)))
    cut = len(whole) - len(tars.END)
    layers = [layer_of(whole[:length], "none") for length in (100, 700, cut - 2560 + 100, cut - 1000, cut)]
    layers.append(layer_of(archive(found("libfirst"))[:-1024]))
    return Case(layers, {"libfirst"}, {("LAYER_TRUNCATED|LAYER_NOT_TAR|DATABASE_INCOMPLETE", number) for number in range(len(layers))})


@row("H78")
def wrong_checksums():
    block = bytearray(header("srv/x"))
    block[0] ^= 1
    layers = [layer_of(archive(bytes(block))), layer_of(b"\xff" * 1024), layer_of(archive(database("lib2"), bytes(block), database("libhidden"))),
              layer_of(archive(found("libfirst"), b"\xff" * 512, database("libhidden")))]
    return Case(layers, {"libfirst"}, {("LAYER_NOT_TAR", 0), ("LAYER_NOT_TAR", 1), ("TAR_MALFORMED", 2), ("TAR_MALFORMED", 3)})


# -- whiteouts, and nothing at all

@row("H79")
def odd_whiteouts():
    """They concern lower layers alone, wherever they stand, and are never packages themselves."""
    jars = {name: tars.module(name) for name in ("kept", "gone", "stays", "below", "hidden", "none")}
    base = found("libfirst") + files({
        "opt/kept.jar": jars["kept"], "opt/gone.jar": jars["gone"], "srv/in/below.jar": jars["below"], "usr/in/hidden.jar": jars["hidden"]})
    change = files({
        "opt/.wh.": "", "opt/.wh..": "", "opt/.wh...": "", "opt/.wh.gone.jar": "", "opt/.wh.missing": "",
        "srv/in/stays.jar": jars["stays"], "srv/in/.wh..wh..opq": "", "usr/.wh.in": "",
        "opt/.wh.none.jar": jars["none"], "opt/.wh..wh.none.jar": jars["none"], ".wh..wh.plnk/none.jar": b"",
        "opt/.wh.kept.jar": "", "opt/kept.jar": jars["kept"], "lib/apk/db/.wh.installed": "", APK_PATH: apk(("libsecond", "1.0-r0"))})
    return Case([layer_of(archive(base)), layer_of(archive(change))],
                {"libsecond", "org.example:kept", "org.example:stays"}, says=("entries with names outside the image",))


@row("H80")
def layers_of_nothing():
    return Case([raw(b""), raw(gzip_member(b""), "+gzip"), layer_of(tars.END), layer_of(archive(found("libfirst")))], {"libfirst"},
                {("LAYER_EMPTY", 0), ("LAYER_EMPTY", 1)})

