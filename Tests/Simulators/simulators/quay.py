"""Red Hat Quay and quay.io (registries.md 9): an API for OAuth tokens alone, robots by `/v2/` alone, opaque pages."""
import email.utils
import urllib.parse

from .accounts import basic, bearer
from .content import FIRST_PUSH
from .places import Places
from .server import Response
from .simulator import Integration, Refusal, Simulator, route
from .v2 import VERSION, OpenPaths, Scope, bearer_challenge, error

PAGE = 100  # 1.2: of repositories; not selectable
TAGS_DEFAULT, TAGS_MAX = 50, 100  # 1.2
TOKEN_SECONDS = 3600  # 9.1: never told to the client
PLACE_SECONDS = 2 * 24 * 3600  # 9.2: the life of a place in a listing
# 9.1: users of /v2/auth whose password is a token of the API or of an application.
TOKEN_USERS = {"$oauthtoken": "oauth", "$app": "app", "$token": "access"}
TITLES = {"invalid_token": (401, "Invalid token"), "expired_token": (401, "Expired token"), "insufficient_scope": (403, "Unauthorized"),
          "invalid_request": (400, "Bad Request"), "not_found": (404, "Not Found")}


class Quay(OpenPaths, Simulator):
    vendor = "quay"
    hosts = {"registry": "quay.example.test", "store": "cdn.quay.example.test"}
    users = {"full": "kcs", "minimum": "reader", "robot": "shop+robot"}
    listings = "repositories|tags|catalog|v2-tags"
    counted = ""
    has_remote = True
    knobs = {
        "proxy-feature": ("on", "off"),  # 9.4
        "public-catalog": ("off", "on"),  # 9.2: FEATURE_PUBLIC_CATALOG
        "catalog-link": ("brackets", "bare"),  # 3.5: older quay.io
        "catalog-page": (100, 50),  # 1.2
        "blobs": ("redirected", "direct"),  # 9.1
        "limit": ("html", "json"),  # 9.4
    }

    def prepare(self):
        self.pulls = self.tokens(TOKEN_SECONDS)
        self.places = Places(self.clock, PLACE_SECONDS, "gAAAAAB")
        self.state = {}  # repository: MIRROR, READ_ONLY, …; else NORMAL
        self.dead = {}  # (repository, tag): the digest that it had
        self.absent = set()  # digests of children that a mirror did not take
        self.ended = set()  # accounts whose OAuth token has expired
        self.account("kcs", kind="oauth", rights={"repo:read", "org:admin", "user:read"})
        self.account("reader", self.secret + "-minimum", kind="oauth", areas={"shop", "cached"}, rights={"repo:read"})
        self.account("shop+robot", self.secret + "-robot", kind="robot", areas={"shop", "cached"})
        self.account("person", self.secret + "-person", kind="user", areas={"shop"})
        self.content.area("cached", kind="remote")

    @property
    def blob_host(self):
        return "store" if self.knob["blobs"] == "redirected" else None

    def integration(self, who="full"):
        if who == "robot":
            return Integration(("--type", "quay", "--url", self.url("registry"), *self.trust(), "--scope", "shop", "--auth", "account",
                                "--username", "shop+robot", "--password-stdin"), self.accounts["shop+robot"].secret)
        scopes = ("--scope", "shop", "--scope", "cached", *(("--scope", "vault") if who == "full" else ()))
        return Integration(("--type", "quay", "--url", self.url("registry"), *self.trust(), *scopes, "--auth", "api-key", "--api-key-stdin"),
                           self.secret + ("" if who == "full" else f"-{who}"))

    def fill(self, repositories=3, tags=3):
        self.fill_area("shop", repositories, tags)
        content = self.content
        content.put("shop/mirrored", content.sample(3), "1.0")
        self.state["shop/mirrored"] = "MIRROR"
        self.dead["shop/multi", "0.9"] = content.sample(4).digest
        content.put("shop/helm", content.sample(4), "1.0", content="application")
        content.put("shop/going", content.sample(5), "1.0", content="deleted")
        self.state["shop/going"] = "MARKED_FOR_DELETION"
        content.put("cached/alpine", content.sample(6), "3.18")
        content.put("vault/private", content.sample(7), "1.0")

    # -- the API

    def problem(self, kind, detail=None):
        status, title = TITLES[kind]
        return Refusal(Response.json({"status": status, "error_message": detail or title, "title": kind, "error_type": kind,
                                      "detail": detail or title, "type": f"{self.url('registry')}/api/v1/error/{kind}"}, status))

    def api_account(self, request):
        """Whose OAuth token it is; None without one."""
        if basic(request) is not None:
            self.violation(request, "9.1", "the API takes neither passwords nor robots")
            raise self.problem("invalid_token")
        token = bearer(request)
        if token is None:
            return None
        account = next((one for one in self.accounts.values() if one.kind == "oauth" and one.secret == token), None)
        if account is None:
            if self.pulls.knows(token) or any(one.secret == token for one in self.accounts.values()):
                self.violation(request, "9.1", "the API takes OAuth tokens alone")
            self.refused(request, ("api", token))
            raise self.problem("invalid_token")
        if account.name in self.ended:
            self.refused(request, ("api", token))
            raise self.problem("expired_token")
        request.account = account
        return account

    def need(self, account, scope):
        if account is None:
            raise self.problem("invalid_token")
        if scope not in account.rights:
            raise self.problem("insufficient_scope")

    def sees(self, account, repository):
        area = self.content.areas[repository.area]
        return account.may_read(area) if account else area.public

    @route("GET", "/api/v1/user/", name="user", role="registry")
    def user(self, request):
        account = self.api_account(request)
        self.need(account, "user:read")
        names = sorted(one.name for one in self.content.areas.values() if account.may_read(one) and not one.public)
        return Response.json({"anonymous": False, "username": account.name, "verified": True,
                              "organizations": [{"name": name, "public": False, "is_org_admin": account.areas is None} for name in names]})

    @route("GET", "/api/v1/repository", name="repositories", role="registry")
    def list_repositories(self, request):
        account = self.api_account(request)
        if account is not None:
            self.need(account, "repo:read")
        namespace = request.parameter("namespace")
        if not namespace and request.parameter("public") != "true" and request.parameter("starred") != "true":
            self.violation(request, "9.2", "one of namespace, starred, public is required")
            raise self.problem("invalid_request", "namespace, starred or public are required for this API call")
        found = [one for one in self.content.repositories.values() if self.sees(account, one)]
        if namespace:
            found = [one for one in found if one.area == namespace]
        else:
            found = [one for one in found if self.content.areas[one.area].public]
        kind = request.parameter("repo_kind", "image")
        found = sorted((one for one in found if (one.content == "application") == (kind == "application")), key=lambda one: one.number)
        listing = ("repository", namespace, kind, request.parameter("public"))
        page = self.page(request, found, self.start(request, "next_page", listing), PAGE, str(listing), marker=True)
        document = {"repositories": [self.repository_row(one, request, kind) for one in page.items]}
        if page.next is not None:
            document["next_page"] = self.places.name(listing, page.next)
        return Response.json(document)

    def start(self, request, parameter, listing):
        text = request.parameter(parameter)
        if text is None:
            return 0
        start = self.places.find(text, listing)
        if start is None:
            self.violation(request, "9.2", f"{parameter} is opaque, of this listing, and two days old at most")
            raise self.problem("invalid_request", "Invalid page token")
        return start

    def repository_row(self, repository, request, kind):
        row = {"namespace": repository.area, "name": repository.path, "description": None, "kind": kind, "is_starred": False,
               "is_public": self.content.areas[repository.area].public, "state": self.state.get(repository.name, "NORMAL"),
               "quota_report": {"quota_bytes": None, "configured_quota": None}}
        if request.parameter("last_modified") == "true" and repository.tags:
            row["last_modified"] = int(repository.updated.timestamp())
        return row

    @route("GET", "/api/v1/repository/([^/]+)/(.+)/tag/", name="tags", role="registry")
    def list_tags(self, request, namespace, name):
        account = self.api_account(request)
        if account is not None:
            self.need(account, "repo:read")
        repository = self.content.repositories.get(f"{namespace}/{name}")
        if repository is None:
            raise self.problem("not_found")
        if not self.sees(account, repository):
            raise self.problem("insufficient_scope" if account else "invalid_token")
        limit, number = request.parameter("limit", str(TAGS_DEFAULT)), request.parameter("page", "1")
        if not limit.isdigit() or not number.isdigit() or int(number) < 1:
            self.violation(request, "9.3", "limit and page are numbers")
            raise self.problem("invalid_request")
        size = min(max(int(limit), 1), TAGS_MAX)
        if int(limit) > TAGS_MAX:
            self.violation(request, "1.2", f"limit over {TAGS_MAX}")
        rows = [self.tag_row(tag) for tag in sorted(repository.tags.values(), key=lambda one: one.pushed, reverse=True)]
        if request.parameter("onlyActiveTags") != "true":
            rows += [self.dead_row(tag, digest) for (of, tag), digest in self.dead.items() if of == repository.name]
        wanted = request.parameter("specificTag")
        page = self.page(request, [one for one in rows if wanted in (None, one["name"])], (int(number) - 1) * size, size)
        return Response.json({"tags": page.items, "page": int(number), "has_additional": page.next is not None})

    def tag_row(self, tag):
        start = int(tag.pushed.timestamp())
        row = {"name": tag.name, "reversion": False, "start_ts": start, "manifest_digest": tag.digest, "is_manifest_list": tag.manifest.is_list,
               "size": None if tag.manifest.is_list else tag.manifest.size, "last_modified": email.utils.formatdate(start)}
        children = [one.digest for one in tag.manifest.children]
        if set(children) & self.absent:
            row |= {"is_sparse": True, "child_manifest_count": len(children), "present_child_count": len(set(children) - self.absent),
                    "child_manifests_presence": {one: one not in self.absent for one in children}}
        return row

    @staticmethod
    def dead_row(name, digest):
        start = int(FIRST_PUSH.timestamp()) - 3600
        return {"name": name, "reversion": False, "start_ts": start, "end_ts": start + 60, "manifest_digest": digest, "is_manifest_list": False,
                "size": 1, "last_modified": email.utils.formatdate(start), "expiration": email.utils.formatdate(start + 60)}

    @route("GET", "/api/v1/organization/([^/]+)/proxycache", name="proxycache", role="registry")
    def proxy_cache(self, request, name):
        account = self.api_account(request)
        if account is None:
            raise self.problem("invalid_token")
        area = self.content.areas.get(name)
        if self.knob["proxy-feature"] == "off" or area is None:
            raise self.problem("not_found")
        if not account.may_read(area):  # 9.4: needs membership
            raise self.problem("insufficient_scope")
        upstream = "docker.io/library" if area.kind == "remote" else ""
        return Response.json({"upstream_registry": upstream, "expiration_s": 86400, "insecure": False})

    # -- tokens

    @route("GET", "/v2/auth", name="token", role="registry")
    def token(self, request):
        for name, value in request.query:
            scope = Scope.parse(value) if name == "scope" else None
            if scope is not None and scope.kind == "repository" and set(scope.actions) - {"push", "pull", "*"}:
                self.violation(request, "9.1", f"Quay knows no such actions: {value}")
                return error(400, "UNSUPPORTED", "Unable to decode repository and actions", detail={})
        if request.parameter("service") not in (None, self.hosts["registry"]):
            self.violation(request, "3.2", "another service than the challenge named")
        account, scopes = self.docker_account(request), self.scopes(request)
        granted = [one for one in scopes if one.kind == "repository" and self.grants(account, one.name)]
        value = self.grant(request, self.pulls, account, granted[0] if granted else None).value
        return Response.json({"token": value})

    def docker_account(self, request):
        given = basic(request)
        if given is None:
            if request.header("authorization"):
                self.violation(request, "9.1", "/v2/auth takes Basic")
                raise Refusal(error(401, "UNAUTHORIZED", "Invalid bearer token format", detail={}))
            return None
        name, secret = given
        if name in TOKEN_USERS:
            account = next((one for one in self.accounts.values() if one.kind == TOKEN_USERS[name] and one.secret == secret), None)
        else:
            account = self.accounts.get(name)
            account = account if account and account.kind in ("robot", "user") and account.secret == secret else None
        if account is None or account.name in self.ended:
            self.refused(request, given)
            raise Refusal(error(401, "UNAUTHORIZED", "Invalid Username or Password", detail={}))
        request.account = account
        return account

    def grants(self, account, name):
        repository = self.content.repositories.get(name)
        return repository is not None and self.sees(account, repository)

    def challenged(self, scope=None, problem=None):
        challenge = bearer_challenge(f"{self.url('registry')}/v2/auth", self.hosts["registry"], scope, problem)
        return error(401, "UNAUTHORIZED", "access to the requested resource is not authorized", [challenge], {})

    # -- the distribution API

    @route("GET|HEAD", "/v2/", name="ping", role="registry")
    def ping(self, request):
        return Response.json(True, headers=[VERSION]) if self.token_of(request, self.pulls) else self.challenged()

    @route("GET", "/v2/_catalog", name="catalog", role="registry")
    def catalog(self, request):
        token = self.token_of(request, self.pulls)
        if token is None and (bearer(request) is not None or request.header("authorization")):
            return self.challenged(problem="invalid_token")
        account = request.account = token.account if token else None
        found = [one for one in self.content.repositories.values() if self.listed(account, one)]
        names = [one.name for one in sorted(found, key=lambda one: one.number)]
        listing = ("catalog", account.name if account else None)
        cap = self.knob["catalog-page"]
        n = request.parameter("n", str(cap))
        size = min(max(int(n), 1), cap) if n.isdigit() else 1
        start = self.catalog_start(request, listing)
        page = self.page(request, names, start, size, marker=True)
        headers = [VERSION]
        if page.next is not None:
            target = f"/v2/_catalog?n={size}&next_page={urllib.parse.quote(self.places.name(listing, page.next))}"
            headers.append(("Link", f'<{target}>; rel="next"' if self.knob["catalog-link"] == "brackets" else f"{target}; rel=next"))
        return Response.json({"repositories": page.items}, headers=headers)

    def catalog_start(self, request, listing):
        """A plain name is ignored, so that the walk begins anew (9.2)."""
        for parameter in ("next_page", "last"):
            text = request.parameter(parameter)
            if text is not None:
                start = self.places.find(text, listing)
                if start is None:
                    self.violation(request, "9.2", f"{parameter} is not what a Link named")
                return start or 0
        return 0

    def listed(self, account, repository):
        """What an account can pull; nothing for nobody, unless the feature adds what is public (9.2)."""
        if self.content.areas[repository.area].public:
            return self.knob["public-catalog"] == "on"
        return account is not None and repository.content == "image" and self.sees(account, repository)

    def v2_repository(self, request, name):
        scope = Scope("repository", name, ("pull",))
        token, text = self.token_of(request, self.pulls), f"repository:{name}:pull"
        repository = self.content.repositories.get(name)
        if token is None:
            if bearer(request) is None and repository is not None and self.sees(None, repository):
                return repository
            raise Refusal(self.challenged(text, "invalid_token" if bearer(request) else None))
        request.account = token.account
        if token.claims["scope"] != scope:
            raise Refusal(self.challenged(text, "insufficient_scope"))
        return repository

    @route("GET", "/v2/(.+)/tags/list", name="v2-tags", role="registry")
    def tags_by_v2(self, request, name):
        repository = self.v2_repository(request, name)
        return self.v2_listing(request, self.v2_tag_names(repository), TAGS_MAX, TAGS_MAX, "clamp",
                               lambda names: {"name": name, "tags": names}, request.raw_path)

    @route(".*", "/v2/(.+)/manifests/([^/]+)", name="manifest", role="registry")
    def manifest(self, request, name, reference):
        if reference in self.absent:
            self.v2_repository(request, name)
            return error(404, "MANIFEST_UNKNOWN", "manifest unknown", detail={})
        return self.v2_manifest(request, name, reference)

    def v2_unknown_manifest(self, request, name, reference):
        if (name, reference) in self.dead:
            return error(404, "TAG_EXPIRED", f"Tag {reference} was deleted or has expired. To pull, revive via time machine", detail={})
        return error(404, "MANIFEST_UNKNOWN", "manifest unknown", detail={})

    def no_route(self, request):
        return Response.text("<!doctype html><html><body>404</body></html>", 404, content_type="text/html")

    def failure(self, request, route_name, status):
        """9.4: often HTML, by the server in front."""
        if status == 429 and self.knob["limit"] == "html":
            return Response.text("<html><body>429 Too Many Requests</body></html>", 429, content_type="text/html")
        return super().failure(request, route_name, status)
