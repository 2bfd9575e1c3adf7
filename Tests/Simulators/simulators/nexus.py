"""Sonatype Nexus Repository 3: REST at the root, docker by path or by connector (registries.md 7)."""
import base64
import fnmatch
import re

from .accounts import basic, bearer
from .content import timestamp
from .server import Response
from .simulator import Integration, Refusal, Simulator, route
from .v2 import Distribution, basic_challenge, bearer_challenge, error

TOKEN_SECONDS = 3600  # the real life is not told; the answer names none (7.2)
REALM = "Sonatype Nexus Repository Manager"
TYPES = {"local": "hosted", "remote": "proxy", "virtual": "group"}
CONNECTOR_PORT = 5000  # as users write it; `resolve` leads it to a listener of the simulator's
CONNECTOR_KEY = "docker-hosted"
KEY = r"/repository/([^/]+)/v2/"


class Nexus(Distribution, Simulator):
    vendor = "nexus"
    hosts = {"web": "nexus.example.test", "connector": "docker.nexus.example.test", "store": "nexus-s3.example.test"}
    catalog_default = None
    ways = {"": {}, "connector": {"at": "connector"}}
    listings = "tags|catalog|v2-tags"  # the latter two of connectors, where there is no REST
    has_remote, one_area_ways = True, ("connector",)
    counted = ""
    knobs = {
        "anonymous": ("off", "on"),  # 7.2: also what v2 challenges with
        "asset-path": ("plain", "slash"),  # 7.3
        "docker-block": ("present", "empty", "absent"),  # 7.3, unconfirmed
        "stale-token": ("404", "406"),  # 7.3, unconfirmed
        "v2-link": ("wrong", "none"),  # 7.3: connectors'; old versions have none
        "redirect": ("off", "on"),  # 7.3: a blob store with signed addresses
    }

    def prepare(self):
        self.pull_tokens = self.tokens(TOKEN_SECONDS, prefix="DockerToken.", length=60)
        self.page_size = 100  # of REST; not to be chosen by a client, but by a test
        self.account("admin", admin=True)
        self.account("scanner", areas={"docker-hosted", "docker-releases"}, rights={"browse", "read"})
        self.account("blind", areas={"docker-hosted"}, rights={"read"})  # reads, but does not browse
        self.connector = self.listen("connector")

    def integration(self, who="full", at="web"):
        name = self.users["full" if who == "wrong" else who]
        url, more = (self.url("web"), ()) if at == "web" else (self.url("web", CONNECTOR_PORT), ("--repository-key", CONNECTOR_KEY))
        return Integration(("--type", "nexus", "--url", url, *more, *self.trust(), "--auth", "account", "--username", name,
                            "--password-stdin"), "wrong " + self.secret if who == "wrong" else self.secret)

    @property
    def resolve(self):
        return [*super().resolve, f"{self.hosts['web']}:{CONNECTOR_PORT}=127.0.0.1:{self.connector}"]

    def scope(self, who, at=None, **options):
        return {CONNECTOR_KEY} if at == "connector" else None

    def fill(self, repositories=3, tags=3):
        content = self.content
        self.fill_area("docker-hosted", repositories, tags)
        content.put("docker-hosted/team/app", content.sample(3), "1.4.2")
        content.put("docker-releases/team/app", content.sample(4), "1.0")
        content.area("docker-hub", kind="remote")
        content.put("docker-hub/library/alpine", content.sample(6), "3.18")
        content.area("docker-all", kind="virtual")
        content.put("docker-all/team/app", content.sample(3), "1.4.2")
        content.area("maven-releases", format="maven2")
        content.put("vault/secret", content.sample(3), "1.0")  # not for everyone

    def no_route(self, request):
        return Response.text("<html><body>Not Found</body></html>", 404, content_type="text/html")

    # -- REST

    def visitor(self, request):
        """The account, None for an anonymous visitor where those may come; else 401 with nothing in it."""
        account = self.login(request)
        if account is None and (request.header("authorization") or self.knob["anonymous"] == "off"):
            if request.header("authorization") and basic(request) is None:
                self.violation(request, "7.2", "REST takes nothing but Basic")
            raise Refusal(Response(401, b"", [basic_challenge(REALM, "BASIC")]))
        request.account = account
        return account

    @staticmethod
    def may_read(account, area):
        return area.public if account is None else account.may_read(area)

    def browses(self, account, area):
        return self.may_read(account, area) and (account is None or account.admin or "browse" in account.rights)

    @route("GET", "/service/rest/v1/repositories", name="repositories", role="web")
    def repositories(self, request):
        account = self.visitor(request)
        return Response.json([{
            "name": area.name, "format": area.format, "type": TYPES[area.kind], "url": self.repository_url(area.name),
            "attributes": {"proxy": {"remoteUrl": "https://registry-1.docker.io"}} if area.kind == "remote" else {}}
            for area in self.content.areas.values() if self.browses(account, area)])

    @route("GET", "/service/rest/v1/repositories/docker/hosted/([^/]+)", name="repository", role="web")
    def repository(self, request, key):
        account, area = self.visitor(request), self.content.areas.get(key)
        if account is None or not account.admin:
            return Response(403)
        if area is None or area.kind != "local":
            return Response(404)
        port = CONNECTOR_PORT if key == CONNECTOR_KEY else None
        return Response.json({"name": key, "online": True, "storage": {"blobStoreName": "default"}, "docker": {
            "v1Enabled": False, "forceBasicAuth": self.knob["anonymous"] == "off", "httpPort": None if self.tls else port,
            "httpsPort": port if self.tls else None, "subdomain": None}})

    @route("GET", "/service/rest/v1/components", name="tags", role="web")
    def components(self, request):
        account = self.visitor(request)
        found = self.parts(request, account, self.area(request, account, request.parameter("repository")))
        return self.continued(request, found)

    @route("GET", "/service/rest/v1/search", name="search", role="web")
    def search(self, request):
        account = self.visitor(request)
        key = request.parameter("repository")
        areas = [self.area(request, account, key)] if key else [one for one in self.content.areas.values() if self.browses(account, one)]
        wanted = {name: request.parameter(name, "*") for name in ("name", "version", "format")}
        return self.continued(request, [one for area in areas for one in self.parts(request, account, area)
                                        if all(fnmatch.fnmatchcase(one[name], pattern) for name, pattern in wanted.items())])

    def area(self, request, account, key):
        if not key:
            self.violation(request, "7.3", "components are asked for by repository")
            raise Refusal(Response(422))
        if key not in self.content.areas:
            raise Refusal(Response(404))
        if not self.may_read(account, self.content.areas[key]):
            raise Refusal(Response(403))
        return self.content.areas[key]

    def parts(self, request, account, area):
        """The components of a repository key, in the order they were pushed; too few rights are no error, but an empty list."""
        if not self.browses(account, area):
            return []
        found = [(tag.pushed, repository, tag.name, tag) for repository in self.content.in_area(area.name) for tag in repository.tags.values()]
        # An untagged push is a component too.
        for repository in self.content.in_area(area.name)[:1]:
            tag = next(iter(repository.tags.values()))
            found.append((tag.pushed, repository, tag.digest, tag))
        return [self.component(area, *one[1:]) for one in sorted(found, key=lambda one: one[0])]

    def component(self, area, repository, version, tag):
        path = f"v2/{repository.path}/manifests/{version}"
        pushed = timestamp(tag.pushed, 3, "+00:00")
        asset = {"downloadUrl": self.repository_url(area.name) + "/" + path,
                 "path": ("/" if self.knob["asset-path"] == "slash" else "") + path, "id": "ZG9j" + str(repository.number),
                 "repository": area.name, "format": area.format,
                 "checksum": {"sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709", "sha256": tag.digest.partition(":")[2]},
                 "contentType": tag.manifest.media_type, "lastModified": pushed, "lastDownloaded": None, "uploader": "ci",
                 "uploaderIp": "198.51.100.9", "fileSize": tag.manifest.size, "blobCreated": "2026-01-31T00:00:00.000+00:00",
                 "blobStoreName": "default"}
        if self.knob["docker-block"] != "absent":
            asset["docker"] = {"imageName": repository.path, "imageTag": version} if self.knob["docker-block"] == "present" else {}
        return {"id": base64.b64encode(f"{repository.name}:{version}".encode()).decode(), "repository": area.name, "format": area.format,
                "group": None, "name": repository.path, "version": version, "assets": [asset]}

    def continued(self, request, found):
        token = request.parameter("continuationToken")
        start = 0
        if token is not None:
            # Only what was given out here is good, and a token looks like nothing that could be counted on.
            match = re.fullmatch(r"88491e1d185dd136([0-9a-f]{8})43f20c4e", token)
            if match is None:
                self.violation(request, "7.3", "a continuationToken that was not given out")
                raise Refusal(Response(int(self.knob["stale-token"])))
            start = int(match[1], 16)
        page = self.page(request, found, start, self.page_size, request.parameter("repository"), marker=True)
        return Response.json({"items": page.items,
                              "continuationToken": None if page.next is None else f"88491e1d185dd136{page.next:08x}43f20c4e"})

    def repository_url(self, key):
        return f"{self.url('web')}/repository/{key}"

    # -- /v2/ by path on the main port, and on connectors

    def challenge(self, request, key, image=None):
        if self.knob["anonymous"] == "off":
            return basic_challenge(REALM, "BASIC")
        there = f"{self.repository_url(key)}/v2/token" if request.role == "web" else f"{request.origin}/v2/token"
        return bearer_challenge(there, there, f"repository:{image}:pull" if image else None)

    @route("GET", "/v2/token", name="token", role="connector")
    @route("GET", KEY + "token", name="token", role="web")
    def token(self, request, key=None):
        there = f"{self.repository_url(key)}/v2/token" if key else f"{request.origin}/v2/token"
        if request.parameter("service") != there:
            self.violation(request, "7.2", "service equals the token's address")
        scopes = self.scopes(request)
        account = self.login(request)
        if account is None and request.header("authorization"):
            return Response(401)
        request.account = account
        return Response.json({"token": self.grant(request, self.pull_tokens, account, scopes[0] if scopes else None).value})

    def registry_account(self, request, key, image=None):
        token = self.token_of(request, self.pull_tokens)
        account = token.account if token is not None else self.login(request)
        if token is None and account is None:
            if bearer(request) is not None and not self.pull_tokens.knows(bearer(request)):
                self.violation(request, "7.2", "a token that this server did not give out")
            raise Refusal(error(401, "UNAUTHORIZED", "access to the requested resource is not authorized", [self.challenge(request, key, image)]))
        request.account = account
        return account

    def key_of(self, request, place):
        """(key, the rest of the captured address)."""
        return (CONNECTOR_KEY, place) if request.role == "connector" else (place[0], place[1:])

    @route("GET", "/v2/", name="ping", role="connector")
    @route("GET", KEY, name="ping", role="web")
    def registry_ping(self, request, *place):
        self.registry_account(request, self.key_of(request, place)[0])
        return Response.json({})

    @route("GET", "/v2/_catalog", name="catalog", role="connector")
    @route("GET", KEY + "_catalog", name="catalog", role="web")
    def catalog(self, request, *place):
        key, _ = self.key_of(request, place)
        account, area = self.registry_account(request, key), self.content.areas.get(key)
        if area is None or not self.browses(account, area):
            return Response.json({"repositories": []})
        return self.v2_catalog_of(request, [one.path for one in self.content.in_area(key)])

    @route("GET", "/v2/(.+)/tags/list", name="v2-tags", role="connector")
    @route("GET", KEY + "(.+)/tags/list", name="v2-tags", role="web")
    def registry_tags(self, request, *place):
        repository = self.v2_repository(request, place)
        if not repository.tags:
            return Response.json({"name": repository.path, "tags": None})
        return self.v2_listing(request, self.v2_tag_names(repository), None, self.catalog_cap, "clamp",
                               lambda names: {"name": repository.path, "tags": names}, request.raw_path)

    def v2_listing(self, request, *options):
        """A connector's Link is absolute and holds the key, where following it gives 400; groups and old versions have none."""
        response = super().v2_listing(request, *options)
        key = CONNECTOR_KEY if request.role == "connector" else request.path.split("/")[2]
        if self.knob["v2-link"] == "none" or self.content.areas[key].kind == "virtual":
            response.headers = [one for one in response.headers if one[0] != "Link"]
        return response

    def v2_link(self, request, path, last, size):
        if request.role != "connector":
            return super().v2_link(request, path, last, size)
        return f"<{request.origin}/repository/{CONNECTOR_KEY}{path}?n={size}&last={last}>; rel=\"next\""

    @route("GET", KEY + "(.+)", name="misled", role="connector")
    def misled(self, request, *_):
        self.violation(request, "7.3", "a connector's Link was followed, of which only the query is good")
        return error(400, "UNSUPPORTED", "not a docker request")

    def v2_repository(self, request, place):
        key, (image, *_) = self.key_of(request, place)
        account = self.registry_account(request, key, image)
        area, repository = self.content.areas.get(key), self.content.repositories.get(f"{key}/{image}")
        if area is None or not self.may_read(account, area):
            raise Refusal(error(403, "DENIED", "access to the requested resource is denied"))
        if repository is None:
            raise Refusal(error(404, "NAME_UNKNOWN", "repository name not known to registry"))
        return repository

    @route("GET|HEAD|PUT|POST|PATCH|DELETE", "/v2/(.+)/manifests/([^/]+)", name="manifest", role="connector")
    @route("GET|HEAD|PUT|POST|PATCH|DELETE", KEY + "(.+)/manifests/([^/]+)", name="manifest", role="web")
    def manifest(self, request, *place):
        return self.v2_manifest(request, place, place[-1])

    @property
    def blob_host(self):
        return "store" if self.knob["redirect"] == "on" else None

    @route("GET|HEAD|PUT|POST|PATCH|DELETE", "/v2/(.+)/blobs/([^/]+)", name="blob", role="connector")
    @route("GET|HEAD|PUT|POST|PATCH|DELETE", KEY + "(.+)/blobs/([^/]+)", name="blob", role="web")
    def blob(self, request, *place):
        return self.v2_blob(request, place, place[-1])
