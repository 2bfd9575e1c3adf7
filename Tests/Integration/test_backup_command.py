"""The client's part of a backup: what it leaves where, and when."""
import hashlib
import os
import stat
import subprocess

import pytest

from support.samples import sample


@pytest.fixture
def scanned(cli, make_scripted):
    scripted = make_scripted()
    scripted.push("app", sample(), "1")
    cli.add_integration("hub", scripted.url)
    cli.scan("hub/app:1")


def test_a_backup_is_a_private_file_that_another_daemon_begins_with(daemon, cli, scanned, make_daemon, tmp_path):
    file = tmp_path / "state.backup"
    told = cli("backup", file)
    data = file.read_bytes()
    assert (told["size"], told["sha256"], told["file"]) == (len(data), hashlib.sha256(data).hexdigest(), str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and told["takenAt"] and told["schemaVersion"] >= 2
    assert [path.name for path in tmp_path.iterdir()] == ["state.backup"]
    events = [event for event in cli("events")["events"] if event["kind"].startswith("backup.")]
    assert [(event["kind"], event["detail"]) for event in events] == [
        ("backup.started", ""), ("backup.ended", f"{len(data)} bytes")]
    assert {event["actor"] for event in events} == {f"uid:{os.getuid()}"}
    other = make_daemon()
    restored = subprocess.run([other.binaries.daemon, "--state-dir", str(other.state), "--restore", str(file)], capture_output=True)
    assert restored.returncode == 0, restored.stderr
    other.start()
    assert other.cli.jobs() == cli.jobs() and other.cli.report("hub/app:1") == cli.report("hub/app:1")


def test_a_backup_goes_to_a_pipe_but_to_no_terminal(daemon, cli, scanned):
    done = subprocess.run([daemon.binaries.client, "--socket", str(daemon.socket), "backup", "-"], capture_output=True)
    assert done.returncode == 0 and done.stdout.startswith(b"TWBACKUP") and done.stderr == b""
    # The sum at its end is that of all before.
    assert done.stdout[-32:] == hashlib.sha256(done.stdout[:-32]).digest()


def test_what_is_left_when_a_backup_cannot_be_written(daemon, cli, scanned, tmp_path):
    old = tmp_path / "old.backup"
    old.write_bytes(b"old")
    (tmp_path / "old.backup.partial").write_bytes(b"of one that was killed")
    cli.run("backup", old)
    assert old.read_bytes().startswith(b"TWBACKUP") and not (tmp_path / "old.backup.partial").exists()
    link = tmp_path / "link"
    link.symlink_to(old)
    assert "symbolic link" in cli.fails("backup", link).error["message"]
    assert "directory" in cli.fails("backup", tmp_path).error["message"]
    cli.fails("backup", tmp_path / "nowhere" / "file")
    full = subprocess.run([daemon.binaries.client, "--socket", str(daemon.socket), "backup", "-"], capture_output=False,
                          stdout=open("/dev/full", "wb"), stderr=subprocess.PIPE)
    assert full.returncode == 1 and b"standard output" in full.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "old.backup"]
