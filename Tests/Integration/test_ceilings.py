"""The published ceilings (README.md, "What is found"), each driven to its edge: what lies just within is read whole and nothing is
told of it; what lies just over is told with its layer, and what was read before counts. One daemon scans all of it at once, with
images that mean no harm among them, and what it and its workers use of memory meanwhile is watched.

TIDEWAITER_CEILINGS=all adds what takes minutes, for `make soak`."""
import dataclasses
import json
import os
import random
import shlex
import shutil
import struct
import subprocess
import threading
import zlib
from pathlib import Path

import pytest

from support import tars
from support.images import image, layer, layer_of
from support.memory import Peaks
from support.packages import APK_PATH, DPKG_PATH, alpine, apk, dpkg
from support.rows import Bench, Case, Rows, raw
from support.samples import sample
from support.tars import END, archive, file, files, gzip_member, header, pax, zstd_frame

ROWS = Rows()
edge = ROWS.row
LONG = None if os.environ.get("TIDEWAITER_CEILINGS") == "all" else "takes minutes: TIDEWAITER_CEILINGS=all"
MIB = 1 << 20
GIB = 1 << 30
# What README.md says of memory.
WORKER_MAX = 400 * MIB
DAEMON_MAX = 256 * MIB


@pytest.fixture(scope="module")
def peaks(module_daemon):
    made = Peaks(module_daemon)
    yield made
    made.end()


@pytest.fixture(scope="module")
def bench(module_daemon, module_registry, peaks):
    made = Bench(module_daemon, module_registry, ROWS)
    peaks.end()
    return made


@pytest.mark.parametrize("name", ROWS, ids=lambda name: f"{ROWS[name].rows}-{name}")
def test_edge(bench, name):
    bench.scanned(name).verify()


def test_memory(bench, peaks):
    """Of one worker and of the daemon, while all of this was read and reported on."""
    print(f"most memory: a worker {peaks.worker / MIB:.0f} MiB, the daemon {peaks.daemon / MIB:.0f} MiB, "
          f"together {peaks.together / MIB:.0f} MiB")
    assert 128 * MIB < peaks.worker <= WORKER_MAX
    assert peaks.daemon <= DAEMON_MAX


def test_the_daemon_is_sane(bench):
    bench.verify_sane()


def found(*names):
    return files(alpine(*((name, "1.0-r0") for name in names)))


def noise(size):
    source = random.Random(size)
    return b"".join(source.randbytes(min(64 * MIB, size - start)) for start in range(0, size, 64 * MIB))


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
def free_expansion():
    """256 MiB are any layer's, however small its blob."""
    def large(size):
        start = found("libfirst")
        count = size - len(start) - 512 - len(END)
        return raw(zstd_frame(start + header("srv/zeros", count)) + zstd(bytes(count), "-1") + zstd_frame(END), "+zstd")
    return Case([large(256 * MIB), large(256 * MIB + 512)], {"libfirst"}, {("LAYER_EXPANSION_LIMIT", 1)})


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


@edge("uncompressed", missing=LONG)
def sixty_four_gibibytes():
    """As much as may be, and a block more; with as much of noise as makes that a credible layer."""
    filler = noise(330 * MIB)

    def large(size):
        start = found("libfirst") + file("srv/noise", filler)
        left = size - len(start) - len(END)
        parts = [zstd_frame(start)]
        while left:
            count = min(4 * GIB, left - 512)
            parts += [zstd_frame(header("srv/zeros", count)), zeros(count // (64 * MIB) * (64 * MIB)), zstd(bytes(count % (64 * MIB)))]
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


@edge("entries", missing=LONG)
def two_million_files():
    count = 2_000_000 - FOUND
    return Case([raw(tiny_files(count + more, "zstd", "-q", "-c", "-1"), "+zstd") for more in (0, 1)], {"libfirst"},
                {("LAYER_ENTRY_LIMIT", 1)})


# -- memory of zstd, of files

@edge("window")
def zstd_windows():
    """128 MiB, and what the tool takes beyond."""
    data = archive(found("libfirst"), file("srv/noise", noise(140 * MIB)))
    return Case([raw(zstd(data, "-1", "--long=27"), "+zstd"), raw(zstd(data[:MIB], "-1", "--long=28"), "+zstd"),
                 raw(zstd(data[:MIB], "-1", "--long=31"), "+zstd")],
                {"libfirst"}, {("LAYER_WINDOW_TOO_LARGE", 1), ("LAYER_WINDOW_TOO_LARGE", 2)})


@edge("memory")
def everything_at_once():
    """The largest window, and in it the largest files of the kinds that are held in more than one form."""
    inner = tars.jar(tars.properties("inner") | {"noise": noise(30 * MIB)}, 0)
    outer = tars.jar(tars.properties("outer") | {"inner.jar": inner})
    module = json.dumps({"name": "large", "version": "1.0.0", "more": [""] * (5 * MIB - 40)}, separators=(",", ":"))
    assert 14 * MIB < len(module) < 16 * MIB
    data = archive(found("libfirst"), file("srv/noise", noise(130 * MIB)), file("srv/outer.jar", outer),
                   file("srv/node_modules/large/package.json", module))
    return Case([raw(zstd(data, "-1", "--long=27"), "+zstd")], {"libfirst", "org.example:inner", "org.example:outer", "large"},
                {("SECRETS_NOT_READ", 0)})


@edge("held")
def databases_of_sixty_four_mebibytes():
    """What is over is cut: the package at its end is not seen."""
    def database(size):
        start, end = apk(("libfirst", "1.0-r0"))[:-1] + "T:", "\n\n" + apk(("liblast", "1.0-r0"))
        return layer(alpine() | {APK_PATH: start + "x" * (size - len(start) - len(end)) + end}, "zstd")
    return Case([database(64 * MIB + 1), database(64 * MIB)], {"libfirst", "liblast"}, {("FILE_TOO_LARGE", 0)})


@edge("held")
def archives_of_sixty_four_mebibytes():
    def jar(size):
        made = tars.jar(tars.properties(f"held{size}") | {"zeros": bytes(size - 1000)}, 0)
        at = made.index(b"PK\x05\x06")
        comment = size - len(made)
        return made[:at + 20] + struct.pack("<H", comment) + b"x" * comment
    return Case([layer(alpine(("libfirst", "1.0-r0")) | {"srv/within.jar": jar(64 * MIB)}, "zstd"),
                 layer({"srv/over.jar": jar(64 * MIB + 1)}, "zstd")],
                {"libfirst", f"org.example:held{64 * MIB}"}, {("FILE_TOO_LARGE", 1)})


@edge("held")
def executables_of_sixty_four_mebibytes():
    """What says where their modules are named ends with the file: it is read as far as it is held, so that one more byte does no
    harm, but a row of that table does."""
    def program(module, size):
        sections = {".text": b"runtime.goexit", ".go.buildinfo": tars.go_information([(module, "v1.0.0")])}
        sections[".text"] += bytes(size - len(tars.elf(sections)))
        return tars.elf(sections)
    return Case([layer(alpine(("libfirst", "1.0-r0")) | {"usr/bin/within": program("example.org/within", 64 * MIB)}, "zstd"),
                 layer({"usr/bin/over": program("example.org/over", 64 * MIB + 64)}, "zstd")],
                {"libfirst", "stdlib", "example.org/within"}, {("FILE_TOO_LARGE", 1)})


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
    first = (b"META-INF/maven/org.example/many/pom.properties", 0, text, text)
    return tars.zipped([first, *((b"%06d" % number, 0, b"", b"") for number in range(count - 1))])


@edge("members")
def members_of_archives():
    within, over = many_members(500_000), many_members(500_001)
    return Case([layer(alpine(("libfirst", "1.0-r0")) | {"srv/many.jar": within}, "zstd"), layer({"srv/over.jar": over}, "zstd")],
                {"libfirst", "org.example:many"}, {("ARCHIVE_LIMIT", 1)})


@edge("unpacked")
def unpacked_archives():
    """Sixteen times the same archive of 32 MiB in one, and then one more that is the smallest there can be."""
    text = tars.properties("inner")
    inner = tars.jar(text | {"zeros": b""}, 0)
    inner = tars.jar(text | {"zeros": bytes(32 * MIB - len(inner))}, 0)
    more = tars.module("over")

    def deflated(name, data):
        packer = zlib.compressobj(1, zlib.DEFLATED, -15)
        return name, 8, packer.compress(data) + packer.flush(), data
    members = [deflated(b"%02d.jar" % number, inner) for number in range(16)]
    within, over = tars.zipped(members), tars.zipped([*members, deflated(b"over.jar", more)])
    return Case([layer(alpine(("libfirst", "1.0-r0")) | {"srv/16.jar": within}), layer({"srv/17.jar": over})],
                {"libfirst", "org.example:inner"}, {("ARCHIVE_LIMIT", 1)})


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


# -- what a worker may answer

@edge("answer")
def paths_that_are_long():
    """12 MiB of them are kept: many more would be more than an answer may be, and nothing of the layer would be known."""
    def modules(count):
        folder = "/".join(["d" * 250] * 15)
        return b"".join(
            pax({"path": f"{folder}/node_modules/m{number}/package.json"})
            + file("package.json", json.dumps({"name": f"m{number}", "version": "1.0.0"})) for number in range(count))
    room = (12 * MIB - 2 * (len(APK_PATH) + len("etc/os-release") + 32)) // 3850
    return Case([layer_of(archive(found("libfirst"), modules(5_000)), "zstd")], None, {("LAYER_PATH_LIMIT", 0)},
                check=lambda one: abs(len(one.names("npm")) - room) < 60 or pytest.fail(f"{len(one.names('npm'))} of {room}"))


# -- an image

@edge("secrets")
def secrets_of_an_image():
    """10,000 of all layers."""
    layers = [layer({f"srv/{number}-{file}.conf": secrets(number * 64 + file, 100) for file in range(50)}) for number in range(2)]
    more = layer(alpine(("libfirst", "1.0-r0")) | {"srv/more.conf": secrets(999, 1)})
    return Case([*layers, more], {"libfirst"}, {("INVENTORY_LIMIT", None)}, says=("more than 10000 secrets",))


@edge("layers")
def a_thousand_layers():
    return Case([layer(alpine(("libfirst", "1.0-r0")))] * 1000, {"libfirst"}, set())


@edge("packages", missing=LONG)
def packages_of_an_image():
    """250,000 of all layers, replaced ones included; that of which there is no more room is left out whole."""
    layers = [layer(alpine() | {APK_PATH: packages(number, 80_000)}) for number in range(3)]
    last = dpkg(*((f"deb{number}", "1.0-1") for number in range(10_001)))
    return Case([*layers, layer({DPKG_PATH: last})], None, {("INVENTORY_LIMIT", 3)},
                check=lambda one: len(one.names("apk")) == 80_000 or pytest.fail("not 80,000 packages"))


@edge("layers", missing=LONG)
def many_large_layers():
    """40 layers of 100,000 packages each: never in memory at once."""
    layers = [layer(alpine() | {APK_PATH: packages(number, 100_000)}) for number in range(40)]
    return Case(layers, None, {("INVENTORY_LIMIT", 2)})


# -- bounds that the kernel keeps: lowered, as what they are for is not to be had

MARK = "LOWERED-7d20"


def marked(data, *options):
    """A layer with the mark in front, in a frame that is skipped."""
    return raw(struct.pack("<II", 0x184D2A50, len(MARK)) + MARK.encode() + zstd(data, "-1", *options), "+zstd")


@pytest.fixture
def limited(binaries, make_daemon, tmp_path):
    """Starts a daemon whose workers have a lower limit, as options of `ulimit`, where their layer holds the mark; what a worker
    inherits stays where it is lower."""
    def start(limit):
        daemon = Path(shutil.copy(binaries.daemon, tmp_path))
        worker = tmp_path / "tidewaiter-worker"
        worker.write_text(f"""#!/bin/sh
[ "$1" != --probe ] || exec {shlex.quote(binaries.worker)} "$@"
layer=$(mktemp -p {shlex.quote(str(tmp_path))})
cat > $layer
! grep -qaF {MARK} $layer || ulimit {limit}
exec {shlex.quote(binaries.worker)} "$@" < $layer
""")
        worker.chmod(0o755)
        made = make_daemon()
        made.binaries = dataclasses.replace(binaries, daemon=str(daemon))
        return made.start().cli
    return start


def scan_beside(cli, registry, bad):
    """Scans an image of one bad layer upon a good one, and a good image; answers the report of the first."""
    registry.push("team/bad", image([layer(alpine(("libfirst", "1.0-r0"))), bad]), "1")
    registry.push("team/good", sample(name="libother"), "1")
    cli.add_integration("team", registry.url)
    cli.run("integration", "poll", "team", "--wait")
    assert {(job["state"], job["attempt"]) for job in cli.wait_idle()} == {("finished", 1)}
    assert [one["name"] for one in cli.report("team/team/good:1")["packages"]] == ["libother"]
    report = cli.report("team/team/bad:1")
    assert [one["name"] for one in report["packages"]] == ["libfirst"]
    [finding] = [one for one in report["findings"] if one["kind"] == "error"]
    assert finding["layer"] == bad.digest
    return finding


def test_more_layers_than_may_be(module_daemon, make_scripted):
    """1,001: refused by the manifest alone."""
    registry = make_scripted()
    registry.push("team/many", image([layer(alpine())] * 1001), "1")
    cli = module_daemon.cli
    cli.add_integration("many", registry.url)
    assert "1001 layers, more than 1000" in cli.fails("image", "add", "many/team/many:1").err


def test_cpu_time(limited, make_scripted):
    """A layer that costs more than its worker may use of the processor."""
    lines = secrets(1, 100) + "password=\n" * 500_000
    bad = marked(archive(file("srv/noise", noise(10 * MIB)), *(file(f"srv/{number}.conf", lines) for number in range(20))))
    finding = scan_beside(limited("-t 1"), make_scripted(), bad)
    assert finding["id"] == "WORKER_ENDED" and ("signal 24" in finding["title"] or "signal 9" in finding["title"]), finding


def test_address_space(limited, make_scripted):
    """A layer for which its worker has not enough memory."""
    bad = marked(archive(file("srv/noise", noise(MIB))), "--long=27")
    finding = scan_beside(limited("-v 100000"), make_scripted(), bad)
    assert finding["id"] == "LAYER_OUT_OF_MEMORY", finding
