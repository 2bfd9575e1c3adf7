"""The daemon dies in the middle of a poll, wherever that is: the record says so, the next poll completes, nothing is queued
twice, nothing is taken for gone."""
import itertools

import pytest

from support import ledger
from support.samples import sample

REPOSITORIES, TAGS = 4, 5
LISTINGS_AND_MANIFESTS = r"/v2/(_catalog|.*/(tags/list|manifests/))"


@pytest.fixture
def registry(make_scripted):
    """Repositories with tags of which two each point to one image; listings of several pages."""
    made = make_scripted()
    made.page_size = 2
    for repository, tag in itertools.product(range(REPOSITORIES), range(TAGS)):
        tags = [f"{tag}.0"] + (["latest"] if tag == TAGS - 1 else [])
        made.push(f"team/app{repository}", sample(f"{repository}.{tag}-r0"), *tags)
    return made


def content(registry):
    return {(repository, tag): digest for repository, tags in registry.repositories.items() for tag, digest in tags.items()}


class Victim:
    """A daemon that is killed when its registry is asked for something."""

    def __init__(self, daemon, registry):
        self.daemon, self.cli, self.registry = daemon, daemon.cli, registry
        self.made = 0

    def integration(self, *flags):
        """A new one, which knows nothing of its registry yet."""
        self.made += 1
        name = f"it{self.made}"
        self.cli.add_integration(name, self.registry.url, *flags)
        return name

    def requests_of_a_poll(self, name):
        """So many requests one poll makes, without scans."""
        self.registry.blobs_gate.close()
        self.registry.forget()
        self.cli.poll_only(name)
        count = len(self.registry.requests(pattern=LISTINGS_AND_MANIFESTS))
        self.registry.blobs_gate.open()
        return count

    def die(self, name, after):
        """Polls, and dies at the request after so many. False if the poll has none so late."""
        self.registry.blobs_gate.close()  # so that scans do not run ahead
        hold = self.registry.hold(after, pattern=LISTINGS_AND_MANIFESTS)
        started = self.cli("integration", "poll", name)["id"]
        hold.wait()
        assert next(poll for poll in self.cli.polls(name) if poll["id"] == started)["state"] == "running"
        self.daemon.kill()
        self.registry.clear()
        self.registry.blobs_gate.open()
        self.daemon.start()
        dead = next(poll for poll in self.cli.polls(name) if poll["id"] == started)
        assert dead["state"] == "interrupted" and dead["finishedAt"], dead
        return dead

    def images(self, name):
        return {(ledger.Reference.of(one["reference"]).repository, one["digest"]): one["status"]
                for one in self.cli.images("--integration", name)}

    def jobs(self, name):
        return [(ledger.Reference.of(job["reference"]).repository, job["digest"]) for job in self.cli.jobs()
                if job["reference"].startswith(name + "/")]


@pytest.fixture
def victim(daemon, registry):
    return Victim(daemon, registry)


def points(count, of):
    """So many different numbers of requests, spread over all."""
    return sorted({of * number // count for number in range(count)})


def test_the_first_poll_dies_at_every_point(victim, registry):
    """H41: at twenty points: whatever was queued until then is scanned once, and the next poll queues the rest."""
    total = victim.requests_of_a_poll(victim.integration())
    everything = ledger.images_of(content(registry))
    for after in points(20, total):
        name = victim.integration()
        victim.die(name, after)
        assert set(victim.images(name).values()) <= {"queued", "scanned"}
        coverage = victim.cli.coverage(name)
        assert {one["status"] for one in coverage["states"]} <= {"queued", "scanned"}, coverage
        before = victim.jobs(name)
        poll = victim.cli.poll(name)
        assert poll["state"] == "finished" and not poll["isPartial"] and poll["errors"] == [], poll
        jobs = victim.jobs(name)
        assert len(jobs) == len(set(jobs)) and set(jobs) == everything, after
        assert ledger.queued(victim.cli, poll) == everything - set(before)
        assert set(victim.images(name).values()) == {"scanned"}
        counts = ledger.check_sums(victim.cli, name, content(registry), repositories={"listed": REPOSITORIES})
        assert {state for state, _ in counts} == {"scanned"}


def test_a_later_poll_dies_at_every_point(victim, registry):
    """H41: a poll that would find new, moved and gone tags marks nothing as gone that is there, and hides nothing from the
    next one."""
    states = {}
    # Each integration knows what there was before the change.
    count = 8
    names = [victim.integration() for _ in range(count + 1)]
    for name in names:
        states[name] = victim.cli.poll(name)
    before = content(registry)
    registry.untag("team/app0", "0.0", "1.0")
    del registry.repositories["team/app3"]
    moved = registry.push("team/app1", sample("9.1-r0"), "1.0")
    fresh = registry.push("team/app2", sample("9.2-r0"), "9.0")
    registry.push("team/new", sample("9.3-r0"), "1.0")
    after = content(registry)
    gone = set(before) - set(after)
    new_images = ledger.images_of(after) - ledger.images_of(before)
    total = victim.requests_of_a_poll(names.pop())
    for name, point in zip(names, points(count, total)):
        victim.die(name, point)
        for repository, tag in after:
            if (repository, tag) in before:
                assert victim.cli.explain(f"{name}/{repository}:{tag}")["state"] != "gone", (repository, tag, point)
        poll = victim.cli.poll(name)
        assert poll["state"] == "finished" and not poll["isPartial"], poll
        queued = [image for image in victim.jobs(name)]
        assert len(queued) == len(set(queued)) and set(queued) == ledger.images_of(before) | new_images
        ledger.check_sums(victim.cli, name, after, gone, repositories={"listed": REPOSITORIES, "gone": 1})
        assert {tag for tag in gone if victim.cli.explain(f"{name}/{tag[0]}:{tag[1]}")["state"] == "gone"} == gone
        assert [entry["digest"] for entry in victim.cli.history(f"{name}/team/app1:1.0")] == [moved, before["team/app1", "1.0"]]
        assert victim.images(name)["team/app2", fresh] == "scanned"


def test_a_poll_that_rescans_dies(victim, registry):
    """D5: what was queued again before the death is not queued once more while it waits."""
    name = victim.integration("--rescan")
    victim.cli.poll(name)
    total = victim.requests_of_a_poll(name)
    victim.cli.wait_idle()
    images = ledger.images_of(content(registry))
    for after in points(4, total):
        before = len(victim.jobs(name))
        victim.die(name, after)
        poll = victim.cli.poll(name)
        assert poll["state"] == "finished"
        again = victim.jobs(name)[before:]
        # One that was scanned before the second poll came to it may be scanned again; none waits twice.
        assert set(again) == images
        assert len(ledger.queued(victim.cli, poll)) <= len(images)
        assert set(victim.images(name).values()) == {"scanned"}


def test_stopped_in_order(victim, registry, daemon):
    """SIGTERM in mid-poll is an interruption too, and says so."""
    name = victim.integration()
    hold = registry.hold(6, pattern=LISTINGS_AND_MANIFESTS)
    victim.cli("integration", "poll", name)
    hold.wait()
    daemon.stop()
    registry.clear()
    daemon.start()
    first, = victim.cli.polls(name)
    assert first["state"] == "interrupted", first
    assert victim.cli.poll(name)["state"] == "finished"
    jobs = victim.jobs(name)
    assert len(jobs) == len(set(jobs)) and set(jobs) == ledger.images_of(content(registry))
