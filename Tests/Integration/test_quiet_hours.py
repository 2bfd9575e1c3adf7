"""Hours of the day in which scans do not start by themselves."""
import datetime

import pytest

from support.samples import sample


@pytest.mark.slow
def test_quiet_hours_end(make_daemon, make_scripted):
    """Half a minute before their end a person's image is scanned, and what a poll found when they are over, unasked."""
    daemon = make_daemon(environment={"TZ": "UTC"})
    daemon.travel(datetime.datetime(2031, 5, 6, 5, 59, 30, tzinfo=datetime.timezone.utc)).start()
    cli, registry = daemon.cli, make_scripted()
    registry.push("team/app", sample("1.0-r0"), "found")
    registry.push("team/app", sample("2.0-r0"), "asked")
    cli.add_integration("hub", registry.url, "--criteria", "team/app:found", "--quiet-hours", "22:00-06:00")
    cli.poll_only("hub")
    cli.run("image", "add", "hub/team/app:asked", "--wait")
    jobs = {job["reference"].split("@")[0].rpartition(":")[2]: job for job in cli.wait_idle()}
    assert {job["state"] for job in jobs.values()} == {"finished"}
    assert jobs["found"]["id"] < jobs["asked"]["id"]
    assert jobs["asked"]["startedAt"] < "2031-05-06T06:00:00" <= jobs["found"]["startedAt"], jobs


def test_quiet_hours_are_taken_back(make_daemon, make_scripted):
    """What waits for their end starts at once when there are none any more."""
    daemon = make_daemon(environment={"TZ": "UTC"})
    daemon.travel(datetime.datetime(2031, 5, 6, 12, 0, 0, tzinfo=datetime.timezone.utc)).start()
    cli, registry = daemon.cli, make_scripted()
    registry.push("team/app", sample(), "1")
    cli.add_integration("hub", registry.url, "--criteria", "team/app", "--quiet-hours", "10:00-20:00")
    cli.poll_only("hub")
    job, = cli.jobs()
    assert (job["state"], job.get("attempt", 0)) == ("pending", 0), job
    cli.run("integration", "edit", "hub", "--quiet-hours", "")
    job, = cli.wait_idle()
    assert job["state"] == "finished"
