"""The image that is scanned: Debian 12 in three layers, from packages of the mirror that this machine uses."""
import os
import shlex
import shutil
import subprocess
import tarfile

from place import SCRATCH, fingerprint, run
from support import images, layers
from support.registry import Registry

SUITE = "bookworm"
REPOSITORY, TAG = "debian/bench", "1"
ADDED = ["ca-certificates", "curl", "openssl", "perl", "python3", "python3-requests", "python3-yaml"]
ADDED_LAST = ["git", "openssh-client", "postgresql-client", "vim"]
# Where mmdebstrap leaves the settings of apt that this machine needs, such as a proxy.
APT_SETTINGS = "etc/apt/apt.conf.d/99mmdebstrap"
NOT_IN_LAYERS = [f"{path}/*" for path in ("dev", "proc", "sys", "tmp", "run", "var/cache/apt", "var/lib/apt/lists", "var/log")]
NOT_IN_LAYERS.append(APT_SETTINGS)


def registry():
    """Debian's docker-registry with the image in it, started. The image is made when it is not in the scratch folder."""
    folder = SCRATCH / ("registry-" + fingerprint(__file__))
    complete = folder / "complete"
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        image = assemble(SCRATCH / "image")
        with Registry(folder) as made:
            made.push(REPOSITORY, image, TAG)
        complete.touch()
    return Registry(folder)


def assemble(folder):
    """The essential packages, and twice some more on top, as a Dockerfile of three lines would make them."""
    root = [] if os.geteuid() == 0 else ["sudo"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parts = [folder / f"{number}.tar" for number in (1, 2, 3)]
    options = folder / "apt.conf"
    settings = run(["apt-config", "dump"]).splitlines()
    options.write_text("\n".join(line for line in settings if line.startswith("Acquire::") and line.endswith('";')) + "\n")
    install = "DEBIAN_FRONTEND=noninteractive chroot \"$1\" apt-get install -y --no-install-recommends "
    try:
        run([*root, "mmdebstrap", "--variant=essential", f"--include={','.join(['apt', *ADDED])}", f"--aptopt={options}",
             f"--essential-hook={snapshot(parts[0])}", f"--customize-hook={snapshot(parts[1])}",
             f"--customize-hook={install}{' '.join(ADDED_LAST)}", f"--customize-hook={snapshot(parts[2])}",
             SUITE, "/dev/null", *sources()])
        made = [images.layer_of(parts[0].read_bytes(), created_by=f"mmdebstrap {SUITE}")]
        for before, after, added in ((parts[0], parts[1], ADDED), (parts[1], parts[2], ADDED_LAST)):
            with tarfile.open(before) as old, tarfile.open(after) as new:
                made.append(images.layer_of(layers.difference(old, new), created_by="RUN apt-get install " + " ".join(added)))
    finally:
        subprocess.run([*root, "rm", "-rf", "--", str(folder)], check=False)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    return images.image(made, architecture=machine)


def snapshot(path):
    excluded = [f"--exclude=./{one}" for one in NOT_IN_LAYERS]
    return shlex.join(["tar", "--numeric-owner", "--one-file-system", *excluded, "-cf", str(path)]) + ' -C "$1" .'


def sources():
    """The lines for apt of the Debian mirrors that this machine uses; Debian's own where it names none."""
    listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"])
    found = sorted({tuple(line.split()) for line in listed.splitlines()})
    lines = [f"deb {uri} {suite} main" for uri, suite, component in found
             if component == "main" and suite in (SUITE, SUITE + "-updates", SUITE + "-security")]
    return lines if any(f" {SUITE} " in line for line in lines) else [
        f"deb http://deb.debian.org/debian {SUITE} main", f"deb http://deb.debian.org/debian-security {SUITE}-security main"]
