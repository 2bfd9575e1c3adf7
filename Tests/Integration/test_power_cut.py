"""H104: the power fails at any instant under load: what was answered or told was on disk before, and the next start goes on.

The power of a file system on a loop device is cut by ext4's shutdown, which leaves its journal unwritten.
TIDEWAITER_POWER_CUTS says how many (20); TIDEWAITER_SEED repeats a run that failed.
"""
import os
import random
import shutil

import pytest

from support.faults import Disk
from support.load import Journal, Witness
from support.samples import sample

CUTS = int(os.environ.get("TIDEWAITER_POWER_CUTS", "20"))
IMAGES = 30


@pytest.fixture
def disk(tmp_path):
    made = Disk(tmp_path)
    yield made
    made.unmount()


@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="mkfs.ext4 is not installed")
def test_power_cuts(make_daemon, make_scripted, disk, tmp_path):
    seed = int(os.environ.get("TIDEWAITER_SEED", random.SystemRandom().randrange(10**9)))
    print(f"TIDEWAITER_SEED={seed}")
    chance = random.Random(seed)
    registry = make_scripted()
    for number in range(IMAGES):
        registry.push(f"team/app{number}", sample(name=f"lib{number}"), "1")
    daemon = make_daemon()
    daemon.state = disk.place / "state"
    daemon.start()
    daemon.cli.add_integration("team", registry.url)
    following = Witness(daemon, [f"team/team/app{number}:1" for number in range(IMAGES)], Journal(tmp_path / "journal"))

    def cut(daemon):
        disk.cut_power()
        daemon.kill()
        disk.unmount()
        disk.mount()

    try:
        for number in range(CUTS):
            try:
                following.round(chance, cut)
            except AssertionError as problem:
                raise AssertionError(f"cut {number} of seed {seed}: {problem}") from problem
        jobs = following.settle()
        print(f"{len(jobs)} jobs, {sum(following.interruptions.values())} interruptions, "
              f"{len(following.journal.entries)} answers")
        daemon.stop()
    finally:
        following.journal.close()
        if daemon.process is not None:
            daemon.process.kill()
            daemon.process.wait()
            daemon.process = None
