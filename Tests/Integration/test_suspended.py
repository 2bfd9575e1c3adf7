"""Registries that grant so many requests and no more: a poll waits with its position, over a restart of the daemon too, and
goes on where it was. And polls that a person ends."""
import collections
import datetime
import email.utils
import time

import pytest

from support import ledger
from support.samples import sample
from support.scripted import Reply

REPOSITORIES, TAGS, LATEST = 5, 4, 2
WINDOW = datetime.timedelta(hours=6)


def created(repository, tag):
    return f"2025-0{repository + 1}-0{tag + 1}T00:00:00Z"


def seconds_until(text):
    return (datetime.datetime.fromisoformat(text) - datetime.datetime.now(datetime.timezone.utc)).total_seconds()


# -- Docker Hub

@pytest.fixture
def hub(make_bench):
    """Docker Hub with repositories whose tags must be read to be dated, and a budget that does not suffice for it."""
    bench = make_bench("docker-hub", repositories=0, tags=0)
    for repository in range(REPOSITORIES):
        for tag in range(TAGS):
            bench.product.content.push(f"acme/dated-{repository}", sample(f"{repository}.{tag}-r0", created=created(repository, tag)), f"{tag}.0")
    bench.product.pulls_max = 10
    return bench


def suspended(cli, name):
    return cli.poll_when(name, lambda poll: poll["state"] == "suspended", "the poll to be suspended")


def finished(cli, name):
    return cli.poll_when(name, lambda poll: poll["state"] not in ("running", "suspended"), "the poll to end")


def wanted(bench):
    """The images of the newest tags."""
    tags = {f"{number}.0" for number in range(TAGS - LATEST, TAGS)}
    return {(repository.name, tag.digest) for repository in bench.product.content.repositories.values() if "/dated-" in repository.name
            for tag in repository.tags.values() if tag.name in tags}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_goes_on_after_a_restart(hub, end):
    """registries.md 4.5: suspended when the budget ends, with the time at which it goes on; not interrupted by a restart, not
    resumed by one; then completed by the same poll, and what was done is not asked for again."""
    cli, product, daemon = hub.cli, hub.product, hub.daemon
    name = hub.add("full", "--latest", LATEST, "--criteria", "acme/dated-*")
    started = cli("integration", "poll", name)["id"]
    poll = suspended(cli, name)
    assert poll["id"] == started and poll["suspensions"] == 1 and poll["throttles"] >= 1, poll
    assert poll["resumesAt"] and seconds_until(poll["resumesAt"]) > 0 and poll["finishedAt"] is None, poll
    done = poll["repositoriesDone"]
    assert done < REPOSITORIES
    listings = len(product.seen("repositories|tags"))
    # Nothing is decided of what was not read.
    assert {one["status"] for one in cli.coverage(name)["states"]} <= {"queued", "scanned", "rejected"}

    daemon.stop() if end == "stop" else daemon.kill()
    daemon.start()
    again, = cli.polls(name)
    assert (again["id"], again["state"], again["resumesAt"]) == (started, "suspended", poll["resumesAt"]), again
    assert len(product.seen("repositories|tags")) == listings, "it was polled before its time"

    daemon.stop()
    product.pulls_max, product.pulls = 1000, 0
    product.clock.advance(WINDOW.total_seconds())
    daemon.travel(WINDOW).start()
    poll = finished(cli, name)
    assert (poll["id"], poll["state"], poll["resumesAt"], poll["suspensions"]) == (started, "finished", None, 1), poll
    assert poll["repositoriesDone"] == poll["repositories"] and poll["errors"] == [] and not poll["isPartial"], poll
    assert len(cli.polls(name)) == 1
    jobs = cli.wait_idle()
    assert {job["state"] for job in jobs} == {"finished"}, jobs
    assert ledger.queued(cli, poll) == wanted(hub)
    assert (poll["tags"], poll["selected"], poll["rejected"]) == (REPOSITORIES * TAGS, REPOSITORIES * LATEST, REPOSITORIES * (TAGS - LATEST)), poll

    lists = collections.Counter(one.line.split("/tags")[0] for one in product.seen("tags", "/dated-"))
    assert sum(count == 1 for count in lists.values()) >= done, lists
    reads = collections.Counter(one.line.split(" ")[1] for one in product.seen("manifest", r"^GET .*/dated-") if one.status == 200)
    of_scans = {f"/v2/{repository}/manifests/{digest}" for repository, digest in wanted(hub)}
    assert all(count <= (2 if line in of_scans else 1) for line, count in reads.items()), reads
    assert product.violations == []


def test_a_repository_larger_than_the_budget(make_bench):
    """What was read before the budget ended counts: window by window the poll gets further, and to its end."""
    bench = make_bench("docker-hub", repositories=0, tags=0)
    cli, product, tags, budget = bench.cli, bench.product, 24, 10
    for tag in range(tags):
        product.content.push("acme/dated-0", sample(f"1.{tag}-r0", created=f"2025-01-{tag + 1:02}T00:00:00Z"), f"{tag}.0")
    product.pulls_max = budget
    name = bench.add("full", "--latest", 1, "--criteria", "acme/dated-0")
    started = cli("integration", "poll", name)["id"]
    suspended(cli, name)
    windows, ahead = 1, datetime.timedelta()
    while (poll := cli.polls(name)[0])["state"] == "suspended":
        windows += 1
        assert windows <= tags // budget + 1, f"{budget} of {tags} images are read in each window, and again the next time: {poll}"
        bench.daemon.stop()
        product.pulls = 0
        product.clock.advance(WINDOW.total_seconds())
        ahead += WINDOW
        bench.daemon.travel(ahead).start()
        cli.poll_when(name, lambda one: one["state"] == "finished" or one["suspensions"] == windows, "the poll to end or to be suspended again")
    assert (poll["id"], poll["state"], poll["suspensions"]) == (started, "finished", windows - 1), poll
    assert product.violations == []


def test_a_suspended_poll_is_cancelled(hub):
    """It ends at once; what it has decided stays, and another poll does the rest."""
    cli, product = hub.cli, hub.product
    name = hub.add("full", "--latest", LATEST, "--criteria", "acme/dated-*")
    cli("integration", "poll", name)
    poll = suspended(cli, name)
    cancelled = cli("integration", "poll", name, "--cancel")
    assert (cancelled["id"], cancelled["state"], cancelled["resumesAt"]) == (poll["id"], "cancelled", None), cancelled
    assert cancelled["finishedAt"] and cancelled["repositoriesDone"] == poll["repositoriesDone"]
    hub.daemon.stop()
    product.pulls_max = None
    product.clock.advance(WINDOW.total_seconds())
    hub.daemon.travel(WINDOW).start()
    assert [one["state"] for one in cli.polls(name)] == ["cancelled"]
    poll = cli.poll(name)
    assert (poll["state"], poll["isPartial"]) == ("finished", False)
    jobs = [(ledger.Reference.of(job["reference"]).repository, job["digest"]) for job in cli.wait_idle()]
    assert len(jobs) == len(set(jobs)) and set(jobs) == wanted(hub)
    assert product.violations == []


# -- whatever the registry says of its patience

@pytest.fixture
def registry(make_scripted):
    made = make_scripted()
    for repository in range(REPOSITORIES):
        made.push(f"team/app{repository}", sample(f"{repository}.0-r0"), "1.0")
    return made


def refuse_after(registry, count, headers):
    """From the repository of that number on, the registry wants to be left alone."""
    for repository in range(count, REPOSITORIES):
        registry.on("GET|HEAD", f"/v2/team/app{repository}/", lambda _: Reply(429, headers()))


SAYS = {
    "seconds": lambda: (("Retry-After", "600"),),
    "date": lambda: (("Retry-After", email.utils.formatdate(time.time() + 600, usegmt=True)),),
    "reset-in": lambda: (("RateLimit-Limit", "100"), ("RateLimit-Remaining", "0"), ("RateLimit-Reset", "600")),
    "reset-at": lambda: (("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", str(int(time.time()) + 600))),
}


@pytest.mark.parametrize("says", SAYS)
def test_when_it_goes_on(cli, registry, says):
    """The moment is the one that the registry names, however it spells that."""
    refuse_after(registry, 3, SAYS[says])
    cli.add_integration("it", registry.url)
    cli("integration", "poll", "it")
    poll = suspended(cli, "it")
    assert 540 < seconds_until(poll["resumesAt"]) <= 605, poll
    assert poll["throttles"] >= 1 and poll["repositoriesDone"] < REPOSITORIES
    asked = len(registry.requests())
    # A second asker is told of the poll that there is, and does not disturb it.
    assert cli("integration", "poll", "it")["id"] == poll["id"]
    assert [one["state"] for one in cli.polls("it")] == ["suspended"]
    assert len(registry.requests()) == asked
    assert "suspended" in cli.run("integration", "polls", "it", output="table").out
    # Other integrations are not held up.
    cli.add_integration("other", registry.url, "--criteria", "team/app0")
    registry.clear()
    assert cli.poll("other")["queued"] == 1


def test_what_was_known_is_not_gone(daemon, cli, registry):
    """A poll that is suspended has not seen the rest: nothing of that is gone, and what is gone is found when it goes on."""
    cli.add_integration("it", registry.url)
    cli.poll("it")
    refuse_after(registry, 2, SAYS["seconds"])
    registry.untag("team/app4", "1.0")
    fresh = registry.push("team/app3", sample("9.0-r0"), "2.0")
    cli("integration", "poll", "it")
    poll = suspended(cli, "it")
    coverage = cli.coverage("it")
    assert {one["status"] for one in coverage["states"]} == {"scanned"}, coverage
    daemon.stop()
    registry.clear()
    registry.forget()
    daemon.travel(datetime.timedelta(hours=1)).start()
    poll = cli.poll_when("it", lambda one: one["id"] == poll["id"] and one["state"] == "finished", "the poll to go on to its end")
    assert (poll["tagsGone"], poll["tagsNew"], poll["isPartial"]) == (1, 1, False), poll
    assert ledger.queued(cli, poll) == {("team/app3", fresh)}
    ledger.check_sums(cli, "it", ledger.listed(registry.url), {("team/app4", "1.0")})


# -- polls that a person ends

def test_a_running_poll_is_cancelled(cli, registry):
    """It ends with what it has; nothing is gone because of it; the next one completes."""
    cli.add_integration("it", registry.url)
    cli.poll("it")
    fresh = registry.push("team/app4", sample("9.0-r0"), "2.0")
    hold = registry.hold(4)
    started = cli("integration", "poll", "it")["id"]
    hold.wait()
    cancelled = cli("integration", "poll", "it", "--cancel")
    assert cancelled["id"] == started
    poll = finished(cli, "it") if cancelled["state"] == "running" else cancelled
    last = next(one for one in cli.polls("it") if one["id"] == started)
    assert (last["state"], bool(last["finishedAt"]), last["tagsGone"], last["repositoriesGone"]) == ("cancelled", True, 0, 0), (poll, last)
    registry.clear()
    assert {one["status"] for one in cli.coverage("it")["states"]} <= {"scanned", "queued"}
    poll = cli.poll("it")
    assert poll["state"] == "finished" and poll["tagsGone"] == 0
    jobs = [job["digest"] for job in cli.jobs()]
    assert jobs.count(fresh) == 1 and len(jobs) == REPOSITORIES + 1
    assert [one["state"] for one in cli.polls("it")] == ["finished", "cancelled", "finished"]


def test_nothing_to_cancel(cli, registry):
    cli.add_integration("it", registry.url)
    cli.fails("integration", "poll", "it", "--cancel")
    cli.poll("it")
    cli.fails("integration", "poll", "it", "--cancel")
    assert [one["state"] for one in cli.polls("it")] == ["finished"]


def test_removed_while_suspended(cli, registry):
    """The integration's removal ends its poll, and frees its name."""
    refuse_after(registry, 2, SAYS["seconds"])
    cli.add_integration("it", registry.url)
    cli("integration", "poll", "it")
    suspended(cli, "it")
    cli.run("integration", "remove", "it")
    cli.fails("integration", "show", "it")
    registry.clear()
    cli.add_integration("again", registry.url)
    assert cli.poll("again")["state"] == "finished"
