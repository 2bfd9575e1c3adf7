"""Docker Hub: three hosts, two kinds of tokens, pages told by absolute addresses (registries.md 4)."""
import time
import urllib.parse

from .accounts import basic, bearer
from .content import timestamp
from .server import Response
from .simulator import Integration, Refusal, Simulator, route
from .v2 import Distribution, bearer_challenge, error

API_TOKEN_SECONDS, PULL_TOKEN_SECONDS = 600, 300
PAGE_DEFAULT, PAGE_CAP = 10, 100
WINDOW_SECONDS = 21600
SERVICE = "registry.docker.io"


class DockerHub(Distribution, Simulator):
    vendor = "docker-hub"
    hosts = {"hub": "hub.docker.com", "registry": "registry-1.docker.io", "auth": "auth.docker.io",
             "store": "production.cloudflare.docker.com"}
    certificate_names = ("hub.elsewhere.test",)  # of no role: whoever comes there followed a `next` that he must not
    blob_host = "store"
    users = {"full": "acme", "minimum": "scanner"}
    one_way = (("next", "foreign"),)
    knobs = {
        "page-size-above": ("clamp", "reject"),  # 1.2, unconfirmed
        "unknown-namespace": ("404", "empty"),  # 4.3, of the legacy list, unconfirmed
        "tag-digest": ("present", "absent"),  # 4.4, unconfirmed
        "tag-order": ("newest", "name"),  # 4.4, unconfirmed as a promise
        "retry-header": ("Retry-After", "X-Retry-After"),  # 4.5
        "limit": ("pull", "abuse"),  # 4.5
        "next": ("own", "foreign"),  # 4.6
        "v2-tags": ("paged", "whole"),  # 4.6
        "expired": ("challenge", "bare"),  # 4.6
    }

    def prepare(self):
        self.api_tokens = self.tokens(API_TOKEN_SECONDS)
        self.pull_tokens = self.tokens(PULL_TOKEN_SECONDS, length=2400)
        self.pulls_max, self.pulls = None, 0  # None: a paid plan, whose answers name no limit
        self.account("acme", areas={"acme", "acme-tools"}, rights={"list"})
        # An access token for reading, which sees one namespace.
        self.account("scanner", "dckr_pat_" + self.secret, kind="pat", areas={"acme"}, rights={"list"})
        # Access tokens of an organization, with and without scope-repository-list.
        self.account("acme-org", "dckr_oat_" + self.secret, kind="oat", areas={"acme"}, rights={"list"})
        self.account("acme-blind", "dckr_oat_" + self.secret, kind="oat", areas={"acme"})
        self.account("cautious", kind="2fa", areas={"acme"})

    def integration(self, who="full"):
        if who == "wrong":
            return Integration(("--type", "docker-hub", *self.trust(), "--auth", "account", "--username", "acme", "--password-stdin"),
                               "wrong " + self.secret)
        if who == "minimum":
            return Integration(("--type", "docker-hub", *self.trust(), "--scope", "acme", "--auth", "api-key", "--username", "scanner",
                                "--api-key-stdin"), self.accounts["scanner"].secret)
        return Integration(("--type", "docker-hub", *self.trust(), "--scope", "acme", "--scope", "acme-tools", "--auth", "account",
                            "--username", "acme", "--password-stdin"), self.secret)

    def scope(self, who, **options):
        return self.accounts[self.users[who]].areas

    def fill(self, repositories=3, tags=3):
        self.fill_area("acme", repositories, tags)
        content = self.content
        content.put("acme-tools/private", content.sample(3), "1.0")
        content.put("acme/chart", content.sample(4), "1.0", content="helm")
        content.put("acme/plugin", content.sample(4), "1.0", content="plugin")
        content.put("acme/ancient", content.sample(5), "1.0")
        content.area("library", public=True)
        content.put("library/alpine", content.sample(6), "3.18")

    def failure(self, request, route_name, status):
        if status == 429 and request.role == "hub":
            return Response.json({"detail": "Rate limit exceeded", "error": False}, 429)
        return super().failure(request, route_name, status)

    def retry_headers(self, value):
        if self.knob["retry-header"] == "X-Retry-After" and value.isdigit():
            return [("X-Retry-After", str(int(time.time()) + int(value)))]
        return [("Retry-After", value)]

    def no_route(self, request):
        return Response.json({"message": "httperror 404: not found", "errinfo": {}}, 404)

    # -- the API of hub.docker.com

    @route("POST", "/v2/auth/token", name="login", role="hub")
    def create_token(self, request):
        given = self.credentials(request, "identifier", "secret")
        return Response.json({"access_token": self.log_in(request, *given)})

    @route("POST", "/v2/users/login/?", name="login", role="hub")
    def old_login(self, request):
        given = self.credentials(request, "username", "password")
        return Response.json({"token": self.log_in(request, *given)})

    def credentials(self, request, name, secret):
        document = request.json()
        if request.header("content-type").partition(";")[0] != "application/json" or not isinstance(document, dict) \
                or not all(isinstance(document.get(key), str) for key in (name, secret)):
            self.violation(request, "4.2", f"a login is JSON of {name} and {secret}")
            raise Refusal(Response.json({"detail": "bad request", name: ["This field is required."]}, 400))
        if request.header("authorization"):
            self.violation(request, "4.2", "a login with an Authorization header")
        return document[name], document[secret]

    def log_in(self, request, name, secret):
        account = self.accounts.get(name)
        if account is None or account.secret != secret:
            self.refused(request, (name, secret))
            raise Refusal(Response.json({"detail": "Incorrect authentication credentials"}, 401))
        if account.kind == "2fa":
            self.refused(request, (name, secret))
            raise Refusal(Response.json({"detail": "Require secondary authentication on MFA enabled account",
                                         "login_2fa_token": "5e4d"}, 401))
        request.account = account
        return self.grant(request, self.api_tokens, account, "hub").value

    def api_account(self, request, legacy=False):
        """The account behind an API token; None for an anonymous request."""
        if not request.header("authorization"):
            return None
        value = bearer(request)
        if value is None:
            self.violation(request, "4.2", "hub.docker.com takes nothing but Bearer")
        elif value.startswith("dckr_"):
            self.violation(request, "4.2", "an access token is no Bearer: it is to be exchanged with a name")
        token = self.api_tokens.get(value) if value else None
        if token is None:
            if value and not self.api_tokens.knows(value):
                self.violation(request, "4.2", "a token that hub.docker.com did not give out")
            raise Refusal(Response.json({"message": "unauthorized", "errinfo": {}}, 401))
        if legacy and token.account.kind == "oat":
            self.violation(request, "4.2", "the old addresses are closed to tokens of organizations")
            raise Refusal(Response.json({"message": "access denied", "errinfo": {}}, 403))
        request.account = token.account
        return token.account

    def limits(self):
        return [("X-RateLimit-Limit", "600"), ("X-RateLimit-Remaining", "599"), ("X-RateLimit-Reset", str(int(time.time()) + 60))]

    @route("GET", "/v2/repositories/namespaces/?", name="namespaces", role="hub")
    def namespaces(self, request):
        account = self.api_account(request, legacy=True)
        if account is None:
            raise Refusal(Response.json({"message": "unauthorized", "errinfo": {}}, 401))
        return Response.json({"namespaces": sorted(account.areas)}, headers=self.limits())

    @route("GET", "/v2/namespaces/([^/]+)/repositories", name="repositories", role="hub")
    def repositories(self, request, namespace):
        return self.list_repositories(request, namespace, self.api_account(request), "404")

    @route("GET", "/v2/repositories/([^/]+)/", name="repositories", role="hub")
    def old_repositories(self, request, namespace):
        return self.list_repositories(request, namespace, self.api_account(request, legacy=True), self.knob["unknown-namespace"])

    def list_repositories(self, request, namespace, account, unknown):
        area = self.content.areas.get(namespace)
        if area is None and unknown == "404":
            raise Refusal(Response.json({"message": "object not found", "errinfo": {}}, 404))
        found = [one for one in self.content.in_area(namespace) if self.visible(one, account, listing=True)]
        part = request.parameter("name")
        return self.paged(request, [one for one in found if part is None or part in one.path], self.shown_repository)

    def visible(self, repository, account, listing=False):
        """Without scope-repository-list an organization's token sees only public repositories, and no error (4.2)."""
        area = self.content.areas[repository.area]
        if account is None or (listing and "list" not in account.rights):
            return area.public
        return account.may_read(area)

    @route("GET", "/v2/namespaces/([^/]+)/repositories/([^/]+)/tags", name="tags", role="hub")
    def tags(self, request, namespace, name):
        return self.list_tags(request, namespace, name, self.api_account(request))

    @route("GET", "/v2/repositories/([^/]+)/([^/]+)/tags/", name="tags", role="hub")
    def old_tags(self, request, namespace, name):
        return self.list_tags(request, namespace, name, self.api_account(request, legacy=True))

    def list_tags(self, request, namespace, name, account):
        repository = self.content.repositories.get(f"{namespace}/{name}")
        if repository is None or not self.visible(repository, account):
            raise Refusal(Response.json({"message": "object not found", "errinfo": {}}, 404))
        tags = sorted(repository.tags.values(), key=lambda one: one.name)
        if self.knob["tag-order"] == "newest":
            tags.sort(key=lambda one: one.pushed, reverse=True)
        return self.paged(request, tags, self.shown_tag)

    def paged(self, request, items, show):
        number, size = (request.parameter(name, default) for name, default in (("page", "1"), ("page_size", str(PAGE_DEFAULT))))
        if not number.isdigit() or not size.isdigit() or int(number) < 1 or int(size) < 1:
            self.violation(request, "4.3", "page and page_size are numbers from 1")
            raise Refusal(Response.json({"message": "invalid page", "errinfo": {}}, 400))
        number, size = int(number), int(size)
        if size > PAGE_CAP:
            self.violation(request, "1.2", f"page_size over {PAGE_CAP}")
            if self.knob["page-size-above"] == "reject":
                raise Refusal(Response.json({"message": "page_size too large", "errinfo": {}}, 400))
            size = PAGE_CAP
        if number > 1 and (number - 1) * size >= len(items) and request.listing_fault is None:
            self.violation(request, "4.3", "a page that no `next` named")
            raise Refusal(Response.json({"message": "object not found", "errinfo": {}}, 404))
        page = self.page(request, items, (number - 1) * size, size)
        return Response.json({
            "count": page.total, "next": None if page.next is None else self.page_url(request, page.next // size + 1, size),
            "previous": None if number == 1 else self.page_url(request, number - 1, size),
            "results": [show(one) for one in page.items]}, headers=self.limits())

    def page_url(self, request, number, size):
        host = "https://hub.elsewhere.test" if self.knob["next"] == "foreign" else self.url("hub")
        kept = [(name, value) for name, value in request.query if name not in ("page", "page_size")]
        return f"{host}{request.raw_path}?" + urllib.parse.urlencode([*kept, ("page", number), ("page_size", size)])

    def shown_repository(self, repository):
        updated = timestamp(repository.updated, 6)
        image = repository.content == "image"
        return {"name": repository.path, "namespace": repository.area,
                "repository_type": None if repository.path == "ancient" else "plugin" if repository.content == "plugin" else "image",
                "status": 1, "status_description": "active", "description": "", "is_private": not self.content.areas[repository.area].public,
                "star_count": 0, "pull_count": 941, "last_updated": updated, "last_modified": updated,
                "date_registered": "2024-05-02T07:00:00.000000Z", "affiliation": "owner",
                "media_types": sorted({tag.manifest.media_type for tag in repository.tags.values()}),
                "content_types": [] if repository.path == "ancient" else ["image"] if image else ["helm"] if repository.content == "helm" else ["unrecognized"],
                "categories": [], "storage_size": sum(tag.manifest.size for tag in repository.tags.values())}

    def shown_tag(self, tag):
        pushed = timestamp(tag.pushed, 6)
        singles = tag.manifest.children or [tag.manifest]
        shown = {"id": 77001, "name": tag.name, "creator": 1234, "repository": 5678, "last_updated": pushed, "last_updater": 1234,
                 "last_updater_username": "acmebot", "full_size": sum(one.size for one in singles), "v2": True, "status": "active",
                 "tag_last_pulled": None, "tag_last_pushed": pushed, "images": [
                     {"architecture": one.architecture or "unknown", "features": "", "variant": None, "digest": one.digest,
                      "os": one.os or "unknown", "os_features": "", "os_version": None, "size": one.size, "status": "active",
                      "last_pulled": None, "last_pushed": pushed} for one in singles]}
        if self.knob["tag-digest"] == "present":
            shown |= {"digest": tag.digest, "media_type": tag.manifest.media_type, "content_type": "image"}
        return shown

    # -- auth.docker.io and registry-1.docker.io

    @route("GET", "/token", name="token", role="auth")
    def pull_token(self, request):
        if request.parameter("service") != SERVICE:
            self.violation(request, "4.2", f"service is not {SERVICE}")
        scopes = self.scopes(request)
        account = None
        if request.header("authorization"):
            account = self.login(request)
            if account is None or account.kind == "2fa":
                if basic(request) is None:
                    self.violation(request, "4.2", "auth.docker.io takes nothing but Basic")
                return Response.json({"details": "incorrect username or password"}, 401)
        request.account = account
        value = self.grant(request, self.pull_tokens, account, scopes[0] if scopes else None).value
        return Response.json({"token": value, "access_token": value, "expires_in": PULL_TOKEN_SECONDS,
                              "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.clock.now()))})

    def challenge(self, scope=None, problem=None):
        return bearer_challenge(self.url("auth") + "/token", SERVICE, scope, problem)

    @route("GET", "/v2/", name="ping", role="registry")
    def ping(self, request):
        if self.token_of(request, self.pull_tokens) is None:
            return error(401, "UNAUTHORIZED", "authentication required", [self.challenge()])
        return Response.json({})

    @route("GET", "/v2/_catalog", name="catalog", role="registry")
    def catalog(self, request):
        self.violation(request, "4.3", "Docker Hub has no usable catalog")
        return error(401, "UNAUTHORIZED", "authentication required", [self.challenge("registry:catalog:*", "insufficient_scope")])

    def v2_repository(self, request, name):
        if name.count("/") != 1:
            self.violation(request, "4.1", "a name has exactly two parts")
        scope = f"repository:{name}:pull"
        value, token = bearer(request), self.token_of(request, self.pull_tokens)
        if request.header("authorization") and value is None:
            self.violation(request, "4.2", "registry-1.docker.io takes nothing but Bearer")
        if value is not None and not self.pull_tokens.knows(value):
            self.violation(request, "4.2", "a token that auth.docker.io did not give out")
        if token is None:
            bare = value is not None and self.knob["expired"] == "bare"
            raise Refusal(error(401, "UNAUTHORIZED", "authentication required",
                                [] if bare else [self.challenge(scope, "invalid_token" if value else None)]))
        request.account = token.account
        repository, granted = self.content.repositories.get(name), token.claims["scope"]
        if granted is None or (granted.kind, granted.name) != ("repository", name) or repository is None \
                or not self.visible(repository, token.account):
            raise Refusal(error(401, "UNAUTHORIZED", "authentication required", [self.challenge(scope, "insufficient_scope")],
                                detail=[{"Type": "repository", "Name": name, "Action": "pull"}]))
        return repository

    @route("GET|HEAD|PUT|POST|PATCH|DELETE", "/v2/(.+)/manifests/([^/]+)", name="manifest", role="registry")
    def manifest(self, request, name, reference):
        self.v2_repository(request, name)
        limit = []
        if self.pulls_max is not None:
            if request.method == "GET":
                if self.pulls >= self.pulls_max:
                    return self.exceeded()
                self.pulls += 1
            limit = [("ratelimit-limit", f"{self.pulls_max};w={WINDOW_SECONDS}"),
                     ("ratelimit-remaining", f"{self.pulls_max - self.pulls};w={WINDOW_SECONDS}"),
                     ("docker-ratelimit-source", "198.51.100.7")]
        return self.with_headers(self.v2_manifest(request, name, reference), limit)

    def exceeded(self):
        if self.knob["limit"] == "abuse":
            return Response.text("Too Many Requests", 429)
        return error(429, "TOOMANYREQUESTS", "You have reached your pull rate limit. You may increase the limit by authenticating "
                     "and upgrading: https://www.docker.com/increase-rate-limit", [
                         ("ratelimit-limit", f"{self.pulls_max};w={WINDOW_SECONDS}"), ("ratelimit-remaining", f"0;w={WINDOW_SECONDS}")])

    @route("GET|HEAD|PUT|POST|PATCH|DELETE", "/v2/(.+)/blobs/([^/]+)", name="blob", role="registry")
    def blob(self, request, name, digest):
        return self.v2_blob(request, name, digest)

    @route("GET", "/v2/(.+)/tags/list", name="v2-tags", role="registry")
    def registry_tags(self, request, name):
        if self.knob["v2-tags"] == "whole":
            return Response.json({"name": name, "tags": self.v2_tag_names(self.v2_repository(request, name))})
        return self.v2_tags(request, name)
