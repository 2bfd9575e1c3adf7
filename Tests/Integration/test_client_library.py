"""A program of another package, built on the client library as a clean clone has it, talks to the daemon."""
import os
import subprocess

import pytest

from conftest import TOP


@pytest.mark.slow
def test_program_of_another_package(daemon, tmp_path):
    clone = tmp_path / "tidewaiter"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{TOP}", clone], check=True)
    example = clone / "Tests/Client/Example"
    built = subprocess.run(
        [os.environ.get("SWIFT", "swift"), "build", "--package-path", example], capture_output=True, text=True, timeout=1200)
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    assert "warning:" not in built.stdout, built.stdout[-3000:]
    ran = subprocess.run([example / ".build/debug/watcher", daemon.socket], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("version ")
    assert lines[1] == "serving true"
    assert lines[2].startswith("NOT_FOUND ") and "integration list" in lines[2]
    assert lines[3:] == [
        "created example true", "event integration.created example", "jobs snapshotBegins", "jobs snapshotEnds"]
