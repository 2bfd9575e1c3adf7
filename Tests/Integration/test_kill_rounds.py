"""H103: killed at any instant under load, again and again. A client keeps a synced journal of every answer it got; by that
and by the event log, nothing that was answered or told is lost, nothing is there twice, and attempts are counted right.

TIDEWAITER_KILL_ROUNDS says how many deaths (50); TIDEWAITER_SEED repeats a run that failed.
"""
import os
import random
import signal

import pytest

from support.images import image, layer
from support.load import Journal, Witness
from support.packages import alpine

ROUNDS = int(os.environ.get("TIDEWAITER_KILL_ROUNDS", "50"))
# Deaths of one state directory, so that a long run does not become one of long lists.
ROUNDS_OF_ONE = 50
IMAGES = 40


@pytest.fixture
def registry(make_scripted):
    """Small images on a few common layers, some with several of their own."""
    scripted = make_scripted()
    bases = [layer({f"etc/base{number}": "common"}) for number in range(4)]
    for number in range(IMAGES):
        own = [layer(alpine((f"lib{number}-{part}", "1.0-r0"))) for part in range(number % 3 + 1)]
        scripted.push(f"team/app{number}", image([bases[number % 4], *own]), "1")
    return scripted


@pytest.fixture
def seed():
    chosen = int(os.environ.get("TIDEWAITER_SEED", random.SystemRandom().randrange(10**9)))
    print(f"TIDEWAITER_SEED={chosen}")
    return chosen


def witness(daemon, registry, folder):
    daemon.start()
    daemon.cli.add_integration("team", registry.url)
    references = [f"team/team/app{number}:1" for number in range(IMAGES)]
    return Witness(daemon, references, Journal(folder / f"journal-{daemon.folder.name}"))


@pytest.mark.slow
def test_killed_at_any_instant(make_daemon, registry, seed, tmp_path):
    chance = random.Random(seed)
    for begin in range(0, ROUNDS, ROUNDS_OF_ONE):
        daemon = make_daemon()
        following = witness(daemon, registry, tmp_path)
        for number in range(begin, min(ROUNDS, begin + ROUNDS_OF_ONE)):
            try:
                following.round(chance, lambda daemon: daemon.kill())
            except AssertionError as problem:
                raise AssertionError(f"round {number} of seed {seed}: {problem}") from problem
        jobs = following.settle()
        print(f"{len(jobs)} jobs, {sum(following.interruptions.values())} interruptions, "
              f"{len(following.journal.entries)} answers")
        assert following.interruptions, "no death came in the middle of a scan"
        following.journal.close()
        daemon.stop()


@pytest.mark.slow
def test_stopped_at_any_instant(make_daemon, registry, seed, tmp_path):
    """H114: the same with SIGTERM, at times two of them: exit 0, and all that holds of a killed one."""
    chance = random.Random(seed)
    following = witness(make_daemon(), registry, tmp_path)

    def stop(daemon):
        for _ in range(chance.choice([1, 2])):
            daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(60) == 0, daemon.tail()
        daemon.process = None

    for number in range(max(8, ROUNDS // 10)):
        try:
            following.round(chance, stop)
        except AssertionError as problem:
            raise AssertionError(f"round {number} of seed {seed}: {problem}") from problem
    following.settle()
    following.journal.close()
