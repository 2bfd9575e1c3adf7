"""What `events --follow` tells, as it comes."""
import json
import queue
import subprocess
import threading

from .waiting import PATIENCE_SECONDS


class Events:
    """Everything from the oldest event that is kept on; each is handed out once. Waits for a daemon that restarts."""

    def __init__(self, client):
        self.process = subprocess.Popen(
            [client.binary, "--socket", client.socket, "-o", "jsonl", "events", "--follow"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.seen, self.lines = [], queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def wait_for(self, kind, **fields):
        """The next event of that kind with those fields."""
        while True:
            try:
                event = self.lines.get(timeout=PATIENCE_SECONDS)
            except queue.Empty:
                raise AssertionError(f"no {kind} with {fields} within {PATIENCE_SECONDS} s, but {self.seen}") from None
            self.seen.append(event)
            if event["kind"] == kind and all(event[name] == value for name, value in fields.items()):
                return event

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
