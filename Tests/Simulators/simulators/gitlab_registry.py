"""GitLab's container registry (registries.md 8): tokens from the API's host, the distribution API on another."""
import re

from .accounts import basic, bearer
from .server import Response
from .simulator import Refusal, route
from .v2 import VERSION, OpenPaths, Scope, bearer_challenge, error

TOKEN_SECONDS = 300  # 8.2: never told to the client
BAN_FAILURES, BAN_WITHIN_SECONDS, BAN_SECONDS = 30, 180, 3600  # 8.2
REGISTRY_SCOPES = {"api", "read_registry"}


class GitLabRegistry(OpenPaths):
    """The half of GitLab that docker speaks to."""

    @property
    def blob_host(self):
        return "store" if self.knob["blobs"] == "redirected" else None

    def failed(self, request, identity):
        """Counts a failed login; after too many the address is shut out (8.2)."""
        self.refused(request, identity)
        now = self.clock.now()
        self.failures = [one for one in self.failures if one > now - BAN_WITHIN_SECONDS] + [now]
        if len(self.failures) >= BAN_FAILURES:
            self.banned_until, self.failures = now + BAN_SECONDS, []
            self.violation(request, "8.2", f"{BAN_FAILURES} failed logins in {BAN_WITHIN_SECONDS} seconds shut this address out")

    def judge(self, request, role):
        super().judge(request, role)
        if role != "api" and request.header("private-token"):
            self.violation(request, "8.2", "PRIVATE-TOKEN belongs to the API alone")

    @route("GET", "(?:/gitlab)?/jwt/auth", name="token", role="api")
    def jwt_auth(self, request):
        if self.clock.now() < self.banned_until:
            return Response.text("Forbidden\n", 403)
        if request.parameter("service") != "container_registry":
            self.violation(request, "8.2", "the service is container_registry")
            return error(404, "UNAVAILABLE", "registry not enabled")
        account = self.registry_account(request)
        granted = [one for one in self.scopes(request) if self.grants(account, one)]
        return Response.json({"token": self.grant(request, self.pulls, account, granted[0] if granted else None).value})

    def registry_account(self, request):
        """A user with a password, or any token that has the scope as password (8.2)."""
        given = basic(request)
        if given is None:
            if request.header("authorization") or request.header("private-token"):
                self.violation(request, "8.2", "the realm takes Basic")
            return None
        name, secret = given
        account = next((one for one in self.accounts.values() if one.secret == secret), None)
        named = account is not None and (account.kind in ("group", "project") and name or account.name == name)
        if not named or self.over(account):
            self.failed(request, ("registry", name, secret))
            raise Refusal(error(401, "UNAUTHORIZED", "HTTP Basic: Access denied"))
        request.account = account
        if account.kind != "password" and not account.rights & REGISTRY_SCOPES:
            raise Refusal(error(403, "DENIED", "access forbidden"))
        return account

    def grants(self, account, scope):
        if scope.kind == "registry":
            return account is not None and account.admin
        repository = self.content.repositories.get(scope.name)
        if repository is None:
            return False
        project = self.project_of(repository)
        return self.sees(account, project) and not (account and "guest" in account.rights) and project.registry != "disabled"

    def challenged(self, request, scope=None, problem=None):
        realm = f"{self.url('api')}{self.knob['relative-root']}/jwt/auth"
        return error(401, "UNAUTHORIZED", "authentication required", [bearer_challenge(realm, "container_registry", scope, problem)])

    def entitled(self, request, scope, text):
        """The token of a request if it is for the scope, else the challenge."""
        token = self.token_of(request, self.pulls)
        if token is None:
            raise Refusal(self.challenged(request, text, "invalid_token" if bearer(request) else None))
        request.account = token.account
        if token.claims["scope"] != scope:
            raise Refusal(self.challenged(request, text, "insufficient_scope"))

    @route("GET|HEAD", "/v2/", name="ping", role="registry")
    def ping(self, request):
        return Response.json({}, headers=[VERSION]) if self.token_of(request, self.pulls) else self.challenged(request)

    @route("GET", "/v2/_catalog", name="catalog", role="registry")
    def catalog(self, request):
        self.entitled(request, Scope("registry", "catalog", ("*",)), "registry:catalog:*")
        return self.v2_catalog_of(request, self.content.repositories)

    def v2_repository(self, request, name):
        if not re.fullmatch("[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+", name):
            self.violation(request, "8.1", "an image's name is the project's path in lower case")
        self.entitled(request, Scope("repository", name, ("pull",)), f"repository:{name}:pull")
        return self.content.repositories[name]
