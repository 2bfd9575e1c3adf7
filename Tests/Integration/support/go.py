"""Programs in Go on Debian's ttrpc (Tests/Integration/go), built with what Debian has: no modules, no network."""
import os
import shutil
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
SOURCES = TOP / "Tests/Integration/go"
LIBRARIES = Path("/usr/share/gocode")
NEEDED = ("go", "protoc", "protoc-gen-go", "protoc-gen-go-ttrpc")

# Where each schema's Go package is; our own are told the generators here, so that the schemas need not know of Go.
PACKAGES = {
    "tidewaiter.proto": "tidewaiter/v1;tidewaiter_v1",
    "google/protobuf/duration.proto": "github.com/golang/protobuf/ptypes/duration",
    "google/protobuf/timestamp.proto": "github.com/golang/protobuf/ptypes/timestamp",
    "google/protobuf/field_mask.proto": "google.golang.org/genproto/protobuf/field_mask",
}


def absent():
    """Why the programs cannot be built here; empty when they can."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if not (LIBRARIES / "src/github.com/containerd/ttrpc").is_dir():
        missing.append("ttrpc's sources")
    if not missing:
        return ""
    return f"no {', '.join(missing)}: golang-go, golang-github-containerd-ttrpc-dev, gogottrpc, golang-goprotobuf-dev"


def build(folder):
    """Builds all of them into a folder; answers it."""
    sources = Path(folder) / "src"
    messages = sources / "tidewaiter/v1"
    messages.mkdir(parents=True)
    packages = ",".join(f"M{file}={package}" for file, package in PACKAGES.items())
    run(["protoc", f"-I{TOP / 'proto'}", f"--go_out={packages}:{messages}", f"--go-ttrpc_out={packages}:{sources}",
         "tidewaiter.proto"], folder)
    programs = sorted(path.name for path in SOURCES.iterdir() if path.is_dir())
    for name in programs:
        shutil.copytree(SOURCES / name, sources / name)
    run(["go", "build", "-o", f"{folder}/bin/", *programs], folder)
    return Path(folder) / "bin"


def run(command, folder):
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=600, env=os.environ | {
        "GO111MODULE": "off", "GOPATH": f"{folder}:{LIBRARIES}", "GOCACHE": str(TOP / ".build/go-cache"), "GOFLAGS": ""})
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{(done.stdout + done.stderr).decode(errors='replace')}"
