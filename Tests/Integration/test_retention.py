"""What goes with time, and what never does: the daemon's time of day is another's."""
import datetime
import json

import pytest

from support.samples import sample
from support.waiting import eventually


def days(count):
    return datetime.timedelta(days=count)


@pytest.fixture
def scripted(make_scripted):
    made = make_scripted()
    made.push("team/app", sample("1.0-r0"), "kept")
    made.push("team/app", sample("2.0-r0"), "gone")
    return made


@pytest.fixture
def daemon(make_daemon, scripted):
    """One that has scanned both tags, of which one is gone since."""
    daemon = make_daemon().start()
    daemon.cli.add_integration("it", scripted.url)
    assert daemon.cli.poll("it")["state"] == "finished"
    scripted.untag("team/app", "gone")
    assert daemon.cli.poll_only("it")["tagsGone"] == 1
    return daemon


def later(daemon, count):
    daemon.stop()
    return daemon.travel(days(count)).start().cli


def collections(cli):
    """What the daemon's collections tell that they have removed."""
    told = map(json.loads, cli.run("events", output="jsonl").out.splitlines())
    return [event["detail"] for event in told if event["kind"] == "store.collected"]


def test_a_gone_image_goes_by_itself_and_a_tagged_one_stays(daemon):
    gone = next(image for image in daemon.cli.images("--status", "gone"))["reference"]
    cli = later(daemon, 85)
    assert len(cli.images()) == 2 and cli.report(gone)
    cli = later(daemon, 95)
    eventually(lambda: len(cli.images()) == 1, "the image that is gone to go")
    assert cli.report("it/team/app:kept")["packages"]
    cli.fails("image", "report", gone)
    [told] = eventually(lambda: collections(cli), "the event of the collection")
    assert "images: 1" in told and "jobs: 2" in told and "tags: 1" in told, told
    # The queue has forgotten its jobs, and takes the image again, without fetching a layer.
    assert cli.jobs() == []
    cli.run("image", "rescan", "it/team/app:kept", "--wait")
    assert cli.report("it/team/app:kept")["layers"][0]["cached"]


def test_a_shorter_time_is_kept_to_and_everything_else_stays(make_daemon, scripted, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("retention: {jobsDays: 2, eventsDays: 3, pollsMinimum: 1, pollsDays: 1}\n")
    daemon = make_daemon("--config", settings).start()
    daemon.cli.add_integration("it", scripted.url)
    for _ in range(3):
        daemon.cli.poll("it")
    cli = later(daemon, 2.5)
    [told] = eventually(lambda: collections(cli), "the event of the collection")
    assert told == "jobs: 2, polls: 2"
    assert len(cli.images()) == 2 and len(cli.polls("it")) == 1


def test_a_dry_run_tells_what_a_collection_then_removes(make_daemon, scripted, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("retention: {jobsDays: 1}\n")
    daemon = make_daemon("--config", settings).start()
    daemon.cli.add_integration("it", scripted.url)
    daemon.cli.poll("it")
    # One by hand before the time is over, so that none is due by itself when it is.
    assert later(daemon, 0.9)("gc")["removed"] == []
    cli = later(daemon, 1.2)
    told = cli("gc", "--dry-run")
    assert [(one["kind"], one["count"]) for one in told["removed"]] == [("jobs", 2)] and told["removed"][0]["rule"]
    assert len(cli.jobs()) == 2
    done = cli("gc")
    assert done["removed"] == told["removed"]
    assert cli.jobs() == [] and len(cli.images()) == 2
    assert cli("gc")["removed"] == []


@pytest.mark.parametrize("setting", ["jobsDays: 0", "eventsMaximum: 999", "pollsMinimum: 0", "layersDays: 36501", "jobs: 1"])
def test_a_setting_that_cannot_be_is_refused(make_daemon, tmp_path, setting):
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"retention:\n  {setting}\n")
    text = make_daemon("--config", settings).refuses_to_start()
    assert "retention." + setting.partition(":")[0] in text and "line 2" in text


def test_a_store_that_is_nearly_full_says_so(make_daemon, tmp_path, tls):
    settings = tmp_path / "settings.yaml"
    settings.write_text("store: {mapSizeBytes: 1048576}\n")
    daemon = make_daemon("--config", settings).start()
    cli = daemon.cli

    def told():
        return [problem for problem in cli("status")["problems"] if "full" in problem["message"]]

    assert not told()
    # Certificates make large records.
    authority = tmp_path / "ca.pem"
    authority.write_text(tls.ca.read_text() * 40)
    for number in range(40):
        cli.add_integration(f"it-{number}", "https://registry.example", "--ca-file", authority)
        if told():
            break
    [problem] = told()
    assert "nearly full" in problem["message"] and "retention" in problem["hint"] and "store.mapSizeBytes" in problem["hint"]
    # What is left is enough to take something away, which helps at once.
    while number >= 0:
        cli.run("integration", "remove", f"it-{number}")
        number -= 1
    eventually(lambda: not told(), "the store to have room again")
