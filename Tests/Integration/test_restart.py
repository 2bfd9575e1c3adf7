"""Killed at any instant, the daemon finds its queue whole; and it starts on no state that it cannot trust."""
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.daemon import CANARY
from support.images import image, layer
from support.packages import alpine
from support.waiting import eventually

IMAGES = 10


@pytest.fixture
def ten(make_scripted):
    """A registry of ten images on one common layer."""
    scripted = make_scripted()
    base = layer({"etc/base": "common"})
    for number in range(IMAGES):
        own = layer(alpine((f"package-{number}", "1.0-r0")), created_by=f"COPY {number}")
        scripted.push(f"ten/app{number}", image([base, own]), "1")
    return scripted


def check_all_finished_once(cli):
    jobs = cli.wait_idle()
    assert sorted(job["reference"].split("@")[0].split(":")[0] for job in jobs) == [f"ten/ten/app{n}" for n in range(IMAGES)]
    assert {job["state"] for job in jobs} == {"finished"}, jobs
    assert len({job["digest"] for job in jobs}) == IMAGES
    assert {one["status"] for one in cli.images()} == {"scanned"} and len(cli.images()) == IMAGES
    for number in range(IMAGES):
        report = cli.report(f"ten/ten/app{number}:1")
        assert [one["name"] for one in report["packages"]] == [f"package-{number}"]
        assert [one for one in report["findings"] if one["kind"] == "error"] == []
    return jobs


# How many blobs (configurations and layers) are let through before the rest is held back.
@pytest.mark.parametrize("blobs", [0, 1, 5, 12, 20])
def test_kill_with_ten_images_queued(daemon, cli, ten, blobs):
    ten.blobs_free = blobs
    ten.blobs_gate.close()
    cli.add_integration("ten", ten.url)
    for number in range(IMAGES):
        cli.run("image", "add", f"ten/ten/app{number}:1")
    assert len(cli.jobs()) == IMAGES
    eventually(lambda: ten.blobs_free == 0 and ten.blobs_gate.held, "blobs to be in flight")
    finished = {job["id"] for job in cli.jobs() if job["state"] == "finished"}
    daemon.kill()
    ten.blobs_gate.open()
    daemon.start()
    jobs = check_all_finished_once(cli)
    assert finished <= {job["id"] for job in jobs}
    # An attempt that the daemon's death cut short does not count.
    assert {job["attempt"] for job in jobs} == {1}, jobs


@pytest.mark.slow
def test_killed_again_and_again(daemon, cli, ten):
    """Three deaths, each with a few more blobs through: still no attempt is lost or counted twice."""
    cli.add_integration("ten", ten.url)
    ten.blobs_gate.close()
    ten.blobs_free = 4
    for number in range(IMAGES):
        cli.run("image", "add", f"ten/ten/app{number}:1")
    for _ in range(3):
        eventually(lambda: ten.blobs_free == 0 and ten.blobs_gate.held, "blobs to be in flight")
        daemon.kill()
        ten.blobs_gate.open()
        eventually(lambda: not ten.blobs_gate.held, "requests of the dead to go")
        ten.blobs_gate.close()
        ten.blobs_free = 4
        daemon.start()
    ten.blobs_gate.open()
    jobs = check_all_finished_once(cli)
    assert {job["attempt"] for job in jobs} == {1}, jobs


def test_kill_in_a_poll(daemon, cli, ten):
    """H41: a poll that died is marked as such, and another one queues each image once."""
    cli.add_integration("ten", ten.url)
    ten.blobs_free = 3
    ten.blobs_gate.close()
    cli.run("integration", "poll", "ten")
    eventually(lambda: ten.blobs_gate.held, "blobs to be in flight")
    daemon.kill()
    ten.blobs_gate.open()
    daemon.start()
    cli.run("integration", "poll", "ten", "--wait")
    check_all_finished_once(cli)


def test_stop_in_order_with_images_in_flight(daemon, cli, ten):
    """SIGTERM returns leases: the daemon exits 0, and the next one goes on."""
    cli.add_integration("ten", ten.url)
    ten.blobs_gate.close()
    for number in range(IMAGES):
        cli.run("image", "add", f"ten/ten/app{number}:1")
    eventually(lambda: ten.blobs_gate.held, "blobs to be in flight")
    daemon.stop()
    ten.blobs_gate.open()
    daemon.start()
    jobs = check_all_finished_once(cli)
    assert {job["attempt"] for job in jobs} == {1}, jobs


def test_second_daemon_is_refused(make_daemon, daemon, cli):
    second = make_daemon()
    second.state = daemon.state
    text = second.refuses_to_start()
    assert "in use" in text and str(daemon.state) in text
    cli.run("status")
    second.state = second.folder / "state"
    second.start()


def test_second_daemon_does_not_take_a_live_socket(make_daemon, daemon, cli):
    second = make_daemon()
    own, second.socket = second.socket, daemon.socket
    second.refuses_to_start()
    cli.run("status")
    second.socket = second.cli.socket = own
    second.start()


def test_a_dead_daemons_socket_is_replaced(daemon, cli):
    daemon.kill()
    assert daemon.socket.exists()
    daemon.start()
    cli.run("status")


def test_socket_is_not_open_to_all(daemon):
    mode = stat.S_IMODE(daemon.socket.stat().st_mode)
    assert mode & 0o007 == 0, oct(mode)


def test_state_directory_that_cannot_be(make_daemon):
    daemon = make_daemon()
    good = daemon.state
    (daemon.folder / "file").write_text("in the way")
    for bad in (daemon.folder / "file", daemon.folder / "file/below", Path("/proc/tidewaiter")):
        daemon.state = bad
        assert str(bad) in daemon.refuses_to_start()
    assert (daemon.folder / "file").read_text() == "in the way"
    daemon.state = good
    daemon.start()


def test_state_directory_open_to_others(make_daemon):
    daemon = make_daemon()
    daemon.state.mkdir()
    daemon.state.chmod(0o777)
    assert "chmod" in daemon.refuses_to_start()
    daemon.state.chmod(0o700)
    daemon.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody who may not write")
def test_state_directory_that_may_not_be_written(binaries):
    folder = Path(tempfile.mkdtemp(prefix="tidewaiter-test-"))
    try:
        folder.chmod(0o755)
        (folder / "state").mkdir(mode=0o755)
        program = shutil.copy(binaries.daemon, folder)
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "--state-dir", str(folder / "state"),
             "--socket", str(folder / "s.sock")], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and str(folder / "state") in done.stderr, done
        assert "error: " in done.stderr and "hint: " in done.stderr, done
    finally:
        shutil.rmtree(folder)


def test_unknown_schema_version(daemon, cli, registry):
    cli.add_integration("kept", registry.url)
    daemon.stop()
    path = daemon.state / "state.mdb"
    right = dump(path)
    load(path, other_version(right))
    before = path.read_bytes()
    text = daemon.refuses_to_start()
    assert "schema" in text and "version" in text
    assert path.read_bytes() == before, "a store that is refused is left as it is"
    load(path, right)
    daemon.start()
    assert cli("integration", "show", "kept")["name"] == "kept"


def dump(path):
    return subprocess.run(["mdb_dump", "-n", "-s", "meta", str(path)], check=True, capture_output=True, text=True).stdout


def load(path, text):
    subprocess.run(["mdb_load", "-n", "-s", "meta", str(path)], input=text, check=True, capture_output=True, text=True)


def other_version(text):
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines) if line.strip() == b"schema_version".hex()) + 1
    lines[at] = " " + "63" * (len(lines[at].strip()) // 2)
    return "\n".join(lines) + "\n"


def test_cut_store_is_refused(daemon, cli, registry):
    """H109: a data file cut short would end the process by SIGBUS; it is refused instead, and kept."""
    cli.add_integration("kept", registry.url)
    daemon.stop()
    path = daemon.state / "state.mdb"
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) // 2 // 4096 * 4096])
    assert str(path) in daemon.refuses_to_start()
    path.write_bytes(b"no database at all" * 1000)
    assert str(path) in daemon.refuses_to_start()
    path.write_bytes(whole)
    daemon.start()
    assert cli("integration", "show", "kept")


def test_key_file(daemon, cli, make_registry):
    """H138: without its key, or with one that others may read, the daemon does not start; with it, all is as before."""
    password = "password " + CANARY
    private = make_registry(users={"ann": password})
    private.push("team/app", image([layer(alpine(("libalpha", "1.0-r0")))]), "1")
    cli.add_integration("private", private.url, username="ann", password=password)
    daemon.stop()
    key = daemon.state / "secrets.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    content = key.read_bytes()
    key.unlink()
    assert str(key) in daemon.refuses_to_start()
    assert not key.exists(), "no new key in place of the one that the secrets need"
    key.write_bytes(content)
    key.chmod(0o644)
    assert str(key) in daemon.refuses_to_start()
    key.chmod(0o600)
    key.write_bytes(content[:-1])
    assert str(key) in daemon.refuses_to_start()
    key.write_bytes(content)
    daemon.start()
    assert cli.scan("private/team/app:1")["packages"]
