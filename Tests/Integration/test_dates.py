"""Dates of images: which of them count, what stands in for those that do not, and that the reason says so (D11)."""
import datetime
import re

import pytest

from support.samples import sample
from support.scripted import Reply

NOW = datetime.datetime.now(datetime.timezone.utc)


def moment(**ahead):
    """A moment so far from now, as a configuration writes it."""
    return (NOW + datetime.timedelta(**ahead)).strftime("%Y-%m-%dT%H:%M:%SZ")


CONFIG, PUSHED, FIRST_SEEN = "from the image config", "from the registry's push date", "first seen by the daemon"
REASON = re.compile(r"(?P<rule>.+) \((?:created|pushed) (?P<date>\d{4}-\d\d-\d\d), (?P<source>[^)]+)\)")

# What a configuration says, and the date that counts: None stands for the day it was first seen.
DATES = {
    "absent": (None, None),
    "empty": ("", None),
    "zero": ("0001-01-01T00:00:00Z", None),
    "before-the-epoch": ("1969-12-31T23:59:59Z", None),
    "epoch": ("1970-01-01T00:00:00Z", None),
    "before-1990": ("1989-12-31T23:59:59Z", None),
    "from-1990": ("1990-01-01T00:00:00Z", "1990-01-01"),
    "last-year-there-is": ("9999-12-31T23:59:59Z", None),
    "no-date": ("yesterday", None),
    "no-such-day": ("2024-02-30T00:00:00Z", None),
    "no-such-hour": ("2024-02-03T24:61:00Z", None),
    "no-zone": ("2024-02-03T04:05:06", "2024-02-03"),
    "long": ("2024-02-03T04:05:06Z" * 256, None),
    "hostile": ("2024-02-03\x1b[2J\n", None),
    "east": ("2024-02-03T00:30:00+05:30", "2024-02-02"),
    "west": ("2024-02-03T22:30:00-08:00", "2024-02-04"),
    "nanoseconds": ("2024-02-03T04:05:06.123456789Z", "2024-02-03"),
    "leap-second": ("2016-12-31T23:59:60Z", "2017-01-01"),
    "soon": (moment(hours=23), moment(hours=23)[:10]),
    "too-far-ahead": (moment(hours=26), None),
    "of-yesterday": (moment(days=-1), moment(days=-1)[:10]),
    "at-the-edge": (moment(days=-61), moment(days=-61)[:10]),
}


def push_all(registry, repository="dates/app"):
    for number, (name, (created, _)) in enumerate(DATES.items()):
        # An own image each, although many of them have the same date or none.
        registry.push(repository, sample(f"1.{number}-r0", config={} if created is None else {"created": created}, created=None), name)


def told(reason):
    match = REASON.fullmatch(reason)
    assert match, f"{reason!r} names no rule, date and source"
    return match.groups()


@pytest.fixture
def registry(make_scripted):
    made = make_scripted()
    push_all(made)
    return made


def test_created_within(cli, registry):
    """H40: whatever stands there, it is a date or it is none; the poll goes on, and the reason names the source."""
    cli.add_integration("it", registry.url, "--created-within", "60d")
    poll = cli.poll("it")
    assert (poll["state"], poll["tags"], poll["errors"]) == ("finished", len(DATES), [])
    taken = set()
    for name, (_, date) in DATES.items():
        explained = cli.explain(f"it/dates/app:{name}")
        day, source = (date, CONFIG) if date else (explained["firstSeenAt"][:10], FIRST_SEEN)
        # The very day it is, or the one before where midnight passed meanwhile, is never long ago.
        is_old = day < moment(days=-60)[:10]
        rule = "older than 60 days" if is_old else "within 60 days"
        assert told(explained["reason"]) == (rule, day, source), (name, explained)
        assert explained["state"] == ("rejected" if is_old else "scanned"), (name, explained)
        assert explained["createdFrom"] in (("config",) if date else ("", "first_seen")), (name, explained)
        taken |= set() if is_old else {name}
    assert {"absent", "zero", "soon", "too-far-ahead", "of-yesterday"} <= taken
    assert {tag for one in cli.images() for tag in one["tags"]} == taken
    # The same dates, asked for once more, are the same.
    registry.forget()
    assert cli.poll("it")["queued"] == 0
    assert registry.requests("GET", "/(manifests|blobs)/") == []


@pytest.mark.parametrize("created", [1706933106, {}, [], True], ids=str)
def test_a_date_that_is_no_text(cli, make_scripted, created):
    """H40: what is no text is no date: as if the configuration had none, and the others are decided on."""
    registry = make_scripted()
    registry.push("dates/odd", sample("1.0-r0", created=None, config={"created": created}), "1.0")
    registry.push("dates/app", sample("2.0-r0", created=None), "1.0")
    cli.add_integration("it", registry.url, "--created-within", "60d")
    poll = cli.poll("it")
    assert (poll["state"], poll["queued"]) == ("finished", 2), poll
    told = cli.explain("it/dates/odd:1.0")
    assert told["createdFrom"] == "first_seen" or "first seen" in told["reason"], told


def test_latest(cli, registry):
    """H40: by those dates, the newest five; what has none is as new as when it was seen first."""
    cli.add_integration("it", registry.url, "--latest", "5", "--never", ":too-far-ahead", "--never", ":no-*")
    preview = cli.preview("it")
    chosen = {one["reference"].partition("@")[0].rpartition(":")[2] for one in preview["images"] if one["selected"]}
    # All of the same moment: natural order decides. What is dated ahead of it is newer.
    of_now = sorted(name for name, (_, date) in DATES.items() if date is None and name != "too-far-ahead" and not name.startswith("no-"))
    assert chosen == {"soon", *of_now[-4:]}, preview
    for one in preview["images"]:
        if one["reasonCode"] not in ("latest", "not_latest"):
            continue
        rule, _, source = told(one["reason"])
        assert rule == ("among the newest 5" if one["selected"] else "not among the newest 5")
        assert source in (CONFIG, FIRST_SEEN)
    poll = cli.poll("it")
    assert poll["queued"] == 5 and {tag for one in cli.images() for tag in one["tags"]} == chosen


def test_latest_needs_all_dates(cli, make_scripted):
    """The newest of a repository are not known while one of its dates is not: nothing of it is taken or rejected on a guess."""
    registry = make_scripted()
    for number in range(4):
        registry.push("dates/app", sample(f"1.{number}-r0", created=f"2025-01-0{number + 1}T00:00:00Z"), f"{number}.0")
    registry.push("dates/other", sample("2.0-r0"), "1.0")
    unread = registry.repositories["dates/app"]["0.0"]
    registry.on("GET", f"/manifests/({unread}|0.0)$", lambda _: Reply(500))
    cli.add_integration("it", registry.url, "--latest", "2")
    poll = cli.poll("it")
    assert poll["queued"] == 1 and any("dates/app" in error for error in poll["errors"]), poll
    assert {cli.explain(f"it/dates/app:{number}.0")["state"] for number in range(4)} <= {"failed", "unknown"}
    registry.clear()
    assert cli.poll("it")["queued"] == 2
    assert {number for number in range(4) if cli.explain(f"it/dates/app:{number}.0")["state"] == "scanned"} == {2, 3}


def test_what_has_no_date_grows_old(daemon, cli, make_scripted):
    """The day it was first seen is kept: 61 days later it is older than 60 days, though nothing changed at the registry."""
    registry = make_scripted()
    registry.push("dates/app", sample("1.0-r0", created=None), "taken")
    cli.add_integration("it", registry.url, "--created-within", "60d")
    assert cli.poll("it")["queued"] == 1
    seen = cli.explain("it/dates/app:taken")["firstSeenAt"]
    daemon.stop()
    daemon.travel(datetime.timedelta(days=61)).start()
    poll = cli.poll("it")
    assert (poll["queued"], poll["selected"], poll["rejected"]) == (0, 0, 1)
    explained = cli.explain("it/dates/app:taken")
    assert explained["firstSeenAt"] == seen
    assert {one["digest"] for one in cli.images()} == {explained["digest"]}, "what was scanned is kept"
    preview, = cli.preview("it")["images"]
    assert told(preview["reason"]) == ("older than 60 days", seen[:10], FIRST_SEEN)
    # A new tag of the same digest is no younger than it.
    registry.repositories["dates/app"]["again"] = explained["digest"]
    cli.poll("it")
    assert told(next(one["reason"] for one in cli.preview("it")["images"] if ":again" in one["reference"]))[1:] == (seen[:10], FIRST_SEEN)


def test_push_dates(make_bench):
    """Where the registry tells when it was pushed, that stands in for what the image does not say; and what was pushed long ago
    is not read at all."""
    bench = make_bench("harbor", repositories=0, tags=0)
    content, long_ago, lately = bench.product.content, NOW - datetime.timedelta(days=90), NOW - datetime.timedelta(days=3)
    for number, (name, created, pushed) in enumerate([
            ("dated", moment(days=-5), lately), ("undated", None, lately), ("zero", "0001-01-01T00:00:00Z", lately),
            ("rebuilt-of-old", moment(days=-400), lately), ("old", moment(days=-5), long_ago), ("old-undated", None, long_ago)]):
        content.push(f"acme/{name}", sample(f"3.{number}-r0", created=created), "1", pushed=pushed)
    name = bench.add("full", "--created-within", "60d", "--criteria", "acme/dated", "--criteria", "acme/*old*", "--criteria", "acme/undated",
                     "--criteria", "acme/zero")
    bench.poll(name)
    day = lately.strftime("%Y-%m-%d")
    reasons = {repository: bench.cli.explain(f"{name}/acme/{repository}:1") for repository in (
        "dated", "undated", "zero", "rebuilt-of-old", "old", "old-undated")}
    assert {repository: told(one["reason"]) for repository, one in reasons.items()} == {
        "dated": ("within 60 days", moment(days=-5)[:10], CONFIG),
        "undated": ("within 60 days", day, PUSHED),
        "zero": ("within 60 days", day, PUSHED),
        "rebuilt-of-old": ("older than 60 days", moment(days=-400)[:10], CONFIG),
        "old": ("older than 60 days", long_ago.strftime("%Y-%m-%d"), PUSHED),
        "old-undated": ("older than 60 days", long_ago.strftime("%Y-%m-%d"), PUSHED),
    }
    assert {repository for repository, one in reasons.items() if one["state"] == "scanned"} == {"dated", "undated", "zero"}
    for repository in ("old", "old-undated"):
        assert bench.product.seen("manifest|blob", f"/acme/{repository}/") == []
    assert bench.product.violations == []
