"""PART=rpc: what a call costs, beside a floor in C and other RPC servers; what connections hold; what a client costs."""
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import peers
from daemon import Daemon
from measure import cpu_seconds, median, memory, resident, spread, timed
from place import HERE, SCRATCH, Problem, run
from support import ttrpc

ROUNDS = max(1, int(os.environ.get("TIDEWAITER_BENCH_ROUNDS", "7")))
SECONDS = 1.0
WARM_UP_SECONDS = 0.3
CONNECTIONS = 1000
SETTLE_SECONDS = 1.0
STATUS_RUNS = 30

MODES = {"seq": "one call at a time", "pipe8": "1 connection, 8 in flight", "conn8": "8 connections"}
# The CPUs of the server and of its client.
REGIMES = {"one core": ("0", "0"), "two cores": ("0", "1")}
ONE, TWO = REGIMES

PAYLOAD_BYTES = 100
PING, GET = "tidewaiter.v1.System/Ping", "tidewaiter.v1.Integrations/GetIntegration"
NAME = "an-integration-of-the-benchmark"
FLOOR, TTRPC_GO, GRPC = "C floor", "ttrpc-go", "gRPC C++"
OURS, OURS_GET = "tidewaiter, System/Ping", "tidewaiter, GetIntegration"


@dataclass(frozen=True)
class Sample:
    """Of one mode in one round: microseconds, calls a second, the server's CPU microseconds a call."""
    p50: float
    p99: float
    rate: float
    cpu: float


@dataclass
class Subject:
    """A server and the load that is put on it."""
    name: str
    start: object  # of the command that comes before the server's: a context of (pid, socket)
    client: object  # of socket and mode: a command
    idle: str = "idle"
    samples: dict = field(default_factory=dict)  # by regime and mode, round by round


# -- servers

@contextlib.contextmanager
def server(command, prefix=()):
    """Another's server, which makes its socket when it is ready."""
    with tempfile.TemporaryDirectory(prefix="tidewaiter-bench-") as folder:
        path = Path(folder) / "s.sock"
        words = [word.format(socket=path) for word in command]
        process = subprocess.Popen([*prefix, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 20
            while not path.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Problem(f"{words[0]} does not start")
                time.sleep(0.01)
            yield process.pid, path
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def ours(programs, state, prefix=()):
    with Daemon(programs, state, prefix) as daemon:
        yield daemon.pid, daemon.socket


def request(method, payload):
    """The data of a Request frame."""
    service, _, name = method.partition("/")
    return ttrpc.field(1, service) + ttrpc.field(2, name) + ttrpc.field(3, payload)


def answer(path, method, payload):
    """The data of the Response frame that a server answers, which must not be a refusal."""
    with ttrpc.Connection(path) as connection:
        _, _, data = connection.receive(connection.send(method, payload))
        ttrpc.response(data)
        return data


class Bench:
    def __init__(self, programs, built, state):
        self.programs, self.built, self.state = programs, built, state
        self.load = SCRATCH / "rpc/load"
        run(["gcc", "-O2", "-o", self.load, HERE / "load.c"])
        with self.ours() as (_, path):
            client = [programs.client, "--socket", path]
            run([*client, "integration", "add", NAME, "--type", "docker-registry", "--url", "http://127.0.0.1:9"])
            self.get_answer = answer(path, GET, ttrpc.field(1, NAME))
        echo = ttrpc.field(1, b"x" * PAYLOAD_BYTES)
        self.subjects = [Subject(FLOOR, self.peer("floor", "{socket}"), self.calls("bench.Echo/Unary", echo, is_floor=True))]
        if built.ttrpc_go:
            self.subjects.append(Subject(TTRPC_GO, self.peer("ttrpc_go", "serve", "{socket}"), self.calls("bench.Echo/Unary", echo)))
        if built.grpc:
            self.subjects.append(Subject(GRPC, self.peer("grpc_server", "{socket}"), self.grpc_calls, idle="idleh2"))
        self.subjects.append(Subject(OURS, self.ours, self.calls(PING, echo)))
        self.subjects.append(Subject(OURS_GET, self.ours, self.calls(GET, ttrpc.field(1, NAME))))
        for subject in self.subjects:
            subject.samples = {(regime, mode): [] for regime in REGIMES for mode in MODES}

    def ours(self, prefix=()):
        return ours(self.programs, self.state, prefix)

    def peer(self, name, *arguments):
        command = [str(self.built.folder / name), *arguments]
        return lambda prefix=(): server(command, prefix)

    # -- clients

    def calls(self, method, payload, is_floor=False):
        """The load of one method. The floor decodes nothing and says back what it is told."""
        said = request(method, payload)

        def command(path, mode):
            expected = said if is_floor else answer(path, method, payload)
            return [self.load, path, mode, str(SECONDS), said.hex(), expected.hex()]
        return command

    def grpc_calls(self, path, mode):
        return [self.built.folder / "grpc_load", path, mode, str(SECONDS)]

    # -- rounds

    def measure(self):
        for _ in range(ROUNDS):
            for regime, (server_cpus, client_cpus) in REGIMES.items():
                for subject in self.subjects:
                    with subject.start(("taskset", "-c", server_cpus)) as (pid, path):
                        for mode in MODES:
                            command = subject.client(path, mode)
                            used = cpu_seconds(pid)
                            p50, p99, rate = map(float, run(["taskset", "-c", client_cpus, *command], timeout=60).split())
                            cpu = (cpu_seconds(pid) - used) / (rate * (SECONDS + WARM_UP_SECONDS)) * 1e6
                            subject.samples[regime, mode].append(Sample(p50, p99, rate, cpu))

    def held(self):
        """Of each server: what is resident before and after a thousand connections that made a call each, in MiB."""
        for subject in self.subjects:
            if subject.name == OURS_GET:
                continue
            with subject.start() as (pid, path):
                time.sleep(SETTLE_SECONDS)
                before = (resident(pid), memory(pid).private)
                service, _, method = (PING if subject.name == OURS else "bench.Echo/Unary").partition("/")
                with idle_connections(self.built.folder / "hold", path, subject.idle, {"SVC": service, "MTD": method}):
                    time.sleep(SETTLE_SECONDS)
                    yield subject.name, before, (resident(pid), memory(pid).private)

    def whole_processes(self):
        """Costs of whole client processes, interleaved."""
        with self.ours() as (_, path):
            commands = {"true": ["/bin/true"], "tidewaiter status": [self.programs.client, "--socket", path, "status"]}
            if self.built.go_client:
                commands["the same call by a Go client"] = [self.built.go_client, path, "print-status"]
            costs = {name: [] for name in commands}
            for number in range(STATUS_RUNS + 1):
                for name, command in commands.items():
                    cost = timed(command)
                    if number > 0:  # the first brings the program into the page cache
                        costs[name].append(cost)
        return costs

    # -- what came out

    def ratios(self, name, other, regime, mode, figure):
        found = {subject.name: subject.samples[regime, mode] for subject in self.subjects}
        if name not in found or other not in found:
            return None
        return [getattr(one, figure) / getattr(two, figure) for one, two in zip(found[name], found[other])]

    def table(self, regime):
        yield (f"| {regime} | " + " | ".join(f"{mode}, {figure}" for mode, figure in (
            (MODES["seq"], "p50 µs"), ("", "to the floor's"), ("", "p99 µs"), ("", "server CPU, µs a call"),
            (MODES["pipe8"], "calls/s"), ("", "to the floor's"), ("", "server CPU"),
            (MODES["conn8"], "calls/s"), ("", "to the floor's"), ("", "server CPU"))).replace("| , ", "| ") + " |")
        yield "|---" * 11 + "|"
        for subject in self.subjects:
            cells = [subject.name]
            for mode in MODES:
                samples = subject.samples[regime, mode]
                middle = lambda figure: median(getattr(sample, figure) for sample in samples)
                figure = "p50" if mode == "seq" else "rate"
                cells.append(f"{middle(figure):.1f}" if mode == "seq" else f"{middle(figure):,.0f}")
                cells.append(spread(self.ratios(subject.name, FLOOR, regime, mode, figure)))
                if mode == "seq":
                    cells.append(f"{middle('p99'):.0f}")
                cells.append(f"{middle('cpu'):.1f}")
            yield "| " + " | ".join(cells) + " |"

    def goals(self):
        """(what, figure, the bound, whether it is the least allowed)."""
        for name, other, regime, mode, figure, bound in (
                (OURS, FLOOR, ONE, "seq", "p50", 1.5), (OURS, TTRPC_GO, ONE, "seq", "p50", 0.4), (OURS, GRPC, ONE, "seq", "p50", 0.15),
                (OURS, FLOOR, TWO, "seq", "p50", 1.3), (OURS_GET, FLOOR, ONE, "seq", "p50", 2), (OURS_GET, FLOOR, TWO, "seq", "p50", 2),
                (OURS, FLOOR, ONE, "pipe8", "rate", 0.35), (OURS, FLOOR, TWO, "pipe8", "rate", 0.35),
                (OURS, TTRPC_GO, ONE, "pipe8", "rate", 4), (OURS, TTRPC_GO, TWO, "pipe8", "rate", 4),
                (OURS, FLOOR, ONE, "conn8", "rate", 0.9), (OURS, FLOOR, TWO, "conn8", "rate", 0.9)):
            if values := self.ratios(name, other, regime, mode, figure):
                yield f"{name} to {other}, {MODES[mode]}, {regime}: {figure}", median(values), bound, figure == "rate"
        [cpu] = [[sample.cpu for sample in subject.samples[ONE, "seq"]] for subject in self.subjects if subject.name == OURS]
        yield f"{OURS}, {MODES['seq']}, {ONE}: server CPU µs a call", median(cpu), 12, False


@contextlib.contextmanager
def idle_connections(holder, path, kind, environment):
    process = subprocess.Popen([holder, path, kind, str(CONNECTIONS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env=os.environ | environment)
    with process:
        if process.stdout.readline().strip() != b"ready":
            raise Problem(f"{CONNECTIONS} connections cannot be made")
        yield
        process.stdin.close()


def verdict(what, figure, bound, is_least):
    met = figure >= bound if is_least else figure <= bound
    return f"- {'met' if met else 'MISSED'}: {what} {figure:.2f}, {'at least' if is_least else 'at most'} {bound}"


def measure(programs):
    if (os.cpu_count() or 1) < 2 or not shutil.which("taskset"):
        yield "skipped: the regimes need two cores and taskset"
        return
    if not (sources := peers.sources()):
        yield "skipped: no rpc-baseline, whose servers are the measure (TIDEWAITER_SHARED names the folder that has it)"
        return
    built = peers.build(sources)
    with tempfile.TemporaryDirectory(prefix="tidewaiter-bench-") as folder:
        bench = Bench(programs, built, folder + "/state")
        bench.measure()
        yield (f"{ROUNDS} interleaved rounds, {SECONDS:.0f} s each after a warm-up; medians, ratios (lowest-highest) round by "
               f"round. Messages of {PAYLOAD_BYTES} bytes; GetIntegration answers {len(bench.get_answer)}, read from the store. "
               "The floor and gRPC C++ are rpc-baseline's, ttrpc-go and gRPC C++ as Debian packages them; gRPC has its own client, "
               "the others load.c, which compares every answer.")
        for absent in built.absent:
            yield f"Not measured: {absent}."
        for regime in REGIMES:
            yield ""
            yield from bench.table(regime)
        yield ""
        yield f"| memory, MiB | idle: RSS | RssAnon + RssShmem | with {CONNECTIONS:,} idle connections: RSS | RssAnon + RssShmem | KiB a connection |"
        yield "|---" * 6 + "|"
        held = {}
        for name, before, after in bench.held():
            held[name] = (before, after, (after[0] - before[0]) * 1024 / CONNECTIONS)
            yield (f"| {name.split(',')[0]} | {before[0]:.1f} | {before[1]:.1f} | {after[0]:.1f} | {after[1]:.1f} | "
                   f"{held[name][2]:.1f} |")
        yield ""
        yield f"| whole process, {STATUS_RUNS} interleaved runs | wall, ms | CPU, ms |"
        yield "|---|---|---|"
        for name, costs in bench.whole_processes().items():
            yield (f"| {name} | {spread((1000 * cost.wall for cost in costs), 1)} | "
                   f"{spread((1000 * cost.cpu for cost in costs), 1)} |")
        yield ""
        yield "Goals:"
        for goal in bench.goals():
            yield verdict(*goal)
        before, after, each = held[OURS]
        yield verdict("the whole daemon idle: RSS MiB", before[0], 20, False)
        yield verdict("an idle connection: KiB", each, 6, False)
        if TTRPC_GO in held:
            other_before, other_after, _ = held[TTRPC_GO]
            difference = max(0.0, before[0] - other_before[0])
            yield verdict(f"with {CONNECTIONS:,} idle connections: RSS MiB, to ttrpc-go's {other_after[0]:.1f} and the idle difference of "
                          f"{difference:.1f}:", after[0], round(other_after[0] + difference, 1), False)
