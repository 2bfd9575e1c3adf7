"""JFrog Artifactory: three ways to address a repository key, three kinds of secrets (registries.md 6)."""
from .accounts import basic, bearer
from .artifactory_files import Files
from .server import Response
from .simulator import Integration, Refusal, Simulator, route
from .v2 import Distribution, bearer_challenge, error

TOKEN_SECONDS = 3600
V2 = r"/v2/"
NATIVE = r"/artifactory/api/docker/([^/]+)/v2/"
WEB, SUBDOMAIN, PORT = "web", "subdomain", "port"
ACCESS_PORT = 8181  # as users write it; `resolve` leads it to a listener of the simulator's
ACCESS_KEY = "docker-local"  # behind the port


class Artifactory(Files, Distribution, Simulator):
    vendor = "artifactory"
    hosts = {"web": "art.example.test", "store": "art-cdn.example.test"}
    wildcard_hosts = {"subdomain": r"[a-z0-9-]+\.art\.example\.test"}
    certificate_names = ("*.art.example.test",)
    formats = ("docker", "oci")
    ways = {"repository path": {"access": "repository-path"}, "subdomain": {"access": SUBDOMAIN}, "port": {"access": PORT},
            "API key": {"secret": "api-key"}, "access token": {"secret": "token"}}
    listings, counted = "tags|catalog|v2-tags", "tags"  # a search; the docker API counts nothing
    has_remote, one_area_ways = True, (PORT,)
    knobs = {
        "anonymous": ("off", "on"),  # 6.2
        "filters": ("honoured", "ignored"),  # 6.3
        "case": ("usual", "odd"),  # 6.3: of type and packageType
        "last": ("number", "name"),  # 6.4
        "odd-tags": ("on", "off"),  # 6.4
        "missing-tag": ("403", "404"),  # 6.4
        "scope": ("with-key", "without-key"),  # 6.2, by repository path
        "sort": ("refused", "allowed"),  # 6.5, for others than administrators, unconfirmed
        "range-limit": ("present", "absent"),  # 6.5, unconfirmed
        "children": ("sha256__", "sha256:"),  # 6.5, unconfirmed
        "offset": ("Z", "+02:00"),  # 6.5: how dates are written
        "sha256": ("present", "absent"),  # of a manifest in search results, where it is asked for
        "admin-api": ("parent-only", "everywhere"),  # 6.1, with subdomains and ports
        "redirect": ("off", "on"),  # 6.5
    }

    def prepare(self):
        self.pull_tokens = self.tokens(TOKEN_SECONDS, prefix="eyJ2ZXIiOiIyIn0.", length=1200)
        self.page_cap = 10_000  # of the docker API, with and without n; a test makes it smaller
        self.key_accounts, self.token_accounts = {}, {}
        everyone = {"docker-local", "docker-fed", "docker-hub", "docker", "oci-local", "helm-local"}
        self.add_secrets(self.account("admin", admin=True))
        self.add_secrets(self.account("scanner", areas=everyone))
        self.access_listener = self.listen(PORT)

    def add_secrets(self, account):
        """An API key and an access token beside the password."""
        account.api_key = f"AKCp8{account.name}" + self.secret.replace(" ", "") + "k" * 60
        account.access_token = f"eyJ2ZXIiOiIyIn0.{account.name}." + self.secret.replace(" ", "") + "t" * 300
        self.key_accounts[account.api_key] = self.token_accounts[account.access_token] = account

    def integration(self, who="full", access="repository-path", secret="password"):
        account = self.accounts[self.users["full" if who == "wrong" else who]]
        url, more = {
            "repository-path": (self.url(WEB), ()),
            SUBDOMAIN: (self.url(WEB), ()),
            PORT: (self.url(WEB, ACCESS_PORT), ("--repository-key", ACCESS_KEY)),
        }[access]
        flags = ("--type", "artifactory", "--url", url, "--repository-access", access, *more, *self.trust())
        if secret == "password":
            value = "wrong " + self.secret if who == "wrong" else account.secret
            return Integration((*flags, "--auth", "account", "--username", account.name, "--password-stdin"), value)
        value = {"api-key": account.api_key, "token": account.access_token}[secret]
        return Integration((*flags, "--auth", "api-key", "--api-key-stdin"), "AKCwrong" + "x" * 70 if who == "wrong" else value)

    @property
    def resolve(self):
        usual = 443 if self.tls else 80
        keys = [f"{area}.{self.hosts[WEB]}:{usual}=127.0.0.1:{self.port}" for area in self.content.areas]
        return super().resolve + keys + [f"{self.hosts[WEB]}:{ACCESS_PORT}=127.0.0.1:{self.access_listener}"]

    def scope(self, who, access=None, **options):
        return {ACCESS_KEY} if access == PORT else None

    def fill(self, repositories=3, tags=3):
        content = self.content
        self.fill_area("docker-local", repositories, tags)
        if repositories > 100:
            self.page_cap = 100
        content.put("docker-local/team/app", content.sample(3), "1.4.2")
        content.area("docker-fed", kind="federated")
        content.put("docker-fed/team/app", content.sample(4), "1.0")
        content.area("docker-hub", kind="remote")
        content.put("docker-hub/library/alpine", content.sample(6), "3.18")
        content.area("docker", kind="virtual")
        content.put("docker/team/app", content.sample(3), "1.4.2")
        content.area("oci-local", format="oci")
        content.put("oci-local/tool", content.sample(5), "1.0")
        content.area("helm-local", format="helm")
        content.put("helm-local/chart", content.sample(7), "1.0", content="helm")
        content.put("vault-local/secret", content.sample(3), "1.0")  # not for everyone

    # -- errors

    def no_route(self, request):
        return self.problem(404, "Not Found")

    def failure(self, request, route_name, status):
        return self.problem(status, "Too many requests" if status == 429 else "Service unavailable")

    @staticmethod
    def problem(status, message, headers=()):
        return Response.json({"errors": [{"status": status, "message": message}]}, status, headers)

    def logged(self, request, name, response):
        if request.host != self.hosts["store"]:
            response.headers += [("X-JFrog-Version", "Artifactory/7.98.9 79809900"), ("X-Artifactory-Id", "b1946ac9:18c"),
                                 ("X-Artifactory-Node-Id", "art-0")]
        return super().logged(request, name, response)

    # -- who asks

    def visitor(self, request, tokens=None):
        """The account of any kind of secret, None for an anonymous visitor; what is wrong is refused."""
        key, given, token = request.header("x-jfrog-art-api"), basic(request), bearer(request)
        if key and request.header("authorization"):
            self.violation(request, "6.2", "two kinds of secrets at once")
        if not key and not request.header("authorization"):
            return None
        account = None
        if key:
            account = self.key_accounts.get(key)
        elif given:
            known = self.accounts.get(given[0])
            account = known if known and given[1] in (known.secret, known.api_key, known.access_token) else None
        elif token is not None:
            account = self.token_accounts.get(token)
        if account is None:
            self.refused(request, key or given or token)
            raise Refusal(self.problem(401, "Bad credentials" if given else "Invalid token"))
        request.account = account
        return account

    def may_read(self, account, area):
        return area.public if account is None else account.may_read(area)

    def needs_login(self, request):
        account = self.visitor(request)
        if account is None and self.knob["anonymous"] == "off":
            raise Refusal(self.problem(401, "Authentication is required", [("WWW-Authenticate", 'Basic realm="Artifactory Realm"')]))
        return account

    def admin_api(self, request):
        """With subdomains and ports the front server may lead everything to docker (6.1)."""
        if request.role != WEB and self.knob["admin-api"] == "parent-only":
            raise Refusal(self.problem(404, "Not Found"))

    # -- the API

    @route("GET", "/artifactory/api/system/ping", name="ping")
    def ping(self, request):
        self.admin_api(request)
        self.needs_login(request)
        return Response.text("OK")

    @route("GET", "/artifactory/api/repositories", name="repositories")
    def repository_keys(self, request):
        self.admin_api(request)
        account = self.needs_login(request)
        kind, package = request.parameter("type"), request.parameter("packageType")
        if self.knob["filters"] == "ignored":
            kind = package = None
        found = [area for area in self.content.areas.values() if self.may_read(account, area)
                 and (kind is None or kind == area.kind) and (package is None or package == area.format)]
        odd = self.knob["case"] == "odd"
        return Response.json([{
            "key": area.name, "description": "", "type": area.kind if odd else area.kind.upper(),
            "url": "https://registry-1.docker.io/" if area.kind == "remote" else f"{self.url(WEB)}/artifactory/{area.name}",
            "packageType": area.format.upper() if odd else {"oci": "OCI"}.get(area.format, area.format.capitalize())} for area in found])

    @route("GET", "/artifactory/api/repositories/([^/]+)", name="repository-key")
    def repository_key(self, request, key):
        self.admin_api(request)
        account = self.needs_login(request)
        if account is None or not account.admin:
            return self.problem(403, "Forbidden")
        area = self.content.areas.get(key)
        if area is None:
            return self.problem(400, f"Bad Request: repository {key} does not exist")
        return Response.json({"key": key, "rclass": area.kind, "packageType": area.format, "dockerApiVersion": "V2"})

    # -- /v2/ in its four forms: native, by path, by subdomain, by port

    @route(".*", "/artifactory/api/docker/v2/.*", name="wrong-order")
    def wrong_order(self, request):
        self.violation(request, "6.1", "the key comes before v2")
        return self.problem(400, "Unsupported docker repository request for 'v2'")

    def native(self, request, is_native):
        """The native address is where the API is."""
        if is_native:
            self.admin_api(request)

    def key_of_host(self, request):
        return ACCESS_KEY if request.role == PORT else request.host.partition(".")[0]

    def path_of(self, request, key, image):
        """The name that a challenge's scope gives to an image."""
        return f"{key}/{image}" if request.by_path and self.knob["scope"] == "with-key" else image

    def challenge(self, request, key, image=None, problem=None):
        authority = self.hosts[WEB] if request.role == WEB else request.header("host").partition(":")[0]
        authority += f":{ACCESS_PORT}" if request.role == PORT else ":443" if self.tls else ":80"
        there = "/v2/token" if request.by_path else f"/artifactory/api/docker/{key}/v2/token"
        scope = f"repository:{self.path_of(request, key, image)}:pull" if image else None
        return bearer_challenge(f"{self.scheme}://{authority}{there}", authority, scope, problem)

    @route("GET|POST", r"(?:/artifactory/api/docker/[^/]+)?/v2/token", name="token", role="web|subdomain|port")
    def token(self, request):
        if request.method == "POST":
            self.violation(request, "6.2", "a token is asked for with GET")
            return self.problem(401, "Unauthorized")
        if not request.parameter("service", "").startswith(request.host):
            self.violation(request, "6.2", "service is not that of the challenge")
        scopes = self.scopes(request)
        account = self.needs_login(request)
        value = self.grant(request, self.pull_tokens, account, scopes[0] if scopes else None).value
        return Response.json({"token": value, "expires_in": TOKEN_SECONDS})

    def registry_account(self, request, key, image=None):
        """The account, None for an anonymous one who may come in; else a challenge."""
        token = self.token_of(request, self.pull_tokens)
        if token is not None:
            request.account = token.account
            scope = token.claims["scope"]
            if image is not None and (scope is None or scope.name != self.path_of(request, key, image)):
                self.violation(request, "6.2", "the token's scope is not that of the challenge")
                raise Refusal(error(401, "UNAUTHORIZED", "authentication required", [self.challenge(request, key, image, "insufficient_scope")]))
            return token.account
        value = bearer(request)
        if value is not None and self.pull_tokens.knows(value):
            raise Refusal(error(401, "UNAUTHORIZED", "token expired", [self.challenge(request, key, image, "invalid_token")]))
        account = self.visitor(request)
        if account is None and self.knob["anonymous"] == "off":
            raise Refusal(error(401, "UNAUTHORIZED", "authentication required", [self.challenge(request, key, image)]))
        return account

    @route("GET", V2, name="ping", role="web|subdomain|port")
    @route("GET", NATIVE, name="ping", role="web|subdomain|port")
    def registry_ping(self, request, key=None):
        self.native(request, key)
        request.by_path = key is None and request.role == WEB
        self.registry_account(request, key or self.key_of_host(request))
        return Response.json({})

    @route("GET", V2 + "_catalog", name="catalog", role="web|subdomain|port")
    @route("GET", NATIVE + "_catalog", name="catalog", role="web|subdomain|port")
    def catalog(self, request, key=None):
        self.native(request, key)
        request.by_path = key is None and request.role == WEB
        if request.by_path:
            self.violation(request, "6.4", "the catalog at the root is to be avoided by repository path")
        key = key or self.key_of_host(request)
        account = self.registry_account(request, key)
        areas = list(self.content.areas) if request.by_path else [key]
        if any(name in self.content.areas and self.content.areas[name].kind == "remote" for name in areas) and not request.by_path:
            self.violation(request, "6.4", "the catalog of a remote key is its upstream's")
        if not request.by_path and (key not in self.content.areas or not self.may_read(account, self.content.areas[key])):
            raise Refusal(error(404, "NAME_UNKNOWN", f"repository {key} not found"))
        names = [f"{area}/{one.path}" if request.by_path else one.path for area in areas
                 if self.may_read(account, self.content.areas[area]) for one in self.content.in_area(area)]
        return self.numbered(request, names, lambda found: {"repositories": found}, "/v2/_catalog")

    @route("GET", V2 + "(.+)/tags/list", name="v2-tags", role="web|subdomain|port")
    @route("GET", NATIVE + "(.+)/tags/list", name="v2-tags", role="web|subdomain|port")
    def registry_tags(self, request, *name):
        key, image, repository = self.addressed(request, *name)
        names = sorted(repository.tags)
        if self.knob["odd-tags"] == "on":
            names.append("sha256:" + next(iter(repository.tags.values())).digest.partition(":")[2])
        return self.numbered(request, names, lambda found: {"name": image, "tags": found}, f"/v2/{image}/tags/list")

    def numbered(self, request, names, document, path):
        """Pages whose `last` is a number, told by a Link whose path lacks the key (6.4)."""
        n, last = request.parameter("n"), request.parameter("last")
        if n is not None and not n.isdigit():
            self.violation(request, "6.4", "n is a number")
            raise Refusal(error(400, "PAGINATION_NUMBER_INVALID"))
        by_number = self.knob["last"] == "number"
        if last is not None and by_number and not last.isdigit():
            self.violation(request, "6.4", "last is what the Link said, not a name")
        size = min(int(n), self.page_cap) if n is not None else self.page_cap
        start = int(last) if last and last.isdigit() and by_number else sum(1 for name in names if last and name <= last)
        page = self.page(request, names, start, size)
        headers = []
        if page.next is not None:
            following = page.next if by_number else names[page.next - 1]
            headers.append(("Link", f'<{path}?last={following}&n={size}>; rel="next"'))
        return Response.json(document(page.items), headers=headers)

    def addressed(self, request, *name):
        """(key, image, repository) of whichever form the address has, for an account that may read it."""
        self.native(request, len(name) == 2)
        request.by_path = len(name) == 1 and request.role == WEB
        key, image = name if len(name) == 2 else name[0].partition("/")[::2] if request.by_path else (self.key_of_host(request), name[0])
        account = self.registry_account(request, key, image)
        repository, area = self.content.repositories.get(f"{key}/{image}"), self.content.areas.get(key)
        if area is None or not self.may_read(account, area):
            raise Refusal(error(403, "DENIED", "The client does not have permission to read this repository"))
        if repository is None:
            raise Refusal(error(404, "NAME_UNKNOWN", f"repository {image} not found"))
        return key, image, repository

    def v2_repository(self, request, name):
        return self.addressed(request, *name)[2]

    @route("GET|HEAD|PUT|POST|PATCH|DELETE", V2 + "(.+)/manifests/([^/]+)", name="manifest", role="web|subdomain|port")
    @route("GET|HEAD|PUT|POST|PATCH|DELETE", NATIVE + "(.+)/manifests/([^/]+)", name="manifest", role="web|subdomain|port")
    def manifest(self, request, *place):
        return self.v2_manifest(request, place[:-1], place[-1])

    def v2_unknown_manifest(self, request, name, reference):
        if self.knob["missing-tag"] == "403":
            return error(403, "UNAUTHORIZED", f"The client does not have permission for manifest: {reference}")
        return error(404, "MANIFEST_UNKNOWN", "The named manifest is not known to the registry.")

    @property
    def blob_host(self):
        return "store" if self.knob["redirect"] == "on" else None

    @route("GET|HEAD|PUT|POST|PATCH|DELETE", V2 + "(.+)/blobs/([^/]+)", name="blob", role="web|subdomain|port")
    @route("GET|HEAD|PUT|POST|PATCH|DELETE", NATIVE + "(.+)/blobs/([^/]+)", name="blob", role="web|subdomain|port")
    def blob(self, request, *place):
        return self.v2_blob(request, place[:-1], place[-1])
