"""The sandbox of workers: what is tried from inside of it, what is missing in a kernel, and what the daemon says of it. Rows
H133, H135 and H137 of the catalogue."""
import dataclasses
import errno
import os
import resource
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from support import without
from support.acts import ACTS, act
from support.images import image, layer
from support.inject import Injected, Subject, needs_injection
from support.packages import alpine
from support.samples import sample
from support.waiting import eventually

USER = ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups"]
ENVIRONMENT = {"SWIFT_BACKTRACE": "enable=no", "LC_ALL": "C.UTF-8"}
# Each piece of the sandbox, with what a kernel without it answers. A file system that is not mounted stands for the first.
MISSING = {
    "threads": "newfstatat:0=-100=ENOSYS", "descriptors": "close_range=ENOSYS", "session": "setsid=EPERM",
    "network": "unshare=EPERM", "user": "setgroups=EPERM", "capabilities": "capset=EPERM", "memory": "prctl:0=4=EINVAL",
    "parent": "prctl:0=1=EINVAL", "limits": f"prlimit64:1={resource.RLIMIT_AS}=EPERM", "no-new-privileges": "prctl:0=38=EINVAL",
    "landlock": "landlock_create_ruleset=ENOSYS", "seccomp": "seccomp=ENOSYS"}
# What these two cannot do without privileges given up for good.
FOLLOWS = {"no-new-privileges": {"no-new-privileges", "landlock", "seccomp"}}
ROOT_ALONE = {"network", "user"}
UNCONFINED = 72


@pytest.fixture(scope="module")
def worker(binaries, tmp_path_factory):
    """Where anybody may run it, as whoever the daemon is."""
    folder = tmp_path_factory.mktemp("worker")
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    return shutil.copy(binaries.worker, folder)


@pytest.fixture(scope="module")
def layer_bytes():
    return layer(alpine(("libalpha", "1.0-r0"))).blob


def run(command, data=b""):
    return subprocess.run(command, input=data, capture_output=True, env=ENVIRONMENT, timeout=60)


def pieces(worker, *before):
    """{name: (holds, required)} as the worker says."""
    lines = run([*before, worker, "--probe"]).stdout.decode().splitlines()
    return {name: (holds == "holds", required == "required") for holds, required, name, _ in (line.split("\t") for line in lines)}


# -- from inside

def test_every_forbidden_act_is_denied(worker):
    """H133: each is tried in a program that is not confined, in a worker of root's, in one of a user's, and in one that hands
    file bytes back."""
    needs_injection()
    rows, wrong = [("act", "not confined", "worker of root", "worker of a user", "with a relay")], []
    for one in ACTS:
        outcomes = []
        for command, confined in (
                (["/bin/cat"], False), ([worker], True), ([*USER, worker], True), ([worker, "--contents=1,1"], True)):
            with Subject(command, confined) as subject:
                outcomes.append(one.outcome(subject))
        outside, *inside = outcomes
        rows.append((one.name, outside, *inside))
        # That it is denied means something where it is not anyway.
        if outside == one.denied or outside == "EPERM" or any(outcome != one.denied for outcome in inside):
            wrong.append(rows[-1])
    bounds = bounds_of(worker)
    rows += [(name, "-", outcome, "", "") for name, outcome, _ in bounds]
    wrong += [row for row in bounds if row[1] != row[2]]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    table = "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows)
    table += f"\n{len(rows) - 1} acts, {len(rows) - 1 - len(wrong)} denied\n"
    print("\n" + table)
    if path := os.environ.get("TIDEWAITER_SANDBOX_TABLE"):
        Path(path).write_text(table)
    assert not wrong, wrong


def bounds_of(worker):
    """Acts that are stopped by a bound: what they are, what stopped them, and what was to."""
    found = []
    # The worker's own bound is too far away for a test.
    with Subject(["prlimit", "--cpu=1", worker], True) as subject:
        found.append(("more CPU time than the bound", signal.Signals(subject.loop()).name, "SIGKILL"))
    with open(os.memfd_create("answer"), "wb") as file, Subject([worker], True, output=file) as subject:
        megabyte = subject.call(9, 0, 1 << 20, 3, 0x22, -1, 0).value
        for _ in range(66):
            result = subject.call(1, 1, megabyte, 1 << 20)
        found.append(("a file larger than the bound", errno.errorcode.get(result.errno, "done"), "EFBIG"))
    with Subject([worker], True) as subject:
        megabyte = subject.call(9, 0, 1 << 20, 3, 0x22, -1, 0).value
        result = subject.call(25, megabyte, 1 << 20, 2 << 30, 1)
        found.append(("a block that grows to 2 GiB", errno.errorcode.get(result.errno, "done"), "ENOMEM"))
    with Subject([worker], True) as subject:
        taken = 0
        while not subject.call(9, 0, 64 << 20, 3, 0x22, -1, 0).errno:
            taken += 1
        found.append(("address space of more than 1 GiB", "ENOMEM" if 4 <= taken < 16 else f"{taken} x 64 MiB", "ENOMEM"))
    return found


def test_more_than_one_piece_denies_what_matters(worker):
    """Where there is no seccomp, and the settings say to go on, the other pieces hold what they can."""
    needs_injection()
    before = without.command(MISSING["seccomp"])
    expected = {
        "open /etc/passwd": "EACCES", "creat /dev/null": "EACCES", "openat /proc/self/mem": "EACCES",
        "execve /bin/true": "EACCES", "kill the parent": "EPERM",
        "process_vm_readv of the parent": "EPERM", "setuid 0": "EPERM", "setgroups": "EPERM", "chroot": "EPERM",
        "unshare: a mount namespace": "EPERM", "setrlimit: more address space": "EPERM",
        "mmap 2 GiB": "ENOMEM", "fork": "EAGAIN"}
    found = {}
    for one in ACTS:
        if one.name in expected:
            with Subject([*before, worker, "--best-effort"], True) as subject:
                found[one.name] = one.outcome(subject)
    connect = act("connect", 42, 3, b"\x02\x00\x00\x50\x7f\x00\x00\x01" + bytes(8), 16)
    with Subject([*before, worker, "--best-effort"], True) as subject:
        subject.call(41, 2, 1, 0)
        found["connect"] = connect.outcome(subject)
    # Neither the network that it is in nor the limit of descriptors lets it get so far.
    assert found.pop("connect") in ("EACCES", "ENETUNREACH", "EBADF"), found
    assert found == expected


def test_what_the_kernel_says_of_a_worker(daemon, make_scripted):
    """One that the daemon has started, while it waits for its layer."""
    registry = make_scripted()
    app = sample()
    registry.push("team/app", app, "1")
    gate = registry.halve(app.layers[0].blob)
    daemon.cli.add_integration("team", registry.url)
    daemon.cli.run("image", "add", "team/team/app:1")
    worker = eventually(daemon.children, "a worker")[0]
    place = Path(f"/proc/{worker}")

    def confined():
        fields = dict(line.split(":\t", 1) for line in (place / "status").read_text().splitlines())
        return fields if fields["Seccomp"] == "2" else None
    status = eventually(confined, "a worker that has confined itself")
    assert status["NoNewPrivs"] == "1" and status["Threads"] == "1"
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    assert fields[3] == str(worker), "it leads no session of its own"
    limits = {line[:26].strip(): line[26:].split()[:2] for line in (place / "limits").read_text().splitlines()[1:]}
    assert {name: limits[name] for name in ("Max address space", "Max cpu time", "Max core file size", "Max open files",
                                            "Max processes")} == {
        "Max address space": [str(1 << 30)] * 2, "Max cpu time": ["330"] * 2, "Max core file size": ["0"] * 2,
        "Max open files": ["4"] * 2, "Max processes": ["0"] * 2}
    if os.geteuid() == 0:
        assert status["Uid"].split() == ["65534"] * 4 and status["Gid"].split() == ["65534"] * 4
        assert status["Groups"].strip() == ""
        open_now = {name: os.readlink(place / "fd" / name) for name in os.listdir(place / "fd")}
        assert set(open_now) == {"0", "1", "2"} and open_now["2"] == "/dev/null", open_now
        assert os.readlink(place / "ns/net") != os.readlink("/proc/self/ns/net")
        assert sorted((place / "environ").read_bytes().split(b"\0")[:-1]) == [b"LC_ALL=C.UTF-8", b"SWIFT_BACKTRACE=enable=no"]
        names = [line.split(":")[0].strip() for line in (place / "net/dev").read_text().splitlines()[2:]]
        assert names == ["lo"], names
    gate.open()
    assert {job["state"] for job in daemon.cli.wait_idle()} == {"finished"}


def test_a_worker_that_reaches_out_costs_its_layer(daemon, make_scripted):
    """It is ended at once: a finding of that layer, which is asked of nobody else; the rest of the image is reported."""
    needs_injection()
    registry = make_scripted()
    bad = image([layer(alpine(("libgood", "1.0-r0"))), layer({"srv/data": "x"})])
    registry.push("team/bad", bad, "1")
    registry.push("team/good", sample(name="libother"), "1")
    cli = daemon.cli
    cli.add_integration("team", registry.url)
    gate = registry.halve(bad.layers[1].blob)
    cli.run("image", "add", "team/team/bad:1")
    eventually(lambda: gate.held, "half of the second layer")
    # That of the first may not have ended yet, nor its own begun.
    eventually(lambda: cli.job("team/team/bad:1")["layersDone"] == 1, "the first layer's end")
    worker = eventually(lambda: len(daemon.children()) == 1 and daemon.children(), "its worker alone")[0]
    subject = Injected(worker, True)
    assert subject.call(2, b"/etc/passwd", 0).signal == signal.SIGSYS
    gate.open()
    assert cli.scan("team/team/good:1")["packages"]
    cli.wait_idle()
    report = cli.report("team/team/bad:1")
    assert [one["name"] for one in report["packages"]] == ["libgood"]
    [finding] = [one for one in report["findings"] if one["kind"] == "error"]
    assert finding["id"] == "WORKER_ENDED" and "Bad system call" in finding["title"], finding


# -- what a kernel lacks

@pytest.mark.parametrize("piece", MISSING)
@pytest.mark.parametrize("starter", [[], USER], ids=["root", "user"])
def test_a_worker_without_a_piece(worker, layer_bytes, piece, starter):
    """H135: it refuses and says why, and reads nothing; told to go on, it does, and says what is missing."""
    if starter and os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    is_root = os.geteuid() == 0 and not starter
    if piece == "user" and not is_root:
        pytest.skip("a worker that is nobody's need not become anybody")
    before = [*starter, *without.command(MISSING[piece])]
    if piece == "no-new-privileges" and not is_root:
        pytest.skip("without privileges, the test's own filter is only for those who gave up new ones")
    reading, writing = os.pipe()
    with open(reading, "rb") as given:
        with open(writing, "wb") as giver:
            giver.write(layer_bytes)
        done = subprocess.run([*before, worker], stdin=given, capture_output=True, env=ENVIRONMENT, timeout=60)
        if piece in ROOT_ALONE and not is_root:
            assert done.returncode == 0 and done.stdout.startswith(b"TWA1"), done
            assert pieces(worker, *before)[piece] == (False, False)
            return
        assert done.returncode == UNCONFINED and done.stdout == b"", done
        assert f"the sandbox does not hold, {piece}: " in done.stderr.decode()
        assert given.read() == layer_bytes, "it read from its input"
    assert {name for name, (holds, _) in pieces(worker, *before).items() if not holds} == FOLLOWS.get(piece, {piece})
    told = run([*before, worker, "--best-effort"], layer_bytes)
    assert told.returncode == 0 and told.stdout.startswith(b"TWA1"), told


@pytest.mark.parametrize("starter", [[], USER], ids=["root", "user"])
def test_all_pieces_hold_here(worker, starter):
    if starter and os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    found = pieces(worker, *starter)
    assert list(found) == list(MISSING)
    assert not [name for name, (holds, required) in found.items() if required and not holds], found


def wrapped(binaries, folder, *specs):
    """The programs on a kernel that lacks something."""
    wrapper = folder / "tidewaiterd-without"
    wrapper.write_text(f"#!/bin/sh\nexec {shlex.join(without.command(*specs))} {shlex.quote(binaries.daemon)} \"$@\"\n")
    wrapper.chmod(0o755)
    return dataclasses.replace(binaries, daemon=str(wrapper))


@pytest.mark.parametrize("piece", ["landlock", "seccomp", "network", "session"])
def test_a_daemon_without_a_piece(binaries, make_daemon, make_scripted, tmp_path, piece):
    """H135: it does not start, and names the piece and the setting; with that setting it scans, and the status tells."""
    if piece in ROOT_ALONE and os.geteuid() != 0:
        pytest.skip("required of root's daemon alone")
    daemon = make_daemon()
    daemon.binaries = wrapped(binaries, tmp_path, MISSING[piece])
    text = daemon.refuses_to_start()
    assert f"the sandbox of workers does not hold: {piece} (" in text and "sandbox: best-effort" in text, text
    config = tmp_path / "config.yaml"
    config.write_text("sandbox: required\n")
    assert "does not hold" in daemon.refuses_to_start("--config", str(config))
    config.write_text("sandbox: best-effort\n")
    cli = daemon.start("--config", str(config)).cli
    status = cli("status")
    assert status["sandbox"]["setting"] == "best-effort"
    assert [one["name"] for one in status["sandbox"]["pieces"] if not one["holds"]] == [piece]
    assert [one for one in status["problems"] if "sandbox" in one["message"] and piece in one["message"] and one["hint"]]
    assert f"; without {piece}: " in cli.run("status", output=None).out
    registry = make_scripted()
    registry.push("team/app", sample(), "1")
    cli.add_integration("team", registry.url)
    assert cli.scan("team/team/app:1")["packages"]


def test_a_whole_sandbox_is_no_problem(daemon):
    status = daemon.cli("status")
    assert status["sandbox"]["setting"] == "required"
    assert [one["name"] for one in status["sandbox"]["pieces"]] == list(MISSING)
    assert not [one for one in status["sandbox"]["pieces"] if one["required"] and not one["holds"]]
    assert not [one for one in status["problems"] if "sandbox" in one["message"]]


@pytest.mark.parametrize("setting", ["sandbox: off", "sandbox: []", "sandbox: Required"])
def test_settings_that_are_none(make_daemon, tmp_path, setting):
    config = tmp_path / "config.yaml"
    config.write_text(setting + "\n")
    assert "sandbox" in make_daemon().refuses_to_start("--config", str(config))


# -- those around it

def test_a_parent_that_died_before(worker, layer_bytes):
    """H137: nobody can tell the worker of its parent's death then; that nobody reads its answer does."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as output:
        done = subprocess.run([worker], input=layer_bytes, stdout=output, stderr=subprocess.PIPE, env=ENVIRONMENT, timeout=60)
    assert done.returncode == UNCONFINED and "die with the daemon" in done.stderr.decode()


def test_lower_limits_stay(worker, layer_bytes):
    """What whoever starts it allows it is not raised; and wherever memory ends, no call is made that it may not make."""
    for megabytes in range(10, 64):
        done = run(["prlimit", f"--as={megabytes << 20}", worker], layer_bytes)
        assert done.returncode != -signal.SIGSYS, megabytes
        assert done.stdout.startswith(b"TWA1") or done.returncode, megabytes
    enough = run(["prlimit", f"--as={600 << 20}:{600 << 20}", worker, "--probe"])
    assert enough.returncode == 0 and b"missing" not in enough.stdout


def test_arguments_that_are_none(worker):
    for words in (["--help"], ["--probe", "--best-effort"], ["x"], [""], ["--contents=1"], ["--contents=1,2", "--probe"], ["--probe", "--contents=1,2"], ["--contents=1,2", "x"]):
        done = run([worker, *words])
        assert done.returncode == os.EX_USAGE and done.stdout == b"", done
