"""Where things are: the project, the scratch folder, the built programs; and how this machine is described."""
import contextlib
import hashlib
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(TOP / "Tests/Integration"))
sys.dont_write_bytecode = True

# What takes long to make is kept here, so that a repeat is fast.
SCRATCH = Path(os.environ.get("TIDEWAITER_BENCH_DIR", Path.home() / ".cache/tidewaiter-bench"))


class Problem(Exception):
    """Why there are no figures, for people."""


@dataclass(frozen=True)
class Programs:
    daemon: Path
    worker: Path
    client: Path


def programs():
    """The release build's programs."""
    return Programs(*(product(name) for name in ("tidewaiterd", "tidewaiter-worker", "tidewaiter")))


def product(name):
    """A program of the release build; that of TIDEWAITER_BIN, not built here, where it names a folder."""
    if folder := os.environ.get("TIDEWAITER_BIN"):
        folder = Path(folder).resolve()
    else:
        swift = [*shlex.split(os.environ.get("SWIFT", "swift")), "build", "-c", "release", "--static-swift-stdlib"]
        run([*swift, "--product", name])
        folder = Path(run([*swift, "--show-bin-path"]).strip())
    if not os.access(folder / name, os.X_OK):
        raise Problem(f"{folder / name} is not there: build it, or name a folder in TIDEWAITER_BIN")
    return folder / name


def run(command, **options):
    """Runs a command to its end and answers its output; `Problem` with what it said when it fails."""
    done = subprocess.run(command, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")[-4000:]
        raise Problem(f"{shlex.join(map(str, command))} exited {done.returncode}:\n{said}")
    return done.stdout.decode()


@contextlib.contextmanager
def within(seconds):
    """`Problem` in the middle of what takes longer, which ends the programs that it runs."""
    def end(*_):
        raise Problem(f"this takes longer than {seconds} s: the machine is too busy for figures")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fingerprint(*paths):
    """Tells whether what was made from these files is still up to date."""
    hash = hashlib.sha256()
    for path in paths:
        hash.update(Path(path).read_bytes())
    return hash.hexdigest()[:16]


def commit():
    """The commit that is measured; "+" when there are changes on top of it."""
    try:
        changes = run(["git", "status", "--porcelain", "--untracked-files=no", "--", "Sources", "clients", "proto"])
        return run(["git", "rev-parse", "--short=12", "HEAD"]).strip() + ("+" if changes.strip() else "")
    except Problem:
        return "unknown"


def machine():
    """What a reader of the figures has to know of the machine."""
    fields = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    model = next((value.strip() for name, value in fields.items() if name.strip() == "model name"), os.uname().machine)
    memory = int(next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal")).split()[1])
    kernel = ".".join(os.uname().release.split("-")[0].split(".")[:2])
    return f"{os.cpu_count()} cores ({model}), {memory / 2**20:.0f} GiB, Linux {kernel}, load {os.getloadavg()[0]:.1f} before the run"
