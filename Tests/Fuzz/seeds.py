"""Puts what each libFuzzer target starts from into its corpus: seeds.py FOLDER [SHARED]. The first byte of an input says how
the target takes the rest (see the targets)."""
import glob
import gzip
import os
import re
import subprocess
import sys
import tarfile
import io

FIXTURES = "Tests/Analysis/Fixtures/"
LANGUAGES = FIXTURES + "languages/"
BYTES_MAX = 262_000
out, shared = sys.argv[1], sys.argv[2]


def put(target, name, data, modes=(0,)):
    folder = os.path.join(out, "corpus-" + target)
    os.makedirs(folder, exist_ok=True)
    if len(data) <= BYTES_MAX:
        for mode in modes:
            with open(os.path.join(folder, f"seed-{name}-{mode}"), "wb") as file:
                file.write(bytes([mode]) + data)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def unpacked(path):
    """The tar archive in a layer."""
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout
    return gzip.decompress(read(path))


def frames():
    """Each fixture's frames as one connection."""
    for path in glob.glob("proto/fixtures/*.frames"):
        data = b""
        with open(path) as lines:
            for line in lines:
                if line[:2] in ("C ", "S ") and "*" not in line:
                    data += bytes.fromhex(re.sub(r"\s", "", line[2:]))
        put("frames", os.path.basename(path).removesuffix(".frames"), data)


DATABASES = {"var/lib/dpkg/status": "dpkg", "var/lib/rpm/rpmdb.sqlite": "sqlite", "var/lib/rpm/rpmdb.sqlite-wal": "log",
             "var/lib/rpm/Packages": "berkeley", "var/lib/rpm/Packages.db": "ndb"}


def layers():
    for path in glob.glob(FIXTURES + "*.tar.*") + glob.glob(FIXTURES + "rpm-formats/*.tar.*"):
        name = os.path.basename(path)
        archive = unpacked(path)
        # The readers of large databases have targets of their own.
        if len(archive) <= 65_000:
            put("tar", name, read(path))
            put("tar", name + "-plain", archive, (0, 1))
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            for member in members:
                if target := DATABASES.get(member.name.removeprefix("./")):
                    data = members.extractfile(member).read()
                    # Of a log, what its first pages say is enough: they are of 4 KiB and many.
                    put(target, name, data[:40_000] if target == "log" else data, (0, 1))
    put("apk", "installed", read(FIXTURES + "apk-installed"))
    if shared:
        for path in glob.glob(os.path.join(shared, "corpus/rpmdb/*.Packages")):
            put("berkeley", os.path.basename(path), read(path))


# In the order of the target's paths.
MANIFESTS = [
    ("module", b'{"name": "@s/m", "version": "1.2.3", "license": ["x", {"type": "y"}]}'),
    ("npm-lock", b'{"lockfileVersion": 3, "packages": {"": {}, "node_modules/a": {"version": "1.0.0", "dev": true}},'
                 b' "dependencies": {"b": {"version": "2.0.0", "dependencies": {"c": {"version": "3.0.0"}}}}}'),
    ("yarn-lock", b'# yarn lockfile v1\n\n"@s/a@^1.0", b@2:\n  version "1.0.1"\n  resolved "x"\n\n'
                  b'__metadata:\n  version: 6\n\n"c@npm:^1":\n  version: 1.2.0\n  resolution: "c@npm:1.2.0"\n'),
    ("metadata", b"Metadata-Version: 2.1\nName: A_b.c\nVersion: 1.0\nSummary: x\n  y\n\nText\n"),
    ("requirements", b"-r other.txt\na==1.0 ; python_version < '3' # c\nb[x,y] == 2.* \\\n  --hash=sha256:00\n"),
    ("pipfile-lock", b'{"_meta": {}, "default": {"a": {"version": "==1.0"}}, "develop": {"b": {"version": "==2"}}}'),
    ("poetry-lock", b'[[package]]\nname = "a"\nversion = "1.0"\n\n[package.dependencies]\nb = "*"\n\n[metadata]\n'),
    ("gemspec", None),
    ("gemfile-lock", b"GEM\n  remote: https://rubygems.org/\n  specs:\n    a (1.0)\n      b (~> 2)\n    b (2.1-java)\n\n"
                     b"PLATFORMS\n  ruby\n"),
    ("cargo-lock", b'version = 3\n\n[[package]]\nname = "a"\nversion = "1.0.0"\nsource = "registry+https://x"\n'
                   b'dependencies = [\n "b",\n]\n'),
    ("deps", b'{"runtimeTarget": {"name": "n"}, "libraries": {"A/1.0": {"type": "project"}, "B/2.0":'
             b' {"type": "package", "serviceable": true}}}'),
    ("nuget-lock", b'{"version": 1, "dependencies": {"net6.0": {"A": {"type": "Direct", "resolved": "1.0"}}}}'),
    ("composer-installed", None),
    ("composer-lock", None),
    ("os-release", b'ID="debian"\nVERSION_ID="12"\nPRETTY_NAME=\'D $(x) \\"\'\nID_LIKE="a b"\nNAME=D\n'),
]


def with_holes(data):
    """Without its blocks of zeros: pieces, each with the number of such blocks before it and its length."""
    pieces, zeros = b"", 0
    for start in range(0, len(data), 4096):
        block = data[start:start + 4096]
        if block.strip(b"\0"):
            pieces += zeros.to_bytes(2, "big") + len(block).to_bytes(2, "big") + block
            zeros = 0
        else:
            zeros += 1
    return pieces


def languages():
    files = {"gemspec": glob.glob(LANGUAGES + "*.gemspec"), "composer-installed": [LANGUAGES + "composer-installed.json"],
             "composer-lock": [LANGUAGES + "composer.lock"], "metadata": glob.glob(LANGUAGES + "python-*")}
    for mode, (name, text) in enumerate(MANIFESTS):
        if text:
            put("manifests", name, text, (mode,))
            if text.startswith(b"{"):
                put("json", name, text)
        for path in files.get(name, []):
            put("manifests", name + "-" + os.path.basename(path), read(path), (mode,))
    put("json", "forms", rb'[-0.5e+3, 1E9, "\u00e9\ud83d\ude00\n", true, false, null, {"a": [], "b": {}}, [[[]]]]')
    for path in glob.glob(LANGUAGES + "*.[jew]ar"):
        put("jar", os.path.basename(path), read(path))
    for path in glob.glob(LANGUAGES + "*.gz"):
        program = gzip.decompress(read(path))
        if len(program) < 1 << 20 and not path.endswith(".tar.gz"):
            put("executable", os.path.basename(path), with_holes(program), (1,))


frames()
layers()
languages()
