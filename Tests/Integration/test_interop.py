"""Peers of other make: Debian's ttrpc for Go against the daemon, the client against a server in Go, and streams by the
bytes on the wire."""
import json
import signal
import socket
import struct
import subprocess

import pytest

from support import go
from support.daemon import Client
from support.ttrpc import REMOTE_CLOSED, REMOTE_OPEN, CallFailed, Connection, field, fields
from support.waiting import eventually

needs_go = pytest.mark.skipif(bool(go.absent()), reason=go.absent() or "-")
SECONDS_MAX = 120


# -- the daemon, from Go

@pytest.fixture(scope="session")
def go_programs(tmp_path_factory):
    return go.build(tmp_path_factory.mktemp("go"))


@pytest.fixture(scope="module")
def there(module_daemon):
    """A daemon with the integration that the checks of the Go client want."""
    module_daemon.cli.add_integration("there", "http://127.0.0.1:9")
    return module_daemon


@pytest.fixture
def silent_registry():
    """A registry that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        listener.settimeout(SECONDS_MAX)
        yield listener


def url(listener):
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


CHECKS = ("echo", "typed-answers", "status-and-details", "field-violations", "unknown-names", "oversized-request", "metadata",
          "deadline-ahead", "deadline-over", "stream-without-flags", "many-at-once")


def check(programs, path, *arguments):
    done = subprocess.run([programs / "client", path, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS_MAX)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@needs_go
@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_go_client(there, go_programs, name):
    check(go_programs, there.socket, name)


@needs_go
@pytest.mark.slow
def test_no_check_of_the_go_client_is_left_out(go_programs):
    listed = subprocess.run([go_programs / "client", "-"], capture_output=True, timeout=SECONDS_MAX, check=True)
    assert sorted(CHECKS) == listed.stdout.decode().split()


@needs_go
@pytest.mark.slow
def test_go_client_whose_deadline_ends_a_call(daemon, cli, go_programs, silent_registry):
    cli.add_integration("silent", url(silent_registry))
    check(go_programs, daemon.socket, "deadline", "silent")
    # Both handlers were cancelled: what they asked of the registry has ended.
    for _ in range(2):
        expect_end(silent_registry)


def expect_end(listener):
    """A connection that was made comes to its end from the other side."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(SECONDS_MAX)
        while connection.recv(65_536):
            pass


@needs_go
@pytest.mark.slow
def test_go_client_that_closes(daemon, cli, go_programs, silent_registry):
    """Its call in flight ends on both sides."""
    cli.add_integration("silent", url(silent_registry))
    with subprocess.Popen([go_programs / "client", daemon.socket, "closed-by-client", "silent"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        assert client.stdout.readline() == b"in flight\n", client.stderr.read()
        connection, _ = silent_registry.accept()
        with connection:
            connection.settimeout(SECONDS_MAX)
            assert connection.recv(65_536).startswith(b"GET /v2/")
            _, said = client.communicate(b"\n", timeout=SECONDS_MAX)
            assert client.returncode == 0, said.decode()
            assert connection.recv(65_536) == b""


@needs_go
@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_go_client_whose_daemon_ends(daemon, go_programs, end):
    with subprocess.Popen([go_programs / "client", daemon.socket, "closed-by-daemon"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        assert client.stdout.readline() == b"connected\n", client.stderr.read()
        if end == signal.SIGTERM:
            daemon.stop()
        else:
            daemon.kill()
        _, said = client.communicate(timeout=SECONDS_MAX)
        assert client.returncode == 0, said.decode()
    daemon.start()


# -- the client, on a server in Go

class GoServer:
    def __init__(self, programs, folder, binary):
        self.path, self.log = folder / "s.sock", folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([programs / "server", self.path], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.cli = Client(binary, self.path)

    def calls(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def go_server(go_programs, tmp_path_factory, binaries):
    server = GoServer(go_programs, tmp_path_factory.mktemp("s"), binaries.client)
    try:
        eventually(server.path.exists, "the server in Go to listen",
                   unless=lambda: server.process.poll() is not None and server.log.read_text())
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@needs_go
@pytest.mark.slow
def test_client_on_a_go_server(go_server):
    cli = go_server.cli
    version = cli("version")["daemon"]
    assert (version["version"], version["commit"], version["schemaVersion"]) == ("9.8.7", "60606060", 3)
    status = cli("status")
    assert status["version"] == "9.8.7" and status["stateDirectory"] == "/of/another/make"
    assert "it is written in Go" in cli.run("status", output=None).out
    [call] = [call for call in go_server.calls() if call["Method"] == "GetStatus"][:1]
    assert 0 < call["Seconds"] <= 30, "the deadline of a call that was given none"
    # Three pages, each longer than a read of the socket.
    listed = cli("integration", "list")["integrations"]
    assert [one["name"] for one in listed] == [f"number-{number:04}" for number in range(1200)]
    assert {one["description"] for one in listed} == {"ü" * 200}


@needs_go
@pytest.mark.slow
def test_errors_of_a_go_server(go_server):
    cli = go_server.cli
    refused = cli.fails("integration", "show", "absent")
    assert refused.error["code"] == "NOT_FOUND" and "no integration is called absent" in refused.err
    assert "GO_SAYS_NO" in refused.err and "ask for another one" in refused.err
    plain = cli.run("integration", "show", "plain-error", code=1)
    assert plain.error["code"] == "UNKNOWN" and "an error without a status" in plain.err
    late = cli.run("--timeout", "500ms", "integration", "show", "hangs", code=124)
    assert late.error["code"] == "DEADLINE_EXCEEDED"
    [call] = [call for call in go_server.calls() if call["Method"] == "GetIntegration"][-1:]
    assert 0 < call["Seconds"] <= 0.5
    unknown = cli.run("queue", "list", code=1)
    assert unknown.error["code"] == "UNIMPLEMENTED"
    assert cli("version")["daemon"]["version"] == "9.8.7"


@needs_go
@pytest.mark.slow
def test_a_go_server_that_breaks_off(go_server):
    # This version of ttrpc sends what is longer than a frame may be.
    oversized = go_server.cli.run("integration", "show", "oversized", code=1)
    assert oversized.error["code"] == "INTERNAL" and "4 MiB" in oversized.err
    gone = go_server.cli.run("integration", "show", "dies", code=4)
    assert gone.error["code"] == "UNAVAILABLE"


# -- streams, by the bytes

def frame(stream, kind, flags, data=b""):
    return struct.pack(">IIBB", len(data), stream, kind, flags) + data


def request(method, payload=b"", more=b""):
    service, _, name = method.partition("/")
    return field(1, service) + field(2, name) + field(3, payload) + more


class Wire:
    """A connection on which bytes are compared."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        self.socket.connect(str(path))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def expect(self, *frames):
        expected = b"".join(frames)
        received = b""
        while len(received) < len(expected):
            more = self.socket.recv(len(expected) - len(received))
            assert more, f"the connection ended after {received.hex()}"
            received += more
        assert received.hex() == expected.hex()

    def receive(self):
        """(stream, kind, flags, data) of the next frame."""
        length, stream, kind, flags = struct.unpack(">IIBB", self.exactly(10))
        return stream, kind, flags, self.exactly(length)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the connection ended"
            data += more
        return data


PING, CANCEL, NOPE = ("tidewaiter.v1.System/" + name for name in ("Ping", "Cancel", "Nope"))
WATCH_EVENTS, WATCH_JOBS, HEALTH = (
    "tidewaiter.v1.System/WatchEvents", "tidewaiter.v1.Queue/WatchJobs", "grpc.health.v1.Health/Watch")
REQUEST, RESPONSE, DATA = 1, 2, 3
END = REMOTE_CLOSED | 4
HI = bytes.fromhex("0a026869")
SERVING = b"\x08\x01"


@pytest.fixture
def wire(module_daemon):
    with Wire(module_daemon.socket) as connection:
        yield connection


def test_unary_vectors(wire):
    # A second as timeout, and the metadata k=v.
    wire.send(frame(1, REQUEST, 0, request(PING, HI, bytes.fromhex("208094ebdc03" "2a060a016b120176"))))
    wire.expect(frame(1, RESPONSE, 0, b"\x12\x04" + HI))
    wire.send(frame(5, REQUEST, 0, request(PING)))
    wire.expect(frame(5, RESPONSE, 0))
    wire.send(frame(7, REQUEST, 0, request("tidewaiter.v1.Integrations/GetIntegration", field(1, "no-such"))))
    stream, kind, flags, data = wire.receive()
    assert (stream, kind, flags, data[0]) == (7, RESPONSE, 0, 0x0A)
    assert dict(fields(dict(fields(data))[1]))[1] == 5  # NOT_FOUND


def test_server_streaming_vector(wire):
    # No job: the end of the snapshot is the only message, and nothing is left to wait for.
    wire.send(frame(9, REQUEST, REMOTE_CLOSED, request(WATCH_JOBS, b"\x28\x01")))
    wire.expect(frame(9, DATA, 0, b"\x10\x01"), frame(9, DATA, END))
    # Late and superfluous Data change nothing, and are not answered.
    wire.send(frame(9, DATA, END), frame(9, DATA, 0, b"late"), frame(11, REQUEST, 0, request(PING, HI)))
    wire.expect(frame(11, RESPONSE, 0, b"\x12\x04" + HI))


def test_streams_and_calls_side_by_side(wire):
    wire.send(frame(1, REQUEST, REMOTE_CLOSED, request(HEALTH)), frame(3, REQUEST, REMOTE_CLOSED, request(HEALTH)))
    assert sorted(wire.receive() for _ in range(2)) == [(1, DATA, 0, SERVING), (3, DATA, 0, SERVING)]
    wire.send(frame(5, REQUEST, 0, request(PING, HI)))
    wire.expect(frame(5, RESPONSE, 0, b"\x12\x04" + HI))
    # A second goodbye does no harm to a stream that is open.
    wire.send(frame(1, DATA, END), frame(7, REQUEST, 0, request(CANCEL, b"\x08\x03")))
    ended, cancelled = sorted(wire.receive() for _ in range(2))
    assert ended[:3] == (3, RESPONSE, 0) and dict(fields(dict(fields(ended[3]))[1]))[1] == 1  # CANCELLED
    assert cancelled == (7, RESPONSE, 0, b"\x12\x02\x08\x01")
    wire.send(frame(9, REQUEST, 0, request(CANCEL, b"\x08\x03")))
    wire.expect(frame(9, RESPONSE, 0))  # an empty answer: none with that id is in flight
    wire.send(frame(11, REQUEST, 0, request(CANCEL, b"\x08\x01")))
    assert sorted(wire.receive()[:3] for _ in range(2)) == [(1, RESPONSE, 0), (11, RESPONSE, 0)]


def test_streams_that_fail(wire):
    wire.send(frame(17, REQUEST, REMOTE_OPEN, request(NOPE)))
    wire.expect(bytes.fromhex("00000011" "00000011" "0200" "0a0f080c120b6d6574686f64204e6f7065"))
    for stream, method, flags, payload, code in (
            (19, WATCH_EVENTS, REMOTE_CLOSED, field(1, "no cursor"), 3), (21, WATCH_EVENTS, REMOTE_OPEN, b"", 3),
            (23, WATCH_EVENTS, 0, b"", 3), (25, PING, REMOTE_CLOSED, HI, 3), (27, WATCH_JOBS, REMOTE_CLOSED, b"\xff", 3)):
        wire.send(frame(stream, REQUEST, flags, request(method, payload)))
        answered, kind, flags, data = wire.receive()
        assert (answered, kind, flags) == (stream, RESPONSE, 0)
        assert dict(fields(dict(fields(data))[1]))[1] == code
    wire.send(frame(29, REQUEST, 0, request(PING, HI)))
    wire.expect(frame(29, RESPONSE, 0, b"\x12\x04" + HI))


def test_a_stream_message_where_none_is_due(wire):
    """A message after the client's side was closed ends the stream, and nothing else."""
    wire.send(frame(1, REQUEST, REMOTE_CLOSED, request(HEALTH)))
    wire.expect(frame(1, DATA, 0, SERVING))
    wire.send(frame(1, DATA, 0, b"\x0a\x00"))
    stream, kind, _, data = wire.receive()
    assert (stream, kind) == (1, RESPONSE) and dict(fields(dict(fields(data))[1]))[1] == 3
    wire.send(frame(3, DATA, 0, b"of no call"))
    stream, kind, _, data = wire.receive()
    assert (stream, kind) == (3, RESPONSE) and dict(fields(dict(fields(data))[1]))[1] == 3


def test_events_go_on_from_a_cursor(daemon, cli):
    """The messages of two watches, the second from the cursor of the first's last."""
    for number in range(3):
        cli.add_integration(f"number-{number}", "http://127.0.0.1:9")
    with Connection(daemon.socket) as connection:
        all_of_them = list(connection.stream(WATCH_EVENTS))
        assert len(all_of_them) == 3
        cursor = dict(fields(all_of_them[0]))[1]
        assert list(connection.stream(WATCH_EVENTS, field(1, cursor))) == all_of_them[1:]
        follow = connection.open(WATCH_EVENTS, field(1, dict(fields(all_of_them[2]))[1]) + b"\x18\x01")
        cli.run("integration", "remove", "number-0")
        assert dict(fields(connection.next(follow)))[3] == b"integration.removed"
        daemon.stop()
        with pytest.raises(CallFailed) as ended:
            connection.next(follow)
        assert ended.value.code == "UNAVAILABLE" and ended.value.metadata["cursor"]
    daemon.start()
