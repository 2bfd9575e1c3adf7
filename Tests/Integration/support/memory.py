"""How much memory a process has for itself, and what lies in it."""
import re
import threading
from pathlib import Path

LOOK_SECONDS = 0.02


def private_bytes(pid):
    """What nobody else can use."""
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status if line.startswith("Rss"))
    return 1024 * sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssShmem"))


def peak_bytes(pid):
    """The most that it ever had, files that others use too included. None once it has ended."""
    with open(f"/proc/{pid}/status") as status:
        return next((1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:")), None)


class Peaks:
    """The most that a daemon had for itself, that one of its workers ever had, and that all of them had at a time, in bytes."""

    def __init__(self, daemon):
        self.daemon, self.worker, self.together = 0, 0, 0
        self.watched, self.ended, self.failure = daemon, threading.Event(), None
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        try:
            while not self.ended.wait(LOOK_SECONDS):
                self.look()
        except Exception as failure:  # told by the thread that wants to know
            self.failure = failure

    def look(self):
        workers = []
        for child in self.watched.children():
            try:
                # What it ever had, as it may have more between two looks.
                self.worker = max(self.worker, peak_bytes(child) or 0)
                workers.append(private_bytes(child))
            except (OSError, KeyError):
                continue  # ended meanwhile
        own = private_bytes(self.watched.process.pid)
        self.daemon = max(self.daemon, own)
        self.together = max(self.together, own + sum(workers))

    def end(self):
        """Raises what has kept it from looking."""
        self.ended.set()
        self.thread.join()
        if self.failure is not None:
            raise self.failure
        return self


class Remnant:
    """Where something was found: whose memory, and what lies around it (the thing itself masked)."""

    def __init__(self, form, address, region, before, after):
        self.form, self.address, self.region, self.before, self.after = form, address, region, before, after

    def __str__(self):
        around = re.sub(rb"[^\x20-\x7e]", b".", self.before) + b"[it]" + re.sub(rb"[^\x20-\x7e]", b".", self.after)
        return f"{self.form} at {self.address:#x} in {self.region}: {around.decode()}"


def search(process, forms, around=64):
    """Every place in the writable memory of a process that holds one of `forms` ({name: bytes}); for root."""
    found = []
    maps = Path(f"/proc/{process}/maps").read_text().splitlines()
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, rights, *rest = line.split()
            if not rights.startswith("rw") or rights[3] == "s":
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            region = rest[3] if len(rest) > 3 else "anonymous memory"
            tail, position = b"", start
            while position < end:
                memory.seek(position)
                try:
                    chunk = memory.read(min(16 << 20, end - position))
                except OSError:
                    break  # a guard page, or memory given back meanwhile
                if not chunk:
                    break
                data = tail + chunk
                for name, form in forms.items():
                    at = data.find(form)
                    while at >= 0:
                        where = position - len(tail) + at
                        found.append(Remnant(name, where, f"{region} {span}", data[max(0, at - around):at],
                                             data[at + len(form):at + len(form) + around]))
                        at = data.find(form, at + 1)
                keep = max(len(form) for form in forms.values()) - 1
                tail = data[-keep:] if keep else b""
                position += len(chunk)
    # What lies across two reads is found once.
    return list({(remnant.form, remnant.address): remnant for remnant in found}.values())
