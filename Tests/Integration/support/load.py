"""A client that keeps a daemon busy until it dies, with a synced journal of every answer, and what must hold of a daemon
that started again, by that journal and by its own event log."""
import collections
import json
import os
import threading

from .ttrpc import CallFailed, Caller
from .waiting import eventually

QUEUE, IMAGES, EVENTS = "tidewaiter.v1.Queue/", "tidewaiter.v1.Images/", "tidewaiter.v1.System/WatchEvents"
FINAL = {"finished", "error", "cancelled"}
RUNNING = {"in_progress", "parsing_results"}


def state_name(schema, number):
    """`JOB_STATE_IN_PROGRESS` as events have it."""
    value = schema.pool.FindEnumTypeByName("tidewaiter.v1.JobState").values_by_number[number]
    return value.name.removeprefix("JOB_STATE_").lower()


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

    def close(self):
        self.file.close()


class Load:
    """Threads that add, cancel, retry, reorder and pause at random, and one that follows the events, until the daemon is
    gone. Whatever the daemon may have done without having answered is in doubt."""

    THREADS = 3

    def __init__(self, daemon, references, journal, random):
        self.socket, self.references, self.journal = daemon.socket, references, journal
        self.doubtful, self.events, self.refused = set(), [], []
        self.lock = threading.Lock()
        seeds = [random.random() for _ in range(self.THREADS)]
        self.threads = [threading.Thread(target=self._ask, args=(type(random)(seed),)) for seed in seeds]
        self.threads.append(threading.Thread(target=self._follow))
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join()

    def _ask(self, random):
        try:
            with Caller(self.socket) as caller:
                while True:
                    self._ask_once(caller, random)
        except (ConnectionError, OSError):
            pass  # the daemon is gone

    def _ask_once(self, caller, random):
        known = [entry["job"] for entry in self.journal.entries if entry["did"] == "add"]
        job = random.choice(known) if known else None
        kind = random.choices(["add", "CancelJobs", "RetryJobs", "PrioritizeJobs", "PauseQueue"], [10, 2, 2, 1, 0.3])[0]
        try:
            if kind == "add" or job is None or QUEUE + kind not in caller.schema.methods:
                reference = random.choice(self.references)
                job = caller.call(IMAGES + "AddImage", reference=reference).job
                self.journal.note(did="add", job=job.id, reference=job.reference, digest=job.digest)
            elif kind == "PauseQueue":
                caller.call(QUEUE + "PauseQueue", reason="a test")
                self.journal.note(did="pause", paused=True)
                self.journal.note(did="resuming")
                caller.call(QUEUE + "ResumeQueue")
                self.journal.note(did="pause", paused=False)
            else:
                # Two askers of one job would have to know whose answer was first.
                with self.lock:
                    self.doubtful.add(job)
                    more = {"priority": random.choice([1, 2, 3])} if kind == "PrioritizeJobs" else {}
                    answer = caller.call(QUEUE + kind, jobs={"job_ids": [job]}, **more).jobs[0]
                    self.journal.note(did=kind, job=job, state=state_name(caller.schema, answer.state))
                    self.doubtful.discard(job)
        except CallFailed as failure:
            self.doubtful.discard(job)
            if failure.code in ("UNAVAILABLE", "INTERNAL", "CANCELLED"):
                self.refused.append(failure)
                raise ConnectionError from failure
            if failure.code not in ("FAILED_PRECONDITION", "ABORTED", "NOT_FOUND", "INVALID_ARGUMENT"):
                raise

    def _follow(self):
        try:
            with Caller(self.socket) as caller:
                for event in caller.open(EVENTS, follow=True, cursor="latest"):
                    self.events.append(plain(event))
        except (ConnectionError, OSError, CallFailed):
            pass


def plain(event):
    return event.cursor, event.kind, event.reference, event.job_id, event.state, event.detail


def all_jobs(caller):
    jobs, token = [], ""
    while True:
        page = caller.call(QUEUE + "ListJobs", page_size=500, page_token=token)
        jobs += page.jobs
        token = page.next_page_token
        if not token:
            return jobs


def check_restarted(daemon, load, journal):
    """What must hold of a daemon right after it started on what a dead one left."""
    with Caller(daemon.socket) as caller:
        # The jobs first: what they are in is then in the log.
        jobs = {job.id: job for job in all_jobs(caller)}
        log = [plain(event) for event in caller.open(EVENTS)]
        states = {job.id: state_name(caller.schema, job.state) for job in jobs.values()}
    # What was told is there, and in the same order.
    told = set(log)
    missing = [event for event in load.events if event not in told]
    assert not missing, f"events that were told and are not in the log: {missing[:3]}"
    assert [event for event in log if event in set(load.events)] == load.events
    # What was answered is there.
    for entry in journal.entries:
        if entry["did"] == "add":
            job = jobs.get(entry["job"])
            assert job is not None, f"lost: {entry}"
            assert (job.reference, job.digest) == (entry["reference"], entry["digest"]), (job, entry)
    check_last_answers(log, load, journal)
    # No image is queued twice.
    waiting = collections.Counter((job.reference.partition("/")[0], job.digest) for job in jobs.values() if states[job.id] not in FINAL)
    assert not [image for image, count in waiting.items() if count > 1], waiting
    return log


def check_last_answers(log, load, journal):
    """The last answer about each job stands, unless what happened to it since is in the log."""
    history = collections.defaultdict(list)
    for _, kind, _, job, state, _ in log:
        if kind in ("job.queued", "job.changed"):
            history[job].append(state or "pending")
    for entry in journal.entries:
        if entry["did"] in ("CancelJobs", "RetryJobs") and entry["job"] not in load.doubtful:
            assert entry["state"] in history[entry["job"]], (entry, history[entry["job"]])


def check_leases_returned(log):
    """By the log: a daemon that starts returns all leases of the dead one before it gives out the first of its own.
    Answers how often each job was interrupted."""
    running, interrupted, returned = {}, collections.Counter(), None
    for event in log:
        _, kind, _, job, state, _ = event
        if kind != "job.changed":
            continue
        if state in RUNNING:
            if state == "in_progress":
                assert job not in running, f"leased twice: {event}"
            running[job] = state
        else:
            running.pop(job, None)
    return running, interrupted


def settle(daemon):
    """Waits until every job has ended; answers them with what GetJob tells."""
    with Caller(daemon.socket) as caller:
        def ended():
            jobs = all_jobs(caller)
            return (jobs,) if all(state_name(caller.schema, job.state) in FINAL for job in jobs) else None
        jobs = eventually(ended, "every scan to end", patience=180)[0]
        return [(state_name(caller.schema, job.state), caller.call(QUEUE + "GetJob", id=job.id)) for job in jobs]
