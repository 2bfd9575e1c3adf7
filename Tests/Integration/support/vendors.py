"""One registry product, simulated, with a daemon that knows the way to it."""
import json

from simulators.vendors import VENDORS, simulator

from .daemon import CANARY, Daemon
from .ledger import Reference

COMPLETE, PARTIAL = "complete", "partial, told"  # what a poll can come to
# Of two hundred like repositories and as many tags, some that are spread over all pages; and of all else nothing.
FEW = ("--criteria", "*/many:*99", "--criteria", "*/app-*99")
# Of the same, one in ten; and all else.
MANY = tuple(flag for digit in range(9) for name in ("*/app-*", "*/many:*") for flag in ("--never", f"{name}{digit}"))


def rows():
    """(vendor, way) of every line of the table."""
    return [(vendor, way) for vendor in VENDORS for way in simulator(vendor).ways]


class Benches:
    """The one bench that is in use: rows of the table come one after the other."""

    def __init__(self, binaries, registry, folder):
        self.binaries, self.registry, self.folder = binaries, registry, folder
        self.current = None

    def of(self, vendor, way):
        if self.current is None or (self.current.vendor, self.current.way) != (vendor, way):
            self.close()
            folder = self.folder / f"{vendor} {way}".strip()
            folder.mkdir(exist_ok=True)
            self.current = Bench(vendor, way, self.registry, folder, self.binaries)
        return self.current

    def close(self, sane=True):
        if self.current is not None:
            ended, self.current = self.current, None
            ended.close(sane)


class Bench:
    """`content` are the numbers of repositories and tags to fill the product with; None: as many as make three pages."""

    def __init__(self, vendor, way, registry, folder, binaries, content=None):
        self.vendor, self.way, self.registry = vendor, way, registry
        self.product = simulator(vendor)(folder / "product", registry.url, secret="password-" + CANARY)
        self.product.fill(*(content or self.product.large))
        self.options = self.product.ways[way]
        settings = folder / "daemon.yml"
        settings.write_text(json.dumps({"resolve": self.product.resolve}))  # JSON is YAML
        self.daemon = Daemon(binaries, ["--config", settings]).start()
        self.cli = self.daemon.cli
        self.cli.add_integration("plain", registry.url)
        self.made = 0

    def close(self, sane):
        self.product.stop()
        self.daemon.close(sane)

    def add(self, who, *flags):
        """A new integration with a user's credentials; answers its name."""
        self.made += 1
        name = f"{who}-{self.made}"
        integration = self.product.integration(who, **self.options)
        self.cli.run("integration", "add", name, *integration.flags, *flags, stdin=integration.secret or "")
        return name

    def test(self, name, code=0):
        """The steps of `integration test`."""
        return self.cli("integration", "test", name, code=code)["steps"]

    def poll(self, name, code=0):
        """Polls and scans; answers the poll."""
        return self.cli("integration", "poll", name, "--wait", code=code)

    def images(self, name):
        """{(repository, tag): digest} of what the daemon knows of an integration, all of it scanned."""
        found = {}
        for image in self.cli.images():
            reference = Reference.of(image["reference"])
            if reference.integration == name:
                assert image["status"] == "scanned", image
                found |= {(reference.repository, tag): image["digest"] for tag in image["tags"]}
        return found

    def expected(self, who, flags, **options):
        """What a poll with those flags must find."""
        found = {}
        for (name, tag), digest in self.product.expected(who, **self.options, **options).items():
            end = "99" if flags is FEW else "9"
            like = name.endswith("/many") and tag.endswith(end) or "/app-" in name and name.endswith(end)
            other = not name.endswith("/many") and "/app-" not in name
            if like or other and flags is MANY:
                found[name, tag] = digest
        return found

    def same_reports(self, name):
        """Whether each image has the report that the same image has straight from the plain registry."""
        seen = {}
        for (repository, tag), digest in self.images(name).items():
            plain = f"plain/samples/all@{digest}"
            if digest not in seen:
                self.cli.run("image", "add", plain, "--wait")
                seen[digest] = comparable(self.cli.report(plain))
            assert comparable(self.cli.report(f"{name}/{repository}:{tag}")) == seen[digest], (repository, tag)
        assert seen


def comparable(report):
    """A report without the names under which its image was scanned, and without what the cache saved."""
    kept = {key: value for key, value in report.items() if key in ("digest", "platform", "os", "packages", "findings")}
    return kept | {"layers": [{key: value for key, value in layer.items() if key != "cached"} for layer in report["layers"]]}


def told(poll):
    """What a poll says to have missed."""
    return [text for text in [*poll.get("errors", []), *poll.get("notes", [])] if "partial:" in text]


def polled(bench, who="full", flags=FEW, **options):
    """Polls with a new integration: everything is found, or what was missed is told."""
    name = bench.add(who, *flags, *(["--include-remote"] if options else []))
    poll = bench.poll(name)
    assert poll["state"] == "finished"
    found, expected = bench.images(name), bench.expected(who, flags, **options)
    assert expected, "nothing would be looked for"
    extra = set(found.items()) - set(expected.items())
    assert not extra, f"these are not to be found: {sorted(extra)[:5]}"
    if found == expected and not told(poll):
        return COMPLETE, name, poll
    assert told(poll), f"silently short of {len(expected) - len(found)}: {sorted(set(expected) - set(found))[:5]}; {without_jobs(poll)}"
    return PARTIAL, name, poll


def without_jobs(poll):
    return {key: value for key, value in poll.items() if key != "jobs"}


def complete(bench, **options):
    result, name, poll = polled(bench, **options)
    assert result == COMPLETE, told(poll)
    return name, poll
