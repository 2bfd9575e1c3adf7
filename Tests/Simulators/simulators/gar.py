"""Google's Artifact Registry (registries.md 11.4): service accounts, a REST API, repositories of three modes."""
import base64
import json
import time
import urllib.parse
from dataclasses import dataclass

from . import json_web_token
from .accounts import basic, bearer
from .content import sparse, timestamp
from .places import Places
from .server import Response
from .service_accounts import Unsigned, verified
from .simulator import Integration, Refusal, Simulator, route
from .v2 import VERSION, OpenPaths, Scope, bearer_challenge, error

LOCATION = "europe-west1"
TOKEN_URI = "https://oauth2.googleapis.com/token"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = {"https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/cloud-platform.read-only"}
ACCESS_SECONDS = 3599
PAGE_DEFAULT, PAGE_MAX, SHORT = 100, 1000, 10


@dataclass
class Store:
    """What Google calls a repository: an area of images in a project."""
    project: str
    name: str
    format: str = "DOCKER"
    mode: str = "STANDARD_REPOSITORY"

    @property
    def path(self):
        return f"{self.project}/{self.name}"


class GAR(OpenPaths, Simulator):
    vendor = "gar"
    hosts = {"registry": f"{LOCATION}-docker.pkg.dev", "api": "artifactregistry.googleapis.com", "oauth": "oauth2.googleapis.com"}
    users = {"full": "auditor@shop-project.iam.gserviceaccount.com", "minimum": "scanner@shop-project.iam.gserviceaccount.com"}
    listings = "tags"
    counted = ""
    has_remote = True
    large = (3 * SHORT, 3 * SHORT)
    knobs = {
        "last-page": ("empty", "absent"),  # nextPageToken at the end
        "pages": ("short", "full"),  # a page may hold fewer than were asked for
        "json-key": ("accepted", "refused"),  # 11.4: on each request of /v2/, not for a token alone
    }

    def prepare(self):
        self.access = self.tokens(ACCESS_SECONDS, prefix="ya29.c.", length=1000)
        self.places = Places(self.clock)
        self.stores = {}
        self.key_files, self.public_keys = {}, {}
        # Artifact Registry Reader in one project, and in both.
        self.service_account(self.users["full"], areas=None)
        self.service_account(self.users["minimum"], areas={"shop-project"})
        self.service_account("stranger@shop-project.iam.gserviceaccount.com", areas=set())

    def service_account(self, name, **options):
        private, public = json_web_token.key_of(name)
        number = f"5f1c41d07be85a63{len(self.key_files):024d}"
        self.key_files[name] = json.dumps({
            "type": "service_account", "project_id": "shop-project", "private_key_id": number, "private_key": private, "client_email": name,
            "client_id": "104251763549871236540", "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": TOKEN_URI,
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_x509_cert_url": "https://www.googleapis.com/robot/v1/metadata/x509/" + urllib.parse.quote(self.secret),
            "universe_domain": "googleapis.com"}, indent=2) + "\n"
        self.public_keys[name] = (number, public)
        self.account(name, self.key_files[name], kind="service", **options)

    def store(self, project, name, **options):
        return self.stores.setdefault(f"{project}/{name}", Store(project, name, **options))

    def integration(self, who="full"):
        scopes = ("--scope", "shop-project", *(("--scope", "vault-project") if who == "full" else ()))
        if who == "wrong":  # a key that was made for nobody
            document = json.loads(self.key_files[self.users["full"]])
            document["private_key"] = json_web_token.make_key()[0]
            secret = json.dumps(document)
        else:
            secret = self.key_files["stranger@shop-project.iam.gserviceaccount.com" if who == "stranger" else self.users[who]]
        return Integration(("--type", "gar", "--url", self.url("registry"), *self.trust(), *scopes, "--auth", "api-key", "--api-key-stdin"), secret)

    def fill(self, repositories=3, tags=3):
        self.store("shop-project", "docker")
        self.fill_area("shop-project/docker", sparse(repositories), sparse(tags), distinct=True)
        content = self.content
        content.put("shop-project/docker/nested/deep/app", content.sample(3), "1.0")
        self.store("shop-project", "hub-cache", mode="REMOTE_REPOSITORY")
        content.put("shop-project/hub-cache/library/alpine", content.sample(4), "3.18")
        self.store("shop-project", "everything", mode="VIRTUAL_REPOSITORY")
        content.put("shop-project/everything/app-000", content.sample(1), "1.0")
        self.store("shop-project", "maven", format="MAVEN")
        self.store("vault-project", "private")
        content.put("vault-project/private/app", content.sample(5), "1.0")

    def expected(self, who="full", kinds=("local",), **options):
        """A repository's kind is its store's mode."""
        modes = {"STANDARD_REPOSITORY": "local", "REMOTE_REPOSITORY": "remote", "VIRTUAL_REPOSITORY": "virtual"}
        return {(name, tag): digest for (name, tag), digest in super().expected(who, ("local",), **options).items()
                if modes[self.store_of(self.content.repositories[name]).mode] in kinds}

    def left_out(self):
        return {store.path for store in self.stores.values() if store.mode != "STANDARD_REPOSITORY"}

    def store_of(self, repository):
        project, name, _ = (repository.name + "//").split("/", 2)
        return self.store(project, name)

    # -- oauth2.googleapis.com

    @route("POST", "/token", name="login", role="oauth")
    def exchange(self, request):
        form = request.form()
        if request.header("content-type").partition(";")[0] != "application/x-www-form-urlencoded" or form.get("grant_type") != GRANT:
            self.violation(request, "11.4", f"a form with grant_type={GRANT} is wanted")
            return Response.json({"error": "unsupported_grant_type", "error_description": "Invalid grant_type: "}, 400)
        try:
            claims = verified(form.get("assertion"), self.keys_of, "RS256", TOKEN_URI, self.clock.now())
        except Unsigned as problem:
            self.refused(request, ("oauth", "assertion"))
            return Response.json({"error": "invalid_grant", "error_description": f"Invalid JWT Signature: {problem}"}, 400)
        asked = set(str(claims.get("scope", "")).split())
        if not asked or asked - SCOPES:
            self.violation(request, "11.4", f"the scope is none of {', '.join(sorted(SCOPES))}")
            return Response.json({"error": "invalid_scope", "error_description": "Invalid OAuth scope or ID token audience provided."}, 400)
        account = request.account = self.accounts[claims["iss"]]
        token = self.grant(request, self.access, account, "api")
        return Response.json({"access_token": token.value, "expires_in": ACCESS_SECONDS, "token_type": "Bearer"})

    def keys_of(self, header, claims):
        number, public = self.public_keys.get(claims.get("iss"), (None, None))
        return [public] if public and header.get("kid", number) == number else []

    # -- the REST API

    def problem(self, code, status, message):
        return Refusal(Response.json({"error": {"code": code, "message": message, "status": status}}, code))

    def api_account(self, request):
        if basic(request) is not None:
            self.violation(request, "11.4", "the API takes Bearer")
        token = self.token_of(request, self.access)
        if token is None or token.claims["scope"] != "api":
            if bearer(request) and not self.access.knows(bearer(request)):
                self.violation(request, "11.4", "a token that oauth2.googleapis.com did not give out")
            raise self.problem(401, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, "
                               "login cookie or other valid authentication credential.")
        request.account = token.account
        return token.account

    def project(self, request, name):
        """What may not be read is denied, whether it is there or not."""
        account = self.api_account(request)
        area = self.content.areas.get(name)
        if area is None or not account.may_read(area):
            raise self.problem(403, "PERMISSION_DENIED", f"Permission 'artifactregistry.repositories.list' denied on resource "
                               f"'//artifactregistry.googleapis.com/projects/{name}' (or it may not exist).")

    def paged(self, request, key, items, row):
        text = request.parameter("pageSize", str(PAGE_DEFAULT))
        if not text.lstrip("-").isdigit() or int(text) < 0:
            self.violation(request, "11.4", f"pageSize={text} is no number")
            raise self.problem(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
        size = min(int(text) or PAGE_DEFAULT, SHORT if self.knob["pages"] == "short" else PAGE_MAX)
        token = request.parameter("pageToken")
        start = self.places.find(token, request.raw_path) if token else 0
        if start is None:
            self.violation(request, "11.4", "pageToken is none that this listing gave")
            raise self.problem(400, "INVALID_ARGUMENT", "Invalid page token")
        page = self.page(request, items, start, size, marker=True)
        document = {key: [row(one) for one in page.items]} if page.items else {}  # an empty list is left out
        if page.next is not None:
            document["nextPageToken"] = self.places.name(request.raw_path, page.next)
        elif self.knob["last-page"] == "empty":
            document["nextPageToken"] = ""
        return Response.json(document)

    @route("GET", "/v1/projects/([^/]+)/locations", name="locations", role="api")
    def locations(self, request, project):
        self.project(request, project)
        return self.paged(request, "locations", [LOCATION], lambda one: {"name": f"projects/{project}/locations/{one}", "locationId": one})

    @route("GET", f"/v1/projects/([^/]+)/locations/{LOCATION}/repositories", name="repositories", role="api")
    def list_stores(self, request, project):
        self.project(request, project)
        for repository in list(self.content.repositories.values()):
            self.store_of(repository)
        found = sorted((one for one in self.stores.values() if one.project == project), key=lambda one: one.name)
        return self.paged(request, "repositories", found, self.store_row)

    def store_row(self, store):
        return {"name": f"projects/{store.project}/locations/{LOCATION}/repositories/{store.name}", "format": store.format, "mode": store.mode,
                "createTime": "2025-05-02T07:00:00.000000Z", "updateTime": "2026-02-27T09:11:42.123456Z"}

    @route("GET", f"/v1/projects/([^/]+)/locations/{LOCATION}/repositories/([^/]+)", name="store", role="api")
    def one_store(self, request, project, name):
        self.project(request, project)
        return Response.json(self.store_row(self.found_store(project, name)))

    def found_store(self, project, name):
        store = self.stores.get(f"{project}/{name}")
        if store is None:
            raise self.problem(404, "NOT_FOUND", f"Repository \"{name}\" not found")
        return store

    @route("GET", f"/v1/projects/([^/]+)/locations/{LOCATION}/repositories/([^/]+)/dockerImages", name="tags", role="api")
    def docker_images(self, request, project, name):
        self.project(request, project)
        store = self.found_store(project, name)
        if store.format != "DOCKER":
            self.violation(request, "11.4", "only repositories of format DOCKER have images")
            raise self.problem(400, "FAILED_PRECONDITION", "not a docker repository")
        rows = []
        for repository in sorted(self.content.repositories.values(), key=lambda one: one.name):
            if self.store_of(repository) is store:
                for manifest, tags in repository.manifests().values():
                    rows.append((repository, manifest, tags, tags[0].pushed))
                    rows += [(repository, child, [], tags[0].pushed) for child in manifest.children]
        return self.paged(request, "dockerImages", rows, lambda row: self.image_row(store, *row))

    def image_row(self, store, repository, manifest, tags, pushed):
        path = repository.name[len(store.path) + 1:]
        row = {"name": f"projects/{store.project}/locations/{LOCATION}/repositories/{store.name}/dockerImages/"
                       f"{urllib.parse.quote(path, safe='')}@{manifest.digest}",
               "uri": f"{self.hosts['registry']}/{repository.name}@{manifest.digest}", "imageSizeBytes": str(manifest.size),
               "uploadTime": timestamp(pushed, 6), "mediaType": manifest.media_type, "updateTime": timestamp(pushed, 6)}
        if tags:
            row["tags"] = [tag.name for tag in tags]
        if manifest.created:
            row["buildTime"] = manifest.created
        return row

    # -- the registry

    def known_key(self, text):
        """The service account whose key file this is."""
        try:
            document = json.loads(text)
        except ValueError:
            return None
        for name, file in self.key_files.items():
            if isinstance(document, dict) and document.get("private_key") == json.loads(file)["private_key"] and document.get("client_email") == name:
                return self.accounts[name]
        return None

    def docker_account(self, request):
        """Who comes with basic authentication; None without it."""
        given = basic(request)
        if given is None:
            return None
        name, secret = given
        if name == "_json_key":
            account = self.known_key(secret)
        elif name == "_json_key_base64":
            try:
                account = self.known_key(base64.b64decode(secret).decode())
            except ValueError:
                account = None
        elif name == "oauth2accesstoken":
            token = self.access.get(secret)
            account = token.account if token else None
        else:
            self.violation(request, "11.4", f"no user {name}: there are _json_key, _json_key_base64, oauth2accesstoken")
            account = None
        if account is None:
            self.refused(request, given)
            raise Refusal(error(401, "UNAUTHORIZED", "authentication failed", [self.challenge()]))
        request.account = account
        return account

    def challenge(self, scope=None):
        return bearer_challenge(self.url("registry") + "/v2/token", self.hosts["registry"], scope)

    @route("GET", "/v2/token", name="token", role="registry")
    def token(self, request):
        account = self.docker_account(request)
        scope = next((one for one in self.scopes(request)), None)
        value = self.grant(request, self.access, account, scope).value
        return Response.json({"token": value, "expires_in": ACCESS_SECONDS,
                              "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.clock.now()))})

    def entitled(self, request, name):
        """Whoever may read the repository, by a token of either kind or by a key."""
        text = f"repository:{name}:pull"
        account = self.docker_account(request) if self.knob["json-key"] == "accepted" else None
        if account is None:
            token = self.token_of(request, self.access)
            if token is None or token.account is None or token.claims["scope"] not in ("api", Scope("repository", name, ("pull",))):
                raise Refusal(error(401, "UNAUTHORIZED", "Unauthenticated request. Unauthenticated requests do not have permission "
                                    f"\"artifactregistry.repositories.downloadArtifacts\" on resource \"{name}\" (or it may not exist)",
                                    [self.challenge(text)]))
            account = request.account = token.account
        repository = self.content.repositories.get(name)
        if not account.may_read(self.content.area(name.partition("/")[0])):
            raise Refusal(error(403, "DENIED", "Permission \"artifactregistry.repositories.downloadArtifacts\" denied on resource "
                                f"\"{name}\" (or it may not exist)"))
        if repository is None:
            raise Refusal(error(404, "NAME_UNKNOWN", f"Repository \"{name}\" not found"))
        return repository

    @route("GET|HEAD", "/v2/", name="ping", role="registry")
    def ping(self, request):
        if self.token_of(request, self.access) or (self.knob["json-key"] == "accepted" and self.docker_account(request)):
            return Response.json({}, headers=[VERSION])
        return error(401, "UNAUTHORIZED", "authentication required", [self.challenge()])

    def v2_repository(self, request, name):
        if name.count("/") < 2:
            self.violation(request, "11.4", "a name is project, repository and image")
        return self.entitled(request, name)

    @route("GET", "/v2/(.+)/tags/list", name="v2-tags", role="registry")
    def tags_by_v2(self, request, name):
        """With Google's own extension: digests and both dates."""
        repository = self.v2_repository(request, name)
        manifests = {digest: {"imageSizeBytes": str(manifest.size), "layerId": "", "mediaType": manifest.media_type,
                              "tag": [tag.name for tag in tags], "timeCreatedMs": milliseconds(manifest.created),
                              "timeUploadedMs": str(int(tags[0].pushed.timestamp() * 1000))}
                     for digest, (manifest, tags) in repository.manifests().items()}
        children = sorted({other[len(name) + 1:].partition("/")[0] for other in self.content.repositories if other.startswith(name + "/")})
        return self.v2_listing(request, self.v2_tag_names(repository), None, self.catalog_cap, "clamp", lambda names: {
            "child": children, "manifest": manifests, "name": name, "tags": names}, request.raw_path)

    # -- errors

    def no_route(self, request):
        return Response.text("<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", 404, content_type="text/html; charset=UTF-8")

    def failure(self, request, route_name, status):
        if request.role != "api":
            return super().failure(request, route_name, status)
        words = {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}
        return Response.json({"error": {"code": status, "message": "Quota exceeded" if status == 429 else "The service is currently unavailable.",
                                        "status": words.get(status, "UNKNOWN")}}, status)


def milliseconds(created):
    """The build date as text; Google writes a zero where an image has none."""
    if not created:
        return "0"
    return str(int(time.mktime(time.strptime(created[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone) * 1000)
