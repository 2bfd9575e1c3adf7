"""When integrations are polled by themselves: next run times, runs that were missed, runs that meet (D3, D4). The daemon's
time of day is another's."""
import datetime
import os

import pytest

from support.samples import sample
from support.waiting import eventually

START = "2026-12-01 12:00:00"  # a Tuesday


@pytest.fixture
def registry(make_scripted):
    made = make_scripted()
    made.push("team/app", sample(), "1.0")
    return made


@pytest.fixture
def at(make_daemon):
    """Starts a daemon at a moment of UTC, or again at a later one; answers its client."""
    made = []

    def at(when, end="stop"):
        if made:
            getattr(made[0], end)()
        else:
            made.append(make_daemon(environment={"TZ": "UTC"}))
        return made[0].travel(datetime.datetime.fromisoformat(when + "+00:00")).start().cli
    return at


def automatic(cli, name, registry, *schedule):
    cli.add_integration(name, registry.url, "--mode", "automatic", *schedule)


def next_run(cli, name):
    return cli("integration", "show", name)["schedule"]["next"]


def triggers(cli, name):
    return [(poll["trigger"], poll["scheduledFor"]) for poll in cli.polls(name)]


def ended(cli, name, count=1):
    """The polls of an integration, when so many have ended."""
    def when_ended():
        polls = cli.polls(name)
        return polls if len(polls) >= count and all(poll["state"] != "running" for poll in polls) else None
    return eventually(when_ended, f"{count} polls of {name} to end")


# -- the next run

NEXT = {
    "daily": (("--daily-at", "11:00"), "2026-12-02T11:00:00Z"),
    "daily-later-today": (("--daily-at", "12:30"), "2026-12-01T12:30:00Z"),
    "weekly": (("--weekly-on", "mon,thu@02:30"), "2026-12-03T02:30:00Z"),
    "weekly-today-gone": (("--weekly-on", "tue@02:30"), "2026-12-08T02:30:00Z"),
    "leap-day": (("--cron", "0 2 29 2 *"), "2028-02-29T02:00:00Z"),
    "steps": (("--cron", "*/15 9-17 * * mon-fri"), "2026-12-01T12:15:00Z"),
    "either-day": (("--cron", "30 4 1,15 * fri"), "2026-12-04T04:30:00Z"),
    "names": (("--cron", "5 0 1 jan *"), "2027-01-01T00:05:00Z"),
    "east": (("--daily-at", "02:30", "--timezone", "Asia/Kolkata"), "2026-12-01T21:00:00Z"),
    "west": (("--daily-at", "20:00", "--timezone", "America/New_York"), "2026-12-02T01:00:00Z"),
    "over-a-change": (("--cron", "30 2 28 3 *", "--timezone", "Europe/Berlin"), "2027-03-28T01:00:00Z"),
}


def test_next_is_shown(at, registry):
    """In UTC, for each kind of schedule and for other time zones than the node's; a time that a change of the clock skips is
    the next valid minute."""
    cli = at(START)
    for name, (flags, _) in NEXT.items():
        automatic(cli, name, registry, *flags)
    shown = {one["name"]: one["schedule"]["next"] for one in cli("integration", "list")["integrations"]}
    assert shown == {name: expected for name, (_, expected) in NEXT.items()}
    automatic(cli, "every", registry, "--every", "6h")
    assert next_run(cli, "every").startswith("2026-12-01T18:0"), next_run(cli, "every")
    assert "2026-12-02" in cli.run("integration", "show", "daily", output="table").out
    # The same after a restart.
    cli = at("2026-12-01 12:01:00")
    listed = {one["name"]: one["schedule"]["next"] for one in cli("integration", "list")["integrations"]}
    assert listed.pop("every").startswith("2026-12-01T18:0")
    assert listed == {name: expected for name, (_, expected) in NEXT.items()}
    # Another schedule, another time; manual, none.
    cli.run("integration", "edit", "daily", "--daily-at", "13:00")
    assert next_run(cli, "daily") == "2026-12-01T13:00:00Z"
    cli.run("integration", "edit", "daily", "--mode", "manual")
    shown = cli("integration", "show", "daily")
    assert shown["schedule"] is None or shown["schedule"]["next"] is None


# -- runs

def test_a_run_at_its_time(at, registry):
    """It begins when it is due, queues what is new, and says why it ran."""
    automatic(at("2026-12-01 02:00:00"), "it", registry, "--daily-at", "02:30")
    cli = at("2026-12-01 02:29:57")
    poll, = ended(cli, "it")
    assert (poll["state"], poll["trigger"], poll["scheduledFor"], poll["actor"], poll["queued"]) == (
        "finished", "schedule", "2026-12-01T02:30:00Z", "", 1), poll
    assert poll["startedAt"] >= "2026-12-01T02:30:00Z"
    assert next_run(cli, "it") == "2026-12-02T02:30:00Z"
    assert [job["state"] for job in cli.wait_idle()] == ["finished"]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_missed_runs_are_made_up_once(at, registry, end):
    """However many were missed while the daemon was down, one poll makes up for them at its start; and only once."""
    cli = at(START)
    automatic(cli, "daily", registry, "--daily-at", "02:30")
    automatic(cli, "every", registry, "--every", "6h")
    cli.add_integration("manual", registry.url)
    assert cli.polls("daily") == cli.polls("every") == []
    cli = at("2026-12-04 13:00:00", end)
    daily, = ended(cli, "daily")
    every, = ended(cli, "every")
    assert (daily["trigger"], daily["scheduledFor"], daily["state"]) == ("missed", "2026-12-04T02:30:00Z", "finished"), daily
    assert every["trigger"] == "missed" and every["scheduledFor"].startswith("2026-12-04T12:0"), every
    assert next_run(cli, "daily") == "2026-12-05T02:30:00Z"
    assert next_run(cli, "every").startswith("2026-12-04T18:0")
    # D3: a manual one is never polled by itself.
    assert cli.polls("manual") == []
    cli = at("2026-12-04 13:05:00", end)
    assert len(cli.polls("daily")) == len(cli.polls("every")) == 1, (triggers(cli, "daily"), triggers(cli, "every"))
    # What comes next is a run of its own.
    cli = at("2026-12-05 02:40:00", end)
    assert [poll["trigger"] for poll in ended(cli, "daily", 2)] == ["missed", "missed"]
    assert cli.polls("manual") == []


def test_nothing_is_missed_before_there_was_a_schedule(at, registry):
    """An integration that becomes automatic does not make up for the time before."""
    cli = at(START)
    cli.add_integration("it", registry.url)
    cli = at("2026-12-04 12:00:00")
    cli.run("integration", "edit", "it", "--mode", "automatic", "--daily-at", "02:30")
    assert next_run(cli, "it") == "2026-12-05T02:30:00Z"
    cli = at("2026-12-04 12:01:00")
    assert cli.polls("it") == []
    # A manual poll does not move it.
    cli.poll("it")
    assert next_run(cli, "it") == "2026-12-05T02:30:00Z"
    assert triggers(cli, "it") == [("person", None)]
    assert cli.polls("it")[0]["actor"] == f"uid:{os.geteuid()}"


def test_runs_do_not_overlap(at, registry):
    """A run that is due while another one of its integration is on waits or is passed over; others run."""
    cli = at(START)
    for name in ("it", "other"):
        automatic(cli, name, registry, "--daily-at", "02:30")
    # Started again, it makes up for a run, of one of them for long; and then comes the next one's time.
    hold = registry.hold(1, pattern="/v2/team/app/tags")
    cli = at("2026-12-03 02:29:57")
    hold.wait()
    held, = [name for name in ("it", "other") if cli.polls(name)[0]["state"] == "running"]
    other, = {"it", "other"} - {held}
    first = cli.polls(held)[0]["id"]
    # The time has come when the next one is tomorrow's.
    eventually(lambda: next_run(cli, held) == "2026-12-04T02:30:00Z", "the time to pass")
    assert [(poll["id"], poll["trigger"]) for poll in cli.polls(held) if poll["state"] == "running"] == [(first, "missed")]
    hold.release()
    polls = ended(cli, held)
    assert 1 <= len(polls) <= 2 and {poll["state"] for poll in polls} == {"finished"}, polls
    if len(polls) == 2:
        assert polls[0]["finishedAt"] <= polls[1]["startedAt"] and polls[1]["trigger"] in ("schedule", "missed")
    assert [poll["trigger"] for poll in ended(cli, other, 2)] == ["missed", "schedule"]
    assert len(cli.jobs()) == 2, "one image of each integration"


def test_a_removed_or_manual_one_runs_no_more(at, registry):
    cli = at(START)
    for name in ("kept", "removed", "made-manual"):
        automatic(cli, name, registry, "--daily-at", "02:30")
    cli.run("integration", "remove", "removed")
    cli.run("integration", "edit", "made-manual", "--mode", "manual")
    cli = at("2026-12-02 12:00:00")
    ended(cli, "kept")
    assert cli.polls("made-manual") == []
    assert {event["integration"] for event in cli("events")["events"] if event["kind"] == "poll.started"} == {"kept"}


def test_an_image_of_a_manual_one_is_queued_at_once(at, registry):
    """D3: what a person adds is queued at once."""
    cli = at(START)
    cli.add_integration("it", registry.url, "--mode", "manual")
    assert cli.scan("it/team/app:1.0")["packages"]
    assert cli.polls("it") == []
