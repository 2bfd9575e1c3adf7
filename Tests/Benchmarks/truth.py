"""PART=truth: the packages that syft finds in every image of the corpus beside those that the distributions' own tools list.

tidewaiter's must be those to the last one, which the tests assert; here is where a peer's differ, by name.
"""
import json
import os
import tempfile

from analysis import SYFT_ENVIRONMENT, SYFT_VERSION, syft
from place import Problem, run
from support import corpus
from support.registry import Registry

# Names of one package that two tools write in two ways are told as one difference of each; so many are written out.
SHOWN = 12


def measure(_):
    if corpus.MISSING:
        raise Problem(corpus.MISSING)
    program = syft()
    yield f"syft {SYFT_VERSION} on each reference, from a registry on loopback."
    yield ""
    yield "| image | true | found by syft | missing | of no truth |"
    yield "|---|---|---|---|---|"
    with tempfile.TemporaryDirectory(prefix="tidewaiter-bench-") as folder, Registry(folder) as made:
        for reference, platform, name in corpus.cases():
            corpus.push(made.url, reference)
            flags = ["--platform", platform] if platform else []
            address = f"registry:{made.url.removeprefix('http://')}/{reference}"
            found = json.loads(run([program, "--quiet", address, "--output", "json", *flags], env=os.environ | SYFT_ENVIRONMENT))
            theirs = {(one["name"], one["version"]) for one in found["artifacts"]}
            true = {(one["name"], one["version"]) for one in corpus.truth(name, "packages")}
            yield f"| {name} | {len(true)} | {len(theirs)} | {listed(true - theirs)} | {listed(theirs - true)} |"


def listed(packages):
    words = [f"{name} {version}" for name, version in sorted(packages)]
    return ", ".join(words[:SHOWN]) + (f" and {len(words) - SHOWN} more" if len(words) > SHOWN else "")
