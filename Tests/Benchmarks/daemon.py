"""One daemon on a state directory of its own, with the default settings."""
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60


class Daemon:
    """Started at once, by the command `prefix` if there is one; stopped, and its state removed, at the end of the `with`."""

    def __init__(self, programs, state=None, prefix=(), options=()):
        self.folder = Path(tempfile.mkdtemp(prefix="tidewaiter-bench-"))
        self.state, self.socket = Path(state or self.folder / "state"), self.folder / "s.sock"
        self.client = [str(programs.client), "--socket", str(self.socket)]
        with open(self.folder / "log", "wb") as log:
            start = time.monotonic()
            self.process = subprocess.Popen(
                [*prefix, programs.daemon, "--state-dir", self.state, "--socket", self.socket, *options],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
            line = self.process.stdout.readline()
            self.start_seconds = time.monotonic() - start
        if b"ready" not in line:
            log = self.log()
            self.__exit__()
            raise AssertionError("the daemon does not start: " + log)

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
