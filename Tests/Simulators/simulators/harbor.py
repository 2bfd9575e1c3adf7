"""Harbor 2: projects, robot accounts, doubly encoded names, a catalog for administrators (registries.md 5)."""
import re
import time
import urllib.parse

from .accounts import basic
from .content import timestamp
from .server import Response
from .simulator import Integration, Refusal, Simulator, route
from .v2 import Distribution, basic_challenge, bearer_challenge, error

TOKEN_SECONDS = 1800
PAGE_DEFAULT, PAGE_CAP = 10, 100
SERVICE = "harbor-registry"
NEVER = "0001-01-01T00:00:00.000Z"
# What the CLI secret of an OIDC user opens (5.2).
OIDC_PATHS = re.compile(r"/service/token|/v2/.*|/api/version|/api/v2\.0/(projects|systeminfo|labels|projects/[^/]+/repositories"
                        r"|projects/[^/]+/repositories/[^/]+/artifacts(/[^/]+)?)")


class Harbor(Distribution, Simulator):
    vendor = "harbor"
    hosts = {"harbor": "harbor.example.test", "store": "harbor-s3.example.test"}
    users = {"full": "admin", "minimum": "scanner", "robot": "robot$kcs", "project-robot": "robot$acme+kcs", "oidc": "sso"}
    catalog_default, catalog_cap = None, 10**9
    listings = "projects|repositories|tags"
    has_remote = True
    one_way = (("version", "1.x"), ("policy", "on"))
    knobs = {
        "hidden-project": ("403", "404"),  # 5.5: a project without rights exists, or does not
        "local-registry-id": ("0", "null", "absent"),  # 5.3
        "index-created": ("absent", "present"),  # 5.4: often missing for indexes
        "access-token": ("empty", "absent"),  # 5.2, 3.2
        "redirect": ("off", "on"),  # 5.5: blobs through Harbor, or from an object store
        "version": ("v2.0", "1.x"),  # 5.1
        "policy": ("off", "on"),  # 5.5: a project that blocks pulls
    }

    def prepare(self):
        self.pull_tokens = self.tokens(TOKEN_SECONDS, length=1500)
        self.account("admin", admin=True)
        self.account("scanner", areas={"acme", "hub-proxy"})  # a guest of projects
        self.account("robot$kcs", kind="robot", areas={"acme", "vault", "hub-proxy"})
        self.account("robot$acme+kcs", kind="robot", areas={"acme"})
        self.account("sso", kind="oidc", areas={"acme"})

    def integration(self, who="full"):
        name = self.users["full" if who == "wrong" else who]
        return Integration(("--type", "harbor", "--url", self.url("harbor"), *self.trust(), "--auth", "account",
                            "--username", name, "--password-stdin"), "wrong " + self.secret if who == "wrong" else self.secret)

    def fill(self, repositories=3, tags=3):
        content = self.content
        self.fill_area("acme", repositories, tags, distinct=repositories > PAGE_CAP)
        content.put("acme/web/front/end", content.sample(3), "1.4.2")
        content.put("acme/chart", content.sample(4), "1.0", content="CHART")
        content.put("vault/secret", content.sample(3), "1.0")  # a guest does not see it
        content.area("open", public=True)
        content.put("open/tools", content.sample(5), "1.0")
        content.put("2026/digits", content.sample(5), "1.0")
        content.areas["2026"].public = True
        content.area("hub-proxy", kind="remote", public=True)
        content.put("hub-proxy/library/alpine", content.sample(6), "3.18")
        if repositories > PAGE_CAP:
            self.fill_projects(repositories)

    def fill_projects(self, count):
        """Further public projects, so that their listing has pages too."""
        for number in range(count):
            self.content.area(f"team-{number:03}", public=True)

    def no_route(self, request):
        return self.problem("NOT_FOUND", "The path was not found", 404)

    def failure(self, request, route_name, status):
        if status == 429:
            return self.problem("TOO_MANY_REQUEST", "too many requests", 429)
        return super().failure(request, route_name, status)

    @staticmethod
    def problem(code, message, status, headers=()):
        return Response.json({"errors": [{"code": code, "message": message}]}, status,
                             [*headers, ("Set-Cookie", "sid=7a1b; Path=/; HttpOnly")])

    # -- who asks

    def visitor(self, request):
        """The account, None for an anonymous request; wrong credentials are refused."""
        given = basic(request)
        if given is None:
            if request.header("authorization"):
                self.violation(request, "5.2", "the API takes nothing but Basic")
                raise Refusal(self.problem("UNAUTHORIZED", "unauthorized", 401))
            return None
        account = self.login(request)
        if account is not None and account.kind == "oidc" and not OIDC_PATHS.fullmatch(request.path):
            self.violation(request, "5.2", "a CLI secret does not open this address")
            account = None
        if account is None:
            raise Refusal(self.problem("UNAUTHORIZED", "unauthorized", 401))
        request.account = account
        return account

    def project(self, request, name):
        """The project by its name, or by its number unless the header says that it is a name."""
        account = self.visitor(request)
        area = self.content.areas.get(name)
        if name.isdigit() and request.header("x-is-resource-name") != "true":
            area = next((one for one in self.content.areas.values() if one.number == int(name)), None)
            if area is None:
                self.violation(request, "5.3", "a name of digits is taken for a number without X-Is-Resource-Name")
        return self.permitted(account, area, name)

    def permitted(self, account, area, name):
        if area is None:
            raise Refusal(self.problem("NOT_FOUND", f"project {name} not found", 404))
        if not self.may_read(account, area):
            if account is None:
                raise Refusal(self.problem("UNAUTHORIZED", "unauthorized", 401))
            if self.knob["hidden-project"] == "404":
                raise Refusal(self.problem("NOT_FOUND", f"project {name} not found", 404))
            raise Refusal(self.problem("FORBIDDEN", "forbidden", 403))
        return area

    @staticmethod
    def may_read(account, area):
        return area.public if account is None else account.may_read(area)

    # -- the API

    @route("GET", "/api/version", name="version", role="harbor")
    def version(self, request):
        if self.knob["version"] == "1.x":
            return self.problem("NOT_FOUND", "not found", 404)
        return Response.json({"version": "v2.0"})

    @route("GET", "/api/v2.0/ping", name="ping", role="harbor")
    def ping(self, request):
        return Response.text("Pong")

    @route("GET", "/api/v2.0/systeminfo", name="systeminfo", role="harbor")
    def systeminfo(self, request):
        known = {"harbor_version": "v2.12.1-6c4f3b1a"} if self.visitor(request) else {}
        return Response.json({"auth_mode": "db_auth", "registry_url": self.hosts["harbor"]} | known)

    @route("GET", "/api/v2.0/health", name="health", role="harbor")
    def health(self, request):
        return Response.json({"status": "healthy", "components": [{"name": "core", "status": "healthy"}]})

    @route("GET", "/api/v2.0/users/current", name="user", role="harbor")
    def user(self, request):
        account = self.visitor(request)
        if account is None:
            return self.problem("UNAUTHORIZED", "unauthorized", 401)
        if account.kind == "robot":
            return self.problem("PRECONDITION", "get current user is not supported for robots", 412)
        return Response.json({"user_id": 7, "username": account.name, "sysadmin_flag": account.admin})

    @route("GET", "/api/v2.0/projects", name="projects", role="harbor")
    def projects(self, request):
        account = self.visitor(request)
        found = [one for _, one in sorted(self.content.areas.items()) if self.may_read(account, one)]
        return self.paged(request, found, lambda area: self.shown_project(area, account))

    @route("GET", "/api/v2.0/projects/([^/]+)", name="project", role="harbor")
    def one_project(self, request, name):
        return Response.json(self.shown_project(self.project(request, name), request.account))

    @route("GET", "/api/v2.0/repositories", name="all-repositories", role="harbor")
    def all_repositories(self, request):
        account = self.visitor(request)
        found = [one for _, one in sorted(self.content.repositories.items()) if self.may_read(account, self.content.areas[one.area])]
        return self.paged(request, found, self.shown_repository)

    @route("GET", "/api/v2.0/projects/([^/]+)/repositories", name="repositories", role="harbor")
    def repositories(self, request, project):
        account, area = self.visitor(request), self.content.areas.get(project)
        return self.paged(request, self.content.in_area(self.permitted(account, area, project).name), self.shown_repository)

    @route("GET", "/api/v2.0/projects/([^/]+)/repositories/([^/]+)/artifacts", name="tags", role="harbor")
    def artifacts(self, request, project, name):
        repository = self.repository(request, project, name)
        found = list(repository.manifests().values())
        query = request.parameter("q")
        if query is not None and query != "tags=*":
            self.violation(request, "5.4", f"a query that is not known here: {query}")
            raise Refusal(self.problem("BAD_REQUEST", "bad request", 400))
        return self.paged(request, found, lambda one: self.shown_artifact(request, repository, *one))

    @route("GET", "/api/v2.0/projects/([^/]+)/repositories/([^/]+)/artifacts/([^/]+)", name="artifact", role="harbor")
    def artifact(self, request, project, name, reference):
        repository = self.repository(request, project, name)
        digest = repository.digest_of(reference)
        for manifest, tags in repository.manifests().values():
            for one in [manifest, *manifest.children]:
                if one.digest == digest:
                    return Response.json(self.shown_artifact(request, repository, one, tags if one is manifest else []))
        return self.problem("NOT_FOUND", f"artifact {project}/{name}:{reference} not found", 404)

    def repository(self, request, project, name):
        """By the name without its project, which the front server decoded once; here it is decoded again."""
        area = self.permitted(self.visitor(request), self.content.areas.get(project), project)
        decoded = urllib.parse.unquote(name)
        repository = self.content.repositories.get(f"{area.name}/{decoded}")
        if repository is None:
            if decoded.startswith(area.name + "/"):
                self.violation(request, "5.4", "the repository's name goes without the project")
            raise Refusal(self.problem("NOT_FOUND", f"repository {project}/{decoded} not found", 404))
        return repository

    @route("GET", "/api/v2.0/projects/[^/]+/repositories/[^/]+/.+/artifacts(/[^/]+)?", name="single-encoding", role="harbor")
    def singly_encoded(self, request, _):
        self.violation(request, "5.4", "a slash of a repository's name is to be encoded twice")
        return self.no_route(request)

    def paged(self, request, items, show):
        number, size = (request.parameter(name, default) for name, default in (("page", "1"), ("page_size", str(PAGE_DEFAULT))))
        if not number.isdigit() or not size.isdigit() or int(number) < 1:
            self.violation(request, "5.4", "page and page_size are numbers")
            raise Refusal(self.problem("BAD_REQUEST", "page in query should be greater than or equal to 1", 422))
        number, size = int(number), int(size)
        if size > PAGE_CAP:
            self.violation(request, "5.4", f"page_size over {PAGE_CAP}")
            raise Refusal(self.problem(
                "UNPROCESSABLE_ENTITY", "validation failure list: page_size in query should be less than or equal to 100", 422))
        page = self.page(request, items, (number - 1) * size, size)
        links = [f'<{self.page_path(request, one, size)}>; rel="{name}"'
                 for name, one in (("prev", number - 1), ("next", page.next is not None and page.next // size + 1)) if one]
        headers = [("X-Total-Count", str(page.total)), ("Set-Cookie", "sid=7a1b; Path=/; HttpOnly")]
        return Response.json([show(one) for one in page.items], headers=headers + ([("Link", " , ".join(links))] if links else []))

    @staticmethod
    def page_path(request, number, size):
        """Its query is not escaped again (5.4)."""
        kept = [f"{name}={value}" for name, value in request.query if name not in ("page", "page_size")]
        return f"{request.raw_path}?" + "&".join([*kept, f"page={number}", f"page_size={size}"])

    def shown_project(self, area, account):
        made = "2025-01-10T08:00:00.000Z"
        shown = {"project_id": area.number, "name": area.name, "owner_id": 1, "owner_name": "admin",
                 "repo_count": len(self.content.in_area(area.name)), "creation_time": made, "update_time": made, "deleted": False,
                 "metadata": {"public": "true" if area.public else "false"}}
        if account is not None:
            shown["current_user_role_id"] = 1 if account.admin else 5
        if area.kind == "remote":
            shown["registry_id"] = 2
        elif self.knob["local-registry-id"] != "absent":
            shown["registry_id"] = 0 if self.knob["local-registry-id"] == "0" else None
        return shown

    def shown_repository(self, repository):
        return {"id": repository.number, "project_id": self.content.areas[repository.area].number, "name": repository.name,
                "artifact_count": len(repository.manifests()), "pull_count": 10, "creation_time": "2026-01-10T08:00:00.000Z",
                "update_time": timestamp(repository.updated)}

    def shown_artifact(self, request, repository, manifest, tags):
        pushed = min((tag.pushed for tag in tags), default=repository.updated)
        kind = "IMAGE" if repository.content == "image" else repository.content
        created = manifest.created
        if manifest.is_list and self.knob["index-created"] == "present":
            created = manifest.children[0].created
        settings = {"architecture": manifest.architecture, "author": "", "os": manifest.os, "config": {"Cmd": ["/bin/sh"]}}
        extra = ({} if manifest.is_list else settings) | ({"created": created} if created else {})
        shown = {"id": 500 + repository.number, "type": kind, "media_type": manifest.config_media_type,
                 "manifest_media_type": manifest.media_type, "artifact_type": manifest.config_media_type,
                 "project_id": self.content.areas[repository.area].number, "repository_id": repository.number,
                 "repository_name": repository.name, "digest": manifest.digest, "size": manifest.size, "push_time": timestamp(pushed),
                 "pull_time": NEVER, "extra_attrs": extra, "annotations": None, "references": [
                     {"parent_id": 503, "child_id": 504, "child_digest": child.digest, "platform": {
                         "architecture": child.architecture, "os": child.os, "variant": "", "os.version": ""}}
                     for child in manifest.children] or None}
        if request.parameter("with_tag", "true") == "true":
            shown["tags"] = [{"id": 88, "repository_id": repository.number, "artifact_id": 501, "name": tag.name,
                              "push_time": timestamp(tag.pushed), "pull_time": NEVER, "immutable": False} for tag in tags] or None
        return shown

    # -- /service/token and /v2/

    @route("GET", "/service/token", name="token", role="harbor")
    def token(self, request):
        if request.parameter("service") != SERVICE:
            self.violation(request, "5.2", f"service is not {SERVICE}")
        scopes = self.scopes(request)
        account = self.visitor(request)
        value = self.grant(request, self.pull_tokens, account, scopes[0] if scopes else None).value
        document = {"token": value, "expires_in": TOKEN_SECONDS, "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.clock.now()))}
        return Response.json(document | ({"access_token": ""} if self.knob["access-token"] == "empty" else {}))

    def challenge(self, scope=None):
        return bearer_challenge(self.url("harbor") + "/service/token", SERVICE, scope)

    def registry_account(self, request, name=None):
        """(account, whether the request may read the repository of that name) by Basic or by a token."""
        if basic(request) is not None:
            account = self.login(request)
            if account is None:
                raise Refusal(error(401, "UNAUTHORIZED", "unauthorized", [basic_challenge("harbor")]))
            request.account = account
            return account, True
        token = self.token_of(request, self.pull_tokens)
        if token is None:
            return None, False
        request.account = token.account
        scope = token.claims["scope"]
        return token.account, name is None or (scope is not None and (scope.kind, scope.name) == ("repository", name))

    @route("GET", "/v2/", name="ping", role="harbor")
    def registry_ping(self, request):
        account, _ = self.registry_account(request)
        if account is None and self.token_of(request, self.pull_tokens) is None:
            return error(401, "UNAUTHORIZED", "unauthorized", [self.challenge()])
        return Response.json({})

    @route("GET", "/v2/_catalog", name="catalog", role="harbor")
    def catalog(self, request):
        """For administrators; others get a challenge for Basic although their password is right (trap 4)."""
        account, _ = self.registry_account(request)
        if account is None or not account.admin:
            return error(401, "UNAUTHORIZED", "unauthorized to access repository: , action: catalog", [basic_challenge("harbor")])
        last = request.parameter("last")
        if last is not None and last not in self.content.repositories:
            return self.problem("BAD_REQUEST", f"the last repository {last} not found", 400)
        return self.v2_catalog_of(request, self.content.repositories)

    def v2_repository(self, request, name):
        account, granted = self.registry_account(request, name)
        repository = self.content.repositories.get(name)
        area = self.content.areas.get(name.partition("/")[0])
        if not granted or area is None or not self.may_read(account, area):
            raise Refusal(error(401, "UNAUTHORIZED", f"unauthorized to access repository: {name}, action: pull",
                                [self.challenge(f"repository:{name}:pull")]))
        if repository is None:
            raise Refusal(self.problem("NOT_FOUND", f"repository {name} not found", 404))
        return repository

    @route("GET|HEAD|PUT|POST|PATCH|DELETE", "/v2/(.+)/manifests/([^/]+)", name="manifest", role="harbor")
    def manifest(self, request, name, reference):
        if self.knob["policy"] == "on" and request.method == "GET":
            self.v2_repository(request, name)
            return self.problem("PROJECTPOLICYVIOLATION", "current image with 3 vulnerabilities cannot be pulled due to configured policy", 412)
        return self.v2_manifest(request, name, reference)

    def v2_unknown_manifest(self, request, name, reference):
        return self.problem("NOT_FOUND", f"artifact {name}:{reference} not found", 404)

    @property
    def blob_host(self):
        return "store" if self.knob["redirect"] == "on" else None

    @route("GET|HEAD|PUT|POST|PATCH|DELETE", "/v2/(.+)/blobs/([^/]+)", name="blob", role="harbor")
    def blob(self, request, name, digest):
        return self.v2_blob(request, name, digest)

    @route("GET", "/v2/(.+)/tags/list", name="v2-tags", role="harbor")
    def registry_tags(self, request, name):
        return self.v2_tags(request, name)
