"""The life of a service: started by a service manager, reloaded, drained and stopped."""
import os
import shutil
import signal
import socket
import stat
import subprocess

import pytest

from support.ttrpc import CallFailed, Caller, Connection
from support.waiting import eventually

WATCH_EVENTS = "tidewaiter.v1.System/WatchEvents"


class Manager:
    """A service manager's ear: a datagram socket, in the file system or abstract."""

    def __init__(self, name):
        self.name = str(name)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(60)
        self.socket.bind("\0" + self.name[1:] if self.name.startswith("@") else self.name)

    def hears(self):
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))

    def hears_until(self, key):
        """What is told, up to the message that has `key`."""
        while key not in (told := self.hears()):
            pass
        return told


@pytest.fixture(params=["file", "abstract"])
def manager(request, tmp_path):
    made = Manager(tmp_path / "notify" if request.param == "file" else f"@tidewaiter-test-{os.getpid()}")
    yield made
    made.socket.close()


def test_tells_its_manager(make_daemon, manager, tmp_path):
    settings = tmp_path / "tidewaiterd.yaml"
    settings.write_text("log: {level: info}\n")
    daemon = make_daemon("--config", str(settings), environment={"NOTIFY_SOCKET": manager.name}).start()
    told = manager.hears()
    assert told["READY"] == "1" and str(daemon.socket) in told["STATUS"]
    daemon.process.send_signal(signal.SIGHUP)
    told = manager.hears()
    assert told["RELOADING"] == "1" and int(told["MONOTONIC_USEC"]) > 0
    assert manager.hears()["READY"] == "1"
    # What cannot be read is told as well, and changes nothing.
    settings.write_text("log: {level: loudest}\n")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "the settings cannot be read" in daemon.tail(), "the refusal of the settings")
    assert daemon.cli("status")["version"]
    daemon.stop()
    assert manager.hears_until("STOPPING")["STOPPING"] == "1"


def test_a_manager_that_is_gone_does_no_harm(make_daemon, tmp_path):
    daemon = make_daemon(environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")}).start()
    assert "the service manager cannot be told" in daemon.tail()
    assert daemon.cli("status")["version"]


def test_settings_are_reloaded(make_daemon, tmp_path):
    settings = tmp_path / "tidewaiterd.yaml"
    settings.write_text("scanner: {slots: 2}\nsocketMode: 0600\n")
    daemon = make_daemon("--config", str(settings)).start()
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o600
    settings.write_text("scanner: {slots: 3}\nsocketMode: 0666\nlog: {format: json}\nstore: {mapSizeBytes: 4194304}\n")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "take effect at the next start" in daemon.tail(), "the warning")
    last = daemon.log.read_text().splitlines()[-1]
    assert last.startswith('{"time"') and "scanner.slots" in last and "store.mapSizeBytes" in last
    assert "socketMode" not in last
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o666


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd-socket-activate is not installed")
def test_socket_activation(make_daemon, binaries):
    daemon = make_daemon()
    # Forks nothing: the process becomes the daemon at the first connection.
    with open(daemon.log, "ab") as log:
        daemon.process = subprocess.Popen(
            ["systemd-socket-activate", "-l", str(daemon.socket), "-E", "SWIFT_BACKTRACE=enable=no",
             binaries.daemon, "--state-dir", str(daemon.state), "--socket", str(daemon.folder / "not-this-one")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
    eventually(daemon.socket.exists, "the manager's socket")
    assert daemon.cli("status")["version"]
    assert not (daemon.folder / "not-this-one").exists()
    environment = (daemon.folder / "environment")
    environment.write_bytes(open(f"/proc/{daemon.process.pid}/cmdline", "rb").read())
    assert b"tidewaiterd" in environment.read_bytes()
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(60) == 0, daemon.tail()
    daemon.process = None
    # The socket is the manager's: it stays for the next start.
    assert stat.S_ISSOCK(daemon.socket.stat().st_mode)


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd-socket-activate is not installed")
def test_a_socket_of_another_kind_is_refused(make_daemon, binaries):
    daemon = make_daemon()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open(daemon.log, "ab") as log:
        process = subprocess.Popen(["systemd-socket-activate", "-l", f"127.0.0.1:{port}", binaries.daemon,
                                    "--state-dir", str(daemon.state)], stdin=subprocess.DEVNULL, stderr=log)

    def connects():
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            return None
    with eventually(connects, "the manager to listen"):
        assert process.wait(60) == 1
    assert "no listening Unix stream socket" in daemon.tail() and "hint: " in daemon.tail()


def test_stale_and_foreign_sockets(make_daemon):
    daemon = make_daemon().start()
    daemon.kill()
    assert daemon.socket.exists()
    # A dead daemon's socket is taken over; a living one's is not.
    daemon.start()
    other = make_daemon("--socket", str(daemon.socket))
    assert "another daemon answers" in other.refuses_to_start()
    # What somebody put in its place is not removed at the end.
    daemon.socket.rename(daemon.folder / "moved")
    daemon.socket.write_text("not a socket")
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(60) == 0
    daemon.process = None
    assert daemon.socket.read_text() == "not a socket"
    assert "error: " in daemon.refuses_to_start()
    daemon.socket.unlink()


def test_a_stop_waits_for_calls_until_it_is_told_again(make_daemon, tmp_path):
    settings = tmp_path / "tidewaiterd.yaml"
    settings.write_text("drainSeconds: 3600\n")
    daemon = make_daemon("--config", str(settings)).start()
    with socket.create_server(("127.0.0.1", 0)) as silent, Caller(daemon.socket) as caller, \
            Connection(daemon.socket) as watcher:
        daemon.cli.add_integration("silent", f"http://127.0.0.1:{silent.getsockname()[1]}")
        request = caller.request("tidewaiter.v1.Images/AddImage", {"reference": "silent/app:1"})
        stream = caller.connection.send("tidewaiter.v1.Images/AddImage", request)
        silent.settimeout(60)
        held, _ = silent.accept()
        health = watcher.open("grpc.health.v1.Health/Watch")
        assert watcher.next(health) == b"\x08\x01"
        daemon.process.send_signal(signal.SIGTERM)
        # NOT_SERVING; the call in flight is waited for.
        assert watcher.next(health) == b"\x08\x02"
        eventually(lambda: not daemon.socket.exists(), "the socket to go")
        assert daemon.process.poll() is None
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(60) == 0, daemon.tail()
        held.close()
        with pytest.raises((CallFailed, ConnectionError)):
            caller.connection.receive(stream) and caller.connection.receive(stream)
    daemon.process = None


def test_health(daemon):
    with Caller(daemon.socket) as caller:
        check = "grpc.health.v1.Health/Check"
        names = {method.partition("/")[0] for method in caller.schema.methods}
        for service in ["", *names - {"grpc.health.v1.Health"}]:
            assert caller.call(check, service=service).status == 1
        with pytest.raises(CallFailed) as refused:
            caller.call(check, service="tidewaiter.v1.Nothing")
        assert refused.value.code == "NOT_FOUND"
        assert caller.open("grpc.health.v1.Health/Watch", service="tidewaiter.v1.Nothing").next().status == 3


def test_descriptors(daemon):
    """A client that has no schema gets it from the daemon, and it is the one that is served."""
    with Caller(daemon.socket) as caller:
        assert caller.schema.version == daemon.cli("version")["daemon"]["version"]
        assert set(caller.schema.roles) == set(caller.schema.methods)
        for name, method in caller.schema.methods.items():
            told = caller.schema.roles[name]
            assert (told.server_streaming, told.client_streaming) == (method.server_streaming, method.client_streaming)
        assert caller.call("tidewaiter.v1.System/Ping", payload=b"xyz").payload == b"xyz"


def test_cancel(daemon):
    """System/Cancel ends a call of the same connection, and only of that."""
    with Caller(daemon.socket) as caller, Caller(daemon.socket) as other:
        stream = caller.open(WATCH_EVENTS, follow=True)
        assert not other.call("tidewaiter.v1.System/Cancel", stream_id=stream.number).found
        assert caller.call("tidewaiter.v1.System/Cancel", stream_id=stream.number).found
        with pytest.raises(CallFailed) as ended:
            stream.next()
        assert ended.value.code == "CANCELLED"
        assert not caller.call("tidewaiter.v1.System/Cancel", stream_id=stream.number).found
