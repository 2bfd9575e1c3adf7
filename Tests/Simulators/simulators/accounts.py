"""Who may log in to a simulated product, and the tokens that it gives out."""
import base64
import hashlib
import time
from dataclasses import dataclass, field


@dataclass
class Account:
    name: str
    secret: str
    kind: str = "user"  # what else a vendor knows: robot, token, api-key, …
    admin: bool = False
    areas: set = None  # the areas it may read beside the public ones; None: all
    rights: set = field(default_factory=set)  # scopes, privileges: a vendor's own words

    def may_read(self, area):
        return self.admin or area.public or self.areas is None or area.name in self.areas


class Clock:
    """The simulator's own time, which a test puts forward."""

    def __init__(self):
        self.offset = 0.0

    def now(self):
        return time.time() + self.offset

    def advance(self, seconds):
        self.offset += seconds


@dataclass
class Token:
    value: str
    account: Account  # None: anonymous
    expires: float
    claims: dict
    used: int = 0  # how often it was good


class Tokens:
    """Opaque tokens with a life. Only what was given out here, and has not expired, is good."""

    def __init__(self, clock, lifetime, prefix="eyJhbGciOiJSUzI1NiJ9.", length=900):
        self.clock, self.lifetime, self.prefix, self.length = clock, lifetime, prefix, length
        self.known = {}

    def issue(self, account, lifetime=None, **claims):
        number = len(self.known) + 1
        seed = hashlib.sha512(f"{id(self)}/{number}".encode()).digest()
        text = base64.urlsafe_b64encode(seed * (self.length // 80 + 1)).decode().replace("=", "")
        value = f"{self.prefix}{number}.{text}"[:self.length]
        self.known[value] = Token(value, account, self.clock.now() + (lifetime or self.lifetime), claims)
        return self.known[value]

    def get(self, value):
        """The token if it is good; else None."""
        token = self.known.get(value)
        if token is None or token.expires <= self.clock.now():
            return None
        token.used += 1
        return token

    def knows(self, value):
        """Whether it was ever given out: then it has expired, if it is no longer good."""
        return value in self.known

    def live(self, account, **claims):
        """The good tokens of an account with such claims."""
        return [one for one in self.known.values()
                if one.account is account and one.expires > self.clock.now() and one.claims == claims]

    def expire(self, only_used=False):
        for token in self.known.values():
            if only_used and not token.used:
                continue
            token.expires = min(token.expires, self.clock.now())


def basic(request):
    """(name, secret) of basic authentication, or None."""
    scheme, _, value = request.header("authorization").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return None
    return (name, secret) if colon else None


def bearer(request):
    """The token of bearer authentication, or None."""
    scheme, _, value = request.header("authorization").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None
