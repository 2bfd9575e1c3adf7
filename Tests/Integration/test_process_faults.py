"""What happens to the daemon's process and to those around it: readers that die, limits that are reached, clocks that
jump, signals that come at any time. Rows of the catalogue's section 8; test_disk_faults.py says where the others are."""
import dataclasses
import datetime
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.samples import sample
from support.waiting import eventually

READER = """
import lmdb, os, sys
environment = lmdb.open(sys.argv[1], subdir=False, readonly=True, max_dbs=64)
transaction = environment.begin()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def registry(make_scripted):
    scripted = make_scripted()
    for number in range(30):
        scripted.push(f"team/app{number}", sample(name=f"lib{number}"), "1")
    return scripted


@pytest.fixture
def team(daemon, registry):
    daemon.cli.add_integration("team", registry.url)
    return daemon.cli


def reader(daemon):
    """A process of somebody else's that holds a reader's slot in the store."""
    pytest.importorskip("lmdb", reason="needs python3-lmdb")
    held = subprocess.Popen([sys.executable, "-c", READER, str(daemon.state / "state.mdb")], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)
    assert held.stdout.readline() == "held\n"
    return held


@pytest.mark.slow
def test_readers_that_die_and_readers_that_stay(daemon, team):
    """H108: one that was killed with its slot held is cleared away; one that lives is warned of."""
    for number in range(30):
        team.run("image", "add", f"team/team/app{number}:1")
    team.wait_idle()
    living = reader(daemon)
    try:
        def warned():
            for number in range(30):
                team.run("image", "add", f"team/team/app{number}:1")
            team.wait_idle()
            return [one["message"] for one in team("status")["problems"] if str(living.pid) in one["message"]]
        assert eventually(warned, "a warning of the old reader")
    finally:
        living.kill()
        living.wait()
        living.stdin.close()
        living.stdout.close()

    def cleared():
        for number in range(30):
            team.run("image", "add", f"team/team/app{number}:1")
        team.wait_idle()
        return not [one for one in team("status")["problems"] if str(living.pid) in one["message"]]
    assert eventually(cleared, "the slot of the dead reader to be free")


def test_a_page_that_was_overwritten(daemon, team):
    """H109: meta pages that are none are refused at the start; the rest of the file is kept as it is."""
    team.run("image", "add", "team/team/app0:1", "--wait")
    daemon.stop()
    path = daemon.state / "state.mdb"
    whole = path.read_bytes()
    for damage in (bytes(4096), os.urandom(4096), b"\xff" * 4096):
        for page in (0, 1):
            path.write_bytes(whole[:page * 4096] + damage + whole[(page + 1) * 4096:])
            damaged = path.read_bytes()
            text = daemon.refuses_to_start()
            assert str(path) in text and "backup" in text, text
            assert path.read_bytes() == damaged
    path.write_bytes(whole)
    daemon.start()
    assert len(team.images()) == 1


def test_workers_have_nothing_of_the_store(daemon, team, registry):
    """H110: no worker has a file of the state directory open."""
    registry.blobs_gate.close()
    registry.blobs_free = 2
    team.run("image", "add", "team/team/app0:1")
    seen = set()

    def looked():
        for child in daemon.children():
            try:
                links = [os.readlink(f"/proc/{child}/fd/{name}") for name in os.listdir(f"/proc/{child}/fd")]
            except OSError:
                continue
            seen.add(child)
            assert not [link for link in links if str(daemon.state) in link], links
        return seen or team.job("team/team/app0:1")["state"] == "finished"
    eventually(looked, "a worker, or the end of the scan")
    registry.blobs_gate.open()
    team.wait_idle()


@pytest.mark.parametrize("jump", [datetime.timedelta(hours=-1), datetime.timedelta(days=30)])
def test_a_clock_that_is_wrong_at_the_next_start(daemon, team, registry, jump):
    """H112: what was under way when the clock jumped is scanned all the same, and counts as it should."""
    registry.blobs_gate.close()
    for number in range(5):
        team.run("image", "add", f"team/team/app{number}:1")
    eventually(lambda: registry.blobs_gate.held, "scans to be under way")
    daemon.kill()
    registry.blobs_gate.open()
    daemon.travel(jump).start()
    jobs = team.wait_idle()
    assert {job["state"] for job in jobs} == {"finished"} and {job["attempt"] for job in jobs} == {1}, jobs
    assert team.scan("team/team/app6:1")["packages"]


SOMEBODY = ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups"]


def limit(process, *prefix, **limits):
    subprocess.run([*prefix, "prlimit", f"--pid={process.pid}", *(f"--{name}={value}" for name, value in limits.items())], check=True)


def test_no_descriptors_left(daemon, team, registry):
    """H113: scans fail for now and are tried again, nobody spins, and all is well when there are some again."""
    registry.blobs_gate.close()
    for number in range(4):
        team.run("image", "add", f"team/team/app{number}:1")
    eventually(lambda: registry.blobs_gate.held, "scans to be under way")
    before = subprocess.run(["prlimit", f"--pid={daemon.process.pid}", "--nofile", "-o", "SOFT", "--noheadings"], check=True,
                            capture_output=True, text=True).stdout.strip()
    # None that is open now has a number below, and so none can be opened.
    limit(daemon.process, nofile=f"3:{before}")
    registry.blobs_gate.open()
    eventually(lambda: "tried again" in daemon.tail() or "open files" in daemon.tail(), "something that found no descriptor")
    assert daemon.alive
    limit(daemon.process, nofile=f"{before}:{before}")
    jobs = team.wait_idle()
    assert {job["state"] for job in jobs} == {"finished"}, jobs
    assert {one["status"] for one in team.images()} == {"scanned"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody whose processes are counted")
def test_no_processes_left(binaries, make_daemon, registry):
    """H113: as before, where the daemon's user may have no more threads and processes."""
    daemon = make_daemon()
    os.chown(daemon.folder, 65533, 65533)
    folder = daemon.folder / "programs"
    folder.mkdir(mode=0o755)
    for program in (binaries.daemon, binaries.worker):
        shutil.copy(program, folder)
    wrapper = folder / "as-somebody"
    wrapper.write_text(f"#!/bin/sh\nexec {' '.join(SOMEBODY)} {folder}/{Path(binaries.daemon).name} \"$@\"\n")
    wrapper.chmod(0o755)
    daemon.binaries = dataclasses.replace(binaries, daemon=str(wrapper))
    daemon.start()
    cli = daemon.cli
    cli.add_integration("team", registry.url)
    registry.blobs_gate.close()
    for number in range(4):
        cli.run("image", "add", f"team/team/app{number}:1")
    eventually(lambda: registry.blobs_gate.held, "scans to be under way")
    limit(daemon.process, *SOMEBODY, nproc="1:")
    registry.blobs_gate.open()
    eventually(lambda: "tried again" in daemon.tail(), "a worker that could not be started")
    assert cli("status")["version"]
    limit(daemon.process, *SOMEBODY, nproc=f"{resource.getrlimit(resource.RLIMIT_NPROC)[0]}:")
    jobs = cli.wait_idle()
    assert {job["state"] for job in jobs} == {"finished"}, jobs
    assert {one["status"] for one in cli.images()} == {"scanned"}


@pytest.mark.parametrize("phase", ["starting", "idle", "fetching", "polling", "stopping"])
def test_a_stop_in_every_phase(daemon, team, registry, phase):
    """H114: SIGTERM, also twice: exit 0, and whatever was leased is back in the queue."""
    process = daemon.process
    if phase == "starting":
        daemon.stop()
        process = daemon.spawn()
        # Before that it has not said yet what is to become of signals.
        eventually(lambda: (daemon.state / "lock").read_text() == str(process.pid), "the daemon to hold its state")
    elif phase == "fetching":
        registry.blobs_gate.close()
        for number in range(5):
            team.run("image", "add", f"team/team/app{number}:1")
        eventually(lambda: registry.blobs_gate.held, "scans to be under way")
    elif phase == "polling":
        hold = registry.hold(3, pattern="/v2/")
        team("integration", "poll", "team")
        hold.wait()
    process.send_signal(signal.SIGTERM)
    if phase == "stopping":
        process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, daemon.tail()
    daemon.process = None
    registry.clear()
    registry.blobs_gate.open()
    daemon.start()
    jobs = team.wait_idle()
    assert {job["state"] for job in jobs} <= {"finished"} and {job["attempt"] for job in jobs} <= {1}, jobs
    assert team.scan("team/team/app9:1")["packages"]
