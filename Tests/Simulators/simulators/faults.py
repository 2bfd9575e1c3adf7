"""Faults that a test orders: at which request, how often, and what happens."""
import re
from dataclasses import dataclass, field

KINDS = {
    "status": "answers `status` with the vendor's error body; `retry_after` (seconds or a date) adds the header",
    "expire": "all tokens expire just before the request is looked at",
    "reset": "the connection breaks before any answer",
    "truncate": "the connection breaks in mid-body",
    "garbage": "status 200 and HTML where JSON is due",
    "loop": "the listing serves the page before once more, and says that there is another",
    "repeat": "each page after the first begins with the last entry of the page before, as when something was added meanwhile",
    "shrink": "each page after the first leaves one entry out, as when something was removed meanwhile",
    "end": "the listing ends there although its total says that there is more",
}
LISTING_KINDS = {"loop", "repeat", "shrink", "end"}


@dataclass
class Fault:
    """`on` is a pattern for the names of routes; `after` requests pass unharmed; then `times` are hit (None: all)."""
    kind: str
    on: str = ".*"
    after: int = 0
    times: int = None
    status: int = 503
    retry_after: str = None
    passed: int = 0
    hits: int = 0
    at: list = field(default_factory=list)  # which requests were hit

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"no fault {self.kind}: there are {', '.join(KINDS)}")
        if self.times is None and self.kind not in LISTING_KINDS:
            self.times = 1
        if self.retry_after is not None:
            self.retry_after = str(self.retry_after)

    def strikes(self, route, request):
        """Whether this request is one to hit; counts it."""
        if not re.fullmatch(self.on, route):
            return False
        if self.passed < self.after:
            self.passed += 1
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        self.hits += 1
        self.at.append(request.line)
        return True


@dataclass
class Page:
    items: list
    start: int
    next: int  # the place at which the next page starts, None at the end
    total: int


def page(items, start, size, fault=None):
    """The entries from `start`, at most `size`, bent by a fault of the listing's."""
    kind = fault.kind if fault else None
    total = len(items)
    if kind == "loop":
        before = max(0, start - size)
        return Page(items[before:before + size], start, start, total)
    if kind == "end":
        return Page(items[start:start + size] if start == 0 else [], start, None, total)
    shift = 0
    if kind == "repeat" and start > 0:
        shift, total = -1, total + 1
    elif kind == "shrink" and start > 0:
        shift, total = 1, total - 1
    found = items[max(0, start + shift):max(0, start + shift + size)]
    following = start + size
    return Page(found, start, following if following + shift < len(items) else None, total)
