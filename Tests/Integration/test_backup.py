"""`tidewaiter backup` and `tidewaiterd --restore`: a whole instant of a busy daemon, put in place whole or not at all."""
import os
import random
import signal
import stat
import subprocess
import threading

import pytest

from support.daemon import CANARY
from support.images import image, layer
from support.packages import alpine
from support.samples import sample
from support.ttrpc import Caller

BACKUP = "tidewaiter.v1.System/Backup"
PASSWORD = "password-" + CANARY


def restore(binaries, state, backup, code=0, stdin=None):
    """Runs `--restore`; answers what it printed."""
    done = subprocess.run([binaries.daemon, "--state-dir", str(state), "--restore", str(backup)], stdin=stdin or subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done
    return done.stdout if code == 0 else done.stderr


@pytest.fixture
def kept(daemon, cli, make_registry, tmp_path):
    """A daemon with an image of a private registry that was scanned, and its backup."""
    if "backup" not in cli.run("--help", output=None).out:
        pytest.skip("this client has no backup command")
    registry = make_registry(users={"ann": PASSWORD})
    registry.push("team/app", sample(), "1")
    cli.add_integration("team", registry.url, username="ann", password=PASSWORD)
    assert cli.scan("team/team/app:1")["packages"]
    file = tmp_path / "backup"
    cli.run("backup", file)
    return file


def test_what_is_restored_is_what_was(daemon, cli, kept, binaries, make_daemon, tmp_path):
    """H115: images, jobs, reports and secrets; the key among them, so nobody else may read the file."""
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    jobs, images, report = cli.jobs(), cli.images(), cli.report("team/team/app:1")
    other = make_daemon()
    text = restore(binaries, other.state, kept)
    assert str(other.state) in text and "schema version" in text and "advisories" in text
    other.start()
    assert (other.cli.jobs(), other.cli.images(), other.cli.report("team/team/app:1")) == (jobs, images, report)
    assert [step for step in other.cli("integration", "test", "team")["steps"]]
    assert other.cli.scan("team/team/app:1")["packages"]
    third = make_daemon()
    with open(kept, "rb") as stream:
        restore(binaries, third.state, "-", stdin=stream)
    third.start()
    assert third.cli.images() == images


def test_backup_while_much_is_written(daemon, cli, kept, binaries, make_daemon, make_scripted, tmp_path):
    """H115: under load it is one instant: no job twice, and of each image the job that it says it has."""
    scripted = make_scripted()
    for number in range(20):
        scripted.push(f"busy/app{number}", sample(name=f"lib{number}"), "1")
    cli.add_integration("busy", scripted.url)
    over = threading.Event()

    def write():
        with Caller(daemon.socket) as caller:
            while not over.is_set():
                for number in range(20):
                    caller.call("tidewaiter.v1.Images/AddImage", reference=f"busy/busy/app{number}:1")
    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    files = [tmp_path / f"backup-{number}" for number in range(3)]
    try:
        for file in files:
            cli.run("backup", file)
    finally:
        over.set()
        for writer in writers:
            writer.join()
    for file in files:
        other = make_daemon()
        restore(binaries, other.state, file)
        other.start()
        jobs = other.cli.wait_idle()
        assert len({job["id"] for job in jobs}) == len(jobs)
        assert {job["state"] for job in jobs} == {"finished"}, jobs
        assert {one["status"] for one in other.cli.images()} == {"scanned"}
        other.stop()


def test_a_client_that_stops_reading(daemon, cli, make_scripted):
    """H108, H115: nobody waits for it, and a stop ends it."""
    scripted = make_scripted()
    for number in range(16):
        scripted.push(f"big/app{number}", image([layer(alpine(*((f"lib{number}-{part}", "1.0-r0") for part in range(8000))))]), "1")
    cli.add_integration("big", scripted.url)
    for number in range(16):
        cli.run("image", "add", f"big/big/app{number}:1")
    cli.wait_idle()
    assert (daemon.state / "state.mdb").stat().st_size > 16 << 20, "too small to fill all buffers on the way"
    with Caller(daemon.socket) as reader:
        if BACKUP not in reader.schema.methods:
            pytest.skip("this daemon has no call for backups")
        stream = reader.open(BACKUP)
        assert stream.next().data
        for number in range(3):
            cli.run("image", "add", f"big/big/app{number}:1", "--wait")
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(60) == 0, daemon.tail()
    daemon.process = None
    daemon.start()
    assert len(cli.images()) == 16


@pytest.mark.parametrize("damage", ["cut in the middle", "cut at the end", "altered", "newer schema", "no backup"])
def test_what_is_no_whole_backup_is_refused(kept, binaries, tmp_path, damage):
    """H115: refused before anything is replaced; the directory stays as it was, be it missing or empty."""
    data = bytearray(kept.read_bytes())
    if damage == "cut in the middle":
        del data[len(data) // 2:]
    elif damage == "cut at the end":
        del data[-1:]
    elif damage == "altered":
        data[len(data) // 2] ^= 1
    elif damage == "newer schema":
        data[23] = 99
    else:
        data = bytearray(b"no backup\n" * 1000)
    file = tmp_path / "damaged"
    file.write_bytes(data)
    state = tmp_path / "state"
    for _ in range(2):
        text = restore(binaries, state, file, code=1)
        assert str(file) in text and "error: " in text and "hint: " in text, text
        assert not state.exists() or os.listdir(state) == []
        state.mkdir(mode=0o700, exist_ok=True)
    restore(binaries, state, kept)
    assert "state.mdb" in os.listdir(state)


def test_a_state_directory_in_use_or_not_empty_is_refused(daemon, kept, binaries):
    before = (daemon.state / "state.mdb").stat().st_ino
    assert "in use" in restore(binaries, daemon.state, kept, code=1)
    daemon.stop()
    assert "not empty" in restore(binaries, daemon.state, kept, code=1)
    assert (daemon.state / "state.mdb").stat().st_ino == before
    assert "No such file" in restore(binaries, daemon.state, "/nowhere/backup", code=1)
    daemon.start()
    assert daemon.cli.images()


def test_a_restore_that_is_killed(kept, binaries, make_daemon, cli):
    """H115: whenever that is, the state is in place or not there at all, and the next restore or start goes on."""
    images, whole = cli.images(), 0
    chance = random.Random()
    for _ in range(25):
        other = make_daemon()
        process = subprocess.Popen([binaries.daemon, "--state-dir", str(other.state), "--restore", str(kept)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        threading.Event().wait(chance.random() * 0.06)
        process.kill()
        process.wait()
        if (other.state / "state.mdb").exists():
            whole += 1
        else:
            if (other.state / "restore").exists():
                assert "--restore" in other.refuses_to_start()
            restore(binaries, other.state, kept)
        other.start()
        assert other.cli.images() == images
        other.stop()
    print(f"{whole} of 25 were whole when they were killed")
