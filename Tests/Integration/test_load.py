"""Many clients, some of which never read: the daemon's memory stays within what it promises, others are served, and all of
it is given back."""
import contextlib
import os
import resource
import shutil
import threading
import time

import pytest

from support.memory import private_bytes
from support.ttrpc import CallFailed, Caller, Connection, call_as, field, response, varint
from support.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="becoming other users needs root and setpriv"),
]

IDLE, BUSY, WATCHERS = 1000, 50, 20
# Users that no system has a name for. One user may not have as many connections as there are here.
CROWD, BYSTANDER = 61500, 61501
NAMES = [f"{number:02}" + "n" * 61 for number in range(60)]
ROUNDS = 300

MIB = 1 << 20
# What proto/PROTOCOL.md grants: a stream's queue of 1 MiB, and what is on its way from there to the socket; an answer that
# waits for each busy client; an idle connection. The rest is what the calls themselves and the allocator need meanwhile.
IDLE_BYTES = 6 << 10
WATCHER_BYTES = MIB + (128 << 10)
BUSY_BYTES = 128 << 10
WORKING_BYTES = 16 * MIB
BOUND = IDLE * IDLE_BYTES + WATCHERS * WATCHER_BYTES + BUSY * BUSY_BYTES + WORKING_BYTES
# What may be left when all have gone: memory that the allocator keeps for the next time.
LEFT_BYTES = 8 * MIB

PING, GET, LIST, STATUS, WATCH, UPDATE, CREATE = (
    "tidewaiter.v1.System/Ping", "tidewaiter.v1.Integrations/GetIntegration", "tidewaiter.v1.Integrations/ListIntegrations",
    "tidewaiter.v1.System/GetStatus", "tidewaiter.v1.System/WatchEvents", "tidewaiter.v1.Integrations/UpdateIntegration",
    "tidewaiter.v1.Integrations/CreateIntegration")


@contextlib.contextmanager
def as_user(uid):
    """Who connects in here is that user to the daemon."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Background:
    """Something that is done again and again until the end of the `with`, where its failure comes out."""

    def __init__(self, step):
        self.step, self.ended, self.failure, self.steps = step, threading.Event(), None, 0
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while not self.ended.is_set():
                self.step()
                self.steps += 1
        except Exception as failure:
            self.failure = failure

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        if self.failure:
            raise self.failure


class Busy:
    """Connections with a call in flight each."""

    def __init__(self, path, stack):
        self.connections = [stack.enter_context(Connection(path)) for _ in range(BUSY)]

    def step(self):
        calls = []
        for number, connection in enumerate(self.connections):
            payload = field(1, bytes([1 + number]) * 100 * (number + 1))
            method, payload = [(PING, payload), (GET, field(1, NAMES[number])), (LIST, b""), (STATUS, b"")][number % 4]
            calls.append((connection, connection.send(method, payload), payload if method == PING else None))
        for connection, call, expected in calls:
            answer = response(connection.receive(call)[2])
            assert answer == expected if expected else answer


def flood(caller):
    """More events than a watcher's queue and sockets hold."""
    def together(method, make):
        calls = [caller.connection.send(method, caller.request(method, make(name))) for name in NAMES]
        for call in calls:
            response(caller.connection.receive(call)[2])
    yield lambda: together(CREATE, lambda name: {
        "integration": {"name": name, "type": "docker-registry", "url": "http://127.0.0.1:9"}})
    for turn in range(ROUNDS):
        # Another description each time: an update that changes nothing is no event.
        yield lambda turn=turn: together(UPDATE, lambda name: {
            "integration": {"name": name, "description": f"d{turn}"}, "update_mask": {"paths": ["description"]}})


@pytest.fixture
def crowded(make_daemon, tmp_path):
    settings = tmp_path / "tidewaiterd.yaml"
    settings.write_text(f"socketMode: 0666\naccess:\n  viewerUsers: [{CROWD}, {BYSTANDER}]\n")
    daemon = make_daemon("--config", str(settings))
    daemon.folder.chmod(0o755)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # As most systems start a daemon: with less than the connections that it grants. This process needs as many.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    daemon.start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield daemon
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_user_with_too_much_keeps_nobody_out(crowded):
    """10,000 connections of one user, and 10,000 streams on one of them (H119)."""
    path, pid = crowded.socket, crowded.process.pid
    before = descriptors(pid)
    bystander = [(PING, field(1, "me too"), False), (LIST, b"", False), (WATCH, b"", True)]

    def connected():
        try:
            return Connection(path)
        except BlockingIOError:  # so many wait to be taken
            return None

    def is_served(connection):
        try:
            return connection.unary(PING) == b""
        except ConnectionError:
            return False
        except CallFailed as failure:
            assert failure.code == "RESOURCE_EXHAUSTED", failure
            return False
    with contextlib.ExitStack() as crowd:
        with as_user(CROWD):
            connections = [crowd.enter_context(eventually(connected, "a connection")) for _ in range(10_000)]
        assert sum(map(is_served, connections)) == 1024
        one = connections[0]
        calls = [one.open(WATCH, field(1, "latest") + b"\x18\x01") for _ in range(10_000)]  # follow
        for call in calls[64:]:
            with pytest.raises(CallFailed) as refused:
                one.next(call)
            assert refused.value.code == "RESOURCE_EXHAUSTED"
        assert call_as(path, bystander, BYSTANDER, BYSTANDER) == [["OK", "", ""]] * len(bystander)
        assert one.unary("tidewaiter.v1.System/Cancel", b"\x08" + varint(calls[0])) == b"\x08\x01"
    eventually(lambda: descriptors(pid) <= before, "all connections to be closed")
    assert call_as(path, bystander, CROWD, CROWD) == [["OK", "", ""]] * len(bystander)


def test_a_crowd(crowded):
    pid, path = crowded.process.pid, crowded.socket
    bystander = [(PING, field(1, "me too"), False), (GET, field(1, NAMES[0]), False), (LIST, b"", False),
                 (WATCH, b"", True)]
    with Caller(path) as caller:
        steps = flood(caller)
        next(steps)()
        before, descriptors_before = private_bytes(pid), descriptors(pid)
        peak = before

        def look():
            nonlocal peak
            peak = max(peak, private_bytes(pid))
            time.sleep(0.02)

        with contextlib.ExitStack() as crowd, contextlib.ExitStack() as workers:
            with as_user(CROWD):
                idle = [crowd.enter_context(Connection(path)) for _ in range(IDLE)]
                watchers = [crowd.enter_context(Connection(path)) for _ in range(WATCHERS)]
            for connection in idle:
                connection.unary(PING, field(1, "one call"))
            held = private_bytes(pid) - before
            assert held <= IDLE * IDLE_BYTES, f"{IDLE} idle connections hold {held} bytes"
            for connection in watchers:
                connection.open(WATCH, field(1, "latest") + b"\x18\x01")  # follow
            workers.enter_context(Background(look))
            busy = workers.enter_context(Background(Busy(path, crowd).step))
            for number, step in enumerate(steps):
                step()
                if number % (ROUNDS // 5) == 0:
                    assert call_as(path, bystander, BYSTANDER, BYSTANDER) == [["OK", "", ""]] * len(bystander)
            assert busy.steps > 0 and descriptors(pid) >= descriptors_before + IDLE + BUSY
            # What is left waiting is not left for ever: a client that takes nothing loses its connection.
            eventually(lambda: descriptors(pid) <= descriptors_before + IDLE + BUSY, "the watchers' connections to be closed",
                       patience=120)
            assert call_as(path, bystander, BYSTANDER, BYSTANDER) == [["OK", "", ""]] * len(bystander)
        print(f"memory before {before / MIB:.1f} MiB, {IDLE} idle connections {held / MIB:.2f}, at most {(peak - before) / MIB:.1f} "
              f"above it of {BOUND / MIB:.1f} allowed; {busy.steps * BUSY} calls of busy clients")
        assert peak - before <= BOUND
        eventually(lambda: descriptors(pid) <= descriptors_before, "all descriptors to be closed")
        eventually(lambda: private_bytes(pid) <= before + LEFT_BYTES, "memory to be given back")
        print(f"afterwards {(private_bytes(pid) - before) / MIB:.1f} MiB above before")
