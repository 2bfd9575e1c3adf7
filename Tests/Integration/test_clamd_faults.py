"""A clamd that misbehaves, and workers that lie about the files of their layer: each costs the verdicts that it owed. H97, H134."""
import dataclasses
import os
import shlex
import shutil
from pathlib import Path

import pytest

from support.clamav import MARKER, errors, malware, only_error, write_settings
from support.images import image, layer
from support.packages import alpine
from support.waiting import eventually


def quiet(data, connection):
    """Takes whatever else comes, until nobody wants its answer any more."""
    while connection.recv(1 << 16):
        pass


def flood(data, connection):
    connection.sendall(b"1: " + b"x" * (10 << 20))


MISDEEDS = {
    "says nothing": (quiet, "did not answer in time"),
    "answers with 10 MiB": (flood, "too long"),
    "dies": (lambda data, connection: None, "ended the connection"),
    "fails": (lambda data, connection: b"stream: Can't create temporary file ERROR", "temporary file"),
    "babbles": (lambda data, connection: b"what?", "none to a file"),
    "speaks in bytes": (lambda data, connection: b"stream: \xff\x01 FOUND", "no text"),
    "names nothing": (lambda data, connection: b"stream:  FOUND", "names no signature"),
    "has bounds": (lambda data, connection: b"INSTREAM size limit exceeded. ERROR", "own limits"),
    "looks no further": (lambda data, connection: b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND", "own limits"),
}


@pytest.mark.parametrize("deed", MISDEEDS)
def test_a_clamd_that(with_malware, make_fake_clamd, registry, deed):
    """The image is reported with what is missing; nothing of it is malware or clean; no worker is left waiting."""
    act, words = MISDEEDS[deed]
    fake = make_fake_clamd(act)
    files = {f"srv/{number}": os.urandom(50_000) for number in range(60)}
    name = "malware/" + deed.replace(" ", "-").lower()
    registry.push(name, image([layer(alpine(("libalpha", "1.0-r0"))), layer(files, compression="none")]), "1")
    cli = with_malware(fake.socket, fileSeconds=1, layerSeconds=20).cli
    cli.add_integration("plain", registry.url)
    report = cli.scan(f"plain/{name}:1")
    assert [one["name"] for one in report["packages"]] == ["libalpha"] and malware(report) == {}
    assert errors(report) and all(title.startswith("not scanned for malware: ") for title in errors(report))
    assert any(words in title for title in errors(report)), errors(report)
    assert report["malware"]["scannedFiles"] == 0
    assert report["malware"]["notScanned"] == 62


def test_a_clamd_that_dies_in_the_middle(with_malware, make_fake_clamd, registry):
    """What it said before counts; what it did not say is told, and asked again at the next scan."""
    def die_once(data, connection):
        if data == MARKER:
            return b"stream: Test.Marker FOUND"
        return None if data.startswith(b"END") and not ended.append(1) and len(ended) == 1 else b"stream: OK"
    ended = []
    fake = make_fake_clamd(die_once)
    files = {"a": MARKER, **{f"b{number}": b"x%d" % number for number in range(20)}, "c": b"END", "d": b"y"}
    registry.push("malware/middle", image([layer(files)]), "1")
    cli = with_malware(fake.socket).cli
    cli.add_integration("plain", registry.url)
    report = cli.scan("plain/malware/middle:1")
    assert malware(report) == {"a": "Test.Marker"} and "did not do it" in only_error(report)
    assert 1 <= report["malware"]["notScanned"] <= 9
    cli.run("image", "rescan", "plain/malware/middle:1", "--wait")
    report = cli.report("plain/malware/middle:1")
    assert malware(report) == {"a": "Test.Marker"} and not errors(report)
    assert not report["layers"][0]["cached"]


def test_a_clamd_that_hangs_costs_verdicts_and_not_the_scan(with_malware, make_fake_clamd, registry):
    """After some layers it is asked about no more of them. Those are not asked about again with the same signatures; the others
    are by the next scan."""
    fake = make_fake_clamd(quiet)
    registry.push("malware/hangs", image([layer({f"srv/{number}": os.urandom(100)}) for number in range(12)]), "1")
    cli = with_malware(fake.socket, fileSeconds=1, layerSeconds=600).cli
    cli.add_integration("plain", registry.url)
    report = cli.scan("plain/malware/hangs:1")
    missing = {one["layer"]: one for one in report["findings"] if one["id"] == "MALWARE_NOT_SCANNED"}
    tried = {digest for digest, one in missing.items() if "did not answer in time)" in one["title"]}
    refused = {digest for digest, one in missing.items() if "no more time for this image" in one["title"]}
    tried -= refused
    assert len(missing) == 12 and tried | refused == missing.keys() and len(tried) >= 3 and refused
    assert all(one["remedy"] for one in missing.values())
    assert report["malware"]["scannedFiles"] == 0
    fake.answer = lambda data, connection: b"stream: OK"
    cli.run("image", "rescan", "plain/malware/hangs:1", "--wait")
    report = cli.report("plain/malware/hangs:1")
    assert {one["digest"] for one in report["layers"] if one["cached"]} == tried
    assert report["malware"]["scannedFiles"] == len(refused) and len(errors(report)) == len(tried)
    fake.version = b"ClamAV 1.0/8/tomorrow"
    cli.run("image", "rescan", "plain/malware/hangs:1", "--wait")
    report = cli.report("plain/malware/hangs:1")
    assert report["malware"]["scannedFiles"] == 12 and not errors(report)


def test_what_was_found_before_holds_where_clamd_fails(with_malware, make_fake_clamd, registry):
    fake = make_fake_clamd(lambda data, connection: b"stream: Test.Marker FOUND" if data == MARKER else b"stream: OK")
    registry.push("malware/before", image([layer({"a": MARKER, "b": "x"})]), "1")
    cli = with_malware(fake.socket).cli
    cli.add_integration("plain", registry.url)
    assert malware(cli.scan("plain/malware/before:1")) == {"a": "Test.Marker"}
    fake.version, fake.answer = b"ClamAV 1.0/8/tomorrow", lambda data, connection: None
    cli.run("image", "rescan", "plain/malware/before:1", "--wait")
    report = cli.report("plain/malware/before:1")
    assert malware(report) == {"a": "Test.Marker"} and only_error(report) and report["malware"]["scannedFiles"] == 0


@pytest.mark.parametrize("version", [None, b"x" * 10_000, b"UNKNOWN COMMAND", b"\xff"])
def test_a_clamd_without_a_version(with_malware, make_fake_clamd, registry, version):
    fake = make_fake_clamd(version=version)
    registry.push("malware/version", image([layer({"a": "b"})]), "1")
    cli = with_malware(fake.socket).cli
    cli.add_integration("plain", registry.url)
    assert "1 of 1 layers" in only_error(cli.scan("plain/malware/version:1"))
    assert cli("status")["malware"]["problem"] and not fake.files


def test_a_scan_that_is_cancelled_while_clamd_is_waited_for(with_malware, make_fake_clamd, registry):
    """Ends at once, and so do those who wait."""
    fake = make_fake_clamd(quiet)
    registry.push("malware/waits", image([layer({"a": "b"})]), "1")
    daemon = with_malware(fake.socket, fileSeconds=3600, layerSeconds=7200)
    daemon.cli.add_integration("plain", registry.url)
    daemon.cli.run("image", "add", "plain/malware/waits:1")
    eventually(lambda: fake.files, "the file at clamd")
    job = daemon.cli.job("plain/malware/waits:1")["id"]
    daemon.cli.run("queue", "cancel", job)
    assert daemon.cli.wait_idle()[0]["state"] == "cancelled"
    tasks = Path(f"/proc/{daemon.process.pid}/task")
    eventually(lambda: not [task for task in tasks.iterdir() if (task / "comm").read_text().strip() == "relay"],
               "the relay's thread to end")


# -- workers that lie

LIES = {
    "hands back nothing": "real 3>/dev/null",
    "hands back noise": "real 3>/dev/null; head -c 3000000 /dev/urandom >&3",
    "hands back half a record": r"real 3>/dev/null; printf 'F\0\3' >&3",
    "names a path outside": r"real 3>/dev/null; printf 'F\0\3\0\0\0\0\0\0\0\1../D\0\0\0\1xEZ' >&3",
    "gives more than it announced": r"real 3>/dev/null; printf 'F\0\1\0\0\0\0\0\0\0\1aD\0\0\0\2xyEZ' >&3",
    "gives less than it announced": r"real 3>/dev/null; printf 'F\0\1\0\0\0\0\0\0\0\2aD\0\0\0\1xEZ' >&3",
    "announces too much": r"real 3>/dev/null; printf 'F\0\1\177\377\377\377\377\377\377\377a' >&3",
    "goes on after the end": r"real 3>/dev/null; printf 'ZZ' >&3",
    "is killed in a file": r"printf 'F\0\1\0\0\0\0\0\0\0\2aD\0\0\0\1x' >&3; kill -KILL $$",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_worker_that(binaries, make_daemon, make_fake_clamd, make_scripted, tmp_path, lie):
    """It costs its own layer: the daemon goes on, other layers are looked into, nothing of it is believed for good."""
    folder = tmp_path / "programs"
    folder.mkdir()
    daemon = make_daemon("--config", str(write_settings(tmp_path, make_fake_clamd().socket)))
    daemon.binaries = dataclasses.replace(binaries, daemon=str(shutil.copy(binaries.daemon, folder)))
    worker = folder / "tidewaiter-worker"
    worker.write_text(f"""#!/bin/bash
[ "$1" != --probe ] || exec {shlex.quote(binaries.worker)} "$@"
layer=$(mktemp -p {shlex.quote(str(tmp_path))})
cat > $layer
real() {{ {shlex.quote(binaries.worker)} "${{words[@]}}" < $layer; }}
words=("$@")
if ! grep -qa MISCHIEF $layer; then real; exit; fi
{LIES[lie]}
""")
    worker.chmod(0o755)
    registry = make_scripted()
    bad = image([layer(alpine(("libfirst", "1.0-r0"))), layer({"srv/note": "MISCHIEF"}, compression="none")])
    registry.push("team/bad", bad, "1")
    cli = daemon.start().cli
    cli.add_integration("team", registry.url)
    report = cli.scan("team/team/bad:1")
    assert [one["name"] for one in report["packages"]] == ["libfirst"] and not malware(report)
    layers = {one["layer"] for one in report["findings"] if one["kind"] == "error"}
    assert layers <= {bad.layers[1].digest}, report["findings"]
    cli.run("image", "rescan", "team/team/bad:1", "--wait")
    assert [one["cached"] for one in cli.report("team/team/bad:1")["layers"]] == [True, False]
