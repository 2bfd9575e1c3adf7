"""One daemon on a state directory of its own, with the default settings."""
import contextlib
import json
import re
import shutil
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path

from place import run

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
LOG_SECONDS_MAX = 10
LOG_LINES = 20
SETTLE_SECONDS = 0.5


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
        """Its last lines."""
        return "".join((self.folder / "log").read_text(errors="replace").splitlines(True)[-LOG_LINES:])

    def poll(self, integration, seconds_max, interval):
        """Polls an integration to the end; the record."""
        def ask(*words):
            return json.loads(run([*self.client, "--output", "json", "integration", *words]))

        number = ask("poll", integration)["id"]
        deadline = time.monotonic() + seconds_max
        while (record := ask("polls", integration, str(number)))["state"] == "running":
            if time.monotonic() > deadline:
                raise AssertionError(f"the poll does not end: {record}")
            time.sleep(interval)
        if record["state"] != "finished" or record.get("errorCount"):
            raise AssertionError(f"the poll has not gone well: {record}\n{self.log()}")
        return record

    def poll_seconds(self, number):
        """From the line that says that a poll begins to the one that says that it has ended: records tell whole seconds."""
        deadline = time.monotonic() + LOG_SECONDS_MAX
        while True:
            with open(self.folder / "log", errors="replace") as log:
                times = [datetime.fromisoformat(line.split()[0].replace("Z", "+00:00")) for line in log
                         if re.search(fr"\bpoll={number}\b", line) and (" poll begins " in line or " poll ended " in line)]
            if len(times) == 2:
                return (times[1] - times[0]).total_seconds()
            if time.monotonic() > deadline:
                raise AssertionError("the daemon's log does not tell of a poll that has ended: " + self.log())
            time.sleep(0.01)

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


@contextlib.contextmanager
def started(programs, url, settings=""):
    """A fresh daemon that knows the docker-registry at `url` as "bench" and has settled; `settings` is its file of settings."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(settings)
        file.flush()
        with Daemon(programs, options=["--config", file.name] if settings else []) as daemon:
            run([*daemon.client, "integration", "add", "bench", "--type", "docker-registry", "--url", url])
            # What the start leaves to do ends without a sign of it; the figures are of what comes then.
            time.sleep(SETTLE_SECONDS)
            yield daemon
