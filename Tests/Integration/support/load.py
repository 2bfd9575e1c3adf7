"""Clients that keep a daemon busy until it dies, with a synced journal of every answer, and what must hold of a daemon that
starts on what it left."""
import collections
import json
import os
import threading
import time

from .ttrpc import CallFailed, Caller
from .waiting import eventually

QUEUE, ADD, EVENTS = "tidewaiter.v1.Queue/", "tidewaiter.v1.Images/AddImage", "tidewaiter.v1.System/WatchEvents"
FINAL = {"finished", "error", "cancelled"}
RUNNING = {"in_progress", "parsing_results"}
INTERRUPTIONS_MAX = 5

Event = collections.namedtuple("Event", "cursor time kind reference job state detail")


class Journal:
    """What was answered, each entry on disk before the next question is asked."""

    def __init__(self, path):
        self.file, self.entries, self.lock = open(path, "a"), [], threading.Lock()

    def note(self, **entry):
        with self.lock:
            self.file.write(json.dumps(entry) + "\n")
            self.file.flush()
            os.fsync(self.file.fileno())
            self.entries.append(entry)

    def of(self, did):
        return [entry for entry in list(self.entries) if entry["did"] == did]

    def close(self):
        self.file.close()


class Load:
    """Threads that add, cancel, retry, reorder and pause at random, and one that follows the events, until the daemon is
    gone."""

    THREADS = 3

    def __init__(self, daemon, references, journal, random):
        self.socket, self.references, self.journal = daemon.socket, references, journal
        self.events, self.problems = [], []
        self.control, self.answered = threading.Lock(), threading.Event()
        generators = [type(random)(random.random()) for _ in range(self.THREADS)]
        self.threads = [threading.Thread(target=self._run, args=(self._ask, generator)) for generator in generators]
        self.threads.append(threading.Thread(target=self._run, args=(self._follow, None)))
        for thread in self.threads:
            thread.start()

    def join(self):
        """Returns when all have seen that the daemon is gone."""
        for thread in self.threads:
            thread.join()
        assert not self.problems, self.problems[0]

    def _run(self, body, random):
        try:
            with Caller(self.socket) as caller:
                body(caller, random)
        except (OSError, ConnectionError):
            pass  # the daemon is gone
        except CallFailed as failure:
            # It ends, or its disk did.
            if failure.code not in ("UNAVAILABLE", "CANCELLED", "INTERNAL", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"):
                self.problems.append(failure)
        except Exception as problem:
            self.problems.append(problem)

    def _ask(self, caller, random):
        controls = [name for name in ("CancelJobs", "RetryJobs", "PrioritizeJobs", "PauseQueue")
                    if QUEUE + name in caller.schema.methods]
        while True:
            known = self.journal.of("add")[-20:]
            if not known or not controls or random.random() < 0.7:
                job = caller.call(ADD, reference=random.choice(self.references)).job
                self.journal.note(did="add", job=job.id, reference=job.reference, digest=job.digest)
            else:
                # One after the other, so that the journal has them in the order in which they were done.
                with self.control:
                    self._control(caller, random.choice(controls), random.choice(known)["job"], random)
            self.answered.set()

    def _control(self, caller, call, job, random):
        if call == "PauseQueue":
            self.journal.note(did="pausing")
            caller.call(QUEUE + "PauseQueue", reason="a test")
            self.journal.note(did="paused")
            self.journal.note(did="resuming")
            caller.call(QUEUE + "ResumeQueue")
            self.journal.note(did="resumed")
            return
        more = {"priority": random.choice([1, 2, 3])} if call == "PrioritizeJobs" else {}
        self.journal.note(did="asking", job=job)
        change = caller.call(QUEUE + call, jobs={"job_ids": [job]}, **more).jobs[0]
        self.journal.note(did=call, job=job, state=state_name(caller, change.state), changed=change.changed, **more)

    def _follow(self, caller, _):
        for event in caller.open(EVENTS, follow=True, cursor="latest"):
            self.events.append(plain(event))


def plain(event):
    return Event(event.cursor, event.time.ToNanoseconds(), event.kind, event.reference, event.job_id, event.state, event.detail)


def state_name(caller, number):
    values = caller.schema.pool.FindEnumTypeByName("tidewaiter.v1.JobState").values_by_number
    return values[number].name.removeprefix("JOB_STATE_").lower()


class Witness:
    """Follows one state directory through the deaths of its daemons, and says what must hold after each."""

    def __init__(self, daemon, references, journal):
        self.daemon, self.references, self.journal = daemon, references, journal
        self.cursor, self.running, self.interruptions = "", {}, collections.Counter()

    def round(self, random, die):
        """Load, a death at a random instant, a start, and all that must hold then. `die` ends the daemon, by signals or
        worse."""
        load = Load(self.daemon, self.references, self.journal, random)
        try:
            eventually(load.answered.is_set, "an answer", unless=lambda: load.problems and load.problems[0])
            threading.Event().wait(random.random() * 0.4)
        finally:
            die(self.daemon)
        load.join()
        restarted = time.time_ns()
        self.daemon.start()
        self.check(load, restarted)

    def check(self, load, restarted):
        with Caller(self.daemon.socket) as caller:
            jobs = all_jobs(caller)
            states = {job.id: state_name(caller, job.state) for job in jobs}
            log = [plain(event) for event in caller.open(EVENTS, cursor=self.cursor)]
            self.check_told(load, log)
            self.check_answers({job.id: job for job in jobs}, states)
            self.check_pause(caller)
        self.check_leases(log, restarted)
        waiting = collections.Counter(job.digest for job in jobs if states[job.id] not in FINAL)
        assert not [digest for digest, count in waiting.items() if count > 1], f"queued twice: {waiting}"
        assert len({job.id for job in jobs}) == len(jobs)

    def check_told(self, load, log):
        """Every event that was told is in the log, in its place."""
        told = {event.cursor: event for event in load.events}
        found = [event for event in log if event.cursor in told]
        assert found == load.events, f"told: {load.events[-5:]}, in the log: {log[-5:]}"

    def check_answers(self, jobs, states):
        """Every change that was answered is there, up to what was asked about it later without an answer."""
        last = {}
        for entry in list(self.journal.entries):
            if entry["did"] == "add":
                job = jobs.get(entry["job"])
                assert job is not None, f"lost: {entry}"
                assert (job.reference, job.digest) == (entry["reference"], entry["digest"]), (job, entry)
            elif "job" in entry:
                last[entry["job"]] = entry
        for job, entry in last.items():
            state = states[job]
            if entry["did"] == "CancelJobs":
                assert state in FINAL, (entry, state)
                if entry["changed"]:
                    assert state == "cancelled", (entry, state)
            elif entry["did"] == "RetryJobs" and entry["changed"]:
                assert state != "cancelled", (entry, state)
            elif entry["did"] == "PrioritizeJobs" and entry["changed"] and state == "pending":
                # Whoever asked for the image meanwhile had it brought forward: everybody here is a person.
                assert jobs[job].priority in (entry["priority"] - 1, 0), (entry, jobs[job])

    def check_pause(self, caller):
        entries = [entry["did"] for entry in self.journal.entries if entry["did"] in ("pausing", "paused", "resuming", "resumed")]
        if not entries:
            return
        pauses = caller.call(QUEUE + "GetQueueStats").pauses
        if entries[-1] in ("paused", "resumed"):
            assert bool(pauses) == (entries[-1] == "paused"), (entries[-1], pauses)
        self.journal.note(did="resuming")
        caller.call(QUEUE + "ResumeQueue")
        self.journal.note(did="resumed")

    def check_leases(self, log, restarted):
        """By the log, which is in the order of what happened: the leases of the dead went back before the first new one."""
        held = None
        for event in log:
            self.cursor = event.cursor
            if event.kind != "job.changed":
                continue
            if held is None and event.time >= restarted:
                held = set(self.running)
            if event.state in RUNNING:
                assert not held, f"{event} before these leases of the dead were returned: {held}"
                assert event.state != "in_progress" or event.job not in self.running, f"leased twice: {event}"
                self.running[event.job] = event.state
            elif self.running.pop(event.job, None):
                # No registry here fails, so that nothing else takes a running job back or ends it in error.
                if event.state in ("pending", "error"):
                    self.interruptions[event.job] += 1
                if held and event.job in held:
                    held.remove(event.job)
                    assert event.state in ("pending", "error"), event
        assert not held, f"leases of the dead that were not returned: {held}"

    def settle(self):
        """Waits until all scans have ended, and looks at how."""
        with Caller(self.daemon.socket) as caller:
            def ended():
                jobs = all_jobs(caller)
                return (jobs,) if all(state_name(caller, job.state) in FINAL for job in jobs) else None
            jobs = eventually(ended, "every scan to end", patience=180)[0]
            for job in jobs:
                state = state_name(caller, job.state)
                told = caller.call(QUEUE + "GetJob", id=job.id)
                outcomes = collections.Counter(attempt.outcome for attempt in told.attempts)
                if state == "error":
                    assert job.error.code == "INTERRUPTED" and self.interruptions[job.id] >= INTERRUPTIONS_MAX, job
                elif state == "finished":
                    assert job.attempt == 1, f"an attempt that the daemon's death ended was counted: {job}"
                assert told.attempts or state == "cancelled", told
                if told.attempts:
                    interrupted = caller.schema.pool.FindEnumTypeByName("tidewaiter.v1.AttemptOutcome").values_by_name[
                        "ATTEMPT_OUTCOME_INTERRUPTED"].number
                    assert outcomes[interrupted] == self.interruptions[job.id], (told, self.interruptions[job.id])
        images = self.daemon.cli.images()
        cancelled = {job.digest for job in jobs if state_name(caller, job.state) == "cancelled"}
        odd = [one for one in images if one["status"] != "scanned" and one["digest"] not in cancelled]
        assert not odd, odd
        return jobs


def all_jobs(caller):
    jobs, token = [], ""
    while True:
        page = caller.call(QUEUE + "ListJobs", page_size=500, page_token=token)
        jobs += page.jobs
        token = page.next_page_token
        if not token:
            return jobs
