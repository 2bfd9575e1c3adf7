"""What people can do with the queue: cancel, retry, reorder, pause, clear, count and watch."""
import json
import os
import subprocess

import pytest

from support.samples import sample
from support.terminal import Terminal
from support.waiting import eventually

OPEN = ("pending", "in_progress", "parsing_results")


@pytest.fixture
def held(daemon, make_scripted):
    """A registry that holds all layers back, as the integration `hub`, one scan at a time: `app0` … `app5`."""
    scripted = make_scripted()
    for number in range(6):
        scripted.push(f"app{number}", sample(f"1.{number}-r0"), "1")
    scripted.blobs_gate.close()
    daemon.cli.add_integration("hub", scripted.url, "--max-scans", "1")
    return scripted


@pytest.fixture
def real(daemon, registry, request):
    """Images in a real registry, as the integration `real`, one scan at a time: repositories of the test's own, by short names."""
    prefix = "queue-" + request.node.name.replace("_", "-")[:40].strip("-")
    names = {}
    for short in ("a", "b", "c", "d"):
        names[short] = f"{prefix}/{short}"
        registry.push(names[short], sample(f"1.{len(names)}-r0", f"lib{prefix}"), "1")
    daemon.cli.add_integration("real", registry.url, "--criteria", prefix + "/*", "--max-scans", "1")
    return names


def add(cli, *references):
    """Queues images by hand; answers the numbers of their jobs."""
    return [job["id"] for job in cli("image", "add", *references)["jobs"]]


def show(cli, job):
    return cli("queue", "show", str(job))["jobs"][0]


def listed(cli, *flags):
    return [job["id"] for job in cli("queue", "list", *flags)["jobs"]]


def wait_for(cli, job, state):
    return eventually(lambda: (found := show(cli, job))["state"] == state and found, f"job {job} to be {state}")


def started(cli):
    """The jobs of all attempts, in the order in which they began."""
    events = cli("events")["events"]
    return [event["jobId"] for event in events if event["kind"] == "job.changed" and event["state"] == "in_progress"]


# -- cancelling

def test_jobs_are_cancelled_by_their_numbers_the_one_that_runs_too(cli, held):
    jobs = add(cli, *(f"hub/app{number}:1" for number in range(4)))
    running, second, third, last = jobs
    wait_for(cli, running, "in_progress")
    outcome = cli("queue", "cancel", running, third)
    assert [(one["jobId"], one["changed"], one["state"]) for one in outcome["jobs"]] == [
        (running, True, "cancelled"), (third, True, "cancelled")]
    # Its slot is free at once, although its layer never came.
    wait_for(cli, second, "in_progress")
    held.blobs_gate.open()
    cli.wait_idle()
    assert {job["id"]: job["state"] for job in cli.jobs()} == {
        running: "cancelled", second: "finished", third: "cancelled", last: "finished"}
    ended = show(cli, running)
    assert ended["error"]["code"] == "CANCELLED" and "uid:0" in ended["error"]["message"] and ended["error"]["hint"]
    assert [attempt["outcome"] for attempt in ended["attempts"]] == ["cancelled"]
    assert show(cli, third)["attempts"] == []
    # What has ended is left, and said to be.
    again = cli("queue", "cancel", running, second)
    assert [(one["changed"], one["state"]) for one in again["jobs"]] == [(False, "cancelled"), (False, "finished")]


def test_one_unknown_number_and_nothing_is_cancelled(cli, held):
    jobs = add(cli, "hub/app0:1", "hub/app1:1")
    outcome = cli.fails("queue", "cancel", *jobs, 4711)
    assert outcome.error["code"] == "NOT_FOUND" and "4711" in outcome.error["message"]
    assert all(show(cli, job)["state"] in OPEN for job in jobs)
    held.blobs_gate.open()
    cli.wait_idle()


def test_a_selection_is_cancelled_at_once_also_when_the_daemon_dies(daemon, cli, real):
    cli.run("queue", "pause")
    cli.poll_only("real")
    kept = cli.job(f"real/{real['b']}")["id"]
    outcome = cli("queue", "cancel", "--integration", "real", "--repository", "*/a")
    assert outcome["matchedMaximum"] == 4 and outcome["jobs"] == []
    doomed = cli.job(f"real/{real['a']}")["id"]
    assert show(cli, doomed)["state"] == "cancelled"
    assert doomed not in listed(cli, "--state", "pending") and kept in listed(cli, "--state", "pending")
    daemon.kill()
    daemon.start()
    assert show(cli, doomed)["state"] == "cancelled" and listed(cli, "--state", "cancelled") == [doomed]
    cli.run("queue", "resume")
    cli.wait_idle()
    assert {job["state"] for job in cli.jobs() if job["id"] != doomed} == {"finished"}
    eventually(lambda: {one["state"]: one["count"] for one in cli("queue", "stats")["states"]}["cancelled"] == 1,
               "the cancellation to be carried out")


def test_all_are_cancelled_and_what_comes_later_is_not(cli, held):
    jobs = add(cli, *(f"hub/app{number}:1" for number in range(4)))
    wait_for(cli, jobs[0], "in_progress")
    assert cli("queue", "cancel", "--all")["matchedMaximum"] == 4
    assert {show(cli, job)["state"] for job in jobs} == {"cancelled"}
    held.blobs_gate.open()
    # The same image, a moment later: a new job.
    later, = add(cli, "hub/app2:1")
    assert later not in jobs
    wait_for(cli, later, "finished")
    assert {show(cli, job)["state"] for job in jobs} == {"cancelled"}


def test_a_terminal_asks_before_all_are_cancelled(daemon, cli, held):
    cli.run("queue", "pause")
    jobs = add(cli, "hub/app0:1", "hub/app1:1")

    def talk(*flags):
        return Terminal(daemon.binaries.client, "--socket", daemon.socket, "queue", "cancel", "--all", *flags)
    terminal = talk()
    terminal.answer("Cancel all: 2 jobs pending, in progress or parsing results?", "")
    code, text = terminal.end()
    assert code == 1 and "nothing was changed" in text
    assert listed(cli, "--state", "pending") == jobs
    terminal = talk("--yes")
    code, text = terminal.end()
    assert code == 0 and "cancelled 2 jobs" in text and "yes, no" not in text
    add(cli, "hub/app2:1")
    terminal = talk()
    terminal.answer("Cancel all: 1 job ", "yes")
    assert terminal.end()[0] == 0
    assert listed(cli, "--state", "pending") == []


# -- again

def test_what_failed_is_retried_by_its_code(cli, make_scripted):
    scripted = make_scripted()
    for number in range(3):
        scripted.push(f"app{number}", sample(f"1.{number}-r0"), "1", blobs=number == 0)
    cli.add_integration("hub", scripted.url, "--max-scans", "1")
    whole, *broken = add(cli, "hub/app0:1", "hub/app1:1", "hub/app2:1")
    cli.wait_idle()
    error = show(cli, broken[0])["error"]
    assert show(cli, whole)["state"] == "finished" and error["hint"]
    assert [attempt["outcome"] for attempt in show(cli, broken[0])["attempts"]][-1] == "failed"
    failure, = cli("queue", "stats")["failures"]
    assert (failure["code"], failure["jobs"], failure["retry"]) == (error["code"], 2, "permanent") and failure["hint"]
    assert "permanent" in cli.run("queue", "stats", output="table").out
    assert listed(cli, "--state", "error") == sorted(broken, reverse=True)
    for number in range(1, 3):
        scripted.push(f"app{number}", sample(f"1.{number}-r0"), "1")
    outcome = cli("queue", "retry", "--integration", "hub", "--error", error["code"])
    assert (outcome["queued"], outcome["existed"]) == (2, 0)
    cli.wait_idle()
    for job in broken:
        again = show(cli, job)
        assert again["state"] == "finished" and again["error"] is None and again["attempt"] == 1
        assert [attempt["outcome"] for attempt in again["attempts"]] == ["failed", "finished"]
    assert cli("queue", "stats")["failures"] == []
    outcome = cli("queue", "retry", whole)
    assert outcome["jobs"][0]["changed"] and outcome["jobs"][0]["state"] == "pending"
    wait_for(cli, whole, "finished")


def test_an_image_that_is_queued_is_not_queued_twice(cli, held):
    cli.run("queue", "pause")
    first, = add(cli, "hub/app0:1")
    again = cli("image", "add", "hub/app0:1")["jobs"]
    assert [job["id"] for job in again] == [first]
    cli.run("queue", "cancel", first)
    second, = add(cli, "hub/app0:1")
    assert second != first
    outcome = cli("queue", "retry", first, second)
    assert [(one["changed"], one["existingJobId"]) for one in outcome["jobs"]] == [(False, second), (False, second)]
    assert outcome["existed"] == 2
    assert listed(cli, "--state", "pending") == [second]


# -- the line

def test_a_priority_changes_the_order(cli, real):
    cli.run("queue", "pause")
    cli.poll_only("real")
    jobs = [cli.job(f"real/{real[short]}")["id"] for short in "abcd"]
    line = listed(cli, "--state", "pending")
    assert sorted(line) == sorted(jobs)
    last, third = line[3], line[2]
    assert [show(cli, job)["position"] for job in line] == [1, 2, 3, 4]
    assert cli("queue", "prioritize", last, "--to", "person")["changed"] == 1
    assert cli("queue", "prioritize", line[0], "--to", "rescan")["changed"] == 1
    expected = [last, line[1], third, line[0]]
    assert listed(cli, "--state", "pending") == expected
    assert listed(cli, "--state", "pending", "--limit", "2") == expected[:2]
    assert show(cli, last)["position"] == 1 and show(cli, line[0])["position"] == 4
    outcome = cli("queue", "prioritize", "--repository", "*/" + "abcd"[jobs.index(third)], "--to", "person")
    assert outcome["changed"] == 1
    # Among those of one priority it is the order of receipt.
    expected = sorted([last, third]) + [line[1], line[0]]
    assert listed(cli, "--state", "pending") == expected
    cli.run("queue", "resume")
    cli.wait_idle()
    assert started(cli) == expected
    assert listed(cli, "--state", "finished", "--state", "cancelled")[-1] == expected[0]


# -- rest

def test_a_pause_of_everything_survives_a_restart(daemon, cli, real):
    pauses = cli("queue", "pause", "--reason", "the registry moves")["pauses"]
    assert [(one["integration"], one["actor"], one["reason"]) for one in pauses] == [("", "uid:0", "the registry moves")]
    job, = add(cli, f"real/{real['a']}:1")
    daemon.kill()
    daemon.start()
    waiting = show(cli, job)
    assert (waiting["state"], waiting["waitReason"], waiting["position"]) == ("pending", "queue_paused", 1)
    assert "the registry moves" in waiting["waitDetail"]
    status = cli("status")
    assert status["pauses"][0]["reason"] == "the registry moves"
    assert any("paused by uid:0: the registry moves" in one["message"] for one in status["problems"])
    assert "queue resume" in cli.run("status", output="table").out
    assert cli("queue", "resume")["pauses"] == []
    wait_for(cli, job, "finished")
    kinds = [event["kind"] for event in cli("events")["events"]]
    assert kinds.count("queue.paused") == kinds.count("queue.resumed") == 1


def test_a_pause_of_one_integration_leaves_the_others(cli, real, held):
    held.blobs_gate.open()
    cli.run("queue", "pause", "--integration", "hub")
    paused, = add(cli, "hub/app0:1")
    free, = add(cli, f"real/{real['a']}:1")
    wait_for(cli, free, "finished")
    assert show(cli, paused)["waitReason"] == "integration_paused"
    assert [one["integration"] for one in cli("queue", "stats")["pauses"]] == ["hub"]
    # The whole queue is another matter.
    assert [one["integration"] for one in cli("queue", "resume")["pauses"]] == ["hub"]
    assert show(cli, paused)["state"] == "pending"
    assert cli("queue", "resume", "--integration", "hub")["pauses"] == []
    wait_for(cli, paused, "finished")
    assert cli.fails("queue", "pause", "--integration", "nowhere").error["code"] == "NOT_FOUND"


def test_what_runs_goes_on_through_a_pause(cli, held):
    running, waiting = add(cli, "hub/app0:1", "hub/app1:1")
    wait_for(cli, running, "in_progress")
    cli.run("queue", "pause")
    held.blobs_gate.open()
    wait_for(cli, running, "finished")
    assert show(cli, waiting)["state"] == "pending" and started(cli) == [running]
    cli.run("queue", "resume")
    wait_for(cli, waiting, "finished")


# -- what there was

def test_ended_jobs_are_cleared_and_images_stay(cli, real):
    finished, cancelled = add(cli, f"real/{real['a']}:1", f"real/{real['b']}:1")
    cli.wait_idle()
    cli.run("queue", "pause")
    waiting, again = add(cli, f"real/{real['c']}:1", f"real/{real['d']}:1")
    cli.run("queue", "cancel", again)
    assert cli("queue", "clear")["cleared"] == 2
    assert listed(cli) == [waiting, again]
    assert cli.fails("queue", "show", finished).error["code"] == "NOT_FOUND"
    assert cli("queue", "clear", "--state", "error")["cleared"] == 0
    assert cli("queue", "clear", waiting)["jobs"][0]["changed"] is False
    assert cli("queue", "clear", "--all")["cleared"] == 1
    assert listed(cli) == [waiting]
    told = [event for event in cli("events")["events"] if event["kind"] == "queue.cleared"]
    assert [(event["actor"], event["detail"]) for event in told] == [
        (f"uid:{os.getuid()}", f"at most {count} jobs") for count in (2, 1)]
    assert cli.report(f"real/{real['a']}:1")["packages"]
    cli.run("queue", "resume")
    cli.wait_idle()


def test_a_selection_that_says_nothing_is_refused(cli):
    for command in (["cancel"], ["retry"], ["prioritize", "--to", "person"], ["cancel", "1", "--all"]):
        cli.fails("queue", *command, code=2)
    outcome = cli.fails("queue", "cancel", "--state", "finished")
    assert "states" in outcome.error["message"] and outcome.error["code"] == "INVALID_ARGUMENT"
    assert cli.fails("queue", "retry", "--error", "no code").error["details"][-1]["hint"]
    assert cli.fails("queue", "cancel", "--repository", "a:b").error["code"] == "INVALID_ARGUMENT"


# -- what is seen

def test_the_keys_that_programs_rely_on(cli, held):
    cli.run("integration", "edit", "hub", "--scan-timeout", "10m")
    held.blobs_free = 1  # the image's config
    running, waiting = add(cli, "hub/app0:1", "hub/app1:1")
    wait_for(cli, running, "in_progress")
    for job in cli("queue", "list")["jobs"] + [show(cli, running)]:
        assert {"id", "reference", "digest", "state", "attempt", "maxAttempts", "priority", "enqueuedAt", "error"} <= set(job)
    now = eventually(lambda: (job := show(cli, running))["layersTotal"] and job, "the manifest to be read")
    assert (now["limit"], now["layersTotal"], now["layersDone"], now["attempt"], now["maxAttempts"]) == (600, 1, 0, 1, 3)
    assert now["elapsed"] >= 0 and now["bytesTotal"] > 0 and now["actor"] == "uid:0"
    assert [(attempt["outcome"], attempt["layersTotal"]) for attempt in now["attempts"]] == [("running", 1)]
    next_one = show(cli, waiting)
    assert (next_one["position"], next_one["waitReason"]) == (1, "integration_busy")
    stats = cli("queue", "stats", "--integration", "hub")
    assert {one["state"]: one["count"] for one in stats["states"]} == {
        "pending": 1, "in_progress": 1, "parsing_results": 0, "finished": 0, "error": 0, "cancelled": 0}
    assert [one["integration"] for one in stats["integrations"]] == ["hub"] and stats["oldestPendingAt"]
    assert stats["scannerSlots"] >= 1 and stats["slotsBusy"] + stats["slotsStalled"] == 1
    for command, words in ((["show", running], ["elapsed", "of 10m", "running"]), (["stats"], ["oldest waits", "scanner slots", "hub"]),
                           (["show", waiting], ["position", "integration busy"])):
        text = cli.run("queue", *command, output="table").out
        assert all(word in text for word in words), text
    held.blobs_gate.open()
    cli.wait_idle()
    measured = cli("queue", "stats")["throughput"]
    assert measured["jobs"] == 2 and measured["bytes"] > 0 and measured["jobsPerSecond"] > 0


def test_a_terminal_shows_the_queue_as_it_is(daemon, cli, held):
    jobs = add(cli, *(f"hub/app{number}:1" for number in range(3)))
    wait_for(cli, jobs[0], "in_progress")
    terminal = Terminal(daemon.binaries.client, "--socket", daemon.socket, "queue", "watch", "--timeout", "300s")
    terminal.expect("RUNNING")
    terminal.expect("hub/app0:1")
    terminal.expect("NEXT")
    terminal.expect("hub/app1:1")
    cli.run("queue", "pause", "--reason", "for\x1b[2J now")
    terminal.expect("paused: the whole queue")
    # Nothing that others wrote reaches the terminal as it is.
    terminal.expect("for\\x1b[2J now")
    held.blobs_gate.open()
    terminal.expect("ENDED")
    terminal.expect("finished")
    cli.run("queue", "resume")
    terminal.expect("3 finished")
    daemon.restart()
    terminal.expect("3 finished")
    terminal.kill()


def test_a_pipe_gets_a_line_for_each_change(daemon, cli, held):
    watch = subprocess.Popen([daemon.binaries.client, "--socket", str(daemon.socket), "-o", "jsonl", "queue", "watch"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        job, = add(cli, "hub/app0:1")
        held.blobs_gate.open()
        states = []
        while not states or states[-1] not in ("finished", "error"):
            told = json.loads(watch.stdout.readline())
            states += [told["state"]] if told["id"] == job else []
        assert states == [state for state in ("pending", "in_progress", "parsing_results", "finished") if state in states]
        assert states[-2:] == ["parsing_results", "finished"]
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()


def test_what_is_kept_no_longer_is_told_and_removed(cli, real):
    add(cli, f"real/{real['a']}:1")
    cli.wait_idle()
    told = cli("gc", "--dry-run")
    assert told["dryRun"] and told["storeBytesUsed"] > 0 and told["storeBytesLimit"] > told["storeBytesUsed"]
    assert "store" in cli.run("gc", output="table").out
    assert cli("status")["storeFileBytes"] > 0
