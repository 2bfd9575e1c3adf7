"""A registry of many repositories and tags, made and run from Tests/Benchmarks/registry; and what it must hold.

    with ManyImages(repositories=100, tags=100, vendor="harbor") as registry:
        registry.url, registry.requests()
        before = registry.plan.images(day=0)
        registry.go_to(day=1)
"""
import hashlib
import json
import shutil
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "Benchmarks/registry"
DAY_SECONDS = 86_400
STABLE_EACH = 50
BORN, MOVED, GONE, CREATED = 1, 2, 3, 4
WORD = 2**64 - 1


def build(folder):
    """Compiles the program into `folder`."""
    program = Path(folder) / "registry"
    done = subprocess.run(
        ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-o", program, *sorted(SOURCES.glob("*.c")), "-lcrypto", "-lz"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError("the registry of many images does not compile: " + done.stderr)
    return program


@dataclass(frozen=True)
class Image:
    """A tag as it is on a day. `reference` is "repository:tag"."""
    repository: str
    tag: str
    digest: str
    created: datetime

    @property
    def reference(self):
        return f"{self.repository}:{self.tag}"


@dataclass
class Plan:
    """What the registry holds on each day, worked out apart from the program, by the rules of content.h."""
    repositories: int = 100
    tags: int = 100
    born: int = 50
    moved: int = 10
    gone: int = 10
    seed: int = 1
    epoch: int = 1_767_225_600
    layer: tuple = field(default=None, compare=False)  # size, digest, diff_id: from the program, since deflate may differ

    def images(self, day, only_stable=False, since=None):
        """{reference: Image} of a day: of all tags, or of those that ":*-stable" matches, one in fifty; all of them, or those
        created at `since` or later."""
        every = STABLE_EACH if only_stable else 1
        found = {}
        for number in range(self.repositories):
            for slot in range(0, self.tags, every):
                for birth, version, last in self._states(number, slot, day):
                    created = self._created(number, slot, last)
                    if since is None or created >= since:
                        image = self._image(number, slot, birth, version, created)
                        found[image.reference] = image
        return found

    def changes(self, day):
        """How many tags are new on a day, have moved, and are gone since the day before."""
        new = moved = gone = 0
        for number in range(self.repositories):
            for slot in range(self.tags):
                before = {birth: version for birth, version, _ in self._states(number, slot, day - 1)}
                after = {birth: version for birth, version, _ in self._states(number, slot, day)}
                new += len(after.keys() - before.keys())
                gone += len(before.keys() - after.keys())
                moved += sum(before[birth] != after[birth] for birth in before.keys() & after.keys())
        return new, moved, gone

    def _states(self, number, slot, day):
        """(birth, version, day of the last change) of the tags of a slot."""
        for birth in range(day + 1):
            if birth and not self._happens(BORN, self.born, number, slot, birth, birth):
                continue
            version, last = 0, birth
            for later in range(birth + 1, day + 1):
                if self._happens(GONE, self.gone, number, slot, birth, later):
                    break
                if self._happens(MOVED, self.moved, number, slot, birth, later):
                    version, last = version + 1, later
            else:
                yield birth, version, last

    def _created(self, number, slot, last):
        return datetime.fromtimestamp(
            self.epoch + last * DAY_SECONDS + DAY_SECONDS // 2 if last else
            self.epoch - self._drawn(CREATED, number, slot, 0, 0) % (365 * DAY_SECONDS), timezone.utc)

    def _image(self, number, slot, birth, version, created):
        repository = f"project-{number // 100:04}/repository-{number:06}"
        tag = f"{slot:06}" + (f".{birth:03}" if birth else "") + ("-build" if slot % STABLE_EACH else "-stable")
        size, digest, diff_id = self.layer
        config = json.dumps({
            "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"), "architecture": "amd64", "os": "linux",
            "config": {"Labels": {"name": f"{repository}:{tag}", "version": str(version)}},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]}, "history": [{"created_by": "COPY . /"}]}, separators=(",", ":"))
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(config), "size": len(config)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": size}]},
            separators=(",", ":"))
        return Image(repository, tag, sha256(manifest), created)

    def _happens(self, purpose, limit, number, slot, birth, day):
        return self._drawn(purpose, number, slot, birth, day) % 1000 < limit

    def _drawn(self, purpose, number, slot, birth, day):
        return mix(mix(mix(mix(self.seed + purpose) ^ number) ^ slot) ^ (birth << 16 | day))


def mix(x):
    x = x + 0x9e3779b97f4a7c15 & WORD
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 & WORD
    x = (x ^ x >> 27) * 0x94d049bb133111eb & WORD
    return x ^ x >> 31


def sha256(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class ManyImages:
    """Started at once, on day 0; stopped at the end of the `with`, and whenever this process ends. `vendor` is "plain" or
    "harbor"; the other options are `Plan`'s."""

    def __init__(self, vendor="plain", seconds=3600, port=0, program=None, **plan):
        self.plan = Plan(**plan)
        self.folder = tempfile.mkdtemp(prefix="many-images-")
        flags = [f"--{name}={getattr(self.plan, name)}" for name in ("repositories", "tags", "born", "moved", "gone", "seed", "epoch")]
        self.process = subprocess.Popen(
            [program or build(self.folder), f"--vendor={vendor}", f"--port={port}", f"--seconds={seconds}", "--with-parent", *flags],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            self.close()
            raise AssertionError("the registry of many images does not start")
        self.port = int(line)
        self.url = f"http://127.0.0.1:{self.port}"
        self.plan.layer = self._layer()

    @property
    def pid(self):
        return self.process.pid

    def _layer(self):
        base = "/v2/project-0000/repository-000000"
        manifest = json.loads(self.ask(f"{base}/manifests/000000-stable"))
        config = json.loads(self.ask(f"{base}/blobs/{manifest['config']['digest']}"))
        self.ask("/_sim/reset", b"")
        return manifest["layers"][0]["size"], manifest["layers"][0]["digest"], config["rootfs"]["diff_ids"][0]

    def ask(self, path, data=None):
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=data), timeout=120) as answer:
            return answer.read()

    def requests(self):
        """What was asked for since `reset`: {"day", "tags", "requests": {kind: count}, "total", "refused", "notModified",
        "bytes", "connections"}; the kinds are those of main.c."""
        return json.loads(self.ask("/_sim/"))

    def reset(self):
        self.ask("/_sim/reset", b"")

    def hold(self):
        """Lets whoever asks for a layer wait, until `release`."""
        self.ask("/_sim/hold", b"")

    def release(self):
        self.ask("/_sim/release", b"")

    def delay(self, microseconds):
        """Lets each answer come so long after its request."""
        self.ask(f"/_sim/delay/{microseconds}", b"")

    def go_to(self, day):
        """On to a later day."""
        self.ask(f"/_sim/day/{day}", b"")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
