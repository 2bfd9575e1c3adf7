#!/usr/bin/python3
"""Measures what a scan, an idle daemon and a call cost, on this machine, over loopback and Unix sockets alone.

    Tests/Benchmarks/run.py [analysis|throughput|idle|rpc|poll|selection|queue|secrets|jail|truth|all] [--record]

Prints its figures as Markdown; --record adds them to RESULTS.md as well. TIDEWAITER_BENCH_DIR holds what takes long to make
(images in registries, syft, a big store; ~/.cache/tidewaiter-bench), TIDEWAITER_BIN names a folder of built programs that
are to be measured, TIDEWAITER_BENCH_ROUNDS says how often; SIZE=full polls ten times as many repositories and scans ten times as
large a layer. It installs
nothing with apt: `make deps` does.
"""
import argparse
import datetime
import signal
import subprocess
import sys

import place
import analysis
import enqueue
import idle
import jail
import poll
import rpc
import secret_search
import selection
import throughput
import truth

PARTS = {"analysis": ("Analysis of images", analysis.measure), "throughput": ("Images an hour", throughput.measure),
         "idle": ("Idle daemon", idle.measure),
         "rpc": ("RPC", rpc.measure), "poll": ("Polls", poll.measure), "selection": ("Selection", selection.measure),
         "queue": ("Queue", enqueue.measure), "secrets": ("Search for secrets", secret_search.measure),
         "jail": ("Confinement of a worker", jail.measure), "truth": ("Packages beside syft's", truth.measure)}
RESULTS = place.HERE / "RESULTS.md"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--record", action="store_true", help="add the figures to RESULTS.md")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    place.SCRATCH.mkdir(parents=True, exist_ok=True)
    lines = []

    def say(line=""):
        print(line, flush=True)
        lines.append(line)

    machine, programs = place.machine(), place.programs()
    for name, (title, measure) in PARTS.items():
        if arguments.part in (name, "all"):
            say(f"## {datetime.date.today()}, {place.commit()}: {title}")
            say()
            say(f"{machine}; release build, static Swift library.")
            for line in measure(programs):
                say(line)
            say()
    if arguments.record:
        with open(RESULTS, "a") as results:
            results.write("\n" + "\n".join(lines).rstrip() + "\n")


try:
    main()
except (place.Problem, AssertionError, OSError, subprocess.SubprocessError) as problem:
    sys.exit(f"error: {problem}")
except KeyboardInterrupt:
    sys.exit("interrupted")
