"""Waiting for a condition, bounded in time. The only place that sleeps."""
import time

PATIENCE_SECONDS = 60  # only bounds a failing test: a loaded machine may be slow
INTERVAL_SECONDS = 0.05


def eventually(condition, what, patience=PATIENCE_SECONDS, unless=None):
    """Calls `condition` until it answers something true, and returns that. `unless` may answer why waiting is vain."""
    deadline = time.monotonic() + patience
    while True:
        answer = condition()
        if answer:
            return answer
        if unless is not None and (reason := unless()):
            raise AssertionError(f"waited for {what}, but {reason}")
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience} s for {what}; the last answer was {answer!r}")
        time.sleep(INTERVAL_SECONDS)
