"""Disks that fail or fill up under the store: clear errors, reads go on, and service resumes by itself.

The rows of the catalogue's section 8, on store, queue and process, and where they are tested:

    H103  test_kill_rounds.py, test_restart.py
    H104  test_power_cut.py
    H105  here; EnvironmentTests (Swift)
    H106  here; ReopeningTests (Swift)
    H107  here; EnvironmentTests (Swift)
    H108  test_process_faults.py; EnvironmentTests (Swift)
    H109  test_restart.py, test_process_faults.py; FileCheckTests (Swift)
    H110  test_restart.py, test_process_faults.py
    H111  here; test_restart.py; StateTests (Swift)
    H112  test_process_faults.py, test_due_polls.py; ScheduleInstantTests (Swift)
    H113  test_process_faults.py
    H114  test_process_faults.py, test_service.py, test_restart.py
    H115  test_backup.py; BackupTests (Swift)
"""
import os

import pytest

from support.faults import Disk, Faults, small_disk
from support.samples import sample
from support.waiting import eventually

MIB = 1 << 20


@pytest.fixture
def registry(make_scripted):
    scripted = make_scripted()
    for number in range(200):
        scripted.push(f"team/app{number}", sample(name=f"lib{number}"), "1")
    return scripted


@pytest.fixture
def faults(tmp_path):
    return Faults(tmp_path)


@pytest.fixture
def failing(make_daemon, registry, faults):
    """A daemon whose disk fails when it is told to, with one image scanned."""
    daemon = make_daemon(environment=faults.environment).start()
    daemon.cli.add_integration("team", registry.url)
    assert daemon.cli.scan("team/team/app0:1")["packages"]
    return daemon


def reason(error):
    return next(detail["reason"] for detail in error["details"] if "reason" in detail)


def hint(error):
    return next(detail["hint"] for detail in error["details"] if "hint" in detail)


def check_reads(cli, count):
    """Everything that only reads goes on."""
    assert len(cli.jobs()) == count
    assert len(cli.images()) == count
    assert cli("integration", "show", "team")["name"] == "team"
    assert cli.report("team/team/app0:1")["packages"]
    assert cli("status")["version"]
    cli.run("events", output="jsonl")


@pytest.mark.parametrize("call", ["sync", "meta"])
def test_a_disk_that_fails(failing, faults, call):
    """H106: the change is not made, the asker is told, and nothing needs a restart."""
    cli = failing.cli
    before = cli.run("events", output="jsonl").out
    with faults.lasting(call):
        for number in range(1, 4):
            error = cli.fails("image", "add", f"team/team/app{number}:1").error
            assert reason(error) == "STORE_IO" and "state.mdb" in error["message"], error
            check_reads(cli, 1)
    assert cli.run("events", output="jsonl").out == before, "what was not stored was told"
    assert cli.scan("team/team/app1:1")["packages"]
    check_reads(cli, 2)
    assert "opened anew" in failing.tail()
    assert not [one for one in cli("status")["problems"] if "changes" in one["message"]]
    failing.restart()
    check_reads(cli, 2)


def test_a_disk_that_takes_nothing_at_all(failing, faults):
    """H106: while not even the file's state can be made sure of, it is read, and `status` says why it is only that."""
    cli = failing.cli
    with faults.lasting("sync", "meta"):
        cli.fails("image", "add", "team/team/app1:1")
        problem = next(one for one in cli("status")["problems"] if "takes no changes" in one["message"])
        assert "state.mdb" in problem["message"] and problem["hint"]
        check_reads(cli, 1)
        failing.kill()
    # The disk is well again.
    failing.start()
    check_reads(cli, 1)
    assert cli.scan("team/team/app1:1")["packages"]
    check_reads(cli, 2)


@pytest.mark.parametrize("call", ["sync", "meta"])
def test_scans_that_end_while_the_disk_fails(failing, faults, registry, call):
    """H106: what became of a scan is written when it can be, and each is scanned once in the end."""
    cli = failing.cli
    registry.blobs_gate.close()
    for number in range(1, 5):
        cli.run("image", "add", f"team/team/app{number}:1")
    eventually(lambda: registry.blobs_gate.held, "scans to be under way")
    with faults.lasting(call):
        registry.blobs_gate.open()
        eventually(lambda: "cannot be stored" in failing.tail() or "queue cannot be read or written" in failing.tail(),
                   "a scan that cannot be recorded")
        check_reads(cli, 5)
    jobs = cli.wait_idle()
    assert {job["state"] for job in jobs} == {"finished"}, jobs
    assert {one["status"] for one in cli.images()} == {"scanned"}
    assert len(cli.images()) == 5


@pytest.mark.parametrize("size", [8, 64])
def test_a_full_disk(make_daemon, registry, size):
    """H105: refused with the path, read all the while, and taken again when there is room."""
    daemon = make_daemon()
    with small_disk(daemon.state, size * MIB):
        daemon.start()
        cli = daemon.cli
        cli.add_integration("team", registry.url)
        cli.scan("team/team/app0:1")
        room = os.statvfs(daemon.state)
        ballast = daemon.state / "ballast"
        ballast.write_bytes(bytes(room.f_bavail * room.f_bsize - 300_000))
        added, error = 1, None
        while error is None:
            outcome = cli.run("image", "add", f"team/team/app{added}:1", code=None)
            if outcome.code:
                error = outcome.error
            else:
                added += 1
                assert added < 200, "the disk does not fill up"
        assert error["code"] == "RESOURCE_EXHAUSTED" and reason(error) == "DISK_FULL", error
        assert str(daemon.state) in error["message"] and hint(error), error
        for _ in range(3):
            check_reads(cli, added)
        ballast.unlink()
        cli.run("image", "add", f"team/team/app{added}:1")
        jobs = cli.wait_idle()
        assert {job["state"] for job in jobs} == {"finished"} and len(jobs) == added + 1, jobs
        daemon.restart()
        check_reads(cli, added + 1)
        daemon.stop()


def test_a_full_map(make_daemon, registry, tmp_path):
    """H107: refused by the name of the setting; what is there is read, and a larger map takes more."""
    settings = tmp_path / "settings.yaml"
    settings.write_text("store: {mapSizeBytes: 1048576}\n")
    daemon = make_daemon("--config", str(settings)).start()
    cli = daemon.cli
    cli.add_integration("team", registry.url)
    cli.run("image", "add", "team/team/app0:1", "--wait")
    added, error = 1, None
    while error is None:
        outcome = cli.run("image", "add", f"team/team/app{added}:1", code=None)
        if outcome.code:
            error = outcome.error
        else:
            added += 1
            assert added < 200, "the map does not fill up"
    assert error["code"] == "RESOURCE_EXHAUSTED" and reason(error) == "MAP_FULL", error
    assert "store.mapSizeBytes" in hint(error), error
    check_reads(cli, added)
    assert any("store.mapSizeBytes" in problem["hint"] for problem in cli("status")["problems"])
    daemon.stop()
    settings.write_text("store: {mapSizeBytes: 67108864}\n")
    daemon.start()
    cli.run("image", "add", f"team/team/app{added}:1")
    jobs = cli.wait_idle()
    assert {job["state"] for job in jobs} == {"finished"} and len(jobs) == added + 1, jobs


def test_a_file_system_that_becomes_read_only(make_daemon, registry, tmp_path):
    """H111: as after errors of its own; reads go on, and a restart on the mended file system finds everything."""
    disk = Disk(tmp_path)
    daemon = make_daemon()
    daemon.state = disk.place / "state"
    try:
        daemon.start()
        cli = daemon.cli
        cli.add_integration("team", registry.url)
        cli.scan("team/team/app0:1")
        disk.break_down()
        for number in range(1, 4):
            error = cli.fails("image", "add", f"team/team/app{number}:1").error
            assert reason(error) == "STATE_NOT_WRITABLE" and "state.mdb" in error["message"], error
            check_reads(cli, 1)
        daemon.stop()
        assert str(daemon.state) in daemon.refuses_to_start()
        disk.unmount()
        disk.mend()
        disk.mount()
        daemon.start()
        check_reads(cli, 1)
        assert cli.scan("team/team/app1:1")["packages"]
        daemon.stop()
    finally:
        if daemon.process is not None:
            daemon.process.kill()
            daemon.process.wait()
            daemon.process = None
        disk.unmount()
