"""Images of one layer of many files that hardly compress, written into a registry's storage as a stream, and the memory that
scanning them takes: it is not to grow with the layer."""
import base64
import hashlib
import io
import json
import os
import random
import subprocess
import tarfile
import tempfile
from pathlib import Path

from daemon import started
from measure import Sampler
from place import SCRATCH, Problem, run
from support import images, packages
from support.registry import Registry

SIZES = [100 * 10**6, (10 if os.environ.get("SIZE") == "full" else 1) * 10**9]
SEED = 7
POOL_BYTES = 16 << 20
FILE_BYTES = [64 << 10, 512 << 10, 4 << 20]
TEXT_EACH = 8
REPOSITORY, TAG = "bench/large", "1"


def peaks(programs, settings):
    """Size by size: MiB of the daemon and its workers."""
    for size in SIZES:
        with tempfile.TemporaryDirectory(prefix="large-", dir=SCRATCH) as folder, Registry(Path(folder)) as registry:
            push(registry, size)
            with started(programs, registry.url, settings) as daemon, Sampler(daemon.pid) as sampler:
                run([*daemon.client, "image", "add", f"bench/{REPOSITORY}:{TAG}", "--wait"])
            yield size, sampler.peak.private


def push(registry, size):
    """An image whose one layer holds `size` bytes of files."""
    pusher, storage = registry.pusher(), registry.folder / "storage/docker/registry/v2"
    pusher.blob(REPOSITORY, b"")  # then the registry knows the repository
    part = storage / "part"
    with open(part, "wb") as output, subprocess.Popen(["igzip", "-1", "-c"], stdin=subprocess.PIPE, stdout=output) as igzip:
        with Hashed(igzip.stdin) as plain:
            write(plain, size)
    if igzip.returncode:
        raise Problem(f"igzip exited {igzip.returncode}")
    digest = "sha256:" + run(["openssl", "dgst", "-sha256", "-r", str(part)]).split()[0]
    number = digest.removeprefix("sha256:")
    layer = {"mediaType": images.OCI_LAYER + "+gzip", "digest": digest, "size": part.stat().st_size}
    blob, link = storage / f"blobs/sha256/{number[:2]}/{number}/data", storage / f"repositories/{REPOSITORY}/_layers/sha256/{number}/link"
    for path in (blob, link):
        path.parent.mkdir(parents=True)
    part.rename(blob)
    link.write_text(digest)
    made = images.image([], config={"rootfs": {"type": "layers", "diff_ids": [plain.digest]}})
    made.manifest = json.dumps(json.loads(made.manifest) | {"layers": [layer]}).encode()
    pusher.image(REPOSITORY, made, [TAG])


class Hashed:
    """A file that is written, and the digest of what was."""

    def __init__(self, file):
        self.file, self.hash = file, hashlib.sha256()

    @property
    def digest(self):
        return "sha256:" + self.hash.hexdigest()

    def write(self, data):
        self.hash.update(data)
        return self.file.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def write(output, size):
    """A tar with a package database and `size` bytes of files, one in some of them text."""
    rng = random.Random(SEED)
    noise = rng.randbytes(POOL_BYTES)
    text = base64.encodebytes(noise[:POOL_BYTES // 2])
    with tarfile.open(fileobj=output, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as archive:
        def add(path, content):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))

        for path, content in packages.alpine(("musl", "1.2.4-r2")).items():
            if content:
                add(path, content.encode())
        number = 0
        while size > 0:
            count, pool = min(size, rng.choice(FILE_BYTES)), text if number % TEXT_EACH == 0 else noise
            start = rng.randrange(len(pool) - count + 1)
            add(f"srv/{number // 100}/{number}", pool[start:start + count])
            number, size = number + 1, size - count
