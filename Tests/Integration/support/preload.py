"""Libraries of the tests' own that are preloaded into a program."""
import atexit
import functools
import shutil
import subprocess
import tempfile


@functools.cache
def library(source):
    """Compiled once; answers its path."""
    folder = tempfile.mkdtemp(prefix="tidewaiter-preload-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = f"{folder}/{source.stem}.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", path, source, "-ldl"], check=True,
                   stdin=subprocess.DEVNULL)
    return path
