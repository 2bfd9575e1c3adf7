"""PART=poll: polls of a registry of many images, by Harbor's API, whose listing tells digests, and by the distribution's,
which needs a request a tag; and of 2,000 real tags, beside curl and skopeo.

By default a registry has 1,000 repositories of 100 tags; SIZE=full gives it 10,000, and a run that was interrupted goes on
where it was: what is done stands in the scratch folder, with a log.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import poll_tags
from daemon import Daemon
from measure import Memory, Sampler, median, memory, spread
from place import HERE, SCRATCH, Problem, run
from support.many_images import DAY_SECONDS, ManyImages

FULL = os.environ.get("SIZE") == "full"
REPOSITORIES, TAGS = 10_000 if FULL else 1_000, 100
SMALL = 100
CONCURRENCY = 8  # an integration's default
ROUNDS = 1 if FULL else 2  # of the poll of an unchanged registry, each between two runs of wrk
PROMPT, SLOW = "unchanged, prompt", "unchanged, slow"
DELAY_MICROSECONDS = 100
WRK_SECONDS = 2
SETTLE_SECONDS = 2.0
POLL_SECONDS_MAX = 3 * 3600
# Of the first day one image in fifty is that young, and all that come on the second.
WITHIN_DAYS, EPOCH_DAYS_AGO = 10, 3
VENDORS = {"harbor": ("harbor", "listing with digests"), "plain": ("docker-registry", "HEAD for each tag")}
GOAL_REQUESTS_A_REPOSITORY, GOAL_REQUESTS_A_TAG, GOAL_MIB, GOAL_RATE, GOAL_WRK = 1.1, 1.0, 32, 0.7, 20_000


@dataclass
class Poll:
    """One poll's figures. `counted` is the simulator's count of requests by kind, `memory` the peak over idle."""
    name: str
    seconds: float = 0
    record: dict = field(default_factory=dict)
    counted: dict = field(default_factory=dict)
    growth: float = 0
    file: float = 0
    queued: int = 0
    wrk: list = field(default_factory=list)

    @property
    def requests(self):
        return sum(self.counted.values())

    @property
    def rate(self):
        return self.requests / self.seconds

    @property
    def wrk_rate(self):
        return sum(self.wrk) / len(self.wrk)

    @property
    def ratio(self):
        """Of its requests a second to those of wrk before and after it."""
        return self.rate / self.wrk_rate


class Journal:
    """What was measured, kept step by step, so that a long run can go on."""

    def __init__(self, folder, keeps):
        self.path = folder / "journal.json"
        if not keeps:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        self.content = json.loads(self.path.read_text()) if self.path.exists() else {}

    def once(self, name, make):
        if name not in self.content:
            self.content[name] = make()
            aside = self.path.with_suffix(".new")
            aside.write_text(json.dumps(self.content))
            aside.replace(self.path)
        return self.content[name]


class Scenario:
    """The polls of one registry, from the first to the one with rescan. `keeps`: goes on where an earlier run was."""

    def __init__(self, programs, vendor, repositories, keeps):
        self.programs, self.vendor, self.repositories = programs, vendor, repositories
        self.folder = SCRATCH / f"poll/{vendor}-{repositories}"
        self.journal = Journal(self.folder, keeps)
        self.epoch = self.journal.once("epoch", lambda: int(time.time()) - EPOCH_DAYS_AGO * DAY_SECONDS)
        self.port = self.journal.content.get("port", 0)
        self.idle, self.queued, self.given_up, self.known = None, set(), set(), {}

    def say(self, text):
        line = f"{datetime.now():%H:%M:%S} {self.vendor}, {self.repositories} repositories: {text}"
        print(line, file=sys.stderr, flush=True)
        with open(SCRATCH / "poll/log", "a") as log:
            log.write(line + "\n")

    def measure(self, small=False):
        """{name: Poll}. `small`: for the memory alone, without wrk and rescan."""
        self.say("begins")
        (self.folder / "daemon.yaml").write_text("scanner:\n  slots: 1\n")
        simulated = ManyImages(
            self.vendor, seconds=POLL_SECONDS_MAX, port=self.port, repositories=self.repositories, tags=TAGS, epoch=self.epoch)
        options = ["--config", self.folder / "daemon.yaml"]
        with simulated as registry, Daemon(self.programs, self.folder / "state", options=options) as daemon:
            self.registry, self.daemon = registry, daemon
            self.journal.once("port", lambda: registry.port)
            self.journal.once("integration", self.add_integration)
            registry.hold()
            # What the start has taken and gives back is not counted as idle.
            time.sleep(SETTLE_SECONDS)
            self.idle = memory(daemon.pid)
            polls = [self.step("first", self.first)]
            for number in range(1 if small else ROUNDS):
                polls.append(self.step(f"{PROMPT} {number + 1}", lambda: self.unchanged(not small)))
            for number in range(0 if small else ROUNDS):
                polls.append(self.step(f"{SLOW} {number + 1}", lambda: self.unchanged(True, DELAY_MICROSECONDS)))
            polls.append(self.step("5 % changed", self.changed, day=1))
            if not small:
                self.reach(1)
                self.journal.once("scanned", self.scan_all)
                polls.append(self.step("rescan", self.rescan, day=1))
            return {poll.name: poll for poll in polls}

    def add_integration(self):
        run([*self.daemon.client, "integration", "add", "bench", "--type", VENDORS[self.vendor][0], "--url", self.registry.url,
             "--created-within", f"{WITHIN_DAYS}d"])
        return True

    def step(self, name, make, day=0):
        """A poll with its figures, unless an earlier run has made it."""
        if name not in self.journal.content:
            self.reach(day)
        poll = Poll(**self.journal.once(name, lambda: vars(make()) | {"name": name}))
        beside = f", {poll.ratio:.2f} of wrk's {poll.wrk_rate:.0f}/s" if poll.wrk else ""
        self.say(f"{name}: {poll.seconds:.1f} s, {poll.requests} requests, {poll.rate:.0f}/s{beside}, {poll.queued} queued, "
                 f"{poll.growth:.1f} MiB over idle")
        return poll

    def reach(self, day):
        if self.registry.requests()["day"] < day:
            self.registry.go_to(day)

    # -- polls

    def poll(self):
        """Runs one to its end; what it has queued is in `queued`."""
        self.registry.reset()
        with Sampler(self.daemon.pid) as sampler:
            record = self.daemon.poll("bench", POLL_SECONDS_MAX, 0.2)
        number = record["id"]
        counted = self.registry.requests()["requests"]
        jobs = self.ask("queue", "list")["jobs"]
        self.queued = {image_of(job) for job in jobs if job.get("pollId") == number}
        # The one scan that begins while layers are held back fails in the end, and the next poll queues its image again.
        self.given_up = {image_of(job) for job in jobs if job["state"] == "error" and job.get("pollId") != number}
        seconds = self.daemon.poll_seconds(number)
        peak = Memory(sampler.peak.private - self.idle.private, sampler.peak.file)
        return Poll("", seconds, record, counted, peak.private, peak.file, len(self.queued))

    def first(self):
        poll = self.poll()
        self.expect(self.young(0), "first")
        return poll

    def unchanged(self, beside_wrk, delay=0):
        self.registry.delay(delay)
        before = self.wrk() if beside_wrk else None
        poll = self.poll()
        if beside_wrk:
            poll.wrk = [before, self.wrk()]
        self.registry.delay(0)
        self.expect(set(), "unchanged")
        return poll

    def changed(self):
        poll = self.poll()
        self.expect(self.young(1) - self.young(0), "changed")
        told = tuple(poll.record.get(key, 0) for key in ("tagsNew", "tagsMoved", "tagsGone"))
        if told != (expected := self.registry.plan.changes(1)):
            raise AssertionError(f"new, moved and gone tags: {expected} are there, and the poll tells of {told}")
        return poll

    def rescan(self):
        run([*self.daemon.client, "integration", "edit", "bench", "--rescan"])
        self.registry.hold()
        poll = self.poll()
        # What has moved away or gone has no tag any more. Nothing holds back these scans: their layer is known.
        self.expect(self.young(1), "rescan")
        return poll

    def scan_all(self):
        """Lets every image that is queued be scanned; how long that took. Those that were given up while layers were held
        back stay so."""
        given_up = sum(one["count"] for one in self.ask("status")["jobs"] if one["state"] == "error")
        self.registry.release()
        start = time.monotonic()
        while True:
            jobs = {one["state"]: one["count"] for one in self.ask("status")["jobs"]}
            if not any(jobs[state] for state in ("pending", "in_progress", "parsing_results")):
                break
            if time.monotonic() - start > POLL_SECONDS_MAX:
                raise AssertionError(f"the scans do not end: {jobs}")
            time.sleep(1)
        if jobs["error"] > given_up:
            raise AssertionError(f"{jobs['error'] - given_up} scans fail: {self.ask('queue', 'list', '--state', 'error')['jobs'][0]}")
        self.say(f"{jobs['finished']} scans in {time.monotonic() - start:.0f} s")
        return time.monotonic() - start

    # -- what there should be

    def young(self, day):
        """Images of a day that are within the period when the first poll begins."""
        if day not in self.known:
            since = datetime.fromtimestamp(self.epoch + (EPOCH_DAYS_AGO - WITHIN_DAYS) * DAY_SECONDS, timezone.utc)
            self.known[day] = {(image.repository, image.digest): image.created
                               for image in self.registry.plan.images(day, since=since).values()}
        return self.known[day].keys()

    def expect(self, expected, name):
        # The period goes on while this runs: what has left it since then may be missing.
        left = datetime.now(timezone.utc) - timedelta(days=WITHIN_DAYS) + timedelta(seconds=1)
        edge = {image for image, created in self.known.get(0, {}).items() if created <= left}
        missing, extra = expected - self.queued - edge, self.queued - expected - edge - self.given_up
        if missing or extra:
            raise AssertionError(
                f"{self.vendor}, {name}: {len(expected)} images should be queued; {len(missing)} are not, such as "
                f"{sorted(missing)[:2]}, and {len(extra)} are besides, such as {sorted(extra)[:2]}")

    # -- tools

    def ask(self, *words):
        return json.loads(run([*self.daemon.client, "--output", "json", *words]))

    def wrk(self):
        """Requests a second of the same mix with as many connections."""
        said = run(["wrk", "-t1", f"-c{CONCURRENCY}", f"-d{WRK_SECONDS}s", "-s", HERE / "mix.lua", self.registry.url, "--",
                    self.vendor, str(self.repositories), str(TAGS)])
        if "Non-2xx" in said:
            raise AssertionError("the registry refuses wrk: " + said)
        return float(re.search(r"Requests/sec:\s+([0-9.]+)", said)[1])


def image_of(job):
    """(repository, digest) of a job."""
    path = job["reference"].partition("/")[2].partition("@")[0]
    return path.rpartition(":")[0] if ":" in path else path, job["digest"]


# -- what came out

def table(vendor, polls, repositories):
    for poll in polls.values():
        told = poll.record
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in poll.counted.items() if count)
        yield "| " + " | ".join([
            f"{vendor}, {VENDORS[vendor][1]}", poll.name, f"{poll.seconds:.1f}", f"{poll.requests:,} ({kinds})",
            f"{told.get('requests', 0):,}", f"{poll.requests / repositories:.2f}", f"{poll.requests / (repositories * TAGS):.3f}",
            f"{poll.rate:,.0f}", f"{poll.wrk_rate:,.0f}" if poll.wrk else "", f"{poll.ratio:.2f}" if poll.wrk else "",
            " / ".join(f"{told.get(key, 0):,}" for key in ("tagsNew", "tagsMoved", "tagsGone")), f"{poll.queued:,}",
            f"{poll.growth:.1f}", f"{poll.file:.0f}"]) + " |"


def goals(vendor, polls, small, repositories):
    prompt = [poll for name, poll in polls.items() if name.startswith(PROMPT)]
    slow = [poll for name, poll in polls.items() if name.startswith(SLOW)]
    # Beside the poll, the one scan that is held may be tried again.
    last = min(prompt + slow, key=lambda poll: poll.requests)
    if vendor == "harbor":
        yield goal(f"{vendor}, unchanged: requests a repository", last.requests / repositories, GOAL_REQUESTS_A_REPOSITORY)
    else:
        lists = sum(last.counted[kind] for kind in ("ping", "catalog", "tags"))
        yield goal(f"{vendor}, unchanged: requests a tag, beside {lists / repositories:.2f} a repository for the lists",
                   (last.requests - lists) / (repositories * TAGS), GOAL_REQUESTS_A_TAG)
    for name, found in (("first", "first"), ("unchanged", f"{PROMPT} 1"), ("5 % changed", "5 % changed")):
        yield goal(f"{vendor}, {name}: MiB over idle at {repositories:,} repositories ({small[found].growth:.1f} at {SMALL})",
                   polls[found].growth, GOAL_MIB)
    for what, found in ((f"answers after {DELAY_MICROSECONDS} µs", slow), ("answers at once", prompt)):
        ratios, rates = [poll.ratio for poll in found], [rate for poll in found for rate in poll.wrk]
        yield goal(f"{vendor}, unchanged, {what}: requests a second to wrk's ({spread(ratios)})", median(ratios), GOAL_RATE, at_least=True)
        yield goal(f"{vendor}, {what}: wrk's requests a second ({spread(rates, 0)})", median(rates), GOAL_WRK, at_least=True)


def goal(what, value, limit, at_least=False):
    is_met = value >= limit if at_least else value <= limit
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return f"- {'met' if is_met else 'MISSED'}: {what} {shown}, at {'least' if at_least else 'most'} {limit:,}"


def measure(programs):
    if shutil.which("wrk") is None:
        raise Problem("wrk is not installed: make deps")
    (SCRATCH / "poll").mkdir(parents=True, exist_ok=True)
    yield (f"{REPOSITORIES:,} repositories of {TAGS} tags" + ("" if FULL else "; SIZE=full: 10,000") + ", simulated by "
           f"Tests/Benchmarks/registry; {CONCURRENCY} requests at a time, HTTP/1.1, loopback. Criteria: created within {WITHIN_DAYS} days. "
           f"Scans wait until the third kind of poll has ended; those of the rescan run beside it. wrk: one thread, {CONCURRENCY} connections, {WRK_SECONDS} s of the same requests "
           "before and after each poll of the unchanged registry; it sends GET for HEAD and is answered as to HEAD. \"Prompt\": the "
           f"registry answers at once; \"slow\": each answer comes {DELAY_MICROSECONDS} µs after its request. Memory: daemon and workers, "
           "RssAnon + RssShmem over idle; RssFile beside.")
    yield ""
    yield ("| registry | poll | wall, s | requests, by the simulator | by the poll's record | a repository | a tag | requests/s | wrk's | "
           "to wrk's | tags new / moved / gone | queued, as expected | peak over idle, MiB | RssFile, MiB |")
    yield "|---" * 14 + "|"
    lines = []
    for vendor in VENDORS:
        polls = Scenario(programs, vendor, REPOSITORIES, keeps=FULL).measure()
        yield from table(vendor, polls, REPOSITORIES)
        small = Scenario(programs, vendor, SMALL, keeps=False).measure(small=True)
        lines += goals(vendor, polls, small, REPOSITORIES)
    yield ""
    yield from poll_tags.measure(programs, lines)
    yield ""
    yield "Goals:"
    yield from lines
    for folder in (SCRATCH / "poll").iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
