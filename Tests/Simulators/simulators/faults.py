"""Faults that a test orders: at which request, how often, and what happens."""
import re
from dataclasses import dataclass, field

KINDS = {
    "status": "answers `status` with the vendor's error body; `retry_after` (seconds or a date) adds the header",
    "expire": "all tokens that opened something before expire just before the request is looked at",
    "reset": "the connection breaks before any answer",
    "truncate": "the connection breaks in mid-body",
    "garbage": "status 200 and HTML where JSON is due",
    "loop": "the listing serves the page before once more, and says that there is another",
    "repeat": "something is added at the front after the first page: the second begins with what the first ended with",
    "shrink": "something is removed at the front after the first page: what would begin the second is on neither",
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
    begun: set = field(default_factory=set)  # listings that changed already

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


def page(items, start, size, fault=None, listing="", marker=False):
    """The entries from `start`, at most `size`, bent by a fault of the listing's. Where pages go on after a `marker`, not
    after a number of entries, what is removed meanwhile leaves no gap."""
    kind = fault.kind if fault else None
    if kind in ("repeat", "shrink"):
        if listing in fault.begun:
            items = [items[0], *items] if kind == "repeat" else items if marker else items[1:]
        fault.begun.add(listing)
    if kind == "loop":
        before = max(0, start - size)
        return Page(items[before:before + size], start, start, len(items))
    if kind == "end":
        return Page(items[start:start + size] if start == 0 else [], start, None, len(items))
    following = start + size
    return Page(items[start:following], start, following if following < len(items) else None, len(items))
