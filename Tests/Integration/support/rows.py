"""Many hostile images at once: one daemon scans all of them from one registry, and each is looked at by itself."""
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .daemon import CANARY
from .images import OCI_LAYER, Layer, image, sha256
from .memory import private_bytes
from .samples import sample
from .waiting import eventually

PASSWORD = "password-" + CANARY
MEMORY_KEPT_MAX = 64 << 20


def raw(blob, suffix=""):
    """A layer of any bytes, with the media type of a tar and a suffix."""
    return Layer(blob, sha256(blob), OCI_LAYER + suffix)


@dataclass
class Case:
    """An image, and how its report is to be."""
    layers: list
    # Names of all packages; None where `check` knows better.
    packages: set | None = field(default_factory=set)
    # All findings of kind error, as (code, position of the layer or None); codes that are as good stand behind a "|".
    told: set = field(default_factory=set)
    # Words of the titles of these findings, and of the notes.
    says: tuple = ()
    # What else is to be seen, given the scanned image.
    check: object = None


class Rows(dict):
    """The cases of a module by their names, each with the rows of the catalogue it stands for. `missing` says why one cannot be
    made here: it is skipped then, with that reason."""

    def row(self, rows, missing=None):
        def add(make):
            assert make.__name__ not in self, make.__name__
            make.rows, make.missing = rows, missing
            self[make.__name__] = make
            return make
        return add


class Scanned:
    """What came of one image."""

    def __init__(self, case, cli, reference, job):
        self.case, self.cli, self.reference, self.job = case, cli, reference, job
        self.report = cli.report(reference) if job["state"] == "finished" else None

    @property
    def errors(self):
        return [one for one in self.report["findings"] if one["kind"] == "error"]

    def names(self, kind=None):
        return {one["name"] for one in self.report["packages"] if kind in (None, one["type"])}

    def verify(self):
        assert (self.job["state"], self.job["attempt"]) == ("finished", 1), self.job
        positions = {one.digest: number for number, one in enumerate(self.case.layers)}
        told = {(one["id"], positions.get(one["layer"])) for one in self.errors}
        wanted = {(code, layer) for codes, layer in self.case.told for code in codes.split("|")}
        assert told <= wanted, self.errors
        for codes, layer in self.case.told:
            assert told & {(code, layer) for code in codes.split("|")}, (codes, layer, self.errors)
        assert self.case.packages in (None, self.names()), self.report["packages"]
        said = [one["title"] for one in self.errors] + self.report.get("notes", [])
        for words in self.case.says:
            assert any(words in one for one in said), (words, said)
        assert "root:x:0" not in str(self.report), "a file of the host was read"
        if self.case.check:
            self.case.check(self)


class Readable(list):
    """The repositories of a user who may read all of them."""

    def __contains__(self, _):
        return True


class Bench:
    """A daemon that has scanned all cases, and images that mean no harm among them."""

    def __init__(self, daemon, registry, rows):
        self.daemon, self.registry, self.rows = daemon, registry, rows
        cli = daemon.cli
        registry.accounts = {"ann": (PASSWORD, Readable())}
        cli.add_integration("rows", registry.url, username="ann", password=PASSWORD)
        registry.push("good/first", sample(name="libgood"), "1")
        assert self.good("good/first")
        self.process, self.memory, self.open = daemon.process.pid, private_bytes(daemon.process.pid), descriptors(daemon)
        self.cases = {}
        for name, make in rows.items():
            if make.missing is not None:
                continue
            self.cases[name] = case = make()
            registry.push(f"rows/{repository(name)}", image(case.layers), "1")
        registry.push("good/beside", sample(name="libgood", version="2.0-r0"), "1")
        cli.run("integration", "poll", "rows", "--wait", code=None)
        self.jobs = {job["reference"].partition("@")[0]: job for job in cli.wait_idle()}

    def scanned(self, name):
        if name not in self.cases:
            pytest.skip(self.rows[name].missing)
        reference = f"rows/rows/{repository(name)}:1"
        return Scanned(self.cases[name], self.daemon.cli, reference, self.jobs[reference])

    def good(self, name):
        return {one["name"] for one in self.daemon.cli.scan(f"rows/{name}:1")["packages"]} == {"libgood"}

    def verify_sane(self):
        """What must hold whatever came in; the client and the daemon's end look for the planted password."""
        assert {one["name"] for one in self.daemon.cli.report("rows/good/beside:1")["packages"]} == {"libgood"}
        self.registry.push("good/after", sample(name="libgood", version="3.0-r0"), "1")
        assert self.good("good/after")
        self.daemon.check_sane()
        assert self.daemon.process.pid == self.process
        eventually(lambda: private_bytes(self.process) <= self.memory + MEMORY_KEPT_MAX, "the memory to be given back")
        eventually(lambda: not descriptors(self.daemon) - self.open, "descriptors to be closed")
        outside = {one.name for one in self.daemon.folder.iterdir()} - {"state", "s.sock", "log", "out"}
        assert not outside, f"files beside the state directory: {outside}"


def repository(name):
    return name.replace("_", "-")


def descriptors(daemon):
    """What the daemon holds open, but for connections, which are kept for a while."""
    found = Counter()
    folder = Path(f"/proc/{daemon.process.pid}/fd")
    for one in folder.iterdir():
        try:
            target = os.readlink(one)
        except OSError:
            continue  # closed meanwhile
        if not target.startswith("socket:"):
            found[re.sub(r"\d+", "N", target)] += 1
    return found
