"""GitLab and its container registry (registries.md 8): the API on one host, the registry on another, tokens from the first."""
import datetime
import re
import urllib.parse
from dataclasses import dataclass

from .accounts import basic, bearer
from .content import timestamp
from .gitlab_registry import TOKEN_SECONDS, GitLabRegistry
from .server import Response
from .simulator import Integration, Refusal, Simulator, route

PER_PAGE, PER_PAGE_MAX = 20, 100  # 8.4
API_SCOPES = {"api", "read_api"}
API_TOKEN_KINDS = {"personal", "group", "project"}
ROOT = "(?:/gitlab)?"
UNAUTHORIZED = {"message": "401 Unauthorized"}


@dataclass
class Project:
    id: int
    path: str  # may hold capitals (13, trap 23)
    registry: str = "enabled"  # or private, disabled
    archived: bool = False

    @property
    def name(self):
        """As the registry writes it."""
        return self.path.lower()


class GitLab(GitLabRegistry, Simulator):
    vendor = "gitlab"
    users = {"full": "root", "minimum": "group_1_bot_5f1c"}
    listings = "projects|repositories|tags"
    counted = "repositories|tags"
    hosts = {"registry": "registry.gitlab.example.test", "api": "gitlab.example.test", "store": "objects.gitlab.example.test"}
    one_way = (("relative-root", "/gitlab"),)
    knobs = {
        "totals": ("sent", "withheld"),  # 8.4: withheld above 10,000 entries
        "tag-paging": ("offset", "keyset"),  # 8.4: keyset on gitlab.com since 16.10
        "link-host": ("own", "external"),  # 8.4: the instance's external address
        "blobs": ("direct", "redirected"),  # 8.4
        "registry-off": ("404", "empty"),  # 8.3
        "relative-root": ("", "/gitlab"),  # 8.1
    }

    def prepare(self):
        self.pulls = self.tokens(TOKEN_SECONDS)
        self.projects = {}  # by lower-case path
        self.status = {}  # of repositories that are being deleted
        self.unreadable = set()  # (repository, tag): of these the API tells nothing but the name
        self.expires = {}  # account: when its token ends, a datetime
        self.failures, self.banned_until = [], 0
        self.account("root", kind="personal", admin=True, rights={"api"})
        # 2.4: role Reporter; of a group's token the user's name may be any
        self.account("group_1_bot_5f1c", self.secret + "-minimum", kind="group", areas={"shop"}, rights={"read_api", "read_registry"})
        self.account("group_1_bot_guest", self.secret + "-guest", kind="group", areas={"shop"}, rights={"read_api", "read_registry", "guest"})
        self.account("gitlab+deploy-token-1", self.secret + "-deploy", kind="deploy", areas={"shop"}, rights={"read_registry"})
        self.account("developer", self.secret + "-password", kind="password", areas={"shop"}, rights={"read_registry"})

    def integration(self, who="full"):
        """"full" is a user with a personal token as password, "minimum" a group's token."""
        there = ("--type", "gitlab", "--url", self.url("registry"), *self.trust(),
                 "--api-url", self.url("api") + self.knob["relative-root"])
        if who in ("full", "deploy"):
            account = self.accounts["root" if who == "full" else "gitlab+deploy-token-1"]
            return Integration((*there, "--auth", "account", "--username", account.name, "--password-stdin"), account.secret)
        return Integration((*there, "--auth", "api-key", "--api-key-stdin"), f"{self.secret}-{who}")

    def fill(self, repositories=3, tags=3):
        self.fill_area("shop", repositories, tags)
        self.project("shop/Tools")
        self.content.put("shop/tools", self.content.sample(3), "1.0")
        self.content.put("shop/tools/worker", self.content.sample(4), "1.0")
        self.content.put("shop/going", self.content.sample(5), "1.0", content="deleted")
        self.status["shop/going"] = "delete_scheduled"
        self.project("shop/closed", registry="disabled")
        self.content.put("vault/private", self.content.sample(6), "1.0")

    # -- content

    def project(self, path, **options):
        """Declares a project, with its capitals; others come of the first two parts of a repository's name."""
        if path.lower() not in self.projects:
            self.projects[path.lower()] = Project(40 + len(self.projects), path, **options)
        return self.projects[path.lower()]

    def project_of(self, repository):
        parts = repository.name.split("/")
        for length in range(len(parts), 0, -1):
            if "/".join(parts[:length]) in self.projects:
                return self.projects["/".join(parts[:length])]
        return self.project("/".join(parts[:2]))

    def all_projects(self):
        for repository in list(self.content.repositories.values()):
            self.project_of(repository)
        return sorted(self.projects.values(), key=lambda one: one.id)

    def repositories_of(self, project):
        return sorted((one for one in self.content.repositories.values() if self.project_of(one) is project), key=lambda one: one.number)

    def group_of(self, project):
        return self.content.area(project.name.partition("/")[0])

    def sees(self, account, project):
        group = self.group_of(project)
        return account.may_read(group) if account else group.public

    def member(self, account, project):
        return account is not None and (account.areas is None or self.group_of(project).name in account.areas)

    # -- the API

    def api_account(self, request):
        """Whose token it is; None without one."""
        if basic(request) is not None:
            self.violation(request, "8.2", "user and password never work on the API")
            raise Refusal(Response.json(UNAUTHORIZED, 401))
        token = request.header("private-token") or bearer(request)
        if not token:
            return None
        account = next((one for one in self.accounts.values() if one.kind in API_TOKEN_KINDS and one.secret == token), None)
        if account is None:
            self.failed(request, ("api", token))
            raise Refusal(Response.json(UNAUTHORIZED, 401))
        request.account = account
        if self.over(account):
            raise Refusal(Response.json({"error": "invalid_token", "error_description":
                                         "Token is expired. You can either do re-authorization or token refresh."}, 401))
        if not account.rights & API_SCOPES:
            raise Refusal(Response.json({"error": "insufficient_scope", "error_description":
                                         "The request requires higher privileges than provided by the access token.",
                                         "scope": "api read_api"}, 403))
        return account

    def over(self, account):
        return account.name in self.expires and self.expires[account.name].timestamp() <= self.clock.now()

    def api_user(self, request):
        account = self.api_account(request)
        if account is None:
            raise Refusal(Response.json(UNAUTHORIZED, 401))
        return account

    def found_project(self, request, account, which):
        """By number or by encoded path; what may not be seen is not there (8.4)."""
        which = urllib.parse.unquote(which)
        for project in self.all_projects():
            if which in (str(project.id), project.path) and self.sees(account, project):
                return project
        raise Refusal(Response.json({"message": "404 Project Not Found"}, 404))

    def group_projects(self, request, account, which):
        """(path, projects) of a group with its subgroups."""
        which = urllib.parse.unquote(which)
        groups = sorted({"/".join(parts[:length]) for project in self.all_projects() if self.sees(account, project)
                         for parts in [project.path.split("/")] for length in range(1, len(parts))})
        for number, path in enumerate(groups, 1):
            if which in (str(number), path):
                return path, [one for one in self.all_projects() if one.path.startswith(path + "/") and self.sees(account, one)]
        raise Refusal(Response.json({"message": "404 Group Not Found"}, 404))

    def judge_role(self, account, project):
        """2.4: below Reporter the registry of a private project is closed."""
        if account is not None and "guest" in account.rights and not self.group_of(project).public:
            raise Refusal(Response.json({"message": "403 Forbidden"}, 403))

    @route("GET", ROOT + "/api/v4/(?:version|metadata)", name="version", role="api")
    def version(self, request):
        self.api_user(request)
        return self.answered(request, {"version": "17.8.1-ee", "revision": "5f1c41d07be", "enterprise": True})

    @route("GET", ROOT + "/api/v4/user", name="user", role="api")
    def user(self, request):
        account = self.api_user(request)
        return self.answered(request, {"id": 7, "username": account.name, "state": "active", "bot": account.kind != "personal"})

    @route("GET", ROOT + "/api/v4/personal_access_tokens/self", name="self", role="api")
    def own_token(self, request):
        account = self.api_user(request)
        ends = self.expires.get(account.name)
        return self.answered(request, {
            "id": 12, "name": "tidewaiter", "revoked": False, "created_at": "2026-01-02T08:00:00.000Z", "scopes": sorted(account.rights - {"guest"}),
            "user_id": 7, "last_used_at": None, "active": True, "expires_at": ends.strftime("%Y-%m-%d") if ends else None})

    @route("GET", ROOT + "/api/v4/projects", name="projects", role="api")
    def list_projects(self, request):
        account = self.api_account(request)
        projects = [one for one in self.all_projects() if self.sees(account, one)]
        if request.parameter("membership") == "true":
            projects = [one for one in projects if self.member(account, one)]
        return self.projects_page(request, projects)

    @route("GET", ROOT + "/api/v4/groups/([^/]+)/projects", name="projects", role="api", raw=True)
    def list_group_projects(self, request, which):
        path, projects = self.group_projects(request, self.api_account(request), which)
        if request.parameter("include_subgroups") != "true":
            projects = [one for one in projects if one.path.rpartition("/")[0] == path]
        return self.projects_page(request, projects)

    def projects_page(self, request, projects):
        if request.parameter("simple") == "true":
            self.violation(request, "8.3", "simple=true removes what tells whether a project has a registry")
        if request.parameter("pagination") == "keyset":
            return self.keyset(request, projects, "id_after", lambda one: str(one.id), self.project_row)
        return self.offset(request, projects, self.project_row)

    def project_row(self, project, request):
        row = {"id": project.id, "path_with_namespace": project.path, "archived": project.archived,
               "last_activity_at": "2026-02-27T09:11:42.123Z"}
        if request.parameter("simple") != "true":
            row |= {"container_registry_enabled": project.registry != "disabled", "container_registry_access_level": project.registry,
                    "container_registry_image_prefix": f"{self.hosts['registry']}/{project.name}"}
        return row

    @route("GET", ROOT + "/api/v4/projects/([^/]+)", name="project", role="api", raw=True)
    def one_project(self, request, which):
        return self.answered(request, self.project_row(self.found_project(request, self.api_account(request), which), request))

    @route("GET", ROOT + "/api/v4/groups/([^/]+)", name="group", role="api", raw=True)
    def one_group(self, request, which):
        path, _ = self.group_projects(request, self.api_account(request), which)
        return self.answered(request, {"id": 1, "full_path": path, "name": path.rpartition("/")[2]})

    @route("GET", ROOT + "/api/v4/groups/([^/]+)/registry/repositories", name="repositories", role="api", raw=True)
    def list_group_repositories(self, request, which):
        account = self.api_user(request)
        projects = self.group_projects(request, account, which)[1]
        for project in projects:
            self.judge_role(account, project)
        rows = [one for project in projects if project.registry != "disabled" for one in self.repositories_of(project)]
        return self.offset(request, rows, self.repository_row)

    @route("GET", ROOT + "/api/v4/projects/([^/]+)/registry/repositories", name="repositories", role="api", raw=True)
    def list_repositories(self, request, which):
        project = self.readable_project(request, which)
        if project.registry == "disabled":
            return self.answered(request, []) if self.knob["registry-off"] == "empty" else Response.json({"message": "404 Not Found"}, 404)
        return self.offset(request, self.repositories_of(project), self.repository_row)

    def readable_project(self, request, which):
        account = self.api_account(request)
        project = self.found_project(request, account, which)
        self.judge_role(account, project)
        return project

    def repository_row(self, repository, request):
        project = self.project_of(repository)
        row = {"id": 300 + repository.number, "name": repository.name[len(project.name) + 1:], "path": repository.name,
               "project_id": project.id, "location": f"{self.hosts['registry']}/{repository.name}", "created_at": "2025-05-02T07:00:00.000Z",
               "cleanup_policy_started_at": None, "status": self.status.get(repository.name)}
        if request.parameter("tags_count") == "true":
            row["tags_count"] = len(repository.tags)
        return row

    def found_repository(self, request, which, number):
        project = self.readable_project(request, which)
        for repository in self.repositories_of(project):
            if str(300 + repository.number) == number:
                return repository
        raise Refusal(Response.json({"message": "404 Repository Not Found"}, 404))

    @route("GET", ROOT + r"/api/v4/projects/([^/]+)/registry/repositories/(\d+)/tags", name="tags", role="api", raw=True)
    def list_tags(self, request, which, number):
        repository = self.found_repository(request, which, number)
        tags = sorted(repository.tags.values(), key=lambda one: one.name)

        def row(tag, _):
            return {"name": tag.name, "path": f"{repository.name}:{tag.name}",
                    "location": f"{self.hosts['registry']}/{repository.name}:{tag.name}"}

        if self.knob["tag-paging"] == "keyset":
            return self.keyset(request, tags, "last", lambda one: one.name, row)
        return self.offset(request, tags, row)

    @route("GET", ROOT + r"/api/v4/projects/([^/]+)/registry/repositories/(\d+)/tags/([^/]+)", name="tag", role="api", raw=True)
    def one_tag(self, request, which, number, name):
        repository = self.found_repository(request, which, number)
        tag = repository.tags.get(urllib.parse.unquote(name))
        if tag is None:
            raise Refusal(Response.json({"message": "404 Tag Not Found"}, 404))
        row = {"name": tag.name, "path": f"{repository.name}:{tag.name}", "location": f"{self.hosts['registry']}/{repository.name}:{tag.name}"}
        if tag.manifest.is_list or (repository.name, tag.name) in self.unreadable:
            known = tag.digest if tag.manifest.is_list else None
            return self.answered(request, row | {"revision": None, "short_revision": None, "digest": known, "created_at": None, "total_size": None})
        revision = tag.manifest.config_digest.partition(":")[2]
        return self.answered(request, row | {
            "revision": revision, "short_revision": revision[:9], "digest": tag.digest, "created_at": gitlab_time(tag.manifest.created),
            "total_size": tag.manifest.size})

    # -- pages

    def answered(self, request, document, headers=()):
        now = self.clock.now()
        reset = (int(now) // 60 + 1) * 60
        date = datetime.datetime.fromtimestamp(reset, datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
        return Response.json(document, headers=[
            *headers, ("RateLimit-Limit", "2000"), ("RateLimit-Observed", "1"), ("RateLimit-Remaining", "1999"), ("RateLimit-Reset", str(reset)),
            ("RateLimit-ResetTime", date)])

    def number(self, request, name, usual):
        text = request.parameter(name, str(usual))
        if not text.isdigit() or int(text) < 1:
            self.violation(request, "8.4", f"{name}={text} is no number from 1")
            raise Refusal(Response.json({"error": f"{name} does not have a valid value"}, 400))
        return int(text)

    def link(self, request, **changes):
        """The request's address with other parameters, on the host that the instance knows itself by."""
        query = {key: value for key, value in (dict(request.query) | changes).items() if value is not None}
        host = "gitlab.elsewhere.example.test" if self.knob["link-host"] == "external" else request.header("host")
        return f"{self.scheme}://{host}{request.raw_path}?{urllib.parse.urlencode(query)}"

    def offset(self, request, items, row):
        size = min(self.number(request, "per_page", PER_PAGE), PER_PAGE_MAX)
        number = self.number(request, "page", 1)
        page = self.page(request, items, (number - 1) * size, size)
        following = page.next // size + 1 if page.next is not None else None
        last = max(1, -(-page.total // size))
        headers = [("x-page", str(number)), ("x-per-page", str(size)), ("x-next-page", str(following or "")),
                   ("x-prev-page", str(number - 1) if number > 1 else "")]
        links = [("next", following), ("prev", number - 1 if number > 1 else None), ("first", 1)]
        if self.knob["totals"] == "sent":
            headers += [("x-total", str(page.total)), ("x-total-pages", str(last))]
            links.append(("last", last))
        headers.append(("Link", ", ".join(f'<{self.link(request, page=place, per_page=size)}>; rel="{name}"'
                                          for name, place in links if place is not None)))
        return self.answered(request, [row(one, request) for one in page.items], headers)

    def keyset(self, request, items, parameter, key, row):
        """Only Link leads on; a page number is not looked at."""
        if parameter == "id_after" and (request.parameter("order_by"), request.parameter("sort", "desc")) != ("id", "asc"):
            self.violation(request, "8.3", "keyset paging of projects wants order_by=id and sort=asc")
            raise Refusal(Response.json({"error": "Keyset pagination is not yet available for this type of request"}, 405))
        if request.parameter("page", "1") != "1":
            self.violation(request, "8.4", "a page number where only Link leads on")
        size = min(self.number(request, "per_page", PER_PAGE), PER_PAGE_MAX)
        after = request.parameter(parameter)
        start = next((place + 1 for place, one in enumerate(items) if key(one) == after), 0) if after else 0
        page = self.page(request, items, start, size, marker=True)
        headers = []
        if page.next is not None:
            last = key(items[min(page.next, len(items)) - 1]) if page.next else None
            headers.append(("Link", f'<{self.link(request, page=None, **{parameter: last})}>; rel="next"'))
        return self.answered(request, [row(one, request) for one in page.items], headers)

    # -- errors

    def no_route(self, request):
        if request.role == "api":
            return Response.json({"error": "404 Not Found"}, 404)
        return super().no_route(request)

    def failure(self, request, route_name, status):
        if request.role == "api" and status == 429:
            return Response.text("Retry later\n", 429)
        if request.role == "api" and status == 500:
            return Response.json({"message": "500 Internal Server Error"}, 500)
        return super().failure(request, route_name, status)


def gitlab_time(created):
    """The build date as GitLab writes it: milliseconds and an offset; None where the image has none."""
    if not created:
        return None
    moment = datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", created.replace("Z", "+00:00")))
    return timestamp(moment, 3, "+00:00")
