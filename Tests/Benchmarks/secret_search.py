"""PART=secrets: a few hundred MB of this machine's text searched for secrets, on one core."""
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from measure import spread, median
from place import product

ROUNDS = 7
GOAL = 1.0
TEXT_BYTES = 400 << 20
FOLDERS = ["/usr/lib/python3", "/usr/lib/python3.11", "/usr/share", "/usr/include", "/etc"]
# Of GNU grep: some of what is looked for, as fixed strings.
WORDS = ["AKIA", "ghp_", "glpat-", "xoxb-", "sk_live_", "-----BEGIN RSA PRIVATE KEY-----", "password", "://", "eyJ"]


def text_files():
    """Regular files without a NUL near their beginning, up to 10 MiB each."""
    names, total = [], 0
    for folder in FOLDERS:
        for directory, folders, files in os.walk(folder):
            folders.sort()
            for name in sorted(files):
                path = Path(directory, name)
                try:
                    if path.is_symlink() or not path.is_file() or not 0 < path.stat().st_size <= 10 << 20:
                        continue
                    with open(path, "rb") as file:
                        if b"\0" in file.read(8192) or "\n" in str(path):
                            continue
                except OSError:
                    continue
                names.append(str(path))
                total += path.stat().st_size
                if total >= TEXT_BYTES:
                    return names, total
    return names, total


def measure(_):
    command = ["taskset", "-c", "0", product("secrets-benchmark")]
    names, total = text_files()
    listed = "\n".join(names) + "\n"
    rates = {"secrets": [], "anchors": [], "memchr": [], "grep": []}
    ready = []
    with tempfile.NamedTemporaryFile() as whole:
        for name in names:
            whole.write(Path(name).read_bytes())
        whole.flush()
        for _ in range(ROUNDS):
            answer = subprocess.run(command, input=listed, capture_output=True, text=True, check=True).stdout
            for what, size, seconds in re.findall(r"^(\w+) (\d+) (\S+)$", answer, re.M):
                if what == "ready":
                    ready.append(float(seconds) * 1e3)
                else:
                    rates[what].append(int(size) / float(seconds) / 1e9)
            words = [word for text in WORDS for word in ("-e", text)]
            start = time.monotonic()
            # It counts into a pipe: into /dev/null it would end at the first line.
            subprocess.run(["taskset", "-c", "0", "grep", "-a", "-F", "-c", *words, whole.name],
                           stdout=subprocess.PIPE, env={"LC_ALL": "C"}, check=True)
            rates["grep"].append(total / (time.monotonic() - start) / 1e9)
    yield f"{ROUNDS} runs on one core, median (lowest-highest). {answer.splitlines()[-1]}, {total / 1e6:.0f} MB."
    yield ""
    yield "| | GB/s |"
    yield "|---|---|"
    yield f"| every kind of secret | {spread(rates['secrets'], 2)} |"
    yield f"| the anchors alone, by the multi-pattern library | {spread(rates['anchors'], 2)} |"
    yield f"| `grep -F` for {len(WORDS)} of them (by the clock) | {spread(rates['grep'], 2)} |"
    yield f"| `memchr` of an absent byte | {spread(rates['memchr'], 2)} |"
    yield ""
    yield f"A process's first text, from nothing to its findings: {spread(ready, 2)} ms."
    yield ""
    met = "met" if median(rates["secrets"]) >= GOAL else "MISSED"
    yield f"Goals: {GOAL:.0f} GB/s a core: {met} ({median(rates['secrets']):.2f})."
