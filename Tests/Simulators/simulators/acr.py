"""Azure's container registry (registries.md 11.3): one host, three kinds of tokens, a listing of its own beside /v2/."""
from .accounts import basic, bearer
from .content import sparse, timestamp
from .server import Response
from .simulator import Integration, Refusal, Simulator, route
from .v2 import VERSION, OpenPaths, Scope, bearer_challenge, error

HOST = "tidewaiter.azurecr.io"
REFRESH_SECONDS, ACCESS_SECONDS = 3 * 3600, 75 * 60
TAGS_DEFAULT, TAGS_MAX, SHORT = 100, 1000, 10
REFRESH_USER = "00000000-0000-0000-0000-000000000000"  # 11.3
ADVICE = "authentication required, visit https://aka.ms/acr/authorization for more information."


class ACR(OpenPaths, Simulator):
    vendor = "acr"
    hosts = {"registry": HOST, "store": "weuman12.blob.core.windows.net"}
    users = {"full": "tidewaiter", "minimum": "scan-token", "identity": "identity", "pull": "pull-token"}
    blob_host = "store"
    counted = ""
    large = (3 * SHORT, 3 * SHORT)
    knobs = {
        "basic": ("accepted", "exchanged"),  # 11.3: on each request, or only for a token
        "pages": ("short", "full"),  # a page may hold fewer than were asked for
    }

    def prepare(self):
        self.refresh, self.access = self.tokens(REFRESH_SECONDS, length=1200), self.tokens(ACCESS_SECONDS, length=1500)
        self.unreadable = set()  # (repository, tag) whose readEnabled is false
        self.account("tidewaiter", kind="admin")
        # A repository token with a scope map of content/read and metadata/read.
        self.account("scan-token", self.secret + "-minimum", kind="token", areas={"shop"}, rights={"pull", "metadata_read"})
        # One that may read what it knows the name of, but list nothing.
        self.account("pull-token", self.secret + "-pull", kind="token", areas={"shop"}, rights={"pull"})
        self.account("identity", "eyJ0eXAiOiJKV1QifQ." + self.secret, kind="aad", areas={"shop"}, rights={"pull", "metadata_read"})

    def integration(self, who="full"):
        there = ("--type", "acr", "--url", self.url("registry"), *self.trust())
        if who == "identity":
            return Integration((*there, "--auth", "api-key", "--api-key-stdin"), self.accounts["identity"].secret)
        name = {"minimum": "scan-token", "pull": "pull-token"}.get(who, "tidewaiter")
        secret = self.secret + "-wrong" if who == "wrong" else self.accounts[name].secret
        return Integration((*there, "--auth", "account", "--username", name, "--password-stdin"), secret)

    def fill(self, repositories=3, tags=3):
        self.fill_area("shop", sparse(repositories), sparse(tags))
        self.content.put("shop/locked", self.content.sample(3), "1.0", content="locked")
        self.unreadable.add(("shop/locked", "1.0"))
        self.content.put("vault/private", self.content.sample(4), "1.0")

    # -- tokens

    def refuse(self, scope=None, problem=None, detail=None):
        challenge = bearer_challenge(self.url("registry") + "/oauth2/token", HOST, scope, problem)
        return Refusal(error(401, "UNAUTHORIZED", ADVICE, [challenge], detail))

    def user(self, request, name, secret):
        """The account of a name and secret; a refresh token has a name of its own."""
        if name == REFRESH_USER:
            token = self.refresh.get(secret)
            account = token.account if token else None
        else:
            account = self.accounts.get(name)
            account = account if account and account.kind != "aad" and account.secret == secret else None
        if account is None:
            self.refused(request, (name, secret))
        request.account = account
        return account

    def grants(self, account, scope):
        if account is None:
            return False
        if scope.kind == "registry":
            return account.kind == "admin" or "metadata_read" in account.rights
        repository = self.content.repositories.get(scope.name)
        return repository is not None and account.may_read(self.content.areas[repository.area]) and (
            account.kind == "admin" or set(scope.actions) <= account.rights)

    def asked(self, request, text):
        """The scopes of a text of words; anything but reading is too much."""
        found = [Scope.parse(word) for word in text.split()]
        for word, scope in zip(text.split(), found):
            if scope is None or set(scope.actions) - {"pull", "metadata_read", "*"} or ("*" in scope.actions and scope.name != "catalog"):
                self.violation(request, "3.2", f"asks for more than it needs, or for nothing known: {word}")
        return [one for one in found if one is not None]

    def given(self, request, account, text):
        granted = frozenset(one for one in self.asked(request, text) if self.grants(account, one))
        return Response.json({"access_token": self.grant(request, self.access, account, granted).value})

    @route("GET", "/oauth2/token", name="token", role="registry")
    def token(self, request):
        if request.parameter("service") != HOST:
            return self.bad(request, "service")
        credentials = basic(request)
        if credentials is None:
            raise self.refuse()
        account = self.user(request, *credentials)
        if account is None:
            raise self.refuse()
        return self.given(request, account, " ".join(value for name, value in request.query if name == "scope"))

    def bad(self, request, field):
        self.violation(request, "11.3", f"{field} is missing, or is not what is asked for")
        return Response.json({"errors": [{"code": "UNAUTHORIZED", "message": f"invalid request: {field}"}]}, 400)

    def checked_form(self, request):
        if request.header("content-type").partition(";")[0] != "application/x-www-form-urlencoded":
            self.violation(request, "11.3", "the body is no form")
        return request.form()

    @route("POST", "/oauth2/exchange", name="login", role="registry")
    def exchange(self, request):
        form = self.checked_form(request)
        if form.get("service") != HOST:
            return self.bad(request, "service")
        if form.get("grant_type") != "access_token" or not form.get("access_token"):
            return self.bad(request, "grant_type=access_token with an access_token")
        account = next((one for one in self.accounts.values() if one.kind == "aad" and one.secret == form["access_token"]), None)
        if account is None:
            self.refused(request, ("exchange", form["access_token"]))
            raise self.refuse()
        request.account = account
        return Response.json({"refresh_token": self.grant(request, self.refresh, account, "refresh").value})

    @route("POST", "/oauth2/token", name="token", role="registry")
    def token_by_form(self, request):
        form = self.checked_form(request)
        if form.get("service") != HOST:
            return self.bad(request, "service")
        if not form.get("scope"):
            return self.bad(request, "scope")
        if form.get("grant_type") == "refresh_token" and form.get("refresh_token"):
            account = self.user(request, REFRESH_USER, form["refresh_token"])
        elif form.get("grant_type") == "password" and form.get("username") and form.get("password"):
            account = self.user(request, form["username"], form["password"])
        else:
            return self.bad(request, "grant_type")
        if account is None:
            raise self.refuse()
        return self.given(request, account, form["scope"])

    def entitled(self, request, text):
        """The account of a request that may do what the scope says."""
        scope = Scope.parse(text)
        detail = [{"Type": scope.kind, "Class": "", "Name": scope.name, "ActionName": scope.actions[0]}]
        credentials, token = basic(request), self.token_of(request, self.access)
        if credentials is not None and self.knob["basic"] == "accepted":
            account = self.user(request, *credentials)
            if account is None:
                raise self.refuse(text, detail=detail)
            if not self.grants(account, scope):
                raise Refusal(error(403, "DENIED", "requested access to the resource is denied"))
            return account
        if token is None:
            if bearer(request) is not None and self.refresh.knows(bearer(request)):
                self.violation(request, "11.3", "a refresh token is no access token")
            raise self.refuse(text, "invalid_token" if bearer(request) else None, detail)
        request.account = token.account
        if not any((one.kind, one.name) == (scope.kind, scope.name) and set(scope.actions) <= set(one.actions) for one in token.claims["scope"]):
            raise self.refuse(text, "insufficient_scope", detail)
        return token.account

    # -- listings

    def n(self, request, default, cap):
        """What is too many is silently fewer (Azure/acr #749)."""
        text = request.parameter("n", str(default))
        if not text.isdigit() or not int(text):
            self.violation(request, "11.3", f"n={text} is no number from 1")
            raise Refusal(error(400, "PAGINATION_NUMBER_INVALID", "invalid number of results requested"))
        return min(int(text), SHORT if self.knob["pages"] == "short" else cap)

    def listing(self, request, names, order):
        """A page of names, and the Link with its empty parameter (3.5)."""
        size, last = self.n(request, 100, TAGS_MAX), request.parameter("last")
        start = names.index(last) + 1 if last in names else sum(1 for one in names if one <= last) if last and not order else 0
        page = self.page(request, names, start, size, marker=True)
        headers = [VERSION]
        if page.next is not None:
            following = names[page.next - 1] if page.next else ""
            headers.append(("Link", f'<{request.raw_path}?last={following.replace("/", "%2F")}&n={size}&orderby={order}>; rel="next"'))
        return page.items, headers

    @route("GET", "/v2/_catalog", name="catalog", role="registry")
    def catalog(self, request):
        return self.repositories(request)

    @route("GET", "/acr/v1/_catalog", name="repositories", role="registry")
    def repositories(self, request):
        account = self.entitled(request, "registry:catalog:*")
        names = sorted(one.name for one in self.content.repositories.values() if account.may_read(self.content.areas[one.area]))
        found, headers = self.listing(request, names, "")
        return Response.json({"repositories": found}, headers=headers)

    def listable(self, request, name):
        self.entitled(request, f"repository:{name}:metadata_read")
        return self.content.repositories[name]

    @route("GET", "/acr/v1/(.+)/_tags", name="tags", role="registry")
    def list_tags(self, request, name):
        repository = self.listable(request, name)
        order = request.parameter("orderby", "")
        if order not in ("", "timedesc", "timeasc"):
            self.violation(request, "11.3", f"orderby={order} is none of timedesc, timeasc")
        tags = sorted(repository.tags.values(), key=lambda one: one.pushed if order else one.name, reverse=order == "timedesc")
        found, headers = self.listing(request, [one.name for one in tags], order)
        return Response.json({"registry": HOST, "imageName": name, "tags": [self.tag_row(repository, repository.tags[one]) for one in found]},
                             headers=headers)

    def tag_row(self, repository, tag):
        pushed = timestamp(tag.pushed, 6, "1Z")  # seven digits
        readable = (repository.name, tag.name) not in self.unreadable
        return {"name": tag.name, "digest": tag.digest, "createdTime": pushed, "lastUpdateTime": pushed, "signed": False,
                "changeableAttributes": {"deleteEnabled": True, "writeEnabled": True, "readEnabled": readable, "listEnabled": True}}

    @route("GET", "/acr/v1/(.+)/_manifests", name="manifests", role="registry")
    def list_manifests(self, request, name):
        found, headers = self.listing(request, list(self.listable(request, name).manifests()), request.parameter("orderby", ""))
        held = self.content.repositories[name].manifests()
        rows = [{"digest": one, "imageSize": held[one][0].size, "createdTime": timestamp(held[one][1][0].pushed, 6, "1Z"),
                 "lastUpdateTime": timestamp(held[one][1][0].pushed, 6, "1Z"), "mediaType": held[one][0].media_type,
                 "tags": [tag.name for tag in held[one][1]]} for one in found]
        return Response.json({"registry": HOST, "imageName": name, "manifests": rows}, headers=headers)

    @route("GET", "/v2/(.+)/tags/list", name="v2-tags", role="registry")
    def tags_by_v2(self, request, name):
        found, headers = self.listing(request, self.v2_tag_names(self.listable(request, name)), "")
        return Response.json({"name": name, "tags": found}, headers=headers)

    # -- the distribution API

    @route("GET|HEAD", "/v2/", name="ping", role="registry")
    def ping(self, request):
        credentials = basic(request)
        if self.token_of(request, self.access) or (credentials and self.knob["basic"] == "accepted" and self.user(request, *credentials)):
            return Response.json({}, headers=[VERSION])
        raise self.refuse()

    def v2_repository(self, request, name):
        self.entitled(request, f"repository:{name}:pull")
        return self.content.repositories[name]

    @route(".*", "/v2/(.+)/manifests/([^/]+)", name="manifest", role="registry")
    def manifest(self, request, name, reference):
        if (name, reference) in self.unreadable:
            self.violation(request, "11.3", "a tag whose readEnabled is false is left alone")
            return error(405, "UNSUPPORTED", "The operation is disallowed on this registry, repository or image.")
        return self.v2_manifest(request, name, reference)
