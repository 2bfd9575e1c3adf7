"""Disks that fail, fill up, or lose power."""
import array
import contextlib
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from . import preload

SOURCE = Path(__file__).with_suffix(".c")
# _IOR('X', 125, __u32) of linux/fs.h, and its argument for a journal that is not written out.
EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587d, 2


class Faults:
    """Calls of a daemon that fail for as long as the control file says so."""

    def __init__(self, folder):
        self.control = Path(folder) / "faults"

    @property
    def environment(self):
        return {"LD_PRELOAD": preload.library(SOURCE), "TEST_FAULTS": str(self.control)}

    def begin(self, *calls):
        whole = self.control.with_suffix(".new")
        whole.write_text(" ".join(calls))
        whole.rename(self.control)

    def end(self):
        self.control.unlink()

    @contextlib.contextmanager
    def lasting(self, *calls):
        self.begin(*calls)
        try:
            yield
        finally:
            self.end()


def mount(*arguments):
    """Mounts, or skips the test with the reason."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a file system")
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no mounts here: {done.stderr.strip()}")


def unmount(place):
    subprocess.run(["umount", str(place)], check=True, capture_output=True)


@contextlib.contextmanager
def small_disk(place, size):
    """A file system of so many bytes at a place."""
    place.mkdir(mode=0o700, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", place)
    try:
        yield
    finally:
        unmount(place)


class Disk:
    """An ext4 file system in a file, on a loop device, that can lose power."""

    def __init__(self, folder, size=256 << 20):
        self.image, self.place = Path(folder) / "disk.img", Path(folder) / "disk"
        self.place.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(size)
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("mkfs.ext4 is not installed")
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self.image)], check=True, capture_output=True)
        self.mounted = False
        self.mount()

    def mount(self):
        mount("-o", "loop,errors=remount-ro", self.image, self.place)
        self.mounted = True

    def unmount(self):
        if self.mounted:
            unmount(self.place)
        self.mounted = False

    def cut_power(self):
        """From now on nothing reaches the disk, not even what the journal of the file system holds."""
        folder = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, array.array("I", [NO_LOG_FLUSH]), True)
        finally:
            os.close(folder)

    def break_down(self):
        """An error of the file system itself, after which the kernel has it read-only."""
        device = subprocess.run(["findmnt", "-no", "SOURCE", str(self.place)], check=True, capture_output=True, text=True)
        trigger = Path("/sys/fs/ext4") / Path(device.stdout.strip()).name / "trigger_fs_error"
        if not trigger.exists():
            pytest.skip("this kernel cannot break a file system on demand")
        trigger.write_text("a test")

    def mend(self):
        """What an operator does to a file system that was not unmounted in order."""
        done = subprocess.run(["fsck.ext4", "-fy", str(self.image)], capture_output=True, text=True)
        assert done.returncode in (0, 1), done
