"""Listings that are not whole: nothing is taken for gone because of them, and the poll's record says what was missing."""
import pytest

from simulators.vendors import simulator
from support import ledger
from support.samples import sample
from support.scripted import Reply

PAGE = 3


@pytest.fixture
def registry(make_scripted):
    """Seven repositories, one of which has seven tags; in pages of three."""
    made = make_scripted()
    made.page_size = PAGE
    for number in range(6):
        made.push(f"team/app{number}", sample(f"1.{number}-r0"), "1.0")
    for number in range(7):
        made.push("team/many", sample(f"2.{number}-r0"), f"{number}.0")
    return made


def content(registry):
    return {(repository, tag): digest for repository, tags in registry.repositories.items() for tag, digest in tags.items()}


@pytest.fixture
def known(cli, registry):
    """The client with an integration whose poll has seen everything."""
    cli.add_integration("it", registry.url)
    poll = cli.poll("it")
    assert poll["state"] == "finished" and not poll["isPartial"]
    ledger.check_sums(cli, "it", ledger.listed(registry.url), repositories={"listed": 7})
    return cli


def loop(registry, path):
    """The second page leads to itself (H32)."""
    def answer(request):
        if path in request.path and "last=" in request.path:
            reply = registry.usual(request, "")
            reply.headers = tuple(one for one in reply.headers if one[0] != "Link") + (("Link", f'<{request.path}>; rel="next"'),)
            return reply
        return None
    return answer


def first_again(registry, path):
    """`last` is taken no note of: always the first page, and always another one to come (H34)."""
    def answer(request):
        if path not in request.path:
            return None
        request.path = request.path.partition("?")[0] + f"?n={PAGE}"
        return registry.usual(request, "")
    return answer


def elsewhere(registry, path):
    """The next page is another host's (H35)."""
    def answer(request):
        if path in request.path and "last=" not in request.path:
            reply = registry.usual(request, "")
            reply.headers = tuple(one for one in reply.headers if one[0] != "Link") + (
                ("Link", f'<http://127.0.0.2:9{path}?last=x&n={PAGE}>; rel="next"'),)
            return reply
        return None
    return answer


def failing(status):
    def make(_, path):
        return lambda request: Reply(status) if path in request.path and "last=" in request.path else None
    return make


def cut(registry, path):
    """The second page ends in the middle."""
    def answer(request):
        if path not in request.path or "last=" not in request.path:
            return None
        reply = registry.usual(request, "")
        return Reply(200, reply.headers, reply.body[:len(reply.body) // 2])
    return answer


def no_list(body):
    def make(_, path):
        return lambda request: Reply(200, (("Content-Type", "application/json"),), body) if path in request.path else None
    return make


BENT = {
    "page-fails": failing(500), "page-forbidden": failing(403), "page-gone": failing(404), "loop": loop, "first-page-again": first_again,
    "leads-elsewhere": elsewhere, "cut": cut, "number": no_list(b'{"tags": 7, "repositories": 7}'), "object": no_list(b'{"tags": {}, "repositories": {}}'),
    "html": no_list(b"<html>Sign in</html>"),
}
TAGS_OF_MANY, CATALOG = "/v2/team/many/tags/list", "/v2/_catalog"


def nothing_is_gone(cli, registry):
    coverage = cli.coverage("it")
    assert "gone" not in {one["status"] for one in coverage["states"]}, coverage
    assert "gone" not in {one["state"] for one in coverage["repositoryStates"]}, coverage
    assert {one["status"] for one in cli.images()} == {"scanned"}
    return coverage


@pytest.mark.parametrize("bend", BENT)
def test_tags(known, registry, bend):
    """H32, H34, H35, H38: a list of tags that is not whole is said to be so, by the repository's name, and the others are polled."""
    registry.on("GET", TAGS_OF_MANY, BENT[bend](registry, TAGS_OF_MANY))
    fresh = registry.push("team/app5", sample("9.0-r0"), "2.0")
    poll = known.poll("it")
    assert poll["state"] == "finished" and poll["isPartial"], poll
    assert any("team/many" in error for error in poll["errors"]) and poll["errorCount"] >= 1, poll
    assert poll["tagsGone"] == poll["repositoriesGone"] == 0
    assert ledger.queued(known, poll) == {("team/app5", fresh)}
    coverage = nothing_is_gone(known, registry)
    assert coverage["isPartial"] and coverage["pollId"] == poll["id"]
    # What really went meanwhile is found by the next poll that sees everything.
    registry.clear()
    registry.untag("team/many", "6.0")
    poll = known.poll("it")
    assert (poll["state"], poll["isPartial"], poll["tagsGone"], poll["queued"]) == ("finished", False, 1, 0), poll
    ledger.check_sums(known, "it", content(registry), {("team/many", "6.0")}, {"listed": 7})


@pytest.mark.parametrize("bend", BENT)
def test_repositories(known, registry, bend):
    """H32, H34, H35, H38: the same of the list of repositories: what is on no page that was read is not gone."""
    registry.on("GET", CATALOG, BENT[bend](registry, CATALOG))
    poll = known("integration", "poll", "it", "--wait", code=None)
    assert poll["state"] in ("finished", "failed"), poll
    assert poll["isPartial"] or poll["state"] == "failed", poll
    assert poll["errors"] or poll["error"], poll
    assert poll["queued"] == poll["tagsGone"] == poll["repositoriesGone"] == 0
    nothing_is_gone(known, registry)
    registry.clear()
    del registry.repositories["team/app5"]
    poll = known.poll("it")
    assert (poll["state"], poll["isPartial"], poll["repositoriesGone"], poll["queued"]) == ("finished", False, 1, 0), poll
    ledger.check_sums(known, "it", content(registry), {("team/app5", "1.0")}, {"listed": 6, "gone": 1})


@pytest.mark.parametrize("answer", [b'{"tags": null}', b'{"name": "team/many"}', b'{"tags": []}'])
def test_a_repository_without_tags(known, registry, answer):
    """H38: that is a whole list, of nothing: the tags are gone."""
    registry.on("GET", TAGS_OF_MANY, lambda _: Reply(200, (("Content-Type", "application/json"),), answer))
    poll = known.poll("it")
    assert (poll["state"], poll["tagsGone"], poll["queued"]) == ("finished", 0, 0), "they are still served by their names"
    tags, registry.repositories["team/many"] = registry.repositories["team/many"], {}
    poll = known.poll("it")
    assert (poll["state"], poll["isPartial"], poll["tagsGone"]) == ("finished", False, 7), poll
    ledger.check_sums(known, "it", content(registry), {("team/many", tag) for tag in tags})
    assert {one["status"] for one in known.images("--repository", "team/many")} == {"gone"}
    # They come back as what they were, and need no second scan.
    registry.clear()
    registry.repositories["team/many"] = tags
    poll = known.poll("it")
    assert (poll["tagsNew"], poll["queued"]) == (7, 0), poll
    assert {one["status"] for one in known.images()} == {"scanned"}


def test_a_repository_that_vanishes_in_mid_poll(known, registry):
    """H39: gone between the list of repositories and that of its tags: recorded, and the others are polled."""
    registry.on("GET|HEAD", "/v2/team/app0/", lambda _: registry.error(404, "NAME_UNKNOWN"))
    poll = known.poll("it")
    assert (poll["state"], poll["queued"]) == ("finished", 0), poll
    assert poll["tagsGone"] == 1 or any("team/app0" in error for error in poll["errors"]), poll
    gone = {("team/app0", "1.0")} if poll["tagsGone"] else set()
    ledger.check_sums(known, "it", set(content(registry)) - gone, gone)


def test_a_page_that_changes_while_it_is_read(known, registry):
    """A tag that is pushed, and one that is deleted, between two pages: what stays is not gone, and comes once."""
    def change(request):
        if TAGS_OF_MANY in request.path and "last=" in request.path and "0.0" in registry.repositories["team/many"]:
            registry.untag("team/many", "0.0")
            registry.push("team/many", sample("2.6-r0"), "6.1")
        return None

    registry.on("GET", TAGS_OF_MANY, change)
    poll = known.poll("it")
    assert poll["state"] == "finished" and poll["queued"] == 0, poll
    registry.clear()
    again = known.poll("it")
    assert (poll["tagsGone"] + again["tagsGone"], poll["tagsNew"] + again["tagsNew"], again["queued"]) == (1, 1, 0), (poll, again)
    ledger.check_sums(known, "it", content(registry), {("team/many", "0.0")})


def test_names_that_are_none(known, registry):
    """H37: rejected one by one and counted; no address is made of them, and the rest is polled."""
    bad = ["../../v2/x", "%2e%2e/x", "A/B", "a//b", "x" * 300, "a b", "a\0b", "a\nb", "\x1b[2J", "", None, 7, ["team/app0"]]
    good = sorted(registry.repositories)
    registry.page_size = None
    registry.on("GET", CATALOG, lambda _: registry.json({"repositories": [*bad, *good]}))
    registry.on("GET", TAGS_OF_MANY, lambda _: registry.json({"name": "team/many", "tags": [
        *sorted(registry.repositories["team/many"]), "../../v2", "a b", "x" * 200, "sha256:" + "0" * 64, "", None, 7]}))
    registry.forget()
    poll = known.poll("it")
    assert poll["state"] == "finished" and poll["errorCount"] >= len(bad) + 6, poll
    paths = {one.path.partition("?")[0] for one in registry.requests()}
    assert all(path == CATALOG or path == "/v2/" or any(path.startswith(f"/v2/{name}/") for name in good) for path in paths), paths
    assert not any("a b" in path or "%" in path or ".." in path for path in paths)
    nothing_is_gone(known, registry)
    ledger.check_sums(known, "it", content(registry), repositories={"listed": 7})


# -- vendors' own listings

@pytest.mark.parametrize("vendor", ["harbor", "docker-hub"])
def test_listings_of_vendors(make_bench, vendor):
    """The same where a listing is the vendor's: one that loops, ends early, shrinks while it is read, or breaks for good."""
    bench = make_bench(vendor, "", *simulator(vendor).large)
    name = bench.add("full", "--criteria", "*/many:*99")
    first = bench.poll(name)
    assert first["state"] == "finished" and not first["isPartial"], first
    before = bench.cli.coverage(name)
    for kind in ("loop", "end", "shrink", "status", "truncate"):
        for listing in bench.product.listings.split("|"):
            bench.product.forget()
            # So often that no second try helps.
            fault = bench.product.fault(kind, on=listing, after=1, times=9 if kind in ("status", "truncate") else None)
            poll = bench.poll(name, code=None)
            coverage = bench.cli.coverage(name)
            assert "gone" not in {one["status"] for one in coverage["states"]}, (kind, listing, coverage)
            assert "gone" not in {one["state"] for one in coverage["repositoryStates"]}, (kind, listing, coverage)
            if fault.hits and kind in ("end", "status"):
                assert poll["isPartial"] or poll["state"] == "failed", (kind, listing, poll)
                assert poll["errors"] or poll["error"], (kind, listing, poll)
            assert poll["queued"] == 0 and coverage["tags"] >= before["tags"], (kind, listing, poll)
    bench.product.forget()
    last = bench.poll(name)
    assert (last["state"], last["isPartial"], last["queued"], last["tagsGone"], last["repositoriesGone"]) == ("finished", False, 0, 0, 0), last
    after = bench.cli.coverage(name)
    assert after["states"] == before["states"] and after["tags"] == before["tags"]
