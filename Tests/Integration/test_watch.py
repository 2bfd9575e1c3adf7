"""Streams that users need: events, jobs and polls, across restarts, and with readers of every kind."""
import signal

import pytest

from support import osv
from support.images import image, layer
from support.packages import alpine
from support.ttrpc import CallFailed, Caller, response
from support.waiting import eventually

WATCH_EVENTS = "tidewaiter.v1.System/WatchEvents"
WATCH_JOBS = "tidewaiter.v1.Queue/WatchJobs"
WATCH_POLL = "tidewaiter.v1.Integrations/WatchPoll"
ADVISORIES = "tidewaiter.v1.Advisories"
ADD_IMAGE = "tidewaiter.v1.Images/AddImage"
PENDING, IN_PROGRESS, PARSING, FINISHED, ERROR, CANCELLED = range(1, 7)


@pytest.fixture
def registry_of_five(make_scripted):
    scripted = make_scripted()
    for number in range(5):
        scripted.push(f"app{number}", image([layer(alpine((f"package-{number}", "1.0-r0")))]), "1")
    return scripted


def events_of(daemon, **request):
    with Caller(daemon.socket) as caller:
        return list(caller.open(WATCH_EVENTS, **request))


def test_one_scan_is_told_from_end_to_end(daemon, cli, registry_of_five):
    cli.add_integration("hub", registry_of_five.url)
    cli.run("image", "add", "hub/app0:1", "--wait")
    cli.run("integration", "remove", "hub")
    events = events_of(daemon)
    assert [(event.kind, event.state) for event in events] == [
        ("integration.created", ""), ("job.queued", "pending"), ("job.changed", "in_progress"),
        ("job.changed", "parsing_results"), ("job.changed", "finished"), ("image.scanned", "scanned"),
        ("integration.removed", "")]
    assert {event.integration for event in events} == {"hub"}
    assert {event.job_id for event in events[1:6]} == {1}
    assert events[1].reference.startswith("hub/app0:1@sha256:") and events[1].actor == "uid:0"
    assert events[5].detail == "0 critical, 0 high, 0 medium, 0 low, 0 unknown"
    times = [event.time.seconds for event in events]
    assert times == sorted(times) and times[0] > 1_700_000_000


def test_failures_and_imports_are_told(daemon, cli, make_scripted, tmp_path):
    scripted = make_scripted()
    scripted.push("app", image([layer({"etc/x": "y"})]), "1")
    cli.add_integration("hub", scripted.url)
    archive = tmp_path / "record.json"
    archive.write_text('{"id": "X-1", "modified": "2026-01-01T00:00:00Z", "affected": []}')
    cli.import_advisories(archive)
    imported = [event for event in events_of(daemon) if event.kind == "advisories.imported"]
    assert len(imported) == 1 and imported[0].actor == "uid:0"
    # Told once: not again at the next start.
    daemon.restart()
    assert len([event for event in events_of(daemon) if event.kind == "advisories.imported"]) == 1


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_events_across_restarts(daemon, cli, registry_of_five, end):
    """Whoever goes on from a cursor misses nothing and gets nothing twice, however the daemon ended."""
    cli.add_integration("hub", registry_of_five.url)
    seen, cursor = [], ""
    # One restart fewer than make the daemon give an image up.
    for number in range(4):
        with Caller(daemon.socket) as watcher:
            stream = watcher.open(WATCH_EVENTS, cursor=cursor, follow=True)
            cli.run("image", "add", f"hub/app{number}:1")
            # Leave in the midst of it.
            for _ in range(2 + number):
                if seen and seen[-1].kind == "image.scanned" and seen[-1].job_id == number + 1:
                    break
                seen.append(stream.next())
            if end == "stop":
                daemon.process.send_signal(signal.SIGTERM)
                with pytest.raises(CallFailed) as ended:
                    while True:
                        seen.append(stream.next())
                assert (ended.value.code, ended.value.reason) == ("UNAVAILABLE", "STOPPING")
                assert ended.value.metadata["cursor"] == seen[-1].cursor
                assert daemon.process.wait(60) == 0
                daemon.process = None
            else:
                daemon.kill()
        cursor = seen[-1].cursor
        daemon.start()
    cli.wait_idle()
    seen += events_of(daemon, cursor=cursor)
    everything = events_of(daemon)
    assert [event.cursor for event in seen] == [event.cursor for event in everything]
    # Each connection has made message types of its own.
    assert [event.SerializeToString() for event in seen] == [event.SerializeToString() for event in everything]
    for job in range(1, 5):
        states = [event.state for event in everything if event.job_id == job and event.kind.startswith("job.")]
        assert states[0] == "pending" and states[-3:] == ["in_progress", "parsing_results", "finished"], states


def test_a_reader_that_does_not_read(daemon):
    """It loses its stream, not its place; and others do not notice."""
    # Side by side, and long-named, so that there is soon more than the stream and the sockets hold.
    names, rounds = [f"{number:02}" + "n" * 61 for number in range(60)], 300
    with Caller(daemon.socket) as slow, Caller(daemon.socket) as busy:
        stream = slow.open(WATCH_EVENTS, follow=True)

        def together(method, make):
            calls = [busy.connection.send(method, busy.request(method, make(name))) for name in names]
            for call in calls:
                response(busy.connection.receive(call)[2])
        together("tidewaiter.v1.Integrations/CreateIntegration",
                 lambda name: {"integration": {"name": name, "type": "docker-registry", "url": "http://127.0.0.1:9"}})
        for _ in range(rounds):
            together("tidewaiter.v1.Integrations/UpdateIntegration",
                     lambda name: {"integration": {"name": name, "description": "d"},
                                   "update_mask": {"paths": ["description"]}})
        seen = []
        with pytest.raises(CallFailed) as ended:
            while True:
                seen.append(stream.next())
        assert ended.value.code == "RESOURCE_EXHAUSTED", ended.value
        cursor = ended.value.metadata["cursor"]
        assert cursor == seen[-1].cursor and len(seen) < len(names) * rounds
        seen += slow.open(WATCH_EVENTS, cursor=cursor)
        everything = list(slow.open(WATCH_EVENTS))
        assert len(everything) == len(names) * (rounds + 1)
        assert seen == everything


def test_jobs_while_a_scan_runs(daemon, cli, make_scripted):
    scripted = make_scripted()
    big = layer({f"data/{number}": "x" * 1000 for number in range(50)})
    scripted.push("app", image([layer(alpine(("a", "1.0-r0"))), big]), "1")
    scripted.blobs_gate.close()
    scripted.blobs_free = 2
    cli.add_integration("hub", scripted.url)
    with Caller(daemon.socket) as caller:
        job = caller.call(ADD_IMAGE, reference="hub/app:1").job.id
        stream = caller.open(WATCH_JOBS, job_ids=[job], until_ended=True)
        messages = [stream.next()]
        while not messages[-1].snapshot_complete:
            messages.append(stream.next())
        assert [message.job.id for message in messages[:-1]] == [job]
        messages = messages[:-1]
        # One layer is through, the other held back: that is told while it stands so.
        while messages[-1].job.layers_done < 1:
            messages.append(stream.next())
        running = messages[-1].job
        assert running.state == IN_PROGRESS and running.layers_total == 2 and 0 < running.bytes_fetched <= running.bytes_total
        scripted.blobs_gate.open()
        messages += stream
        states = [message.job.state for message in messages]
        assert [state for index, state in enumerate(states) if index == 0 or states[index - 1] != state][-3:] == [
            IN_PROGRESS, PARSING, FINISHED]
        assert messages[-1].job.bytes_fetched == messages[-1].job.bytes_total == running.bytes_total
        # An ended job is told, and that is all.
        again = list(caller.open(WATCH_JOBS, job_ids=[job], until_ended=True))
        assert [(message.job.id, message.snapshot_complete) for message in again] == [(job, False), (0, True)]


def test_a_job_that_leaves_the_states_that_are_watched(daemon, cli, make_scripted):
    scripted = make_scripted()
    for number in range(2):
        scripted.push(f"app{number}", image([layer(alpine((f"package-{number}", "1.0-r0")))]), "1")
    scripted.blobs_gate.close()
    cli.add_integration("hub", scripted.url)
    with Caller(daemon.socket) as caller:
        add = lambda number: caller.call(ADD_IMAGE, reference=f"hub/app{number}:1").job.id
        first = add(0)
        eventually(lambda: caller.call("tidewaiter.v1.Queue/GetJob", id=first).state == IN_PROGRESS, "the first scan")
        waiting = caller.open(WATCH_JOBS, states=[PENDING])
        running = caller.open(WATCH_JOBS, states=[IN_PROGRESS, PARSING])
        assert waiting.next().snapshot_complete
        second = add(1)
        scripted.blobs_gate.open()
        cli.wait_idle()

        def told(stream, count):
            """Each job's states as they were told, until there are `count`; progress is no change of state."""
            states = {}
            while sum(map(len, states.values())) < count:
                job = stream.next().job
                if job.id and states.setdefault(job.id, [])[-1:] != [job.state]:
                    states[job.id].append(job.state)
            return states
        assert told(waiting, 2) == {second: [PENDING, IN_PROGRESS]}
        assert told(running, 6) == {job: [IN_PROGRESS, PARSING, FINISHED] for job in (first, second)}
        # Nothing more is told of these two: a third is the next.
        scripted.push("app2", image([layer(alpine(("package-2", "1.0-r0")))]), "1")
        third = add(2)
        assert waiting.next().job.id == running.next().job.id == third


def test_a_poll_to_its_end(daemon, cli, registry_of_five):
    cli.add_integration("hub", registry_of_five.url)
    with Caller(daemon.socket) as caller:
        poll = caller.call("tidewaiter.v1.Integrations/PollIntegration", name="hub").id
        stream = caller.open(WATCH_POLL, integration="hub", id=poll)
        jobs = caller.open(WATCH_JOBS, integration="hub", poll_id=poll, until_ended=True)
        polls = list(stream)
        assert polls[-1].state == 2 and polls[-1].queued == 5 and polls[-1].repositories_done == 5
        assert all(one.state == 1 for one in polls[:-1])
        ended = {message.job.id for message in jobs if message.job.state == FINISHED}
        assert len(ended) == 5
        with pytest.raises(CallFailed) as unknown:
            caller.open(WATCH_POLL, integration="hub", id=poll + 7).next()
        assert (unknown.value.code, unknown.value.reason) == ("NOT_FOUND", "UNKNOWN_POLL")
        kinds = [event.kind for event in caller.open(WATCH_EVENTS, integration="hub")]
        assert kinds.index("poll.started") < kinds.index("job.queued") and "poll.ended" in kinds


def test_an_import_is_told_until_it_has_ended(daemon, cli, tmp_path):
    archive = osv.archive(tmp_path / "many.zip", [osv.advisory(f"MANY-{number}") for number in range(5_000)])
    data = archive.read_bytes()
    with Caller(daemon.socket) as caller:
        upload = caller.call(f"{ADVISORIES}/CreateUpload", name="many", size=len(data)).id
        for offset in range(0, len(data), 1 << 20):
            caller.call(f"{ADVISORIES}/WriteUpload", id=upload, offset=offset, data=data[offset:offset + (1 << 20)])
        begun = caller.call(f"{ADVISORIES}/ImportUploads", upload_ids=[upload])
        told = list(caller.open(f"{ADVISORIES}/WatchImport", id=begun.id))
        assert {one.id for one in told} == {begun.id}
        running, finished = 1, 2
        assert [one.state for one in told] == [running] * (len(told) - 1) + [finished]
        read = [one.records_read for one in told]
        assert read == sorted(read) and told[-1].records_kept == 5_000
        # What has ended is told once more.
        assert list(caller.open(f"{ADVISORIES}/WatchImport", id=begun.id)) == told[-1:]
        with pytest.raises(CallFailed) as unknown:
            caller.open(f"{ADVISORIES}/WatchImport", id="1").next()
        assert (unknown.value.code, unknown.value.reason) == ("NOT_FOUND", "UNKNOWN_IMPORT")
        cli.import_advisories(archive)
        methods = {one.method: one.calls for one in caller.call("tidewaiter.v1.System/GetStatus").methods}
        assert methods[f"{ADVISORIES}/WatchImport"] == 4 and f"{ADVISORIES}/GetImport" not in methods


def test_watchers_that_leave_leave_nothing(daemon, cli):
    def descriptors():
        import os
        return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
    with Caller(daemon.socket):
        before = descriptors()
        watchers = [Caller(daemon.socket) for _ in range(20)]
        for watcher in watchers:
            watcher.open(WATCH_EVENTS, follow=True)
            watcher.open(WATCH_JOBS)
        assert descriptors() >= before + 20
        for watcher in watchers:
            watcher.connection.socket.close()
        eventually(lambda: descriptors() == before, "the watchers' connections to go")
    cli.add_integration("hub", "http://127.0.0.1:9")
