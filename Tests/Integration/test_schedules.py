"""Schedules as a user meets them: what is refused and where, when the next run is, and polls that start by themselves."""
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from support.ttrpc import Caller

URL = ("--type", "docker-registry", "--url", "http://127.0.0.1:9")
WATCH_EVENTS = "tidewaiter.v1.System/WatchEvents"


def time(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


@pytest.mark.parametrize("flags,option,words", [
    (("--cron", "0 0 32 * *"), "--cron", ('"32" at character 5', "field 3 of 5, day of the month", "1 to 31", "1,15")),
    (("--cron", "0 2 * *"), "--cron", ("has 4 of 5 fields", "minute, hour, day of the month, month, day of the week")),
    (("--cron", "0 0 30 feb *"), "--cron", ('"30" at character 5', "never")),
    (("--every", "6w"), "--every", ('"w" at character 2', "30m, 6h or 1d")),
    (("--daily-at", "24:00"), "--daily-at", ('"24" at character 1', "00 to 23")),
    (("--weekly-on", "mon,someday@02:30"), "--weekly-on", ('"someday" at character 5', "sun, mon, tue")),
    (("--daily-at", "02:30", "--timezone", "Europe/Berlni"), "--timezone", ("perhaps Europe/Berlin",)),
    (("--daily-at", "02:30", "--timezone", "kolkata"), "--timezone", ("perhaps Asia/Kolkata",)),
    (("--daily-at", "02:30", "--timezone", "../UTC"), "--timezone", ("Europe/Berlin",)),
    (("--daily-at", "02:30", "--timezone", "right/UTC"), "--timezone", ("leap seconds",)),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else value)
def test_what_is_refused_says_where_and_what_would_be_right(module_daemon, flags, option, words):
    outcome = module_daemon.cli.fails("integration", "add", "x", *URL, *flags)
    assert option in outcome.err and all(word in outcome.err for word in words), outcome


def test_the_next_run_is_told_in_the_zones_time_and_in_utc(cli):
    zone = ZoneInfo("Asia/Kolkata")
    made = cli("integration", "add", "it", *URL, "--daily-at", "02:30", "--timezone", "Asia/Kolkata")
    now = time(made["createdAt"])
    due = now.astimezone(zone).replace(hour=2, minute=30, second=0, microsecond=0)
    due = due if due > now else due + timedelta(days=1)
    assert time(made["schedule"]["next"]) == due
    assert set(made["schedule"]) == {"kind", "value", "timezone", "next"} and made["warnings"] == [
        "plain HTTP: images and credentials can be read and changed on their way"]
    shown = cli.run("integration", "show", "it", output="table").out
    assert "daily 02:30 in Asia/Kolkata" in shown
    assert f"{due:%Y-%m-%d} 02:30:00 +05:30 ({due.astimezone(timezone.utc):%Y-%m-%d} 21:00:00Z)" in shown, shown
    assert f"{due:%Y-%m-%d} 02:30 +05:30 (21:00Z)" in cli.run("integration", "list", output="table").out
    # Elapsed time counts from the change.
    edited = cli("integration", "edit", "it", "--every", "6h")
    assert timedelta(hours=6) - timedelta(seconds=1) <= time(edited["schedule"]["next"]) - time(edited["updatedAt"]) <= timedelta(hours=6)
    kept = cli("integration", "edit", "it", "--description", "other")
    assert kept["schedule"] == edited["schedule"], "a change of another setting begins nothing anew"


def test_a_schedule_without_a_zone_goes_by_the_nodes(make_daemon):
    daemon = make_daemon(environment={"TZ": ":Asia/Tokyo"}).start()
    made = daemon.cli("integration", "add", "it", *URL, "--daily-at", "03:00")
    assert made["schedule"]["timezone"] == "" and time(made["schedule"]["next"]).hour == 18
    shown = daemon.cli.run("integration", "show", "it", output="table", environment={"TZ": "Asia/Tokyo"}).out
    assert "daily 03:00 in the node's time, Asia/Tokyo" in shown and "03:00:00 +09:00" in shown, shown


@pytest.mark.slow
def test_a_poll_starts_by_itself_and_one_that_a_kill_cut_short_is_made_up_for(daemon, cli, make_scripted):
    made = cli("integration", "add", "it", "--type", "docker-registry", "--url", make_scripted().url, "--every", "1m")
    cli("integration", "add", "by-hand", *URL)
    due = time(made["schedule"]["next"])
    with Caller(daemon.socket) as caller:
        for event in caller.open(WATCH_EVENTS, follow=True):
            if event.kind == "poll.started":
                break
    assert event.integration == "it" and event.detail == "schedule" and event.actor == ""
    assert due <= datetime.fromtimestamp(event.time.seconds, timezone.utc) < due + timedelta(minutes=1)
    assert time(cli("integration", "show", "it")["schedule"]["next"]) == due + timedelta(minutes=1)
    daemon.kill()
    daemon.start()
    with Caller(daemon.socket) as caller:
        started = [event for event in caller.open(WATCH_EVENTS) if event.kind == "poll.started"]
    assert all(event.integration == "it" for event in started)
    # Killed before its end or after: a poll that has ended is not repeated.
    polls = sorted(cli("integration", "polls", "it")["polls"], key=lambda poll: poll["id"])
    of_due = [poll for poll in polls if time(poll["scheduledFor"]) == due]
    assert [poll["state"] for poll in of_due[:-1]] == ["interrupted"] * (len(of_due) - 1) and len(of_due) <= 2, polls
    assert [poll["trigger"] for poll in of_due] == ["schedule", "missed"][:len(of_due)], polls
