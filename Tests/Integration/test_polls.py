"""Three polls of a registry of a hundred repositories of a hundred tags: all of it, nothing changed, and a day later, when
one in twenty tags is new and others have moved or are gone. What is queued is known to the last image, and what is asked of the
registry to the last request."""
import collections

import pytest

from support import ledger
from support.many_images import ManyImages
from support.samples import sample

REPOSITORIES, TAGS = 100, 100
VENDORS = {"harbor": ("--type", "harbor"), "plain": ("--type", "docker-registry")}
STABLE = ("--criteria", ":*-stable")  # one tag in fifty
LATEST = 2


@pytest.fixture(params=VENDORS)
def many(request):
    with ManyImages(vendor=request.param, repositories=REPOSITORIES, tags=TAGS) as registry:
        registry.kind = request.param
        yield registry


def add(cli, many, *flags):
    cli.run("integration", "add", "it", *VENDORS[many.kind], "--url", many.url, "--auth", "anonymous", *flags)


def digests(images):
    """{(repository, digest)} of {reference: Image}."""
    return {(image.repository, image.digest) for image in images.values()}


def changes(before, after):
    """The references of new, moved and gone tags."""
    moved = {name for name in before.keys() & after.keys() if before[name].digest != after[name].digest}
    return after.keys() - before.keys(), moved, before.keys() - after.keys()


def newest(images):
    """The newest tags of each repository."""
    by_repository = collections.defaultdict(list)
    for image in images.values():
        by_repository[image.repository].append(image)
    # Numbers of one width, and a tag of a later day follows the one that it was made from: natural order is that of text.
    return {image.reference: image for found in by_repository.values()
            for image in sorted(found, key=lambda one: (one.created, one.tag))[-LATEST:]}


def poll(many, cli):
    """A poll with its scans; answers its record and the requests that the poll alone has made, by kind."""
    cli.wait_idle()
    many.reset()
    record = cli.poll_only("it")
    cli.wait_idle()
    assert (record["state"], record["isPartial"], record["errors"]) == ("finished", False, []), record
    return record, many.requests()["requests"]


def check_unchanged(many, record, requests, tags):
    """D12 and design.md section 5: it costs one request a repository, or a HEAD a tag where the listing has no digests, and it
    never looks like a download."""
    assert (record["queued"], record["tagsNew"], record["tagsMoved"], record["tagsGone"]) == (0, 0, 0, 0), record
    reads = {kind: requests[kind] for kind in ("manifestGet", "configGet", "layerGet")}
    assert not any(reads.values()), reads
    if many.kind == "harbor":
        assert sum(requests.values()) <= 1.1 * REPOSITORIES + 10, requests
        assert requests["manifestHead"] == 0, requests
    else:
        assert requests["manifestHead"] <= tags, requests
        assert sum(requests.values()) - requests["manifestHead"] <= 1.1 * REPOSITORIES + 10, requests
    assert record["requests"] == sum(requests.values()), (record["requests"], requests)


def check_changes(cli, before, after, taken_before):
    """What is told of single tags that moved or are gone."""
    _, moved, gone = changes(before, after)
    for name in sorted(moved)[:3]:
        assert [one["digest"] for one in cli.history(f"it/{name}")][:2] == [after[name].digest, before[name].digest], name
    for name in sorted(gone)[:3]:
        told = cli.explain(f"it/{name}")
        assert told["state"] == "gone" and told["since"], told
    # An image is gone when no tag points to it any more.
    left = digests(taken_before) - digests(after)
    assert {(ledger.Reference.of(one["reference"]).repository, one["digest"]) for one in cli.images("--status", "gone")} == left
    assert left


def test_three_polls(cli, many):
    """By patterns: exactly those images are queued that are new, once."""
    add(cli, many, *STABLE)
    first, _ = poll(many, cli)
    before, taken = many.plan.images(day=0), many.plan.images(day=0, only_stable=True)
    assert (first["repositories"], first["tags"], first["tagsNew"]) == (REPOSITORIES, len(before), len(before))
    assert (first["selected"], first["rejected"]) == (len(taken), len(before) - len(taken))
    assert ledger.queued(cli, first) == digests(taken)
    counts = ledger.check_sums(cli, "it", before, repositories={"listed": REPOSITORIES})
    assert sum(count for (state, _), count in counts.items() if state == "scanned") == len(taken)

    second, requests = poll(many, cli)
    check_unchanged(many, second, requests, len(before))
    assert ledger.queued(cli, second) == set()
    assert ledger.check_sums(cli, "it", before) == counts

    many.go_to(day=1)
    third, requests = poll(many, cli)
    after, now_taken = many.plan.images(day=1), many.plan.images(day=1, only_stable=True)
    new, moved, gone = changes(before, after)
    assert len(new) > 300 and moved and gone
    assert ledger.queued(cli, third) == digests(now_taken) - digests(taken)
    assert (third["tags"], third["tagsNew"], third["tagsGone"]) == (len(after), len(new), len(gone)), third
    # What is rejected by its name is not asked for its digest where the listing does not tell it.
    seen_moving = moved if many.kind == "harbor" else {name for name in moved if name.endswith("-stable")}
    assert third["tagsMoved"] == len(seen_moving), third
    ledger.check_sums(cli, "it", after, gone, {"listed": REPOSITORIES})
    stable = {name: image for name, image in before.items() if name.endswith("-stable")}
    check_changes(cli, stable, {name: image for name, image in after.items() if name.endswith("-stable")}, taken)


def test_three_polls_of_the_newest(cli, many):
    """By date: every date is learnt once, and for good."""
    add(cli, many, "--latest", LATEST)
    first, requests = poll(many, cli)
    before = many.plan.images(day=0)
    assert ledger.queued(cli, first) == digests(newest(before))
    if many.kind == "harbor":
        assert requests["configGet"] <= len(newest(before)), "the listing tells the dates"
    second, requests = poll(many, cli)
    check_unchanged(many, second, requests, len(before))
    many.go_to(day=1)
    third, requests = poll(many, cli)
    after = many.plan.images(day=1)
    new, moved, gone = changes(before, after)
    assert ledger.queued(cli, third) == digests(newest(after)) - digests(newest(before))
    assert (third["tagsNew"], third["tagsMoved"], third["tagsGone"]) == (len(new), len(moved), len(gone)), third
    ledger.check_sums(cli, "it", after, gone, {"listed": REPOSITORIES})
    check_changes(cli, before, after, newest(before))


def test_three_polls_that_rescan(cli, many):
    """D5: every poll also queues what was pulled before and is still there, and nothing that is gone or was never pulled."""
    add(cli, many, *STABLE, "--rescan")
    taken = many.plan.images(day=0, only_stable=True)
    first, _ = poll(many, cli)
    assert ledger.queued(cli, first) == digests(taken)
    second, _ = poll(many, cli)
    assert ledger.queued(cli, second) == digests(taken)
    assert {job["priority"] for job in cli.jobs() if job["pollId"] == second["id"]} == {2}
    # Other criteria: what was pulled is scanned again all the same.
    many.go_to(day=1)
    cli.run("integration", "edit", "it", "--criteria", "project-0000/repository-00000*:*-stable")
    third, _ = poll(many, cli)
    after = many.plan.images(day=1, only_stable=True)
    chosen = {name: image for name, image in after.items() if image.repository.startswith("project-0000/repository-00000")}
    still_there = digests(taken) & digests(after)
    assert ledger.queued(cli, third) == still_there | digests(chosen)
    cli.run("integration", "edit", "it", "--no-rescan")
    fourth, requests = poll(many, cli)
    check_unchanged(many, fourth, requests, len(many.plan.images(day=1)))


# -- Debian's docker-registry

def test_a_real_registry(cli, make_registry):
    """Pushed, pushed again under the same tag, deleted: D12 with what people run."""
    real = make_registry()
    images = {tag: real.push("team/app", sample(f"1.{tag}-r0"), tag) for tag in ("1", "2", "3")}
    other = real.push("team/tool", sample("2.0-r0"), "1", "latest")
    cli.add_integration("it", real.url)
    first = cli.poll("it")
    assert ledger.queued(cli, first) == {("team/app", digest) for digest in images.values()} | {("team/tool", other)}
    assert (first["tags"], first["queued"], first["tagsNew"]) == (5, 4, 5)
    assert ledger.queued(cli, cli.poll("it")) == set()

    moved = real.push("team/app", sample("9.1-r0"), "1")
    fresh = real.push("team/app", sample("9.4-r0"), "4")
    real.push("team/app", sample("1.3-r0"), "3")  # the same as before
    third = cli.poll("it")
    assert ledger.queued(cli, third) == {("team/app", moved), ("team/app", fresh)}
    assert (third["tagsNew"], third["tagsMoved"], third["tagsGone"]) == (1, 1, 0), third
    assert [(one["digest"], one["ended"]) for one in cli.history("it/team/app:1")] == [(moved, ""), (images["1"], "moved")]
    assert cli.report(f"it/team/app@{images['1']}")["packages"][0]["version"] == "1.1-r0"

    pusher = real.pusher()
    pusher.request("DELETE", f"/v2/team/app/manifests/{images['2']}")
    pusher.request("DELETE", f"/v2/team/tool/manifests/{other}")
    there = ledger.listed(real.url)
    assert there == {("team/app", "1"), ("team/app", "3"), ("team/app", "4")}
    fourth = cli.poll("it")
    gone = {("team/app", "2"), ("team/tool", "1"), ("team/tool", "latest")}
    assert (fourth["tagsGone"], fourth["queued"]) == (3, 0), fourth
    assert ledger.states(ledger.check(cli, "it", there, gone)) == {tag: "scanned" for tag in there} | {tag: "gone" for tag in gone}
    assert {one["digest"] for one in cli.images("--status", "gone")} == {images["1"], images["2"], other}
    # The reports of what is gone stay.
    assert cli.report("it/team/app:2")["digest"] == images["2"]
    # Pushed again, it is what it was.
    real.push("team/app", sample("1.2-r0"), "2")
    fifth = cli.poll("it")
    assert (fifth["queued"], fifth["tagsNew"]) == (0, 1), fifth
    assert cli.explain("it/team/app:2")["state"] == "scanned"
