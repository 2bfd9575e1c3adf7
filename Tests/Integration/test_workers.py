"""Workers that fail, by themselves or by somebody's hand: each costs the analysis of one layer, and says so. H134."""
import dataclasses
import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from support.images import OCI_LAYER, Layer, image, layer, sha256, tar
from support.packages import alpine
from support.samples import sample
from support.waiting import eventually

MISCHIEF = "MISCHIEF-4b1d"
# What a program does in place of the worker when it has read a layer with the word in it, the code of the finding, and words of
# its text.
DEEDS = {
    "is killed": ("kill -KILL $$", "WORKER_ENDED", "signal 9"),
    "crashes": ("kill -SEGV $$", "WORKER_ENDED", "signal 11"),
    "is out of memory": ("kill -ABRT $$", "WORKER_ENDED", "signal 6"),
    "fails": ("exit 3", "WORKER_ENDED", "status 3"),
    "has no sandbox": ("exit 72", "WORKER_ENDED", "sandbox"),
    "says nothing": ("exit 0", "WORKER_ANSWER", "magic"),
    "says half": ("real | head -c 12; exit 0", "WORKER_ANSWER", "announces"),
    "says it twice": ("real; real", "WORKER_ANSWER", "holds"),
    "babbles": ("head -c 5000 /dev/urandom", "WORKER_ANSWER", "magic"),
    "floods": ("real; exec cat /dev/zero", "WORKER_ENDED", "too long"),
    "floods and never reads": ("exec 0<&-; exec cat /dev/zero", "WORKER_ENDED", "too long"),
    "announces too much": (r"printf 'TWA1\377\377\377\377'; exec cat /dev/zero", "WORKER_ANSWER|WORKER_ENDED", ""),
    "answers for another version": (r"real | LC_ALL=C sed '1s/^\(TWA1....\)\x08./\1\x08\x7f/'", "WORKER_ANSWER", "version"),
}


@pytest.fixture
def with_worker(binaries, make_daemon, tmp_path):
    """Starts a daemon whose worker program is a script that does something when it is given the word."""
    def start(deed):
        folder = tmp_path / "programs"
        folder.mkdir()
        daemon = Path(shutil.copy(binaries.daemon, folder))
        worker = folder / "tidewaiter-worker"
        worker.write_text(f"""#!/bin/sh
[ $# = 0 ] || exec {shlex.quote(binaries.worker)} "$@"
layer=$(mktemp -p {shlex.quote(str(tmp_path))})
cat > $layer
real() {{ {shlex.quote(binaries.worker)} < $layer; }}
if ! grep -qa {MISCHIEF} $layer; then real; exit; fi
{deed}
""")
        worker.chmod(0o755)
        made = make_daemon()
        made.binaries = dataclasses.replace(binaries, daemon=str(daemon))
        return made.start()
    return start


@pytest.mark.parametrize("deed", DEEDS)
def test_a_worker_that(with_worker, make_scripted, deed):
    """The layers beside it are read, the image is reported with what is missing, other images lose nothing."""
    act, code, words = DEEDS[deed]
    registry = make_scripted()
    bad = image([layer(alpine(("libfirst", "1.0-r0"))), layer({"srv/note": MISCHIEF}, compression="none"),
                 layer({"etc/os-release": "ID=alpine\nVERSION_ID=3.19.1\n"})])
    registry.push("team/bad", bad, "1")
    registry.push("team/good", sample(name="libother"), "1")
    cli = with_worker(act).cli
    cli.add_integration("team", registry.url)
    cli.run("image", "add", "team/team/bad:1")
    cli.run("image", "add", "team/team/good:1")
    jobs = cli.wait_idle()
    assert [(job["state"], job["attempt"]) for job in jobs] == [("finished", 1)] * 2, jobs
    report = cli.report("team/team/bad:1")
    assert [one["name"] for one in report["packages"]] == ["libfirst"] and report["os"]["id"] == "alpine"
    [finding] = [one for one in report["findings"] if one["kind"] == "error"]
    assert finding["id"] in code.split("|") and finding["layer"] == bad.layers[1].digest, finding
    assert finding["title"].startswith("layer could not be analysed: ") and words in finding["title"], finding
    good = cli.report("team/team/good:1")
    assert [one["name"] for one in good["packages"]] == ["libother"]
    assert not [one for one in good["findings"] if one["kind"] == "error"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_worker_that_is_ended_from_outside(daemon, make_scripted, number):
    """In the middle of its layer, by somebody who may; the same layer is read at the next scan."""
    if os.geteuid() != 0:
        pytest.skip("needs root to signal a worker")
    registry = make_scripted()
    bad = image([layer(alpine(("libfirst", "1.0-r0"))), layer({"srv/note": "x" * 5000})])
    registry.push("team/bad", bad, "1")
    registry.push("team/good", sample(name="libother"), "1")
    gate = registry.halve(bad.layers[1].blob)
    cli = daemon.cli
    cli.add_integration("team", registry.url)
    cli.run("image", "add", "team/team/bad:1")
    eventually(lambda: gate.held, "half of the second layer")
    eventually(lambda: cli.job("team/team/bad:1")["layersDone"] == 1, "the first layer's end")
    worker = eventually(lambda: len(daemon.children()) == 1 and daemon.children(), "its worker alone")[0]
    os.kill(worker, number)
    assert [one["name"] for one in cli.scan("team/team/good:1")["packages"]] == ["libother"]
    gate.open()
    cli.wait_idle()
    [finding] = [one for one in cli.report("team/team/bad:1")["findings"] if one["kind"] == "error"]
    assert finding["id"] == "WORKER_ENDED" and f"signal {number:d}" in finding["title"], finding
    assert finding["layer"] == bad.layers[1].digest
    cli.run("image", "rescan", "team/team/bad:1", "--wait")
    report = cli.report("team/team/bad:1")
    assert not [one for one in report["findings"] if one["kind"] == "error"]
    assert [one["cached"] for one in report["layers"]] == [True, False]


def zstd_layer(files, *long):
    """Of as many frames as windows are given, as powers of two; a window is as large as it says, however little is in it."""
    data = tar(files)
    size = len(data) // len(long)
    frames = [data[i * size:(i + 1) * size if i + 1 < len(long) else None] for i in range(len(long))]
    blob = b"".join(subprocess.run(
        ["zstd", "-q", "-c", "-1", f"--long={log}"], input=frame, check=True, capture_output=True).stdout
        for log, frame in zip(long, frames, strict=True))
    return Layer(blob, sha256(data), OCI_LAYER + "+zstd", "COPY . /")


def test_how_many_large_windows_at_a_time(daemon, make_scripted):
    """Two in the whole daemon, and one of an integration: the others wait, and layers without go on beside them."""
    registry, cli = make_scripted(), daemon.cli
    made = {name: image([zstd_layer(alpine((f"lib{name}", "1.0-r0")), 24)]) for name in ("a1", "a2", "b", "c")}
    gates = {name: registry.halve(one.layers[0].blob, after=1) for name, one in made.items()}
    for name, one in made.items():
        registry.push(f"{name[0]}/{name}", one, "1")
    registry.push("d/plain", sample(name="libplain"), "1")
    for integration in "abcd":
        cli.add_integration(integration, registry.url)

    def asked(name):
        return len(registry.requests("GET", f".*/blobs/{made[name].layers[0].digest}"))

    def reading():
        """Those that are read for the second time, by a worker that may."""
        return {name for name in made if asked(name) == 2}

    def add(*names):
        for name in names:
            cli.run("image", "add", f"{name[0]}/{name[0]}/{name}:1")
    add("a1", "a2")
    eventually(lambda: all(asked(name) for name in ("a1", "a2")) and len(reading()) == 1 and len(daemon.children()) == 1,
               "one of an integration to be read")
    [first] = reading()
    assert [one["name"] for one in cli.scan("d/d/plain:1")["packages"]] == ["libplain"]
    assert reading() == {first}
    add("b", "c")
    eventually(lambda: all(asked(name) for name in made) and len(reading()) == 2 and len(daemon.children()) == 2,
               "two to be read")
    two = reading()
    assert first in two and two & {"b", "c"}
    cli.run("image", "rescan", "d/d/plain:1", "--wait")
    assert reading() == two
    # Whoever ends makes room: for the integration's other one, or for the third integration's.
    gates[first].open()
    eventually(lambda: len(reading()) == 3, "the third to be read")
    ended = {first}
    while len(ended) < len(made):
        running = eventually(lambda: reading() - ended, "one to be read")
        assert len(running) <= 2
        name = min(running)
        gates[name].open()
        eventually(lambda: cli.job(f"{name[0]}/{name[0]}/{name}:1")["state"] == "finished", f"{name} to be finished")
        ended.add(name)
    cli.wait_idle()
    for name in made:
        report = cli.report(f"{name[0]}/{name[0]}/{name}:1")
        assert [one["name"] for one in report["packages"]] == [f"lib{name}"] and asked(name) == 2
        assert not [one for one in report["findings"] if one["kind"] == "error"]


def test_large_windows_of_zstd(daemon, make_scripted):
    """H63: up to 8 MiB as any layer; up to 128 MiB by a worker that was told so, whichever frame it is; no more."""
    registry = make_scripted()
    windows = {"8m": (23,), "16m": (24,), "128m": (27,), "later": (23, 27), "256m": (28,), "2g": (31,)}
    images = {tag: image([zstd_layer(alpine((f"lib{tag}", "1.0-r0")), *long)]) for tag, long in windows.items()}
    for tag, made in images.items():
        registry.push("team/app", made, tag)
    cli = daemon.cli
    cli.add_integration("team", registry.url)
    for tag, made in images.items():
        report = cli.scan(f"team/team/app:{tag}")
        errors = [one["id"] for one in report["findings"] if one["kind"] == "error"]
        asked = len(registry.requests("GET", f".*/blobs/{made.layers[0].digest}"))
        if tag in ("256m", "2g"):
            assert errors == ["LAYER_WINDOW_TOO_LARGE"] and report["packages"] == []
        else:
            assert errors == [] and [one["name"] for one in report["packages"]] == [f"lib{tag}"]
        assert asked == (1 if tag == "8m" else 2), tag
