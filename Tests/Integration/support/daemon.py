"""Starts tidewaiterd on a scratch directory and drives it through the client."""
import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import clock
from .waiting import eventually

# Every password and key in these tests is or holds this. It must be found nowhere but in the daemon's memory.
CANARY = "CANARY-9f2c41d07be85a63"

FINAL_STATES = {"finished", "error", "cancelled"}


def canary_forms():
    """The canary in plain, and in base64 at each of the three places it can have in a text."""
    forms = [CANARY.encode()]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + CANARY.encode())
        forms.append(encoded[(before * 8 + 5) // 6 + 1:-4])
    return forms


@dataclass(frozen=True)
class Binaries:
    daemon: str
    worker: str
    client: str


@dataclass(frozen=True)
class Outcome:
    """What one call of the client did."""
    command: tuple
    code: int
    out: str
    err: str

    @property
    def document(self):
        return json.loads(self.out)

    @property
    def error(self):
        """The error object that `-o json` prints on standard error."""
        for line in self.err.splitlines():
            if line.startswith('{"error"'):
                return json.loads(line)["error"]
        raise AssertionError(f"no error object on standard error: {self.err!r}")

    def __str__(self):
        return f"{' '.join(self.command)}\nexit {self.code}\n{self.out[-3000:]}\n{self.err[-3000:]}"


class Client:
    """The client, on one socket."""

    def __init__(self, binary, socket):
        self.binary, self.socket = binary, str(socket)

    def run(self, *arguments, output="json", code=0, stdin="", seconds=300, environment=None):
        """Runs the client; fails unless it exits with `code` (None: any)."""
        command = (self.binary, "--socket", self.socket, *(["-o", output] if output else []), *map(str, arguments))
        done = subprocess.run(command, input=stdin.encode(), capture_output=True, timeout=seconds,
                              env=os.environ | {"NO_COLOR": "1"} | (environment or {}))
        outcome = Outcome(tuple(map(str, command[1:])), done.returncode, done.stdout.decode(errors="replace"),
                          done.stderr.decode(errors="replace"))
        for form in canary_forms():
            assert form not in done.stdout + done.stderr, f"a secret was printed by {outcome}"
        assert code is None or outcome.code == code, f"expected exit {code}: {outcome}"
        return outcome

    def __call__(self, *arguments, **options):
        """Runs the client and answers its JSON document."""
        return self.run(*arguments, **options).document

    def fails(self, *arguments, code=1, **options):
        """Runs a command that must fail with `code`, an error, and a hint; answers the outcome."""
        outcome = self.run(*arguments, code=code, **options)
        lines = outcome.err.splitlines()
        assert any(line.startswith("error: ") for line in lines), f"no error line: {outcome}"
        assert any(line.startswith("hint: ") for line in lines), f"no hint line: {outcome}"
        error = outcome.error
        assert error["code"] and error["message"], outcome
        return outcome

    # -- what tests do again and again

    def add_integration(self, name, url, *flags, username=None, password=None, kind="docker-registry"):
        account = ["--auth", "account", "--username", username, "--password-stdin"] if username else []
        return self.run("integration", "add", name, "--type", kind, "--url", url, *account, *flags, stdin=password or "")

    def scan(self, reference, code=0, platform=None):
        """Adds an image, waits for its scan, answers its report."""
        self.run("image", "add", reference, "--wait", code=code)
        return self.report(reference, platform)

    def report(self, reference, platform=None):
        return self("image", "report", reference, "--format", "json", *(["--platform", platform] if platform else []))

    def jobs(self):
        return self("queue", "list")["jobs"]

    def job(self, reference):
        """The one job of a reference."""
        found = [job for job in self.jobs() if job["reference"].startswith(reference)]
        assert len(found) == 1, f"{len(found)} jobs of {reference}: {found}"
        return found[0]

    def images(self, *flags):
        return self("image", "list", *flags)["images"]

    def poll(self, name, code=0):
        """Polls and scans; answers the poll's record, with its jobs."""
        return self("integration", "poll", name, "--wait", code=code)

    def poll_only(self, name):
        """Polls, and does not wait for the scans; answers the poll's record when it runs no more."""
        started = self("integration", "poll", name)["id"]
        return self.poll_when(name, lambda poll: poll["id"] == started and poll["state"] != "running", "the poll to end")

    def polls(self, name):
        """The records of an integration's polls, the oldest first."""
        return sorted(self("integration", "polls", name)["polls"], key=lambda poll: poll["id"])

    def poll_when(self, name, condition, what):
        """Waits until the record of one of an integration's polls is as it is to be, and answers it."""
        return eventually(lambda: next(filter(condition, self.polls(name)), None), what)

    def coverage(self, name):
        return self("integration", "coverage", name)

    def preview(self, name, *flags):
        return self("integration", "preview", name, *flags)

    def explain(self, reference):
        return self("image", "explain", reference)

    def history(self, reference):
        return self("image", "history", reference)["entries"]

    def wait_idle(self):
        """Waits until every job is in a final state; answers the jobs."""
        def jobs_when_done():
            jobs = self.jobs()
            return jobs if all(job["state"] in FINAL_STATES for job in jobs) else None
        return eventually(jobs_when_done, "all jobs to end", patience=180)

    def import_advisories(self, *paths):
        return self.run("db", "import", *paths)


class Daemon:
    """One daemon on one state directory, started and stopped as often as a test likes."""

    def __init__(self, binaries, arguments=(), environment=None):
        # A socket's path may have 107 characters, less than pytest's folders take.
        self.folder = Path(tempfile.mkdtemp(prefix="tidewaiter-test-"))
        self.state, self.socket, self.log = self.folder / "state", self.folder / "s.sock", self.folder / "log"
        self.binaries, self.arguments, self.environment = binaries, list(arguments), environment or {}
        self.process = None
        self.cli = Client(binaries.client, self.socket)

    # -- life

    def spawn(self, *more):
        with open(self.log, "ab") as log, open(self.folder / "out", "wb") as out:
            self.process = subprocess.Popen(
                [self.binaries.daemon, "--state-dir", str(self.state), "--socket", str(self.socket),
                 "--log-level", "debug", *self.arguments, *more],
                stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                env=os.environ | {"SWIFT_BACKTRACE": "enable=no"} | self.environment)
        return self.process

    def start(self, *more):
        """Starts the daemon and waits for the line that says that it is ready."""
        process = self.spawn(*more)
        eventually(lambda: "\n" in (self.folder / "out").read_text(), "the daemon's ready line",
                   unless=lambda: process.poll() is not None and f"it exited {process.returncode}: {self.tail()}")
        return self

    def refuses_to_start(self, *more):
        """Starts a daemon that must end by itself with an error and a hint; answers what it wrote."""
        before = self.log.stat().st_size if self.log.exists() else 0
        process = self.spawn(*more)
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError("the daemon started: " + self.tail()) from None
        finally:
            self.process = None
        text = self.log.read_bytes()[before:].decode(errors="replace")
        assert code == 1, f"exit {code}: {text}"
        assert "error: " in text and "hint: " in text, text
        return text

    def kill(self):
        """kill -9; no worker may outlive it."""
        workers = self.children()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None
        eventually(lambda: not any(alive(worker) for worker in workers), "the workers of a killed daemon to end")

    def stop(self):
        """SIGTERM: ends in order, with exit code 0, leaving no socket."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            raise AssertionError("the daemon does not stop: " + self.tail()) from None
        self.process = None
        assert code == 0, f"exit {code} after SIGTERM: {self.tail()}"
        assert not self.socket.exists(), "the socket was left behind"

    def travel(self, to):
        """Its next start is at another time of day: at a moment, or so much later than now."""
        self.environment |= clock.environment(to)
        return self

    def restart(self):
        self.stop()
        return self.start()

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    # -- looks inside

    def children(self):
        found = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                found += (task / "children").read_text().split()
            except OSError:
                continue  # a thread that ended meanwhile
        return [int(child) for child in found]

    def tail(self):
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else "(no log)"

    def check_sane(self):
        """What holds after every test: it lives, no child is left, the secret is nowhere in the open."""
        assert self.alive, "the daemon died: " + self.tail()
        eventually(lambda: not self.children(), "all workers to be gone")
        for name in ("cmdline", "environ"):
            self.check_canary(Path(f"/proc/{self.process.pid}/{name}").read_bytes(), f"the daemon's {name}")

    def check_canary(self, data, where):
        for form in canary_forms():
            assert form not in data, f"the secret stands in {where}"

    def close(self, sane=True):
        """The end of a test: checks what must hold, stops, and removes everything."""
        try:
            if self.process is not None:
                if sane:
                    self.check_sane()
                    self.stop()
                else:
                    self.process.kill()
                    self.process.wait()
            for path in sorted(self.folder.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    self.check_canary(path.read_bytes(), str(path))
        finally:
            if self.process is not None:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
