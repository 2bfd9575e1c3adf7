"""The distribution API in front of a real docker-registry, after the vendor's rules of access."""
import re
import urllib.parse
from dataclasses import dataclass

from support.images import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

from .accounts import bearer
from .server import Response
from .simulator import Refusal, route

MANIFEST_TYPES = (OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST)
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")
# So many good tokens of one account and scope at a time come of two commands and their workers; more come of asking anew
# for each request.
TOKENS_ALIVE_MAX = 24


def error(status, code, message=None, headers=(), detail=None):
    body = {"code": code, "message": message or code.lower().replace("_", " ")}
    if detail is not None:
        body["detail"] = detail
    return Response.json({"errors": [body]}, status, [VERSION, *headers])


@dataclass(frozen=True)
class Scope:
    kind: str
    name: str
    actions: tuple

    @staticmethod
    def parse(text):
        """None if it breaks the grammar of 3.2: split at the first and the last colon."""
        kind, first, rest = text.partition(":")
        name, last, actions = rest.rpartition(":")
        return Scope(kind, name, tuple(actions.split(","))) if first and last and name and actions else None


def bearer_challenge(realm, service, scope=None, problem=None):
    value = f'Bearer realm="{realm}"'
    if service:
        value += f',service="{service}"'
    if scope:
        value += f',scope="{scope}"'
    if problem:
        value += f',error="{problem}"'
    return ("WWW-Authenticate", value)


def basic_challenge(realm, scheme="Basic"):
    return ("WWW-Authenticate", f'{scheme} realm="{realm}"')


class Distribution:
    """To be mixed into a Simulator, which routes to `v2_*` and says in `v2_repository` whom it lets in.

    `v2_repository(request, name)` answers the Repository, or raises a Refusal.
    """

    catalog_default, catalog_cap = 100, 1000
    blob_host = None  # the role of a host that blobs are redirected to

    # -- data

    def v2_manifest(self, request, name, reference):
        self.judge_manifest(request, reference)
        repository = self.v2_repository(request, name)
        digest = repository.digest_of(reference)
        if digest is None:
            return self.v2_unknown_manifest(request, name, reference)
        return self.upstream.fetch(request, f"/v2/{repository.upstream}/manifests/{digest}")

    def v2_unknown_manifest(self, request, name, reference):
        return error(404, "MANIFEST_UNKNOWN", "manifest unknown", detail={"Tag": reference})

    def judge_manifest(self, request, reference):
        if request.method not in ("GET", "HEAD"):
            self.violation(request, "3", "a scanner never writes")
            raise Refusal(error(405, "UNSUPPORTED"))
        if not TAG.fullmatch(reference) and not DIGEST.fullmatch(reference):
            self.violation(request, "3.4", "neither a tag nor a digest")
            raise Refusal(error(400, "TAG_INVALID"))
        lines = request.header_lines("accept")
        listed = {one.split(";")[0].strip() for one in (lines[0] if lines else "").split(",")}
        missing = [one for one in MANIFEST_TYPES if one not in listed]
        if missing:
            self.violation(request, "3.6", "the first Accept line does not list " + ", ".join(missing))

    def v2_blob(self, request, name, digest):
        if request.method not in ("GET", "HEAD"):
            self.violation(request, "3", "a scanner never writes")
            raise Refusal(error(405, "UNSUPPORTED"))
        if not DIGEST.fullmatch(digest):
            self.violation(request, "3.8", "no digest")
            raise Refusal(error(400, "DIGEST_INVALID"))
        repository = self.v2_repository(request, name)
        if self.blob_host:
            where = f"{self.url(self.blob_host)}/{repository.upstream}/{digest}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=5f1c"
            return Response(307, b"", [("Location", where), VERSION])
        return self.upstream.fetch(request, f"/v2/{repository.upstream}/blobs/{digest}")

    @route("GET|HEAD", "/(.+)/(sha256:[^/]+)", name="stored", role="store")
    def stored(self, request, upstream, digest):
        return self.stored_blob(request, upstream, digest)

    def stored_blob(self, request, upstream, digest):
        """The object store that blobs are redirected to. Only what the link itself says opens it (3.8)."""
        for header in ("authorization", "x-jfrog-art-api", "private-token", "cookie"):
            if request.header(header):
                self.violation(request, "3.8", f"{header} was sent on to the object store")
                return Response.text("<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>",
                                     400, content_type="application/xml")
        if request.parameter("X-Amz-Signature") != "5f1c":
            return Response.text("<Error><Code>AccessDenied</Code></Error>", 403, content_type="application/xml")
        return self.upstream.fetch(request, f"/v2/{upstream}/blobs/{digest}")

    # -- listings

    def v2_tag_names(self, repository):
        return sorted(repository.tags)

    def v2_tags(self, request, name):
        """As distribution 3 does it: everything without n, else pages with a relative Link."""
        repository = self.v2_repository(request, name)
        return self.v2_listing(request, self.v2_tag_names(repository), None, self.catalog_cap, "clamp",
                               lambda names: {"name": name, "tags": names}, request.raw_path)

    def v2_catalog_of(self, request, names):
        """As distribution does it, of the repositories that the account may see."""
        return self.v2_listing(request, sorted(names), self.catalog_default, self.catalog_cap, "reject",
                               lambda found: {"repositories": found}, request.raw_path)

    def v2_listing(self, request, names, default, cap, above, document, path):
        n = request.parameter("n")
        if n is not None and (not n.isdigit() or (int(n) > cap and above == "reject")):
            self.violation(request, "1.2", f"n={n} is not a number up to {cap}")
            raise Refusal(error(400, "PAGINATION_NUMBER_INVALID", "invalid number of results requested"))
        size = min(int(n), cap) if n is not None else default
        last = request.parameter("last")
        start = sum(1 for name in names if name <= last) if last else 0
        if size is None:
            return Response.json(document(names), headers=[VERSION])
        page = self.page(request, names, start, size, marker=True)
        headers = [VERSION]
        if page.next is not None and size:
            following = names[min(page.next, len(names)) - 1] if page.next else ""
            headers.append(("Link", self.v2_link(request, path, following, size)))
        return Response.json(document(page.items), headers=headers)

    def v2_link(self, request, path, last, size):
        return f"<{path}?last={urllib.parse.quote(last, safe='')}&n={size}>; rel=\"next\""

    # -- tokens

    def grant(self, request, tokens, account, scope, **claims):
        """A token for a scope; says so where one is asked for again and again (3.2)."""
        if len(tokens.live(account, scope=scope, **claims)) == TOKENS_ALIVE_MAX:
            self.violation(request, "3.2", "a new token for each request, while older ones are good")
        return tokens.issue(account, scope=scope, **claims)

    def scopes(self, request):
        """The scopes that a token is asked for."""
        found = []
        for text in [value for key, value in request.query if key == "scope"]:
            for word in text.split():
                scope = Scope.parse(word)
                if scope is None:
                    self.violation(request, "3.2", f"scope {word!r} breaks the grammar")
                    raise Refusal(error(400, "UNSUPPORTED", "bad scope"))
                if set(scope.actions) - {"pull"} and (scope.kind, scope.name, scope.actions) != ("registry", "catalog", ("*",)):
                    self.violation(request, "3.2", f"asks for more than it needs: {word}")
                found.append(scope)
        return found

    def token_of(self, request, tokens):
        """The good token of a request, None without one or with a bad one."""
        value = bearer(request)
        return tokens.get(value) if value is not None else None

    @staticmethod
    def with_headers(answer, headers):
        """The answer, which may be still to come, with more headers."""
        if isinstance(answer, Response):
            answer.headers += headers
            return answer

        async def later():
            response = await answer
            response.headers += headers
            return response
        return later()


class OpenPaths(Distribution):
    """Where `/v2/` is a host's own and takes any method: products that differ in one of these say so."""

    @route("GET", "/v2/(.+)/tags/list", name="v2-tags", role="registry")
    def tags_by_v2(self, request, name):
        return self.v2_tags(request, name)

    @route(".*", "/v2/(.+)/manifests/([^/]+)", name="manifest", role="registry")
    def manifest(self, request, name, reference):
        return self.v2_manifest(request, name, reference)

    @route(".*", "/v2/(.+)/blobs/([^/]+)", name="blob", role="registry")
    def blob(self, request, name, digest):
        return self.v2_blob(request, name, digest)
