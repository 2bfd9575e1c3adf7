"""Yandex Container Registry (registries.md 11.5): IAM tokens for keys that sign, an API by registry ids."""
import json
import time

from . import json_web_token
from .accounts import basic, bearer
from .content import sparse, timestamp
from .places import Places
from .server import Response
from .service_accounts import Unsigned, verified
from .simulator import Integration, Refusal, Simulator, route
from .v2 import VERSION, OpenPaths, basic_challenge, error

IAM_TOKENS = "https://iam.api.cloud.yandex.net/iam/v1/tokens"
IAM_SECONDS = 12 * 3600
PAGE_DEFAULT, PAGE_MAX, SHORT = 100, 1000, 10
SHOP, VAULT, FOLDER = "crp5f1c41d07be85a63s", "crp5f1c41d07be85a63v", "b1g5f1c41d07be85a63f"
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 429: 8, 500: 13, 503: 14}


class Yandex(OpenPaths, Simulator):
    vendor = "yandex"
    hosts = {"registry": "cr.yandex", "api": "container-registry.api.cloud.yandex.net", "iam": "iam.api.cloud.yandex.net",
             "store": "storage.yandexcloud.net"}
    users = {"full": "aje5f1c41d07be85a63f", "minimum": "aje5f1c41d07be85a63m", "oauth": "person", "stranger": "aje5f1c41d07be85a63n"}
    counted = ""
    large = (3 * SHORT, 3 * SHORT)
    knobs = {
        "page-size-above": ("error", "clamp"),  # 1.2, unconfirmed
        "last-page": ("empty", "absent"),  # nextPageToken at the end
        "pages": ("short", "full"),  # a page may hold fewer than were asked for
        "blobs": ("redirected", "direct"),
    }

    def prepare(self):
        self.iam = self.tokens(IAM_SECONDS, prefix="t1.9euelZ", length=700)
        self.places = Places(self.clock)
        self.key_files, self.public_keys = {}, {}
        self.service_account(self.users["full"], areas=None)
        # The role container-registry.images.puller on one registry.
        self.service_account(self.users["minimum"], areas={SHOP})
        self.service_account("aje5f1c41d07be85a63n", areas=set())
        self.account("person", "y0_AgAAAA" + self.secret, kind="oauth", areas={SHOP})

    def service_account(self, name, **options):
        private, public = json_web_token.key_of(name)
        number = f"ajk5f1c41d07be85a6{len(self.key_files):02d}"
        self.key_files[name] = json.dumps({
            "id": number, "service_account_id": name, "created_at": "2026-01-02T08:00:00.000000000Z", "description": self.secret,
            "key_algorithm": "RSA_2048", "public_key": public,
            "private_key": f"PLEASE DO NOT REMOVE THIS LINE! Yandex.Cloud SA Key ID <{number}>\n" + private}, indent=3)
        self.public_keys[number] = (name, public)
        self.account(name, self.key_files[name], kind="service", **options)

    @property
    def blob_host(self):
        return "store" if self.knob["blobs"] == "redirected" else None

    def integration(self, who="full"):
        there = ("--type", "yandex", "--url", self.url("registry"), *self.trust(), "--scope", SHOP, *(("--scope", VAULT) if who == "full" else ()))
        if who == "oauth":
            return Integration((*there, "--auth", "api-key", "--api-key-stdin"), self.accounts["person"].secret)
        if who == "wrong":
            document = json.loads(self.key_files[self.users["full"]])
            secret = json.dumps(document | {"private_key": json_web_token.make_key()[0]})
        else:
            secret = self.key_files["aje5f1c41d07be85a63n" if who == "stranger" else self.users[who]]
        if who == "minimum":
            return Integration((*there, "--auth", "account", "--username", "json_key", "--password-stdin"), secret)
        return Integration((*there, "--auth", "api-key", "--api-key-stdin"), secret)

    def fill(self, repositories=3, tags=3):
        self.fill_area(SHOP, sparse(repositories), sparse(tags), distinct=True)
        self.content.put(f"{SHOP}/nested/deep/app", self.content.sample(3), "1.0")
        self.content.put(f"{VAULT}/private", self.content.sample(4), "1.0")

    # -- iam.api.cloud.yandex.net

    def problem(self, status, message):
        return Refusal(Response.json({"code": CODES[status], "message": message, "details": []}, status))

    @route("POST", "/iam/v1/tokens", name="login", role="iam")
    def exchange(self, request):
        if request.header("authorization"):
            self.violation(request, "11.5", "an exchange with an Authorization header")
        document = request.json()
        if not isinstance(document, dict) or set(document) not in ({"jwt"}, {"yandexPassportOauthToken"}):
            self.violation(request, "11.5", "jwt or yandexPassportOauthToken is wanted, and nothing else")
            raise self.problem(400, "Request validation error")
        if "jwt" in document:
            try:
                claims = verified(document["jwt"], self.keys_of, "PS256", IAM_TOKENS, self.clock.now())
            except Unsigned as problem:
                self.refused(request, ("iam", "jwt"))
                raise self.problem(401, f"JWT is invalid: {problem}") from None
            account = self.accounts[claims["iss"]]
        else:
            secret = document["yandexPassportOauthToken"]
            account = next((one for one in self.accounts.values() if one.kind == "oauth" and one.secret == secret), None)
            if account is None:
                self.refused(request, ("iam", secret))
                raise self.problem(401, "OAuth token is invalid or expired")
        request.account = account
        token = self.grant(request, self.iam, account, "iam")
        ends = time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime(token.expires))
        return Response.json({"iamToken": token.value, "expiresAt": ends})

    def keys_of(self, header, claims):
        """PS256 wants to be told which key it was."""
        name, public = self.public_keys.get(header.get("kid"), (None, None))
        return [public] if public and claims.get("iss") == name else []

    # -- container-registry.api.cloud.yandex.net

    def api_account(self, request):
        if basic(request) is not None:
            self.violation(request, "11.5", "the API takes Bearer")
        value = bearer(request)
        token = self.token_of(request, self.iam)
        if token is None:
            if value is not None and not self.iam.knows(value):
                self.violation(request, "11.5", "the API takes IAM tokens alone")
            raise self.problem(401, "The token is invalid" if value is None or not self.iam.knows(value) else "The token has expired")
        request.account = token.account
        return token.account

    def registry(self, account, name):
        area = self.content.areas.get(name)
        if area is None or not account.may_read(area):
            raise self.problem(403, "Permission denied")
        return area

    def paged(self, request, key, items, row):
        text = request.parameter("pageSize", str(PAGE_DEFAULT))
        if not text.isdigit() or int(text) > PAGE_MAX:
            self.violation(request, "1.2", f"pageSize={text} is no number up to {PAGE_MAX}")
            if not text.isdigit() or self.knob["page-size-above"] == "error":
                raise self.problem(400, "Request validation error: page_size: The value must be in the range 0 - 1000")
        size = min(int(text) or PAGE_DEFAULT, SHORT if self.knob["pages"] == "short" else PAGE_MAX)
        listing = (key, *sorted(one for one in request.query if one[0] not in ("pageToken", "pageSize")))
        token = request.parameter("pageToken")
        start = self.places.find(token, listing) if token else 0
        if start is None:
            self.violation(request, "11.5", "pageToken is none that this listing gave")
            raise self.problem(400, "Invalid page token")
        page = self.page(request, items, start, size, str(listing), marker=True)
        document = {key: [row(one) for one in page.items]}
        if page.next is not None:
            document["nextPageToken"] = self.places.name(listing, page.next)
        elif self.knob["last-page"] == "empty":
            document["nextPageToken"] = ""
        return Response.json(document)

    def one_of(self, request, *names):
        given = [(name, value) for name, value in request.query if name in names and value]
        if len(given) != 1:
            self.violation(request, "11.5", f"exactly one of {', '.join(names)} is wanted")
            raise self.problem(400, "Request validation error")
        return given[0]

    @route("GET", "/container-registry/v1/registries", name="registries", role="api")
    def registries(self, request):
        account = self.api_account(request)
        if self.one_of(request, "folderId")[1] != FOLDER or account.areas is not None:
            raise self.problem(403, "Permission denied")
        return self.paged(request, "registries", sorted(self.content.areas), lambda one: {
            "id": one, "folderId": FOLDER, "name": one[-1], "status": "ACTIVE", "createdAt": "2025-05-02T07:00:00.123Z"})

    @route("GET", "/container-registry/v1/registries/([^/]+)", name="registry", role="api")
    def one_registry(self, request, name):
        self.registry(self.api_account(request), name)
        return Response.json({"id": name, "folderId": FOLDER, "name": name[-1], "status": "ACTIVE", "createdAt": "2025-05-02T07:00:00.123Z"})

    @route("GET", "/container-registry/v1/repositories", name="repositories", role="api")
    def repositories(self, request):
        account = self.api_account(request)
        kind, name = self.one_of(request, "registryId", "folderId")
        if kind == "folderId":
            raise self.problem(403, "Permission denied")
        self.registry(account, name)
        return self.paged(request, "repositories", self.content.in_area(name), lambda one: {
            "name": one.name, "id": f"crp{one.number:017d}"})

    @route("GET", "/container-registry/v1/images", name="tags", role="api")
    def images(self, request):
        account = self.api_account(request)
        kind, name = self.one_of(request, "repositoryName", "registryId", "folderId")
        if kind == "folderId":
            raise self.problem(403, "Permission denied")
        self.registry(account, name.partition("/")[0])
        found = self.content.in_area(name) if kind == "registryId" else [self.content.repositories.get(name)]
        if found == [None]:
            raise self.problem(404, f"Repository {name} not found")
        rows = []
        for repository in found:
            for manifest, tags in repository.manifests().values():
                rows.append((repository, manifest, [tag.name for tag in tags], tags[0].pushed))
                rows += [(repository, child, [], tags[0].pushed) for child in manifest.children]
        return self.paged(request, "images", rows, lambda row: self.image_row(*row))

    @staticmethod
    def image_row(repository, manifest, tags, pushed):
        row = {"id": "crp" + manifest.digest[7:24], "name": repository.name, "digest": manifest.digest, "compressedSize": str(manifest.size),
               "layers": [], "createdAt": timestamp(pushed, 3)}
        if manifest.config_digest:
            row["config"] = {"id": "crp" + manifest.config_digest[7:24], "digest": manifest.config_digest, "size": "1469", "urls": []}
        if tags:
            row["tags"] = tags
        return row

    # -- the registry

    def docker_account(self, request):
        given = basic(request)
        if given is not None:
            name, secret = given
            account = None
            if name == "iam":
                token = self.iam.get(secret)
                account = token.account if token else None
            elif name in ("oauth", "json_key"):
                kind = "oauth" if name == "oauth" else "service"
                account = next((one for one in self.accounts.values() if one.kind == kind and same_key(one.secret, secret)), None)
            else:
                self.violation(request, "11.5", f"no user {name}: there are iam, oauth, json_key")
            if account is not None:
                request.account = account
                return account
            if not self.iam.knows(secret):
                self.refused(request, given)
        raise Refusal(error(401, "UNAUTHORIZED", "Authentication problem: Authorization failed", [basic_challenge("cr.yandex")]))

    @route("GET|HEAD", "/v2/", name="ping", role="registry")
    def ping(self, request):
        self.docker_account(request)
        return Response.json({}, headers=[VERSION])

    @route("GET", "/v2/_catalog", name="catalog", role="registry")
    def catalog(self, request):
        account = self.docker_account(request)
        return self.v2_catalog_of(request, [one.name for one in self.content.repositories.values()
                                            if account.may_read(self.content.areas[one.area])])

    def v2_repository(self, request, name):
        account = self.docker_account(request)
        repository = self.content.repositories.get(name)
        if repository is None or not account.may_read(self.content.areas[repository.area]):
            raise Refusal(error(403, "DENIED", "Access denied"))
        return repository

    # -- errors

    def no_route(self, request):
        if request.role == "registry":
            return super().no_route(request)
        return Response.json({"code": 5, "message": "Not Found", "details": []}, 404)

    def failure(self, request, route_name, status):
        if request.role == "registry":
            return super().failure(request, route_name, status)
        return Response.json({"code": CODES.get(status, 2), "message": "Too many requests" if status == 429 else "internal error",
                              "details": []}, status)


def same_key(secret, given):
    """Whether two texts are the same secret, or the same key file in another layout."""
    if secret == given:
        return True
    try:
        return json.loads(secret) == json.loads(given)
    except ValueError:
        return False
