"""GitHub's container registry (registries.md 11.2): packages by the API of another host, no catalog."""
import base64
import hashlib
import urllib.parse

from .accounts import basic, bearer
from .content import sparse, timestamp
from .server import Response
from .simulator import Integration, Refusal, Simulator, route
from .v2 import OpenPaths, Scope, bearer_challenge, error

PER_PAGE, PER_PAGE_MAX = 30, 100  # 1.2
TOKEN_SECONDS = 300
ACCEPT, VERSION_HEADER = "application/vnd.github+json", "2022-11-28"
DOCS = "https://docs.github.com/rest/packages/packages"


class GHCR(OpenPaths, Simulator):
    vendor = "ghcr"
    hosts = {"registry": "ghcr.io", "api": "api.github.com", "store": "pkg-containers.githubusercontent.com"}
    users = {"full": "octo", "minimum": "reader"}
    blob_host = "store"
    counted = ""
    large = (201, 30)
    knobs = {
        "base64-bearer": ("accepted", "refused"),  # 11.2, unconfirmed
        "limit": ("403", "429"),  # 11.2: either status
        "wrong": ("403", "401"),  # 3.2: the token's refusal has either status
    }

    def prepare(self):
        self.pulls = self.tokens(TOKEN_SECONDS, prefix="djE6")
        self.owners = {"acme": "orgs", "octo": "users", "vault": "orgs"}
        self.untagged = {}  # repository: how many of its versions have no tag any more
        self.ended = {}  # account: when its token ends, a datetime
        self.account("octo", rights={"read:packages", "repo"})
        self.account("reader", self.secret + "-minimum", areas={"acme", "octo"}, rights={"read:packages"})
        self.account("stranger", self.secret + "-scopeless", areas={"acme"}, rights={"gist"})

    def integration(self, who="full"):
        scopes = ("--scope", "acme", "--scope", "octo", *(("--scope", "vault") if who == "full" else ()))
        there = ("--type", "ghcr", "--url", self.url("registry"), *self.trust(), *scopes)
        if who == "full":
            return Integration((*there, "--auth", "account", "--username", "octo", "--password-stdin"), self.secret)
        return Integration((*there, "--auth", "api-key", "--api-key-stdin"), f"{self.secret}-{who}")

    def fill(self, repositories=3, tags=3):
        self.fill_area("acme", repositories, sparse(tags), distinct=True)
        self.untagged["acme/many"] = 7 * tags
        self.content.put("acme/nested/deep/app", self.content.sample(3), "1.0")
        self.content.put("octo/own", self.content.sample(4), "1.0")
        self.content.put("vault/private", self.content.sample(5), "1.0")

    # -- the API

    def judge(self, request, role):
        super().judge(request, role)
        if role == "api":
            if request.header("accept") not in (ACCEPT, "application/json"):
                self.violation(request, "11.2", f"Accept is not {ACCEPT}")
            if request.header("x-github-api-version") != VERSION_HEADER:
                self.violation(request, "11.2", f"X-GitHub-Api-Version is not {VERSION_HEADER}")

    def problem(self, status, message):
        return Refusal(Response.json({"message": message, "documentation_url": DOCS, "status": str(status)}, status, self.limits()))

    def limits(self):
        return [("x-ratelimit-limit", "5000"), ("x-ratelimit-remaining", "4999"), ("x-ratelimit-reset", str(int(self.clock.now()) + 60)),
                ("x-ratelimit-resource", "core")]

    def api_account(self, request):
        if not request.header("user-agent"):
            raise Refusal(Response.text("Request forbidden by administrative rules. Please make sure your request has a User-Agent header.",
                                        403))
        given = basic(request)
        token = given[1] if given else bearer(request)
        if given is not None:
            self.violation(request, "11.2", "the API is asked with Bearer")
        account = next((one for one in self.accounts.values() if one.secret == token), None)
        if token is None:
            raise self.problem(401, "Requires authentication")
        if account is None or self.over(account):
            self.refused(request, ("api", token))
            raise self.problem(401, "Bad credentials")
        request.account = account
        return account

    def over(self, account):
        return account.name in self.ended and self.ended[account.name].timestamp() <= self.clock.now()

    def reader(self, request):
        account = self.api_account(request)
        if "read:packages" not in account.rights:
            raise self.problem(403, "You need at least read:packages scope to list packages.")
        return account

    def answered(self, request, document, headers=()):
        account = request.account
        more = [("X-OAuth-Scopes", ", ".join(sorted(account.rights)))]
        if account.name in self.ended:
            more.append(("github-authentication-token-expiration", self.ended[account.name].strftime("%Y-%m-%d %H:%M:%S UTC")))
        return Response.json(document, headers=[*self.limits(), *more, *headers])

    @route("GET", "/user", name="user", role="api")
    def user(self, request):
        account = self.api_account(request)
        return self.answered(request, {"login": account.name, "id": 7, "type": "User"})

    @route("GET", "/(users|orgs)/([^/]+)", name="owner", role="api")
    def owner(self, request, kind, name):
        self.api_account(request)
        if name not in self.owners or (kind == "orgs" and self.owners[name] == "users"):
            raise self.problem(404, "Not Found")
        return self.answered(request, {"login": name, "id": 9, "type": "User" if self.owners[name] == "users" else "Organization"})

    def owned(self, request, kind, owner):
        """The area of an owner; an organization is no user, and the other way about."""
        if self.owners.get(owner) != kind:
            raise self.problem(404, "Not Found")
        return self.content.area(owner)

    @route("GET", "/(users|orgs)/([^/]+)/packages", name="repositories", role="api")
    def packages(self, request, kind, owner):
        account = self.reader(request)
        if request.parameter("package_type") != "container":
            self.violation(request, "11.2", "package_type=container is required")
            raise self.problem(400, "Invalid package_type")
        area = self.owned(request, kind, owner)
        found = self.content.in_area(owner) if account.may_read(area) else []
        return self.paged(request, found, self.package_row)

    def package_row(self, repository):
        return {"id": 900 + repository.number, "name": repository.path, "package_type": "container", "visibility": "private",
                "version_count": len(repository.manifests()), "owner": {"login": repository.area},
                "updated_at": timestamp(repository.updated, 0), "created_at": "2025-05-02T07:00:00Z"}

    @route("GET", "/(users|orgs)/([^/]+)/packages/container/([^/]+)/versions", name="tags", role="api", raw=True)
    def versions(self, request, kind, owner, name):
        account = self.reader(request)
        area = self.owned(request, kind, owner)
        repository = self.content.repositories.get(f"{owner}/{urllib.parse.unquote(name)}")
        if repository is None or not account.may_read(area):
            raise self.problem(404, "Package not found.")
        rows = []
        for digest, (manifest, tags) in repository.manifests().items():
            rows.append(self.version_row(digest, tags[0].pushed, [tag.name for tag in tags]))
            rows += [self.version_row(child.digest, tags[0].pushed, []) for child in manifest.children]
        rows = self.among_untagged(repository, rows)
        return self.paged(request, rows, lambda row: row)

    def among_untagged(self, repository, rows):
        """The versions with those between them that lost their tags."""
        lost = [self.version_row("sha256:" + hashlib.sha256(f"{repository.name} {number}".encode()).hexdigest(), repository.updated, [])
                for number in range(self.untagged.get(repository.name, 0))]
        gap = -(-len(lost) // max(1, len(rows) - 1))
        return [one for place, row in enumerate(rows) for one in (row, *lost[place * gap:(place + 1) * gap])]

    @staticmethod
    def version_row(digest, pushed, tags):
        return {"id": int(digest[7:13], 16), "name": digest, "created_at": timestamp(pushed, 0), "updated_at": timestamp(pushed, 0),
                "metadata": {"package_type": "container", "container": {"tags": tags}}}

    def number(self, request, name, usual):
        text = request.parameter(name, str(usual))
        if not text.isdigit() or int(text) < 1:
            self.violation(request, "11.2", f"{name}={text} is no number from 1")
            return usual
        return int(text)

    def paged(self, request, items, row):
        size = min(self.number(request, "per_page", PER_PAGE), PER_PAGE_MAX)
        number = self.number(request, "page", 1)
        page = self.page(request, items, (number - 1) * size, size)
        last = max(1, -(-page.total // size))
        places = [("prev", number - 1 if number > 1 else None), ("next", page.next // size + 1 if page.next is not None else None),
                  ("last", last if page.next is not None else None), ("first", 1 if number > 1 else None)]
        links = ", ".join(f'<{self.link(request, place, size)}>; rel="{name}"' for name, place in places if place is not None)
        return self.answered(request, [row(one) for one in page.items], [("Link", links)] if links else [])

    def link(self, request, number, size):
        query = dict(request.query) | {"per_page": size, "page": number}
        return f"{self.url('api')}{request.raw_path}?{urllib.parse.urlencode(query)}"

    # -- tokens and the registry

    @route("GET", "/token", name="token", role="registry")
    def token(self, request):
        if request.parameter("service") != self.hosts["registry"]:
            self.violation(request, "11.2", "the service is ghcr.io")
        account = self.docker_account(request)
        granted = next((one for one in self.scopes(request) if account is not None or self.public(one.name)), None)
        return Response.json({"token": self.grant(request, self.pulls, account, granted).value})

    def public(self, name):
        repository = self.content.repositories.get(name)
        return repository is not None and self.content.areas[repository.area].public

    def docker_account(self, request):
        """Whose personal access token is the password; the user may be any (11.2)."""
        given = basic(request)
        if given is None:
            return None
        account = next((one for one in self.accounts.values() if one.secret == given[1]), None)
        if account is None or not given[0] or self.over(account) or "read:packages" not in account.rights:
            self.refused(request, given)
            raise Refusal(error(int(self.knob["wrong"]), "DENIED", "denied"))
        request.account = account
        return account

    def challenged(self, scope):
        return error(401, "UNAUTHORIZED", "authentication required", [bearer_challenge(self.url("registry") + "/token", "ghcr.io", scope)])

    @route("GET|HEAD", "/v2/", name="ping", role="registry")
    def ping(self, request):
        if self.bearing(request) is None:
            return self.challenged("repository:user/image:pull")
        return Response.json({})

    def bearing(self, request):
        """(account, scope) of a token; of the base64 of a personal access token, for every scope (11.2)."""
        token, value = self.token_of(request, self.pulls), bearer(request)
        if token is not None:
            return token.account, token.claims["scope"]
        if value is not None and self.knob["base64-bearer"] == "accepted":
            for account in self.accounts.values():
                if value == base64.b64encode(account.secret.encode()).decode() and not self.over(account):
                    return account, None
        return None

    @route("GET", "/v2/_catalog", name="catalog", role="registry")
    def catalog(self, request):
        self.violation(request, "11.2", "there is no _catalog")
        return error(404, "UNSUPPORTED", "The operation is unsupported.")

    def v2_repository(self, request, name):
        if name.count("/") < 1:
            self.violation(request, "11.2", "a name begins with its owner")
        if basic(request) is not None:
            self.violation(request, "11.2", "the registry itself takes Bearer")
        bearing, text = self.bearing(request), f"repository:{name}:pull"
        if bearing is None:
            raise Refusal(self.challenged(text))
        account, scope = bearing
        request.account = account
        repository = self.content.repositories.get(name)
        if scope is not None and scope != Scope("repository", name, ("pull",)):
            raise Refusal(self.challenged(text))
        if repository is None or not (self.public(name) or (account and account.may_read(self.content.areas[repository.area]))):
            raise Refusal(error(403, "DENIED", "requested access to the resource is denied"))
        return repository

    # -- errors

    def no_route(self, request):
        if request.role == "api":
            return Response.json({"message": "Not Found", "documentation_url": DOCS, "status": "404"}, 404)
        return super().no_route(request)

    def failure(self, request, route_name, status):
        if request.role != "api":
            return super().failure(request, route_name, status)
        if status == 429:
            status = int(self.knob["limit"])
            message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
            return Response.json({"message": message, "documentation_url": DOCS, "status": str(status)}, status, self.limits())
        return Response.json({"message": "Server Error"}, status)
