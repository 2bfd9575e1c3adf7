"""A plain distribution registry with passwords or a token service (registries.md 3 and 10)."""
import time

from .accounts import basic, bearer
from .server import Response
from .simulator import Integration, Refusal, Simulator, route
from .v2 import VERSION, Distribution, Scope, basic_challenge, bearer_challenge, error

TOKEN_SECONDS = 300
SERVICE = "registry.example.test"
CATALOG = Scope("registry", "catalog", ("*",))


class Plain(Distribution, Simulator):
    vendor = "docker-registry"
    hosts = {"registry": "registry.example.test", "tokens": "tokens.example.test", "store": "store.example.test"}
    ways = {"password": {"auth": "password"}, "token service": {"auth": "token"}, "static token": {"auth": "static"}}
    listings = "catalog|v2-tags"
    counted = ""
    one_way = (("auth", "token"), ("auth", "static"), ("catalog", "closed"))
    knobs = {
        "auth": ("password", "token", "static"),  # which challenge there is
        "entries-max": ("100", "1000"),  # 3.3: catalog.maxentries, above which n is refused
        "tags": ("paged", "whole"),  # 3.4: version 3, version 2
        "catalog": ("open", "closed"),  # 10
        "redirect": ("on", "off"),  # 3.8
    }

    def prepare(self):
        self.pull_tokens = self.tokens(TOKEN_SECONDS, length=1800)
        self.account("admin")
        self.account("scanner")
        self.static_token = "static-" + self.secret.replace(" ", "")

    def integration(self, who="full", auth="password"):
        """Also has the simulator behave so."""
        self.set_knob("auth", auth)
        flags = ("--type", "docker-registry", "--url", self.url("registry"), *self.trust())
        if auth == "static":
            return Integration((*flags, "--auth", "api-key", "--api-key-stdin"), ("wrong-" if who == "wrong" else "") + self.static_token)
        if auth == "token":
            flags += ("--allow-realm-host", self.hosts["tokens"])
        name = self.users["full" if who == "wrong" else who]
        return Integration((*flags, "--auth", "account", "--username", name, "--password-stdin"),
                           ("wrong " if who == "wrong" else "") + self.secret)

    def fill(self, repositories=3, tags=3):
        self.fill_area("team", repositories, tags)
        self.content.put("team/web/front/end", self.content.sample(3), "1.4.2", "sha256-" + "a" * 64 + ".sig")

    def expected(self, who="full", **options):
        """A signature's tag names no image (3.6)."""
        return {key: digest for key, digest in super().expected(who, **options).items() if not key[1].endswith(".sig")}

    def no_route(self, request):
        return Response.text("404 page not found\n", 404)

    # -- the token service

    @route("GET", "/token", name="token", role="tokens")
    def token(self, request):
        if request.parameter("service") != SERVICE:
            self.violation(request, "3.2", "service is not that of the challenge")
        scopes = self.scopes(request)
        account = self.login(request)
        if account is None and request.header("authorization"):
            if basic(request) is None:
                self.violation(request, "3.2", "a token service takes nothing but Basic")
            return Response.json({"details": "incorrect username or password"}, 401)
        request.account = account
        return Response.json({"token": self.grant(request, self.pull_tokens, account, scopes[0] if scopes else None).value,
                              "expires_in": TOKEN_SECONDS, "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.clock.now()))})

    # -- the registry

    def enter(self, request, scope=None):
        """Refuses whoever may not."""
        kind = self.knob["auth"]
        if kind == "password":
            request.account = self.login(request)
            challenge = basic_challenge("Registry Realm")
        elif kind == "static":
            if bearer(request) == self.static_token:
                request.account = self.accounts["admin"]
            elif request.header("authorization"):
                self.refused(request, request.header("authorization"))
            challenge = bearer_challenge("https://tokens.example.test/none", SERVICE)
        else:
            challenge = self.by_token(request, scope)
        if request.account is None:
            raise Refusal(error(401, "UNAUTHORIZED", "authentication required", [challenge]))

    def by_token(self, request, scope):
        """Lets in by a token of the scope; answers the challenge for whoever has none."""
        if basic(request) is not None:
            self.violation(request, "3.1", "a password where a token is asked for")
        token = self.token_of(request, self.pull_tokens)
        if token is not None and (scope is None or token.claims["scope"] == scope):
            request.account = token.account
        problem = "insufficient_scope" if token is not None else "invalid_token" if bearer(request) is not None else None
        text = f"{scope.kind}:{scope.name}:{','.join(scope.actions)}" if scope else None
        return bearer_challenge(self.url("tokens") + "/token", SERVICE, text, problem)

    @route("GET", "/v2/", name="ping", role="registry")
    def ping(self, request):
        self.enter(request)
        return Response.json({}, headers=[VERSION])

    @property
    def catalog_cap(self):
        return int(self.knob["entries-max"])

    @route("GET", "/v2/_catalog", name="catalog", role="registry")
    def catalog(self, request):
        if self.knob["catalog"] == "closed":
            return error(404, "NOT_FOUND")
        self.enter(request, CATALOG)
        n = request.parameter("n")
        if n is not None and n.isdigit() and int(n) > self.catalog_cap:
            # A client cannot know the maximum: the refusal tells it to ask for less.
            return error(400, "PAGINATION_NUMBER_INVALID", "invalid number of results requested", detail={"n": int(n)})
        return self.v2_catalog_of(request, self.content.repositories)

    def v2_repository(self, request, name):
        self.enter(request, Scope("repository", name, ("pull",)))
        if name not in self.content.repositories:
            raise Refusal(error(404, "NAME_UNKNOWN", "repository name not known to registry", detail={"name": name}))
        return self.content.repositories[name]

    @route("GET", "/v2/(.+)/tags/list", name="v2-tags", role="registry")
    def tags(self, request, name):
        if self.knob["tags"] == "whole":
            return Response.json({"name": name, "tags": self.v2_tag_names(self.v2_repository(request, name)) or None})
        return self.v2_tags(request, name)

    @route("GET|HEAD|PUT|POST|PATCH|DELETE", "/v2/(.+)/manifests/([^/]+)", name="manifest", role="registry")
    def manifest(self, request, name, reference):
        return self.v2_manifest(request, name, reference)

    @property
    def blob_host(self):
        return "store" if self.knob["redirect"] == "on" else None

    @route("GET|HEAD|PUT|POST|PATCH|DELETE", "/v2/(.+)/blobs/([^/]+)", name="blob", role="registry")
    def blob(self, request, name, digest):
        return self.v2_blob(request, name, digest)
