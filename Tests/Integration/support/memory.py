"""Looks into a process's memory, as only root may."""
import re
from pathlib import Path


def places(process, needles):
    """Where the needles (bytes) stand in what the process can read: (mapping, address, surrounding bytes)."""
    found = []
    pattern = re.compile(b"|".join(re.escape(one) for one in needles))
    with open(f"/proc/{process}/mem", "rb", 0) as memory:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            extent, rights, _, _, _, *name = line.split(maxsplit=5)
            if "r" not in rights or (name and name[0].startswith("[v")):
                continue
            start, end = (int(side, 16) for side in extent.split("-"))
            data = read(memory, start, end)
            found += [(name[0] if name else "anonymous", hex(start + match.start()),
                       data[max(0, match.start() - 40):match.end() + 20]) for match in pattern.finditer(data)]
    return found


def read(memory, start, end):
    """What can be read of a mapping: it may end before its size, or be gone."""
    parts = []
    try:
        memory.seek(start)
        while start < end:
            part = memory.read(min(end - start, 1 << 24))
            if not part:
                break
            parts.append(part)
            start += len(part)
    except OSError:
        pass
    return b"".join(parts)
