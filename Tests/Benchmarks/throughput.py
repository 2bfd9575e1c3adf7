"""PART=throughput: images an hour, from the poll that finds them to their reports; no two share a layer or a package database."""
import hashlib
import json
import os
import random
import shutil
from pathlib import Path

import loads
from daemon import started
from measure import Sampler, cpu_seconds, median, spread, timed
from place import SCRATCH, run, within
from support import images, packages
from support.registry import Registry

ROUNDS = max(1, int(os.environ.get("TIDEWAITER_BENCH_ROUNDS", "5")))
IMAGES, TAGS = 500, 10
PACKAGES = 15, 60
FILES = 10, 40
SEED = 7
GOAL = 20_000
SECONDS_A_ROUND_MAX = 150


def registry():
    """Debian's docker-registry with all of them in it, to be started."""
    recipe = [IMAGES, TAGS, PACKAGES, FILES, SEED, Path(loads.__file__).read_text()]
    folder = SCRATCH / ("many-" + hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16])
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        with Registry(folder) as made:
            for number in range(IMAGES):
                made.push(f"team-{number // TAGS}/app", image(number), str(number % TAGS))
        (folder / "complete").touch()
    return Registry(folder)


def image(number):
    """One layer: half of them Alpine's kind, half of them Debian's."""
    rng = random.Random(f"{SEED} {number}")
    listed = [(f"package-{one}", f"{rng.randrange(9)}.{number}.{one}-r0") for one in range(rng.randrange(*PACKAGES))]
    files = (packages.alpine if number % 2 else packages.debian)(*listed)
    return images.image([images.layer(files | {f"srv/{one}.conf": loads.text(rng) for one in range(rng.randrange(*FILES))})])


def measure(programs):
    walls, cpus, servers, peaks = [], [], [], []
    with registry() as server, within(SECONDS_A_ROUND_MAX * (ROUNDS + 1)):
        for number in range(ROUNDS + 1):
            with started(programs, server.url) as daemon:
                with Sampler(daemon.pid) as sampler:
                    before = cpu_seconds(daemon.pid), cpu_seconds(server.process.pid)
                    wall = timed([*daemon.client, "integration", "poll", "bench", "--wait"]).wall
                    used = [after - one for after, one in zip((cpu_seconds(daemon.pid), cpu_seconds(server.process.pid)), before)]
                check(daemon)
            if number > 0:  # the first brings everything into the page cache
                walls.append(wall)
                cpus.append(used[0] / IMAGES)
                servers.append(used[1] / IMAGES)
                peaks.append(sampler.peak.private)
    rates = [IMAGES * 3600 / wall for wall in walls]
    yield (f"{IMAGES} images of one layer in {IMAGES // TAGS} repositories of docker-registry, {PACKAGES[0]} to {PACKAGES[1]} packages and "
           f"{FILES[0]} to {FILES[1]} other files each; {ROUNDS} rounds, each by a fresh daemon with the default settings, median "
           "(lowest-highest). Wall: of `integration poll --wait`. No advisories are loaded.")
    yield ""
    yield "| images an hour | wall, s | CPU of daemon and workers an image, ms | CPU of the registry an image, ms | peak RssAnon + RssShmem, MiB |"
    yield "|---|---|---|---|---|"
    yield "| " + " | ".join([
        spread(rates, 0), spread(walls), spread((1000 * one for one in cpus), 1), spread((1000 * one for one in servers), 1),
        spread(peaks, 0)]) + " |"
    yield ""
    yield f"Goals: at least {GOAL:,} images an hour: {'met' if median(rates) >= GOAL else 'MISSED'} ({median(rates):,.0f})."


def check(daemon):
    """Every image has been scanned, and its packages found."""
    listed = json.loads(run([*daemon.client, "image", "list", "--output", "json"]))["images"]
    scanned = [one["reference"] for one in listed if one["status"] == "scanned"]
    if len(scanned) != IMAGES:
        raise AssertionError(f"{len(scanned)} images of {IMAGES} are scanned: {daemon.log()}")
    report = json.loads(run([*daemon.client, "image", "report", scanned[0], "--format", "json"]))
    if not PACKAGES[0] <= len(report["packages"]) < PACKAGES[1]:
        raise AssertionError(f"{scanned[0]} has {len(report['packages'])} packages")
