"""A clamd of a test's own, with signatures of its own; and one that is none."""
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from pathlib import Path

from .waiting import eventually

MISSING = None if shutil.which("clamd") and shutil.which("sigtool") else "clamd and sigtool are not installed (clamav-daemon, clamav)"

# In pieces, so that nothing takes this file for what it looks for.
EICAR = ("X5O!P%@AP[4" + "\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-" + "ANTIVIRUS-TEST-FILE!$H+H*").encode()
MARKER = b"tidewaiter harmless " + b"marker 5c1f"


class Clamd:
    """clamd on a socket of its own, ended by its process number. Each start may have other signatures, of another version."""

    def __init__(self, **settings):
        # A socket's path may have 107 characters, less than pytest's folders take.
        self.folder = Path(tempfile.mkdtemp(prefix="tidewaiter-clamd-"))
        self.socket = self.folder / "clamd.sock"
        self.settings, self.process = settings, None

    def start(self, version=1, signatures=None):
        """Signatures by name; by default EICAR's. The version is the one it tells of them."""
        database = self.folder / "database"
        shutil.rmtree(database, ignore_errors=True)
        database.mkdir()
        write_signatures(database, version, signatures or {"Test.Eicar": EICAR})
        lines = {"LocalSocket": self.socket, "DatabaseDirectory": database, "TemporaryDirectory": self.folder,
                 "LogFile": self.folder / "log", "Foreground": "yes", "SelfCheck": 0, "AlertExceedsMax": "yes",
                 "User": "root" if os.geteuid() == 0 else None, **self.settings}
        config = self.folder / "clamd.conf"
        config.write_text("".join(f"{name} {value}\n" for name, value in lines.items() if value is not None))
        with open(self.folder / "out", "wb") as out:
            self.process = subprocess.Popen(["clamd", "-c", config], stdout=out, stderr=out)
        eventually(self.answers, "clamd to answer",
                   unless=lambda: self.process.poll() is not None and f"it ended: {(self.folder / 'out').read_text()}")
        return self

    def answers(self):
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(str(self.socket))
                one.sendall(b"zPING\0")
                return one.recv(100) == b"PONG\0"
        except OSError:
            return False

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
        self.process = None

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def write_signatures(folder, version, signatures):
    """A set of signatures as `sigtool` packs those of one's own: with a version, which clamd tells."""
    with tempfile.TemporaryDirectory(prefix="tidewaiter-signatures-") as work:
        Path(work, "daily.ndb").write_text("".join(f"{name}:0:*:{text.hex()}\n" for name, text in signatures.items()))
        Path(work, "COPYING").write_text("none\n")
        subprocess.run(
            ["sigtool", "--build=daily.cud", "--unsigned", f"--cvd-version={version}", "--max-bad-sigs=100", f"--datadir={work}"],
            cwd=work, input=b"test\n", check=True, capture_output=True, timeout=60)
        shutil.copy(Path(work, "daily.cud"), folder)


LATER = object()


class FakeClamd:
    """Speaks clamd's protocol as far as `answer` likes: it is given (what it was sent, the connection), and returns what is said
    of the file, None to end the connection, or LATER to say nothing yet. Where it takes no bytes, it reads none of a file."""

    def __init__(self, answer, version=b"ClamAV 1.0/7/today", takes_bytes=True):
        self.folder = Path(tempfile.mkdtemp(prefix="tidewaiter-clamd-"))
        self.socket = self.folder / "clamd.sock"
        self.answer, self.version, self.takes_bytes = answer, version, takes_bytes
        self.closed = threading.Event()
        self.files, self.connections = [], []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.socket))
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            with connection, connection.makefile("rb") as stream:
                number = 0
                while command := until_nul(stream):
                    if command == b"zVERSION":
                        if self.version is None:
                            stream.read()
                            return
                        connection.sendall((self.version() if callable(self.version) else self.version) + b"\0")
                    elif command == b"zINSTREAM" and not self.takes_bytes:
                        self.closed.wait()
                        return
                    elif command == b"zINSTREAM":
                        number += 1
                        data = b""
                        while size := struct.unpack(">I", stream.read(4))[0]:
                            data += stream.read(size)
                        self.files.append(data)
                        said = self.answer(data, connection)
                        if said is None:
                            return
                        if said is not LATER:
                            connection.sendall(b"%d: %s\0" % (number, said))
        except (OSError, struct.error):
            pass

    def close(self):
        self.closed.set()
        self.listener.close()
        for one in self.connections:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended
        shutil.rmtree(self.folder, ignore_errors=True)


def until_nul(stream):
    found = b""
    while byte := stream.read(1):
        if byte == b"\0":
            return found
        found += byte
    return found


def write_settings(folder, path, **settings):
    """A daemon's settings that name a clamd at a socket."""
    config = folder / "config.yaml"
    config.write_text("malware:\n" + "".join(f"  {name}: {value}\n" for name, value in {"clamd": path, **settings}.items()))
    return config


# -- what a report says

def malware(report):
    return {one["path"]: one["id"] for one in report["findings"] if one["kind"] == "malware"}


def errors(report):
    return [one["title"] for one in report["findings"] if one["kind"] == "error"]


def only_error(report):
    [title] = errors(report)
    assert title.startswith("not scanned for malware: "), title
    return title
