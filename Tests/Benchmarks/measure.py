"""Wall time, CPU time and memory of processes, read from /proc."""
import contextlib
import os
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.01
MIB = 1024  # /proc counts in KiB


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of CPU (user and system, children that have ended included)."""
    wall: float
    cpu: float

    def __add__(self, other):
        return Cost(self.wall + other.wall, self.cpu + other.cpu)


def timed(command, environment=None, output=subprocess.DEVNULL):
    """Runs a command to its end and answers its `Cost`."""
    return watched(command, environment, output, watch=False)[0]


def watched(command, environment=None, output=subprocess.DEVNULL, watch=True):
    """Runs a command to its end; answers its `Cost`, and the `Sampler` that looked at it. Fails when the command does."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE,
                               env=os.environ | (environment or {}))
    with process.stderr, Sampler(process.pid) if watch else contextlib.nullcontext() as sampler:
        try:
            said = process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # interrupted: nothing is left running
            process.kill()
            process.wait()
            raise
        wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise AssertionError(f"{' '.join(map(str, command))} exited {process.returncode}: {said.decode(errors='replace')[-2000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime), sampler


def cpu_seconds(pid):
    """What a process that runs has used so far, with its children that it has reaped."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[number]) for number in (11, 12, 13, 14)) / TICKS


@dataclass(frozen=True)
class Memory:
    """MiB: `private` is RssAnon + RssShmem, what nobody else can use; `file` is RssFile, pages of files that the kernel can
    take back, counted once for each process that maps them."""
    private: float
    file: float

    def __add__(self, other):
        return Memory(self.private + other.private, self.file + other.file)


NOTHING = Memory(0, 0)


def memory(pid):
    """Of one process; nothing when it has ended."""
    try:
        with open(f"/proc/{pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status if line.startswith("Rss"))
    except OSError:
        return NOTHING
    kib = {name: int(value.split()[0]) for name, value in fields.items()}
    return Memory((kib.get("RssAnon", 0) + kib.get("RssShmem", 0)) / MIB, kib.get("RssFile", 0) / MIB)


def resident(pid):
    """MiB of a process that are in memory, pages of files included."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def children(pid):
    """All descendants that live."""
    found = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/children") as file:
                direct = file.read().split()
        except OSError:
            continue  # a thread that ended meanwhile
        for child in direct:
            found += [int(child), *children(int(child))]
    return found


class Sampler:
    """Looks at a process and its descendants a hundred times a second, and keeps the highest sums."""

    def __init__(self, pid):
        self.pid = pid
        self.peak = self.own_peak = self.children_peak = NOTHING
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.ended.wait(SAMPLE_SECONDS):
            own = memory(self.pid)
            others = sum((memory(child) for child in children(self.pid)), NOTHING)
            self.peak = higher(self.peak, own + others)
            self.own_peak = higher(self.own_peak, own)
            self.children_peak = higher(self.children_peak, others)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def higher(one, other):
    return max(one, other, key=lambda memory: memory.private)


def median(values):
    return statistics.median(values)


def spread(values, digits=2):
    """The median, and the range in brackets."""
    values = list(values)
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"
