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
    """Starts the worker with an argument, waits for its end, and answers its milliseconds by the clock, and of CPU."""
    start = time.perf_counter_ns()
    pid = os.posix_spawn(worker, [worker, argument], ENVIRONMENT, file_actions=PLACES,
                         setsigdef=signal.valid_signals(), setsigmask=[])
    _, status, usage = os.wait4(pid, 0)
    spent = (time.perf_counter_ns() - start) / 1e6
    if os.waitstatus_to_exitcode(status) != code:
        raise AssertionError(f"the worker ended with {os.waitstatus_to_exitcode(status)}, not with {code}")
    return spent, 1000 * (usage.ru_utime + usage.ru_stime)


def measure(programs):
    worker = str(programs.worker)
    free, confined = [], []
    for number in range(PAIRS + WARM_UP):
        # An argument that it does not know ends it before it confines itself, the other one after that.
        pair = run(worker, "--unknown", os.EX_USAGE), run(worker, "--probe", 0)
        if number >= WARM_UP:
            free.append(pair[0])
            confined.append(pair[1])
    both = [list(zip(*runs)) for runs in (free, confined)]
    differences = [[two - one for one, two in zip(*pairs)] for pairs in zip(*both)]
    (free, free_cpu), (confined, confined_cpu) = both
    cost = median(differences[0])
    yield f"{PAIRS} pairs, one after the other, as {'root' if os.geteuid() == 0 else 'a user'}; median (lowest-highest)."
    yield ""
    yield "| | ms | CPU ms |"
    yield "|---|---|---|"
    yield f"| spawn, exec, exit | {spread(free)} | {spread(free_cpu)} |"
    yield f"| spawn, exec, confinement, exit | {spread(confined)} | {spread(confined_cpu)} |"
    yield f"| difference of a pair | {spread(differences[0])} | {spread(differences[1])} |"
    yield ""
    yield f"The median of the second is {median(confined) / median(free):.2f} times that of the first; between the fastest of each \
are {min(confined) - min(free):.2f} ms."
    yield ""
    yield f"Goals: confinement in {GOAL_MS:.0f} ms: {'met' if cost <= GOAL_MS else 'MISSED'} ({cost:.2f} ms)."
