"""Builds the servers that calls are measured beside, from the sources of rpc-baseline and Debian's packages."""
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from place import SCRATCH, TOP, fingerprint, run
from support import go

FOLDER = SCRATCH / "rpc"


@dataclass
class Built:
    """The programs in `folder`: floor and hold always, the others where the flags say so."""
    folder: Path
    ttrpc_go: bool = False
    grpc: bool = False
    go_client: Path = None
    absent: list = field(default_factory=list)  # what could not be built, and why


def sources():
    """The folder rpc-baseline; None where it is not."""
    folder = Path(os.environ.get("TIDEWAITER_SHARED", TOP.parent / "shared")) / "rpc-baseline"
    return folder if (folder / "c/floor.c").exists() else None


def build(sources):
    FOLDER.mkdir(parents=True, exist_ok=True)
    built = Built(FOLDER)
    once("floor", [sources / "c/floor.c", sources / "c/frame.h"], lambda output: run(
        ["gcc", "-O2", "-pthread", "-o", output, sources / "c/floor.c"]))
    once("hold", [sources / "c/ttload.c", sources / "c/frame.h"], lambda output: run(
        ["gcc", "-O2", "-o", output, sources / "c/ttload.c"]))
    if missing := go.absent():
        built.absent.append(f"ttrpc-go and a Go client ({missing})")
    else:
        once("ttrpc_go", [sources / "go/ttecho/main.go", sources / "go/bench/bench.go", sources / "proto/bench.proto"],
             lambda output: build_ttrpc_go(sources, output))
        built.ttrpc_go = True
        clients = FOLDER / "go-programs"
        shutil.rmtree(clients, ignore_errors=True)
        built.go_client = go.build(clients) / "client"
    if missing := [name for name in ("g++", "protoc", "grpc_cpp_plugin", "pkg-config") if shutil.which(name) is None]:
        built.absent.append(f"gRPC C++ (no {', '.join(missing)}: g++, libgrpc++-dev, protobuf-compiler-grpc)")
    else:
        for program, name in (("grpc_server", "server"), ("grpc_load", "load")):
            once(program, [sources / f"cpp/{name}.cc", sources / "proto/bench.proto"],
                 lambda output, name=name: build_grpc(sources, name, output))
        built.grpc = True
    return built


def once(name, inputs, make):
    """Makes a program unless it was made of the same inputs before."""
    stamp, wanted = FOLDER / f"{name}.made-of", fingerprint(*inputs)
    if (FOLDER / name).exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    make(FOLDER / name)
    stamp.write_text(wanted)


def build_ttrpc_go(sources, output):
    path = FOLDER / "go"
    shutil.rmtree(path, ignore_errors=True)
    for name in ("bench", "ttecho"):
        shutil.copytree(sources / "go" / name, path / "src" / name, copy_function=shutil.copyfile)
        os.chmod(path / "src" / name, 0o755)
    go.run(["protoc", f"-I{sources / 'proto'}", f"--go_out={path}/src", f"--go-ttrpc_out={path}/src", "bench.proto"], path)
    go.run(["go", "build", "-o", str(output), "ttecho"], path)


def build_grpc(sources, name, output):
    path = FOLDER / "grpc"
    path.mkdir(exist_ok=True)
    plugin = shutil.which("grpc_cpp_plugin")
    run(["protoc", f"-I{sources / 'proto'}", f"--cpp_out={path}", f"--grpc_out={path}", f"--plugin=protoc-gen-grpc={plugin}",
         "bench.proto"])
    flags = run(["pkg-config", "--cflags", "--libs", "grpc++", "protobuf"]).split()
    run(["g++", "-O2", "-std=c++17", f"-I{path}", "-o", output, sources / f"cpp/{name}.cc", path / "bench.pb.cc",
         path / "bench.grpc.pb.cc", *flags])
