"""The published ceilings (README.md, "What is found"), each driven to its edge: what lies just within is read whole and nothing is
told of it; what lies just over is told with its layer, and what was read before counts. One daemon scans all of it at once, with
images that mean no harm among them, and what it and its workers use of memory meanwhile is watched.

TIDEWAITER_CEILINGS=all adds what takes minutes, for `make soak`."""
import os
import random
import struct
import subprocess
import zlib

import pytest

from support import tars
from support.images import layer, layer_of
from support.packages import APK_PATH, alpine, apk
from support.rows import Bench, Case, Rows, raw
from support.tars import END, archive, file, files, gzip_member, header, pax, zstd_frame

ROWS = Rows()
edge = ROWS.row
ALL = os.environ.get("TIDEWAITER_CEILINGS") == "all"
MIB = 1 << 20
GIB = 1 << 30


@pytest.fixture(scope="module")
def bench(module_daemon, module_registry):
    return Bench(module_daemon, module_registry, ROWS)


@pytest.mark.parametrize("name", ROWS, ids=lambda name: f"{ROWS[name].rows}-{name}")
def test_edge(bench, name):
    bench.scanned(name).verify()


def test_the_daemon_is_sane(bench):
    bench.verify_sane()


def found(*names):
    return files(alpine(*((name, "1.0-r0") for name in names)))


def noise(size):
    return random.Random(size).randbytes(size)


def packed(*command):
    """A program that packs what is written to it."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def zstd(data, *options):
    return packed("zstd", "-q", "-c", *options).communicate(data)[0]


# -- uncompressed bytes

def zeros(count, of=64 * MIB, level=1):
    """A multiple of 64 MiB of zeros as frames of zstd."""
    return zstd(bytes(of), f"-{level}") * (count // of)


def expanded(ratio):
    """A layer of over 256 MiB, that many times as large as its blob, within two hundredths."""
    size = 320 * MIB
    filler = noise(int(size / ratio))
    start = found("libfirst") + file("srv/noise", filler) + header("srv/zeros", size)
    return raw(zstd_frame(start) + zeros(size) + zstd_frame(END), "+zstd")


@edge("expansion")
def two_hundredfold():
    return Case([expanded(196), expanded(206)], {"libfirst"}, {("LAYER_EXPANSION_LIMIT", 1)})


@edge("expansion")
def bombs():
    """10 GiB: 32,000 times the blob with zstd, 1,000 times with gzip."""
    start = found("libfirst") + header("srv/zeros", 10 * GIB)
    return Case([raw(zstd_frame(start) + zeros(10 * GIB, level=19), "+zstd"),
                 raw(gzip_member(start) + gzip_member(bytes(64 * MIB), 9) * 160, "+gzip")], {"libfirst"},
                {("LAYER_EXPANSION_LIMIT", 0), ("LAYER_EXPANSION_LIMIT", 1)})


@edge("sparse")
def sparse_file():
    """10 GiB of which nothing is stored, in the three forms that GNU tar has."""
    def real(key):
        return {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "srv/sparse", key: str(10 * GIB)}
    one = pax(real("GNU.sparse.realsize")) + file("GNUSparseFile.1/x", b"1\n0\n1\n".ljust(512, b"\0") + b"x")
    old = tars.patched(header("srv/old", 512, b"S"), 386, b"%011o\0%011o\0" % (10 * GIB - 512, 512)) + bytes(512)
    none = pax({"GNU.sparse.size": str(10 * GIB), "GNU.sparse.numblocks": "0", "GNU.sparse.map": ""}) + header("srv/none")
    return Case([layer_of(archive(found("libfirst"), one, old, none))], {"libfirst"}, {("FILE_SPARSE", 0)})


if ALL:
    @edge("uncompressed")
    def sixty_four_gibibytes():
        """As much as may be, and a block more; with as much of noise as makes that a credible layer."""
        filler = noise(330 * MIB)

        def large(size):
            start = found("libfirst") + file("srv/noise", filler)
            left = size - len(start) - len(END)
            parts = [zstd_frame(start)]
            while left:
                count = min(4 * GIB, left - 512)
                parts += [zstd_frame(header("srv/zeros", count)), zeros(count // (64 * MIB) * 64 * MIB), zstd_frame(bytes(count % (64 * MIB)))]
                left -= 512 + count
            return raw(b"".join(parts) + zstd_frame(END), "+zstd")
        return Case([large(64 * GIB), large(64 * GIB + 512)], {"libfirst"}, {("LAYER_EXPANSION_LIMIT", 1)})


# -- entries

def tiny_files(count, *command):
    """So many empty files, packed as they come. Each name holds its number, and what that lacks to all nines, so that one checksum
    fits all of them."""
    rest = header("0000000/9999999")[15:]
    packer = packed(*command)
    outputs = []
    import threading
    reader = threading.Thread(target=lambda: outputs.append(packer.stdout.read()))
    reader.start()
    packer.stdin.write(found("libfirst"))
    for start in range(0, count, 20_000):
        numbers = range(start, min(start + 20_000, count))
        packer.stdin.write(b"".join(b"%07d/%07d%b" % (number, 9_999_999 - number, rest) for number in numbers))
    packer.stdin.write(END)
    packer.stdin.close()
    reader.join()
    return outputs[0]


FOUND = 2  # entries that `found` makes


@edge("entries")
def three_million_files():
    return Case([raw(tiny_files(3_000_000, "zstd", "-q", "-c", "-1"), "+zstd")], {"libfirst"}, {("LAYER_ENTRY_LIMIT", 0)})


if ALL:
    @edge("entries")
    def two_million_files():
        count = 2_000_000 - FOUND
        return Case([raw(tiny_files(count + more, "zstd", "-q", "-c", "-1"), "+zstd") for more in (0, 1)], {"libfirst"},
                    {("LAYER_ENTRY_LIMIT", 1)})


# -- memory of zstd, of files

@edge("window")
def zstd_windows():
    """128 MiB, and what the tool takes beyond."""
    data = archive(found("libfirst"), file("srv/noise", noise(200 * MIB)))
    return Case([raw(zstd(data, "-1", "--long=27"), "+zstd"), raw(zstd(data[:MIB], "-1", "--long=28"), "+zstd"),
                 raw(zstd(data[:MIB], "-1", "--long=31"), "+zstd")],
                {"libfirst"}, {("LAYER_WINDOW_TOO_LARGE", 1), ("LAYER_WINDOW_TOO_LARGE", 2)})


@edge("held")
def databases_of_sixty_four_mebibytes():
    """What is over is cut: the package at its end is not seen."""
    def database(size):
        start, end = apk(("libfirst", "1.0-r0"))[:-1] + "T:", "\n\n" + apk(("liblast", "1.0-r0"))
        return layer(alpine() | {APK_PATH: start + "x" * (size - len(start) - len(end)) + end})
    return Case([database(64 * MIB + 1), database(64 * MIB)], {"libfirst", "liblast"}, {("FILE_TOO_LARGE", 0)})


@edge("held")
def archives_of_sixty_four_mebibytes():
    def jar(size):
        made = tars.jar(tars.properties(f"held{size}") | {"noise": bytes(size - 1000)}, 0)
        at = made.index(b"PK\x05\x06")
        comment = size - len(made)
        return made[:at + 20] + struct.pack("<H", comment) + b"x" * comment
    return Case([layer({"srv/within.jar": jar(64 * MIB), "etc/x": ""} | alpine(("libfirst", "1.0-r0"))), layer({"srv/over.jar": jar(64 * MIB + 1)})],
                {"libfirst", f"org.example:held{64 * MIB}"}, {("FILE_TOO_LARGE", 1)})


# -- archives

def nested(depth):
    data = tars.module(f"level{depth}")
    for level in range(depth - 1, 0, -1):
        data = tars.module(f"level{level}", **{"inner.jar": data})
    return data


@edge("depth")
def archives_four_deep():
    names = {f"org.example:level{level}" for level in range(1, 5)}
    return Case([layer(alpine(("libfirst", "1.0-r0")) | {"srv/four.jar": nested(4)}), layer({"opt/five.jar": nested(5)})],
                {"libfirst", *names}, {("ARCHIVE_LIMIT", 1)})


def many_members(count):
    """A jar of empty members; the first says what it is."""
    text = b"groupId=org.example\nartifactId=many\nversion=1\n"
    members = [(b"META-INF/maven/org.example/many/pom.properties", text)] + [(b"%06d" % number, b"") for number in range(count - 1)]
    local, central, at = [], [], 0
    for name, data in members:
        fields = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, zlib.crc32(data), len(data), len(data), len(name), 0)
        local.append(b"PK\3\4" + fields + name + data)
        central.append(b"PK\1\2\x14\0" + fields + struct.pack("<HHHII", 0, 0, 0, 0, at) + name)
        at += len(local[-1])
    directory = b"".join(central)
    return b"".join(local) + directory + struct.pack(
        "<IHHHHIIH", 0x06054B50, 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), at, 0)


@edge("members")
def members_of_archives():
    within, over = many_members(500_000), many_members(500_001)
    return Case([layer(alpine(("libfirst", "1.0-r0")) | {"srv/many.jar": within}), layer({"srv/over.jar": over})],
                {"libfirst", "org.example:many"}, {("ARCHIVE_LIMIT", 1)})


@edge("unpacked")
def unpacked_archives():
    """Sixteen archives of 32 MiB each in one, and one more that is the smallest there can be."""
    def inner(number, size=32 * MIB):
        made = tars.jar(tars.properties(f"inner{number}") | {"zeros": b""}, 0)
        missing = size - len(made)
        return tars.jar(tars.properties(f"inner{number}") | {"zeros": bytes(missing)}, 0)
    full = {f"{number:02}.jar": inner(number) for number in range(16)}
    names = {f"org.example:inner{number}" for number in range(16)}
    within = tars.jar(full)
    over = tars.jar(full | {"over.jar": tars.module("over")})
    return Case([layer(alpine(("libfirst", "1.0-r0")) | {"srv/16.jar": within}), layer({"srv/17.jar": over})], {"libfirst", *names},
                {("ARCHIVE_LIMIT", 1)})


# -- what is listed

def packages(first, count):
    return "".join(f"P:lib{number}\nV:1.0-r0\n\n" for number in range(first, first + count))


@edge("packages")
def packages_of_a_layer():
    return Case([layer(alpine() | {APK_PATH: packages(0, 100_001)}), layer({APK_PATH: packages(0, 100_000)})], None,
                {("LAYER_PACKAGE_LIMIT", 0)}, check=lambda one: len(one.report["packages"]) == 100_000 or pytest.fail("not 100,000 packages"))


def secrets(file, count):
    """Lines that hold a password each."""
    return "".join(f"password = Zx{file + 17:03x}{number + 4369:05x}kQ9vLm2Tr7\n" for number in range(count))


@edge("secrets")
def secrets_of_a_file():
    def check(one):
        counts = {}
        for finding in one.report["findings"]:
            if finding["kind"] == "secret":
                counts[finding["path"]] = counts.get(finding["path"], 0) + 1
        assert counts == {"srv/within.conf": 100, "srv/over.conf": 100}, counts
    return Case([layer(alpine(("libfirst", "1.0-r0")) | {"srv/within.conf": secrets(1, 100)}), layer({"srv/over.conf": secrets(2, 101)})],
                {"libfirst"}, {("SECRET_LIMIT", 1)}, check=check)


@edge("secrets")
def secrets_of_a_layer():
    full = {f"srv/{number}.conf": secrets(number, 100) for number in range(50)}
    return Case([layer(alpine(("libfirst", "1.0-r0")) | full), layer(full | {"srv/more.conf": secrets(51, 1)})], {"libfirst"},
                {("SECRET_LIMIT", 1)}, check=lambda one: sum(
                    finding["kind"] == "secret" for finding in one.report["findings"]) == 10_000 or pytest.fail("not 10,000 secrets"))


@edge("modes")
def odd_modes():
    def programs(count):
        return b"".join(header(f"usr/bin/{number}", mode=0o4755) for number in range(count))

    def check(one):
        assert sum(finding["id"] == "SETUID_FILE" for finding in one.report["findings"]) == 1000
    return Case([layer_of(archive(found("libfirst"), programs(1000))), layer_of(archive(programs(1001)))], {"libfirst"},
                {("LAYER_FINDING_LIMIT", 1)}, check=check)
