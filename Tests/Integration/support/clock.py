"""Another time of day for a program, by a library that is preloaded into it."""
import datetime
from pathlib import Path

from . import preload

SOURCE = Path(__file__).with_suffix(".c")


def environment(to):
    """The environment of a program for which it is `to` when it starts: a moment, or a span from now on."""
    if isinstance(to, datetime.datetime):
        to -= datetime.datetime.now(datetime.timezone.utc)
    return {"LD_PRELOAD": preload.library(SOURCE), "TEST_CLOCK_AHEAD": str(round(to.total_seconds()))}
