"""Opaque names for places in listings, as page tokens carry them."""
import hashlib


class Places:
    """Only what was given out here for the same listing leads on; `lifetime` in seconds, None for ever."""

    def __init__(self, clock, lifetime=None, prefix=""):
        self.clock, self.lifetime, self.prefix = clock, lifetime, prefix
        self.known = {}

    def name(self, listing, start):
        text = self.prefix + hashlib.sha256(repr((id(self), listing, start)).encode()).hexdigest()[:40] + "=="
        self.known[text] = (listing, start, self.clock.now())
        return text

    def find(self, text, listing):
        """The place; None if it is not of this listing, or too old."""
        where, start, since = self.known.get(text, (None, 0, 0))
        old = self.lifetime is not None and self.clock.now() > since + self.lifetime
        return start if where == listing and not old else None
