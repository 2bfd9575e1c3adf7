"""PART=selection: decisions on a million tags with twenty patterns, without a registry, a store or dates to fetch."""

from measure import spread, median
from place import product, run

ROUNDS = 7
GOAL = 2_000_000


def measure(_):
    # On one core, its own runtime's threads included.
    command = ["taskset", "-c", "0", product("selection-benchmark")]
    lines = [run(command).splitlines() for _ in range(ROUNDS)]
    rates = [float(one[0]) for one in lines]
    yield f"{ROUNDS} runs on one core, median (lowest-highest). {lines[0][1]}."
    yield ""
    yield "| | decisions a second |"
    yield "|---|---|"
    yield f"| twenty patterns | {spread(rates, 0)} |"
    yield ""
    yield f"Goals: {GOAL:,} decisions a second: {'met' if median(rates) >= GOAL else 'MISSED'} ({median(rates):,.0f})."
