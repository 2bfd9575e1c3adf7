"""PART=idle: how fast a daemon is ready, and what it holds when it has nothing to do."""
import contextlib
import os
import shutil
import socket
import tempfile
import time

import job_store
from daemon import Daemon
from measure import memory, spread
from place import SCRATCH, run

STARTS = 7
IDLE_SECONDS = 2.0


@contextlib.contextmanager
def silent_registry():
    """The address of one that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def starts(programs, state_of):
    """Starts a daemon again and again; answers seconds until it is ready, and its memory when it has been so for a while."""
    seconds, held = [], []
    for number in range(STARTS + 1):
        state = state_of()
        with Daemon(programs, state) as daemon:
            time.sleep(IDLE_SECONDS)
            if number > 0:  # the first brings the program into the page cache
                seconds.append(daemon.start_seconds)
                held.append(memory(daemon.pid))
    return seconds, held


def check(programs, url):
    """The store is what it is meant to be: the daemon finds every job and hands the leased ones out again."""
    with Daemon(programs, job_store.made(url)) as daemon:
        listed = run([*daemon.client, "queue", "show", str(job_store.JOBS - job_store.PENDING - job_store.LEASED)])
        status = run([*daemon.client, "status"])
        log = daemon.log()
    if "finished" not in listed or f"jobs={job_store.LEASED}" not in log:
        raise AssertionError(f"the daemon does not find the jobs of the big store: {listed}\n{status}\n{log}")


def measure(programs):
    with silent_registry() as url, tempfile.TemporaryDirectory(prefix="tidewaiter-bench-") as folder:
        new = starts(programs, lambda: None)
        empty = starts(programs, lambda: folder + "/state")  # made by the start that does not count
        check(programs, url)
        full = starts(programs, lambda: job_store.made(url))
        megabytes = os.stat(SCRATCH / "jobs-in-use/state.mdb").st_size / 1e6
        shutil.rmtree(SCRATCH / "jobs-in-use")
    yield (f"{STARTS} starts each, memory {IDLE_SECONDS:.0f} s after the ready line. Median (lowest-highest). The big store: "
           f"{megabytes:.0f} MB, one image a job, {job_store.PENDING} jobs pending for a registry that never answers, "
           f"{job_store.LEASED} leased by the process before.")
    yield ""
    yield "| store | ready after, ms | RssAnon + RssShmem, MiB | RssFile, MiB |"
    yield "|---|---|---|---|"
    for name, (seconds, held) in (("none yet", new), ("empty", empty), (f"{job_store.JOBS:,} jobs", full)):
        yield (f"| {name} | {spread((1000 * one for one in seconds), 1)} | {spread((one.private for one in held), 1)} | "
               f"{spread((one.file for one in held), 1)} |")
