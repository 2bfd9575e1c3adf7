"""The images that are analysed, each one tag of a docker-registry on loopback: of Debian's packages from the mirror that this
machine uses, and made up. They are made when they are not in the scratch folder."""
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from place import SCRATCH, run
from support import images, packages
from support.registry import Registry

SUITE, TAG = "bookworm", "1"
# Of each image of Debian's: the packages beside the essential ones, and how its one layer is packed.
DEBIAN = {
    "minimal": ([], "gzip"),
    "web": (["ca-certificates", "nginx", "php-fpm", "php-cli", "php-curl", "php-gd", "php-intl", "php-mbstring", "php-mysql",
             "php-pgsql", "php-xml", "php-zip", "python3-pip", "python3-django", "python3-flask", "python3-celery", "python3-aiohttp",
             "python3-boto3", "python3-requests", "python3-yaml", "python3-sqlalchemy", "python3-pillow", "python3-psycopg2",
             "gunicorn", "nodejs", "ruby-rails", "git", "curl", "vim", "imagemagick", "openssh-client", "postgresql-client",
             "redis-server"], "zstd"),
    "java": (["default-jre-headless", "libtomcat10-java", "libjackson2-databind-java", "libguava-java", "libcommons-lang3-java",
              "libpostgresql-jdbc-java"], "gzip"),
}
LAYERED, LAYERS_ON_TOP, LAYER_FILES = "41 layers", 40, 20
SMALL, SMALL_PACKAGES, SMALL_FILES = "small", 15, 40
# What a small image takes of the minimal one, as Alpine has its own libraries and shell: files with these in their names.
SMALL_PROGRAMS = ["/libgcrypt.so.", "/libdb-5.", "/libc.so.", "/bash"]
NAMES = [SMALL, "minimal", LAYERED, "web", "java"]
# Where mmdebstrap leaves the settings of apt that this machine needs, such as a proxy.
APT_SETTINGS = "etc/apt/apt.conf.d/99mmdebstrap"
SEED = 7


@dataclass(frozen=True)
class Load:
    """An image, and what a reader has to know of it."""
    name: str
    layers: list  # of the manifest
    bytes: int
    paths: int

    @property
    def repository(self):
        return "bench/" + self.name.replace(" ", "-")

    @property
    def text(self):
        return (f"{self.name}: {len(self.layers)} layer{'s' * (len(self.layers) > 1)}, {self.layers[0]['mediaType'].split('+')[-1]}, "
                f"{sum(layer['size'] for layer in self.layers) / 1e6:.1f} of {self.bytes / 1e6:.0f} MB, {self.paths:,} paths")

    def put(self, folder):
        (folder / f"{self.name}.json").write_text(json.dumps(vars(self)))


def registry():
    """Debian's docker-registry with all images in it, to be started; and the images by name."""
    recipe = json.dumps([DEBIAN, LAYERS_ON_TOP, LAYER_FILES, SMALL_PACKAGES, SMALL_FILES, SMALL_PROGRAMS, SEED])
    folder = SCRATCH / ("analysis-" + hashlib.sha256(recipe.encode()).hexdigest()[:16])
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        with Registry(folder) as made:
            for name, layers in made_layers(folder):
                image = images.image([layer for layer, _, _ in layers])
                load = Load(name, json.loads(image.manifest)["layers"], sum(size for _, size, _ in layers),
                            sum(paths for _, _, paths in layers))
                made.push(load.repository, image, TAG)
                load.put(folder)
        (folder / "complete").touch()
    return Registry(folder), {name: Load(**json.loads((folder / f"{name}.json").read_text())) for name in NAMES}


def made_layers(folder):
    """Name by name the layers of an image, each with the bytes of its tar and how many paths stand in it."""
    minimal = None
    for name, (included, compression) in DEBIAN.items():
        data = debian(folder, included)
        minimal = minimal or data
        yield name, [packed(data, compression)]
    with tarfile.open(fileobj=io.BytesIO(minimal)) as archive:
        yield LAYERED, [packed(minimal), *(packed(images.tar(added(archive, number))) for number in range(LAYERS_ON_TOP))]
        yield SMALL, [packed(images.tar(small(archive)))]


def packed(data, compression="gzip"):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return images.layer_of(data, compression), len(data), len(archive.getnames())


def debian(folder, included):
    """A tar of a Debian system with these packages."""
    root = [] if os.geteuid() == 0 else ["sudo"]
    options, tree = folder / "apt.conf", folder / "tree.tar"
    settings = run(["apt-config", "dump"]).splitlines()
    options.write_text("\n".join(line for line in settings if line.startswith("Acquire::") and line.endswith('";')) + "\n")
    try:
        run([*root, "mmdebstrap", "--quiet", "--variant=essential", *(f"--include={one}" for one in included),
             f"--aptopt={options}", "--skip=output/dev", f'--customize-hook=rm -f "$1"/{APT_SETTINGS}', SUITE, str(tree), *sources()])
        return tree.read_bytes()
    finally:
        options.unlink()
        subprocess.run([*root, "rm", "-f", "--", str(tree)], check=False)


def sources():
    """The lines for apt of the Debian mirrors that this machine uses; Debian's own where it names none."""
    listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"])
    found = sorted({tuple(line.split()) for line in listed.splitlines()})
    lines = [f"deb {uri} {suite} main" for uri, suite, component in found
             if component == "main" and suite in (SUITE, SUITE + "-updates", SUITE + "-security")]
    return lines if any(f" {SUITE} " in line for line in lines) else [
        f"deb http://deb.debian.org/debian {SUITE} main", f"deb http://deb.debian.org/debian-security {SUITE}-security main"]


def added(archive, number):
    """What installing one package more adds to the minimal image: some files, and the whole database anew."""
    rng = random.Random(f"{SEED} {number}")
    status = archive.extractfile("./" + packages.DPKG_PATH).read().decode()
    status += packages.dpkg(*((f"added-{one}", f"1.{one}-1") for one in range(number + 1)))
    files = {packages.DPKG_PATH: status, f"var/lib/dpkg/info/added-{number}.list": f"/.\n/usr/share/added-{number}\n"}
    return files | {f"usr/share/added-{number}/{one}.txt": text(rng) for one in range(LAYER_FILES)}


def small(archive):
    """An image of Alpine's size and kind."""
    rng = random.Random(SEED)
    files = packages.alpine(*((f"package-{one}", f"1.2.{one}-r0") for one in range(SMALL_PACKAGES)))
    for part in SMALL_PROGRAMS:
        entry = next(entry for entry in archive if entry.isreg() and part in entry.name and entry.size > 1_000_000)
        files[entry.name.removeprefix("./")] = archive.extractfile(entry).read()
    return files | {f"etc/package-{one}.conf": text(rng) for one in range(SMALL_FILES)}


def text(rng):
    """A few KB of lines that are no two times the same."""
    return "".join(f"key-{rng.randrange(1000)} = {rng.getrandbits(64):x}\n" for _ in range(rng.randrange(20, 300)))
