"""What every simulated product has: hosts, routes, violations, a log, faults, knobs."""
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from support.tls import authority

from .accounts import Account, Clock, Tokens, basic
from .content import Content
from .control import CONTROL, Control
from .faults import LISTING_KINDS, Fault, page
from .server import Response, Server, tls_context
from .upstream import Upstream

LOG_MAX = 100_000
# A credential that was refused so often was not given up, as it must be, until the next poll.
REFUSALS_MAX = 12
# Requests that were under way when a 429 was answered are forgiven.
UNDER_WAY_SECONDS = 1.0


@dataclass(frozen=True)
class Violation:
    """Something that a real product would reject, or that the sheet forbids."""
    section: str  # of registries.md
    rule: str
    request: str

    def __str__(self):
        return f"registries.md {self.section}: {self.rule} ({self.request})"


@dataclass(frozen=True)
class Logged:
    at: float
    line: str
    route: str
    account: str
    status: int
    user_agent: str


@dataclass(frozen=True)
class Route:
    method: re.Pattern
    pattern: re.Pattern
    role: str
    name: str
    raw: bool
    handler: str


class Refusal(Exception):
    """Ends a handler early with an answer."""

    def __init__(self, response):
        self.response = response


def route(method, pattern, *, name, role=".*", raw=False):
    """Marks a handler: called as handler(request, *groups) where method, path and the host's role match whole. `raw`
    matches the path as it was sent, not once decoded. Faults and the log call the route by its name."""
    def mark(function):
        function.routes = getattr(function, "routes", []) + [
            (re.compile(method), re.compile(pattern), re.compile(role), name, raw)]
        return function
    return mark


@dataclass(frozen=True)
class Integration:
    """How Tidewaiter is told of the product, for one of its users."""
    flags: tuple  # of `tidewaiter integration add NAME`, without the secret
    secret: str = None  # for --password-stdin or --api-key-stdin, which is among the flags


class Simulator(Control):
    """One product. A subclass names its hosts, knobs and accounts, and has a method for each route.

    `hosts` {role: name} are told apart by the Host header; a role may have several names, or a port of its own by
    `listen`. `knobs` {name: values} are the ways in which the product may behave, the first value being the usual one.
    """

    vendor = ""
    hosts = {}
    knobs = {}
    wildcard_hosts = {}  # {role: pattern of names}: subdomains
    certificate_names = ()  # beside those of `hosts`
    users = {"full": "admin", "minimum": "scanner"}  # the accounts of these rights
    formats = ("docker",)  # of areas that hold images
    # For the table of vendors and cases:
    ways = {"": {}}  # {what the row is called beside the vendor: options of `integration`}
    listings = "repositories|tags"  # the routes that have pages
    counted = None  # the listings that tell how many entries they have, so that a lost one shows; None: all of them
    one_way = ()  # (knob, value) with which nothing can be polled, or otherwise
    has_remote = False  # some of its areas are remote or virtual
    one_area_ways = ()  # the ways that lead to one area only
    large = (201, 201)  # so many repositories and tags make three pages

    def __init__(self, folder, upstream, secret="correct horse battery", tls=True, port=0, certificate=None):
        self.folder = Path(folder)
        self.secret, self.tls = secret, tls
        self.clock = Clock()
        self.content = Content(upstream)
        self.upstream = Upstream(upstream)
        self.accounts = {}
        self.token_kinds = []
        self.knob = {name: values[0] for name, values in self.knobs.items()}
        self.faults, self.violations, self.log = [], [], []
        self.refusals, self.paused_until = {}, {}
        self.anonymous = None  # who may come without credentials: an Account, or None
        self.verbose = False
        self.routes = [
            Route(method, pattern, role, name, raw, attribute)
            for attribute in dir(type(self)) for method, pattern, role, name, raw in getattr(getattr(type(self), attribute), "routes", [])]
        self.authority = certificate if tls else None
        if tls and certificate is None:
            names = ["IP:127.0.0.1", "DNS:localhost", *(f"DNS:{name}" for name in [*self.hosts.values(), *self.certificate_names])]
            self.authority = authority(self.folder / "tls", self.vendor, ",".join(names))
        self.server = Server(self.handle, self.malformed)
        self.ports = {}  # port: role
        self.port = self.listen(".*", port)
        self.prepare()

    # -- for subclasses

    def prepare(self):
        """Sets up areas, accounts, and kinds of tokens."""

    def integration(self, who="full"):
        """The flags of `integration add` for "full", "minimum" or "wrong" credentials."""
        raise NotImplementedError

    def fill(self, repositories=3, tags=3):
        """Makes content: an area with so many repositories of a tag each, and a repository of so many tags; and one of
        every kind that is to be left out, or that some users do not see."""
        raise NotImplementedError

    def fill_area(self, area, repositories, tags, distinct=False):
        """The usual part of `fill`. Where listings are of digests, the many tags are of `distinct` ones."""
        for number in range(repositories):
            self.content.put(f"{area}/app-{number:03}", self.content.sample(1), "1.0")
        for number in range(tags):
            self.content.put(f"{area}/many", self.content.sample(2 + 10 * number if distinct else 2), f"2.{number}")
        self.content.put(f"{area}/multi", self.content.sample(10), "1.0", "latest")

    def scope(self, who, **options):
        """The areas that `integration` leads to; None: all that the user may read."""
        return None

    def expected(self, who="full", kinds=("local", "federated"), **options):
        """{(name, tag): digest} of what a poll of `integration(who, **options)` must see."""
        account, scope = self.accounts[self.users[who]], self.scope(who, **options)
        found = {}
        for repository in self.content.repositories.values():
            area = self.content.areas[repository.area]
            if repository.content == "image" and area.kind in kinds and area.format in self.formats and account.may_read(area) \
                    and (scope is None or area.name in scope):
                found |= {(repository.name, tag.name): tag.digest for tag in repository.tags.values()}
        return found

    def left_out(self):
        """The names of areas, or of parts of them, that are not polled by default."""
        return {name for name, area in self.content.areas.items() if area.kind not in ("local", "federated")}

    def no_route(self, request):
        """What the product says to an address that it does not have."""
        return Response.json({"errors": [{"code": "NOT_FOUND", "message": "page not found"}]}, 404)

    def failure(self, request, route_name, status):
        """The body of an error that a fault orders."""
        if status == 429:
            return Response.json({"errors": [{"code": "TOOMANYREQUESTS", "message": "rate limit exceeded"}]}, 429)
        return Response.text("<html><body>upstream failed</body></html>", status, content_type="text/html")

    def retry_headers(self, value):
        return [("Retry-After", value)]

    # -- life

    def listen(self, role, port=0):
        """Another port, whose requests are those of a role whatever their host."""
        number = self.server.listen(port, tls_context(self.authority) if self.tls else None)
        self.ports[number] = role
        return number

    def stop(self):
        self.server.run(self.upstream.close())
        self.server.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def scheme(self):
        return "https" if self.tls else "http"

    @property
    def ca_file(self):
        return str(self.authority.ca) if self.authority else None

    def url(self, role, port=None):
        """The address of a host as a user would write it, which `resolve` leads here."""
        return f"{self.scheme}://{self.hosts[role]}" + (f":{port}" if port else "")

    def trust(self):
        """The flag that lets the daemon trust the simulator's certificate."""
        return ("--ca-file", self.ca_file) if self.ca_file else ()

    def names(self):
        return [*self.hosts.values(), *self.certificate_names]

    @property
    def resolve(self):
        """Entries of the daemon's `resolve:` list which lead the product's hosts to this simulator."""
        usual = 443 if self.tls else 80
        return [f"{name}:{usual}=127.0.0.1:{self.port}" for name in self.names() if not name.startswith("*")]

    def tokens(self, lifetime, **options):
        """A kind of token that `expire_tokens` and the fault "expire" know of."""
        self.token_kinds.append(Tokens(self.clock, lifetime, **options))
        return self.token_kinds[-1]

    def account(self, name, secret=None, **options):
        self.accounts[name] = Account(name, self.secret if secret is None else secret, **options)
        return self.accounts[name]

    # -- control

    def fault(self, kind, **options):
        self.faults.append(Fault(kind, **options))
        return self.faults[-1]

    def expire_tokens(self, only_used=False):
        for kind in self.token_kinds:
            kind.expire(only_used)

    def set_knob(self, name, value):
        if name not in self.knobs or value not in self.knobs[name]:
            raise ValueError(f"no {name}={value}: there are {self.knobs}")
        self.knob[name] = value

    def forget(self):
        """Back to the start, except for content and accounts."""
        self.faults.clear()
        self.violations.clear()
        self.log.clear()
        self.refusals.clear()
        self.paused_until.clear()
        self.knob = {name: values[0] for name, values in self.knobs.items()}

    def seen(self, route_name=".*", line=".*"):
        return [one for one in self.log if re.fullmatch(route_name, one.route) and re.search(line, one.line)]

    # -- judging

    def violation(self, request, section, rule):
        self.keep(Violation(section, rule, request.line))

    def malformed(self, text):
        self.keep(Violation("3", "no well-formed HTTP/1.1 request", text[:200]))

    def keep(self, found):
        self.violations.append(found)
        if self.verbose:
            print(f"VIOLATION {found}", file=sys.stderr, flush=True)

    def refused(self, request, identity):
        """To be called where credentials are refused: counts those that are not given up."""
        self.refusals[identity] = self.refusals.get(identity, 0) + 1
        if self.refusals[identity] == REFUSALS_MAX:
            self.violation(request, "3.10", f"credentials that were refused {REFUSALS_MAX} times are still tried")

    def login(self, request):
        """The account of basic authentication; None if there is none or it is wrong."""
        given = basic(request)
        if given is None:
            return None
        account = self.accounts.get(given[0])
        if account is None or account.secret != given[1]:
            self.refused(request, given)
            return None
        return account

    def page(self, request, items, start, size, listing=None, marker=False):
        """A page of a listing, with the faults that are ordered for this request's route. `listing` tells listings of one
        address apart; `marker` says that pages go on after an entry, not after a number of them."""
        return page(items, start, size, request.listing_fault, listing or request.raw_path, marker)

    def judge(self, request, role):
        """What holds for every product and every address."""
        if self.tls and request.server_name is not None and request.server_name.lower() != request.host:
            self.violation(request, "0", f"TLS was opened for {request.server_name}")
        if request.method in ("GET", "HEAD") and request.body:
            self.violation(request, "3", "a body where none belongs")
        if request.header_lines("cookie"):
            self.violation(request, "5.5", "a stored cookie was sent")
        if len(request.header_lines("authorization")) > 1:
            self.violation(request, "3.1", "two Authorization headers")
        if len(request.header_lines("host")) != 1:
            self.violation(request, "3.1", "not one Host header")
        if not request.header("user-agent"):
            self.violation(request, "4.2", "no User-Agent")
        if time.monotonic() < self.paused_until.get(role, (0, 0))[1] and time.monotonic() > self.paused_until[role][0]:
            self.violation(request, "3.10", "asked again before Retry-After had passed")

    # -- requests

    def role_of(self, request):
        """The role of the host that is asked, None if the product has no such host."""
        listening = self.ports[request.port]
        if listening != ".*":
            return listening
        for role, name in self.hosts.items():
            if request.host == name:
                return role
        for role, pattern in self.wildcard_hosts.items():
            if re.fullmatch(pattern, request.host):
                return role
        return None

    def handle(self, request):
        if request.path.startswith(CONTROL):
            return self.control(request)
        role = self.role_of(request)
        if role is None:
            self.violation(request, "0", f"{self.vendor} has no host {request.host}")
            return self.logged(request, "", Response.text("misdirected request", 421))
        request.role, request.account, request.listing_fault = role, None, None
        self.judge(request, role)
        for one in self.routes:
            match = one.role.fullmatch(role) and one.method.fullmatch(request.method) \
                and one.pattern.fullmatch(request.raw_path if one.raw else request.path)
            if match:
                request.route = one.name
                return self.answer(request, one, match.groups())
        self.violation(request, "12", "no such address is known of this product")
        return self.logged(request, "", self.no_route(request))

    def answer(self, request, one, groups):
        truncate = False
        for fault in self.faults:
            if not fault.strikes(one.name, request):
                continue
            if fault.kind == "status":
                response = self.failure(request, one.name, fault.status)
                if fault.retry_after is not None:
                    response.headers += self.retry_headers(fault.retry_after)
                    if fault.retry_after.isdigit():
                        now = time.monotonic()
                        self.paused_until[request.role] = (now + UNDER_WAY_SECONDS, now + int(fault.retry_after) - 0.05)
                return self.logged(request, one.name, response)
            if fault.kind == "expire":
                self.expire_tokens(only_used=True)
            elif fault.kind == "reset":
                return self.logged(request, one.name, Response(200, b"-", cut=0))
            elif fault.kind == "garbage":
                return self.logged(request, one.name, Response.text("<html>Sign in</html>", 200, content_type="text/html"))
            elif fault.kind == "truncate":
                truncate = True
            elif fault.kind in LISTING_KINDS:
                request.listing_fault = fault
        try:
            response = getattr(self, one.handler)(request, *groups)
        except Refusal as refusal:
            response = refusal.response
        if not isinstance(response, Response):
            return self.finish(request, one.name, response, truncate)
        return self.finished(request, one.name, response, truncate)

    async def finish(self, request, name, coroutine, truncate):
        try:
            response = await coroutine
        except Refusal as refusal:
            response = refusal.response
        return self.finished(request, name, response, truncate)

    def finished(self, request, name, response, truncate):
        if truncate and isinstance(response.body, bytes):
            response.headers.append(("Content-Length", str(len(response.body))))
            response.cut = len(response.body) // 2
        return self.logged(request, name, response)

    def logged(self, request, name, response):
        if len(self.log) < LOG_MAX:
            account = getattr(request, "account", None)
            self.log.append(Logged(self.clock.now(), request.line, name, account.name if account else "", response.status,
                                   request.header("user-agent")))
        if self.verbose:
            print(f"{response.status} {request.line}", file=sys.stderr, flush=True)
        return response
