"""PART=queue: durable enqueues a second, beside what a commit costs and beside SQLite; and a queue of a million jobs."""
import os
import shutil
import tempfile
import time
from pathlib import Path

from daemon import Daemon
from idle import silent_registry
from measure import median, memory, spread
from place import HERE, SCRATCH, fingerprint, product, run
from support import ttrpc

ROUNDS = max(1, int(os.environ.get("TIDEWAITER_BENCH_ROUNDS", "5")))
COMMITS, ONE_CALLS, CLIENTS, MANY_CALLS, BATCH = 1_000, 1_000, 16, 8_000, 20_000
SQLITE_ONE, SQLITE_MANY = 1_000, 2_000
PENDING = int(os.environ.get("TIDEWAITER_BENCH_JOBS", "1000000"))
LEASES, STARTS, PAGES = 500, 5, 20
SETTLE_SECONDS = 2.0
GOAL_ONE, GOAL_MANY, GOAL_BATCH, GOAL_LEASE = 0.7, 5, 10, 2
GOAL_START_SECONDS, GOAL_CANCEL_MS, GOAL_MIB = 1, 50, 64
IMAGES, QUEUE = "tidewaiter.v1.Images/", "tidewaiter.v1.Queue/"


def compiled():
    """Folder of the programs in C."""
    folder = SCRATCH / "queue"
    folder.mkdir(parents=True, exist_ok=True)
    for name, libraries in (("floor", ["-llmdb"]), ("sqlite", ["-lsqlite3", "-lpthread"]), ("enqueue", [])):
        run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-o", folder / name, HERE / f"commits/{name}.c", *libraries])
    return folder


def numbers(command):
    return [float(word) for word in run(command, timeout=600).split()]


# -- enqueues

class Enqueues:
    """Rates of one run, row by row and round by round."""
    ROWS = ("one client, one by one", f"{CLIENTS} clients", "one batch call")

    def __init__(self, programs, tools, maker, folder, url):
        self.programs, self.tools, self.folder = programs, tools, folder
        self.floors, self.floor_p99 = [], []
        self.ours, self.sqlite = ({row: [] for row in self.ROWS} for _ in range(2))
        self.latency = {row: [] for row in self.ROWS[:2]}
        images = [f"one={ROUNDS * ONE_CALLS}", f"many={ROUNDS * MANY_CALLS}", *(f"batch-{round}={BATCH}" for round in range(ROUNDS))]
        run([maker, "seed", folder / "state", url, *images], timeout=600)

    def floor(self):
        rate, _, p99 = numbers([self.tools / "floor", self.folder / "floor.mdb", str(COMMITS)])
        self.floors.append(rate)
        self.floor_p99.append(p99)

    def sqlite_row(self, row, mode, count):
        self.sqlite[row] += numbers([self.tools / "sqlite", self.folder / "sqlite.db", mode, str(count)])

    def clients(self, row, daemon, count, calls, name, round):
        rate, p50, p99 = numbers([self.tools / "enqueue", daemon.socket, str(count), str(calls), str(1 + round * calls), f"{name}/app"])
        self.ours[row].append(rate)
        self.latency[row].append((p50, p99))

    def batch(self, caller, round):
        start = time.monotonic()
        answer = caller.call(IMAGES + "RescanImages", all=True, integration=f"batch-{round}")
        self.ours[self.ROWS[2]].append(BATCH / (time.monotonic() - start))
        if answer.queued != BATCH:
            raise AssertionError(f"the batch call has queued {answer.queued} images, not {BATCH}")

    def measure(self):
        one, many, batch = self.ROWS
        with Daemon(self.programs, self.folder / "state") as daemon, ttrpc.Caller(daemon.socket, patience=600) as caller:
            for round in range(ROUNDS):
                self.floor()
                self.clients(one, daemon, 1, ONE_CALLS, "one", round)
                self.sqlite_row(one, "one", SQLITE_ONE)
                self.clients(many, daemon, CLIENTS, MANY_CALLS, "many", round)
                self.sqlite_row(many, "threads", SQLITE_MANY)
                self.batch(caller, round)
                self.sqlite_row(batch, "batch", BATCH)

    def ratios(self, these, those):
        return [one / other for one, other in zip(these, those)]

    def table(self):
        yield "| | jobs/s | to the floor's commits/s | to SQLite's jobs/s | SQLite, jobs/s | a call, p50 / p99 µs |"
        yield "|---|---|---|---|---|---|"
        yield f"| floor: one put a commit, C | {spread(self.floors, 0)} | 1.00 |  |  | p99 {median(self.floor_p99):,.0f} |"
        for row in self.ROWS:
            latency = self.latency.get(row)
            times = " / ".join(f"{median(column):,.0f}" for column in zip(*latency)) if latency else ""
            yield (f"| {row} | {spread(self.ours[row], 0)} | {spread(self.ratios(self.ours[row], self.floors))} | "
                   f"{spread(self.ratios(self.ours[row], self.sqlite[row]))} | {spread(self.sqlite[row], 0)} | {times} |")

    def goals(self):
        one, many, batch = self.ROWS
        yield verdict("one client to the floor commit", median(self.ratios(self.ours[one], self.floors)), GOAL_ONE, True)
        yield verdict(f"{CLIENTS} clients to one", median(self.ratios(self.ours[many], self.ours[one])), GOAL_MANY, True)
        yield verdict(f"a batch to {CLIENTS} clients", median(self.ratios(self.ours[batch], self.ours[many])), GOAL_BATCH, True)
        for row in self.ROWS:
            yield verdict(f"{row}, to SQLite", median(self.ratios(self.ours[row], self.sqlite[row])), 1, True)


# -- a million jobs

class Million:
    def __init__(self, programs, tools, maker, folder, url):
        self.programs, self.tools, self.maker, self.folder = programs, tools, maker, folder
        self.kept = SCRATCH / f"queue/pending-{PENDING}-{fingerprint(maker)}"
        if not (self.kept / "complete").exists():
            for old in (SCRATCH / "queue").glob("pending-*"):
                shutil.rmtree(old)
            run([maker, "fill", self.kept, url, str(PENDING)], timeout=3600)
            (self.kept / "complete").touch()
        self.megabytes = (self.kept / "state.mdb").stat().st_size / 1e6
        self.floor_p99, self.lease_p50, self.lease_p99 = [], [], []
        self.cancel_ms = None

    def state(self, name):
        """A copy for one daemon, in the page cache as a file is that was written lately."""
        state = self.folder / name
        state.mkdir(mode=0o700)
        for file in ("state.mdb", "secrets.key"):
            shutil.copyfile(self.kept / file, state / file)
            (state / file).chmod(0o600)
        return state

    def starts(self, state):
        """Seconds until it is ready, and MiB when it has been so for a while."""
        seconds, held = [], []
        for number in range(STARTS + 1):
            with Daemon(self.programs, state) as daemon:
                time.sleep(SETTLE_SECONDS)
                if number > 0:  # the first brings the program into the page cache
                    seconds.append(daemon.start_seconds)
                    held.append(memory(daemon.pid).private)
        return seconds, held

    def measure(self):
        self.empty_start, self.empty_held = self.starts(self.folder / "empty")
        state = self.state("full")
        self.start, self.held = self.starts(state)
        with Daemon(self.programs, state) as daemon, ttrpc.Caller(daemon.socket, patience=600) as caller:
            pending = {one.state: one.count for one in caller.call("tidewaiter.v1.System/GetStatus").jobs}
            if pending[1] != PENDING:
                raise AssertionError(f"{PENDING} jobs should be pending, and the daemon tells of {pending}")
            self.page_ms = [self.timed(lambda: caller.call(QUEUE + "ListJobs", page_size=100)) for _ in range(PAGES)]
            if QUEUE + "CancelJobs" in caller.schema.methods:
                self.cancel_ms = self.timed(lambda: self.cancel(caller))
                left = caller.call(QUEUE + "ListJobs", page_size=100, states=[1]).jobs
                if left:
                    raise AssertionError(f"all jobs were cancelled, and the job {left[0].id} is pending")
            time.sleep(SETTLE_SECONDS)
            self.worked_held = memory(daemon.pid).private
        shutil.rmtree(state)
        self.lease(self.state("leased"))

    def cancel(self, caller):
        answer = caller.call(QUEUE + "CancelJobs", jobs={"all": True})
        if answer.matched_maximum != PENDING:
            raise AssertionError(f"{PENDING} jobs were to be cancelled, and {answer.matched_maximum} are")

    def timed(self, call):
        start = time.monotonic()
        call()
        return 1000 * (time.monotonic() - start)

    def lease(self, state):
        for _ in range(ROUNDS):
            self.floor_p99.append(numbers([self.tools / "floor", self.folder / "floor.mdb", str(COMMITS)])[2])
            p50, p99 = numbers([self.maker, "lease", state, str(LEASES)])
            self.lease_p50.append(p50)
            self.lease_p99.append(p99)

    def table(self):
        ratio = [one / other for one, other in zip(self.lease_p99, self.floor_p99)]
        yield f"| {PENDING:,} jobs pending, {self.megabytes:,.0f} MB | |"
        yield "|---|---|"
        yield f"| ready after, s (an empty store: {spread(self.empty_start, 3)}) | {spread(self.start, 3)} |"
        yield f"| a lease, p50 µs | {spread(self.lease_p50, 0)} |"
        yield f"| a lease, p99 µs | {spread(self.lease_p99, 0)} |"
        yield f"| floor commit, p99 µs | {spread(self.floor_p99, 0)} |"
        yield f"| a lease's p99 to the floor commit's | {spread(ratio)} |"
        yield f"| first page of 100 jobs, ms | {spread(self.page_ms)} |"
        yield f"| cancel all, answered after, ms | {'not measured' if self.cancel_ms is None else f'{self.cancel_ms:.1f}'} |"
        yield f"| RssAnon + RssShmem, MiB (empty: {spread(self.empty_held, 1)}) | {spread(self.held, 1)} |"
        yield f"| … after the page and the cancellation | {self.worked_held:.1f} |"

    def goals(self):
        ratio = median(one / other for one, other in zip(self.lease_p99, self.floor_p99))
        growth = max(median(self.held), self.worked_held) - median(self.empty_held)
        yield verdict(f"{PENDING:,} jobs: ready after s", median(self.start), GOAL_START_SECONDS, False)
        yield verdict("a lease's p99 to the floor commit's", ratio, GOAL_LEASE, False)
        if self.cancel_ms is not None:
            yield verdict("cancel all: answered after ms", self.cancel_ms, GOAL_CANCEL_MS, False)
        yield verdict("MiB over an empty daemon", growth, GOAL_MIB, False)


def verdict(what, figure, bound, is_least):
    met = figure >= bound if is_least else figure <= bound
    return f"- {'met' if met else 'MISSED'}: {what} {figure:.2f}, {'at least' if is_least else 'at most'} {bound}"


def measure(programs):
    tools, maker = compiled(), product("queue-benchmark")
    # On the file system of the stores that are compared.
    with tempfile.TemporaryDirectory(prefix="run-", dir=SCRATCH) as folder, silent_registry() as url:
        enqueues = Enqueues(programs, tools, maker, Path(folder), url)
        enqueues.measure()
        million = Million(programs, tools, maker, Path(folder), url)
        million.measure()
    yield (f"{ROUNDS} interleaved rounds, median (lowest-highest), ratios round by round; all files on one file system. A call is "
           f"Images/RescanImages of a known image over the socket, {ONE_CALLS:,} a round by one client, {MANY_CALLS:,} by {CLIENTS} with "
           f"one in flight each; the batch is one call that queues {BATCH:,} images. The queue is paused. SQLite, in C without a "
           "daemon, writes the job, its two indexes and its event: WAL, synchronous=FULL, 16 threads for the clients.")
    yield ""
    yield from enqueues.table()
    yield ""
    yield (f"The store of a million is made by the queue's own code, ten integrations, 500 repositories. Leases are taken in the "
           f"benchmark's own process, {LEASES} a round, between {COMMITS:,} floor commits each.")
    yield ""
    yield from million.table()
    yield ""
    yield "Goals:"
    yield from enqueues.goals()
    yield from million.goals()
