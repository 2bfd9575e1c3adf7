"""PART=jail: what it costs that a worker confines itself, over starting and ending the same program."""
import os
import signal
import time

from measure import median, spread

PAIRS = 300
WARM_UP = 20
GOAL_MS = 2.0
NOTHING = os.open("/dev/null", os.O_RDWR)
# As the daemon starts one.
ENVIRONMENT = {"SWIFT_BACKTRACE": "enable=no", "LC_ALL": "C.UTF-8"}
PLACES = [(os.POSIX_SPAWN_DUP2, NOTHING, number) for number in range(3)]


def run(worker, argument, code):
    """Starts the worker with an argument, waits for its end, and answers milliseconds."""
    start = time.perf_counter_ns()
    pid = os.posix_spawn(worker, [worker, argument], ENVIRONMENT, file_actions=PLACES,
                         setsigdef=range(1, signal.NSIG), setsigmask=[])
    status = os.waitpid(pid, 0)[1]
    spent = (time.perf_counter_ns() - start) / 1e6
    if os.waitstatus_to_exitcode(status) != code:
        raise AssertionError(f"the worker ended with {os.waitstatus_to_exitcode(status)}, not with {code}")
    return spent


def measure(programs):
    worker = str(programs.worker)
    free, confined = [], []
    for number in range(PAIRS + WARM_UP):
        # An argument that it does not know ends it before it confines itself, the other one after that.
        pair = run(worker, "--unknown", os.EX_USAGE), run(worker, "--probe", 0)
        if number >= WARM_UP:
            free.append(pair[0])
            confined.append(pair[1])
    differences = [two - one for one, two in zip(free, confined)]
    cost = median(differences)
    yield f"{PAIRS} pairs, one after the other, as {'root' if os.geteuid() == 0 else 'a user'}; median (lowest-highest)."
    yield ""
    yield "| | ms |"
    yield "|---|---|"
    yield f"| spawn, exec, exit | {spread(free)} |"
    yield f"| spawn, exec, confinement, exit | {spread(confined)} |"
    yield f"| difference of a pair | {spread(differences)} |"
    yield ""
    yield f"Ratio of the medians {median(confined) / median(free):.2f}. Of the fastest: {min(confined) - min(free):.2f} ms between them."
    yield ""
    yield f"Goals: confinement in {GOAL_MS:.0f} ms: {'met' if cost <= GOAL_MS else 'MISSED'} ({cost:.2f} ms)."
