"""PART=selection: decisions on a million tags with twenty patterns, without a registry, a store or dates to fetch."""
import os
import shlex

from measure import spread, median
from place import run

ROUNDS = 7
GOAL = 2_000_000


def program():
    """The release build's program; that of TIDEWAITER_BIN, not built here, where it names a folder."""
    if folder := os.environ.get("TIDEWAITER_BIN"):
        return f"{folder}/selection-benchmark"
    swift = [*shlex.split(os.environ.get("SWIFT", "swift")), "build", "-c", "release", "--static-swift-stdlib"]
    run([*swift, "--product", "selection-benchmark"])
    return run([*swift, "--show-bin-path"]).strip() + "/selection-benchmark"


def measure(_):
    # On one core, its own runtime's threads included.
    lines = [run(["taskset", "-c", "0", program()]).splitlines() for _ in range(ROUNDS)]
    rates = [float(one[0]) for one in lines]
    yield f"{ROUNDS} runs on one core, median (lowest-highest). {lines[0][1]}."
    yield ""
    yield "| | decisions a second |"
    yield "|---|---|"
    yield f"| twenty patterns | {spread(rates, 0)} |"
    yield ""
    yield f"Goals: {GOAL:,} decisions a second: {'met' if median(rates) >= GOAL else 'MISSED'} ({median(rates):,.0f})."
