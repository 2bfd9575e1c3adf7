"""Advisories from hostile or broken files: the good ones are imported, the bad ones named, and no half set is ever in force."""
import json
import os
import struct
import subprocess
import zipfile

import pytest

from support import osv
from support.images import image, layer
from support.packages import alpine
from support.waiting import eventually


@pytest.fixture
def scanned(cli, registry, tmp_path):
    """The client with one scanned image, and the set `known` in force, which has one advisory on it."""
    registry.push("advisories/app", image([layer(alpine(("libalpha", "1.0-r0"), ("libbeta", "2.0-r0")))]), "1")
    cli.add_integration("plain", registry.url)
    cli.import_advisories(osv.archive(tmp_path / "known.zip", [osv.advisory("KNOWN-1")]))
    assert found(cli, cli.scan("plain/advisories/app:1")) == {"KNOWN-1"}
    return cli


def found(cli, report=None):
    report = report or cli.report("plain/advisories/app:1")
    return {one["id"] for one in report["findings"] if one["kind"] == "vulnerability"}


def becomes(cli, expected):
    """Known images are matched again after an import: waits until the report says so."""
    eventually(lambda: found(cli) == expected, f"the report to have {sorted(expected)}")


def still_in_force(cli, status):
    assert cli("db", "status") == status
    assert found(cli) == {"KNOWN-1"}


# -- what is no archive of advisories

def refused_files(tmp_path):
    whole = osv.archive(tmp_path / "whole.zip", [osv.advisory(f"CUT-{n}") for n in range(200)]).read_bytes()
    middle = bytearray(whole)
    middle[len(middle) - 500:len(middle) - 400] = bytes(100)
    return {
        "text.zip": b"this is no archive", "empty.zip": b"", "cut-half.zip": whole[:len(whole) // 2],
        "cut-end.zip": whole[:-10], "directory-damaged.zip": bytes(middle),
        "gzip.zip": b"\x1f\x8b" + bytes(100), "only-end.zip": b"PK\5\6" + bytes(18)}


@pytest.mark.parametrize("name", ["text.zip", "empty.zip", "cut-half.zip", "cut-end.zip", "directory-damaged.zip", "gzip.zip", "only-end.zip"])
def test_broken_archives(scanned, tmp_path, name):
    status = scanned("db", "status")
    (tmp_path / name).write_bytes(refused_files(tmp_path)[name])
    outcome = scanned.fails("db", "import", tmp_path / name)
    assert name.removesuffix(".zip") in outcome.err
    still_in_force(scanned, status)


@pytest.mark.parametrize("content", [b'{"name": "a package.json"}', b"[]", b"{", b"null", b'"text"', b"\xff\xfe"])
def test_json_that_is_not_osv(scanned, tmp_path, content):
    status = scanned("db", "status")
    (tmp_path / "record.json").write_bytes(content)
    scanned.fails("db", "import", tmp_path / "record.json")
    scanned.fails("db", "import", osv.archive(tmp_path / "other.zip", [], {"record.json": content}))
    still_in_force(scanned, status)


def test_paths_that_are_not_there(scanned, tmp_path):
    status = scanned("db", "status")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo.zip")
    for name in ("absent.zip", "folder", "fifo.zip"):
        outcome = scanned.fails("db", "import", tmp_path / name)
        assert name in outcome.err
    scanned.fails("db", "import", "/dev/zero")
    still_in_force(scanned, status)


def test_one_bad_file_among_several_changes_nothing(scanned, tmp_path):
    """All sets of one command become visible together, or none does."""
    status = scanned("db", "status")
    (tmp_path / "bad.zip").write_bytes(b"PK\3\4 and nothing more")
    scanned.fails("db", "import", osv.archive(tmp_path / "good.zip", [osv.advisory("GOOD-1")]), tmp_path / "bad.zip")
    still_in_force(scanned, status)


# -- bad records among good ones (H99)

BAD_RECORDS = {
    "BAD-CUT.json": b'{"id": "BAD-CUT", "modified": "2024',
    "BAD-TYPE.json": b'{"id": 7, "modified": "2024-01-01T00:00:00Z"}',
    "BAD-NO-ID.json": b'{"modified": "2024-01-01T00:00:00Z", "affected": []}',
    "BAD-EMPTY.json": b"",
    "BAD-UTF8.json": b'{"id": "BAD-\xff\xff", "modified": "2024-01-01T00:00:00Z"}',
    "BAD-AFFECTED.json": b'{"id": "BAD-AFFECTED", "modified": "2024-01-01T00:00:00Z", "affected": "all"}',
    "BAD-DEEP.json": b'{"id": "BAD-DEEP", "modified": "2024-01-01T00:00:00Z", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


def test_bad_records_are_named_and_good_ones_imported(scanned, tmp_path):
    good = [osv.advisory(f"GOOD-{n}", "libbeta") for n in range(500)]
    outcome = scanned.import_advisories(osv.archive(tmp_path / "mixed.zip", good, BAD_RECORDS))
    document = outcome.document
    assert document["recordsSkipped"] == len(BAD_RECORDS) and document["recordsKept"] == len(good)
    for name in BAD_RECORDS:
        assert name in outcome.err, name
    becomes(scanned, {"KNOWN-1"} | {one["id"] for one in good})


def test_bad_records_of_a_folder_are_named(scanned, tmp_path):
    folder = osv.folder(tmp_path / "folder", [osv.advisory("GOOD-1", "libbeta")])
    for name, content in BAD_RECORDS.items():
        (folder / name).write_bytes(content)
    outcome = scanned.import_advisories(folder)
    for name in BAD_RECORDS:
        assert name in outcome.err, name
    becomes(scanned, {"KNOWN-1", "GOOD-1"})


def test_a_record_of_200_mib_is_skipped(scanned, tmp_path, daemon):
    huge = b'{"id": "HUGE", "modified": "2024-01-01T00:00:00Z", "details": "' + b" " * (200 << 20) + b'"}'
    path = osv.archive(tmp_path / "huge.zip", [osv.advisory("GOOD-1", "libbeta")], {"HUGE.json": huge})
    outcome = scanned.run("db", "import", path, code=None)
    assert "HUGE" in outcome.err or "refused" in outcome.err
    becomes(scanned, {"KNOWN-1"} | ({"GOOD-1"} if outcome.code == 0 else set()))
    assert memory_peak(daemon) < 400 << 20


def test_a_folder_with_a_record_of_200_mib(scanned, tmp_path):
    folder = osv.folder(tmp_path / "folder", [osv.advisory("GOOD-1", "libbeta")])
    with open(folder / "HUGE.json", "wb") as file:
        file.truncate(200 << 20)
    outcome = scanned.import_advisories(folder)
    assert "HUGE.json" in outcome.err
    becomes(scanned, {"KNOWN-1", "GOOD-1"})


# -- archives made to do harm (H98)

def test_names_of_entries_mean_nothing(scanned, tmp_path, daemon):
    """`../x`, absolute names and links: nothing is written by name; the records in them count like any other."""
    names = ["../../escaped.json", "/tmp/tidewaiter-escaped.json", "a/../../b.json", "..\\..\\c.json", "n\x1b[2Jame.json"]
    records = [osv.advisory(f"NAMED-{n}", "libbeta") for n in range(len(names))]
    path = tmp_path / "names.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, record in zip(names, records):
            file.writestr(name, json.dumps(record))
        link = zipfile.ZipInfo("link.json")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    outcome = scanned.run("db", "import", path, code=None)
    assert "\x1b" not in outcome.err
    assert "root:" not in outcome.err + outcome.out
    assert not os.path.exists("/tmp/tidewaiter-escaped.json")
    assert not list(daemon.folder.rglob("*escaped*")) and not list(tmp_path.parent.rglob("*escaped*"))
    becomes(scanned, {"KNOWN-1"} | {one["id"] for one in records})


def bomb(path, entries, size):
    """Entries of `size` zero bytes each."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for number in range(entries):
            file.writestr(f"BOMB-{number}.json", bytes(size))
    return path


@pytest.mark.parametrize("entries, size", [(1, 1 << 30), (200, 10 << 20)], ids=["one", "many"])
def test_bombs(scanned, tmp_path, daemon, entries, size):
    status = scanned("db", "status")
    scanned.fails("db", "import", bomb(tmp_path / "bomb.zip", entries, size))
    still_in_force(scanned, status)
    assert memory_peak(daemon) < 400 << 20


def memory_peak(daemon):
    """Bytes of the daemon's largest resident size so far."""
    for line in open(f"/proc/{daemon.process.pid}/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def test_overlapping_entries(scanned, tmp_path):
    """Many directory entries on one local entry: a bomb that no single entry shows."""
    status = scanned("db", "status")
    data = json.dumps(osv.advisory("OVERLAP-1", "libbeta")).encode()
    path = osv.archive(tmp_path / "one.zip", [], {"OVERLAP-1.json": data})
    whole = path.read_bytes()
    start = whole.rindex(b"PK\1\2")
    end = whole.rindex(b"PK\5\6")
    entry = whole[start:end]
    count = 1000
    path.write_bytes(whole[:start] + entry * count + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(entry) * count, start, 0))
    scanned.fails("db", "import", path)
    still_in_force(scanned, status)


def test_claimed_number_of_entries(scanned, tmp_path, daemon):
    """The end record claims 65,535 entries, or ten million by zip64; what is there is what counts, or it is refused."""
    path = osv.archive(tmp_path / "claims.zip", [osv.advisory("CLAIMED-1", "libbeta")])
    whole = bytearray(path.read_bytes())
    end = whole.rindex(b"PK\5\6")
    struct.pack_into("<HH", whole, end + 8, 0xFFFE, 0xFFFE)
    path.write_bytes(whole)
    outcome = scanned.run("db", "import", path, code=None)
    becomes(scanned, {"KNOWN-1"} | ({"CLAIMED-1"} if outcome.code == 0 else set()))
    status = scanned("db", "status")
    end_record = bytes(whole[end:])
    size, start = struct.unpack_from("<II", end_record, 12)
    wide = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 10_000_000, 10_000_000, size * 1000, start)
    locator = struct.pack("<IIQI", 0x07064B50, 0, end, 1)
    path.write_bytes(bytes(whole[:end]) + wide + locator + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))
    scanned.fails("db", "import", path)
    assert scanned("db", "status") == status
    assert memory_peak(daemon) < 400 << 20


# -- ended in the middle (H100)

def many(tmp_path, count=20_000):
    return osv.archive(tmp_path / "many.zip", [osv.advisory(f"MANY-{n}", f"lib{n % 997}", details="x" * 500) for n in range(count)])


def start_import(daemon, path):
    return subprocess.Popen([daemon.cli.binary, "--socket", str(daemon.socket), "-o", "json", "db", "import", str(path)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def uploading(daemon):
    return any(file.stat().st_size for file in (daemon.state / "uploads").iterdir())


def building(daemon, before):
    """Something new is being written in the advisories' directory."""
    return {file.name for file in (daemon.state / "advisories").iterdir()} - before


@pytest.mark.parametrize("instant", ["uploading", "building"])
def test_killed_in_an_import(scanned, daemon, tmp_path, instant):
    status, path = scanned("db", "status"), many(tmp_path)
    before = {file.name for file in (daemon.state / "advisories").iterdir()}
    client = start_import(daemon, path)
    try:
        eventually(lambda: uploading(daemon) if instant == "uploading" else building(daemon, before), instant,
                   unless=lambda: client.poll() is not None and "the import has ended already")
        daemon.kill()
        assert client.wait(60) != 0
    finally:
        client.kill()
        client.communicate()
    daemon.start()
    # Either the old set answers, or (if the last instant was the swap) the new one, never half of it.
    now = scanned("db", "status")
    if now == status:
        still_in_force(scanned, status)
    else:
        assert sum(one["advisories"] for one in now["ecosystems"]) == 20_001
    assert list((daemon.state / "uploads").iterdir()) == []
    scanned.import_advisories(path)
    assert sum(one["advisories"] for one in scanned("db", "status")["ecosystems"]) == 20_001


def test_client_killed_in_an_upload(scanned, daemon, tmp_path):
    status = scanned("db", "status")
    client = start_import(daemon, many(tmp_path))
    eventually(lambda: uploading(daemon), "uploading", unless=lambda: client.poll() is not None and "the client ended")
    client.kill()
    client.communicate()
    # Its last instant may have been the one in which it asked for the import, which then goes on without it.
    path = osv.archive(tmp_path / "next.zip", [osv.advisory("NEXT-1", "libbeta")])
    eventually(lambda: imports_unless_another_runs(scanned, path), "the next import")
    eventually(lambda: "NEXT-1" in found(scanned), "the next import to be in force")
    others = sum(one["advisories"] for one in scanned("db", "status")["ecosystems"]) - 1
    assert others in (sum(one["advisories"] for one in status["ecosystems"]), 20_001)


def imports_unless_another_runs(cli, path):
    outcome = cli.run("db", "import", path, code=None)
    assert outcome.code == 0 or outcome.error["code"] == "ABORTED", outcome
    return outcome.code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_full_disk_in_an_import(make_daemon, registry, tmp_path):
    daemon = make_daemon()
    daemon.state.mkdir(mode=0o700)
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(daemon.state)], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"no mounts here: {mount.stderr.strip()}")
    try:
        daemon.start()
        cli = daemon.cli
        registry.push("full/app", image([layer(alpine(("libalpha", "1.0-r0")))]), "1")
        cli.add_integration("plain", registry.url)
        cli.import_advisories(osv.archive(tmp_path / "known.zip", [osv.advisory("KNOWN-1")]))
        cli.scan("plain/full/app:1")
        status = cli("db", "status")
        outcome = cli.fails("db", "import", many(tmp_path, 60_000))
        assert "space" in outcome.err or "full" in outcome.err, outcome
        assert cli("db", "status") == status
        assert [one["id"] for one in cli.report("plain/full/app:1")["findings"]] == ["KNOWN-1"]
        cli.import_advisories(osv.archive(tmp_path / "next.zip", [osv.advisory("NEXT-1")]))
        eventually(lambda: len(cli.report("plain/full/app:1")["findings"]) == 2, "the next import to be in force")
        daemon.check_sane()
        daemon.stop()
    finally:
        if daemon.process is not None:
            daemon.process.kill()
            daemon.process.wait()
            daemon.process = None
        subprocess.run(["umount", str(daemon.state)], check=True)


# -- records that must not match (H101), and what they say (H102)

def affected(**entry):
    return {"affected": [{"package": {"ecosystem": "Alpine:v3.18", "name": "libalpha"}, **entry}]}


def events(*pairs, kind="ECOSYSTEM"):
    return {"ranges": [{"type": kind, "events": [dict([pair]) for pair in pairs]}]}


NEVER = {
    "withdrawn": osv.advisory("NEVER-1", withdrawn="2024-02-01T00:00:00Z"),
    "no-affected": osv.advisory("NEVER-2", affected=None),
    "no-ranges": osv.advisory("NEVER-3", **affected()),
    "empty-ranges": osv.advisory("NEVER-4", **affected(ranges=[])),
    "no-events": osv.advisory("NEVER-5", **affected(**events())),
    "introduced-after-fixed": osv.advisory("NEVER-6", **affected(**events(("introduced", "3.0-r0"), ("fixed", "0.5-r0")))),
    "fixed-before": osv.advisory("NEVER-7", fixed="0.9-r0"),
    "fixed-in-this": osv.advisory("NEVER-8", fixed="1.0-r0"),
    "introduced-later": osv.advisory("NEVER-9", introduced="1.1-r0"),
    "git-range": osv.advisory("NEVER-10", **affected(**events(("introduced", "0"), kind="GIT"))),
    "unknown-range": osv.advisory("NEVER-11", **affected(**events(("introduced", "0"), kind="TAROT"))),
    "other-release": osv.advisory("NEVER-12", ecosystem="Alpine:v3.17"),
    "no-release": osv.advisory("NEVER-13", ecosystem="Alpine"),
    "unknown-ecosystem": osv.advisory("NEVER-14", ecosystem="Teapots:1"),
    "empty-ecosystem": osv.advisory("NEVER-15", ecosystem=""),
    "other-package": osv.advisory("NEVER-16", package="libalph"),
    "other-case": osv.advisory("NEVER-17", package="LibAlpha"),
    "other-version": osv.advisory("NEVER-18", **affected(versions=["1.0-r1", "1.0"])),
    "last-affected-before": osv.advisory("NEVER-19", **affected(**events(("introduced", "0"), ("last_affected", "0.9-r9")))),
    "limit-before": osv.advisory("NEVER-20", **affected(**events(("introduced", "0"), ("limit", "0.5-r0")))),
}
ALWAYS = {
    "no-fix": osv.advisory("ALWAYS-1"),
    "listed-version": osv.advisory("ALWAYS-2", **affected(versions=["0.9-r0", "1.0-r0"])),
    "last-affected-is-this": osv.advisory("ALWAYS-3", **affected(**events(("introduced", "0"), ("last_affected", "1.0-r0")))),
    "unsorted-events": osv.advisory("ALWAYS-4", **affected(**events(
        ("fixed", "2.0-r0"), ("introduced", "0.8-r0"), ("fixed", "0.5-r0"), ("introduced", "0")))),
    "second-entry": osv.advisory("ALWAYS-5", affected=NEVER["other-release"]["affected"] + osv.advisory("x")["affected"]),
    "bad-vector": osv.advisory("ALWAYS-6", severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:X/nonsense"}]),
    "unknown-severity": osv.advisory("ALWAYS-7", severity=[{"type": "MOOD", "score": "grim"}]),
    "unknown-fields": osv.advisory("ALWAYS-8", shoe_size={"left": 42}, credits=[{"name": "x", "type": "y"}]),
    "long-details": osv.advisory("ALWAYS-9", details="long " * 100_000),
}


def test_only_what_matches_matches(scanned, tmp_path):
    scanned.import_advisories(osv.archive(tmp_path / "rows.zip", [*NEVER.values(), *ALWAYS.values()]))
    becomes(scanned, {"KNOWN-1"} | {one["id"] for one in ALWAYS.values()})
    by_id = {one["id"]: one for one in scanned.report("plain/advisories/app:1")["findings"]}
    for name in ("bad-vector", "unknown-severity"):
        assert by_id[ALWAYS[name]["id"]]["severity"] == "unknown"


def test_a_record_that_is_withdrawn_later(scanned, tmp_path):
    path = tmp_path / "changing.zip"
    scanned.import_advisories(osv.archive(path, [osv.advisory("CHANGING-1")]))
    becomes(scanned, {"KNOWN-1", "CHANGING-1"})
    scanned.import_advisories(osv.archive(path, [osv.advisory("CHANGING-1", withdrawn="2024-06-01T00:00:00Z")]))
    becomes(scanned, {"KNOWN-1"})


def test_a_later_import_replaces_its_set_whole(scanned, tmp_path):
    path = tmp_path / "replaced.zip"
    scanned.import_advisories(osv.archive(path, [osv.advisory("REPLACED-1"), osv.advisory("REPLACED-2")]))
    becomes(scanned, {"KNOWN-1", "REPLACED-1", "REPLACED-2"})
    scanned.import_advisories(osv.archive(path, [osv.advisory("REPLACED-2")]))
    becomes(scanned, {"KNOWN-1", "REPLACED-2"})


def test_one_record_in_two_sets_counts_once(scanned, tmp_path):
    """OSV.dev puts a record that names several ecosystems into the archive of each."""
    record = osv.advisory("SHARED-1")
    scanned.import_advisories(*(osv.archive(tmp_path / f"{name}.zip", [record]) for name in ("one", "two")))
    becomes(scanned, {"KNOWN-1", "SHARED-1"})
    findings = scanned.report("plain/advisories/app:1")["findings"]
    assert len([one for one in findings if one["id"] == "SHARED-1"]) == 1


def test_osv_layout(scanned, tmp_path):
    """A folder of ecosystems, each with its all.zip, as OSV.dev lays them out; other files there do no harm."""
    for ecosystem in ("Alpine", "Red Hat"):
        (tmp_path / "osv" / ecosystem).mkdir(parents=True)
        osv.archive(tmp_path / "osv" / ecosystem / "all.zip", [osv.advisory(f"{ecosystem.replace(' ', '')}-1", "libbeta")])
        (tmp_path / "osv" / ecosystem / "modified_id.csv").write_text("2024-01-01T00:00:00Z,X\n")
    scanned.import_advisories(tmp_path / "osv")
    becomes(scanned, {"KNOWN-1", "Alpine-1", "RedHat-1"})


def test_words_of_records_are_neutral(scanned, tmp_path):
    words = "<script>alert(1)</script> **bold** [x](javascript:y) \x1b]52;c;aGk=\x07 \u202e \r\nHTTP/1.1"
    scanned.import_advisories(osv.archive(tmp_path / "words.zip", [osv.advisory("WORDS-1", summary=words, details=words)]))
    becomes(scanned, {"KNOWN-1", "WORDS-1"})
    for command in (("image", "report"), ("image", "show")):
        text = scanned.run(*command, "plain/advisories/app:1", output=None).out
        assert not any(ord(letter) < 32 and letter != "\n" or letter in "\x7f\u202e" for letter in text)
    assert "WORDS-1" in scanned.run("image", "report", "plain/advisories/app:1", output=None).out
