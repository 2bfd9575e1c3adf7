import base64
import datetime
import re

import pytest

from browser import basic, bearer
from simulators.v2 import MANIFEST_TYPES

API, REGISTRY = "https://api.github.com", "https://ghcr.io"
ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}
GITHUB = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


@pytest.fixture
def ghcr(start):
    product = start("ghcr")
    product.fill(repositories=30, tags=30)
    return product


def pat(ghcr, name="octo"):
    return GITHUB | bearer(ghcr.accounts[name].secret)


def token(ghcr, name, account="octo"):
    answer = ghcr.browse("GET", f"{REGISTRY}/token?service=ghcr.io&scope=repository:{name}:pull", basic("anybody", ghcr.accounts[account].secret))
    assert answer.status == 200 and set(answer.document) == {"token"}, answer
    return bearer(answer.document["token"])


def sections(product):
    return [one.section for one in product.violations]


def listed(ghcr, target, headers):
    found = []
    while target:
        answer = ghcr.browse("GET", target, headers)
        found += answer.document
        link = re.search('<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        target = link and link[1]
    return found


def test_packages(ghcr):
    first = ghcr.browse("GET", f"{API}/orgs/acme/packages?package_type=container", pat(ghcr))
    assert len(first.document) == 30 and f'<{API}/orgs/acme/packages?package_type=container&per_page=30&page=2>; rel="next"' in first.headers["link"]
    found = listed(ghcr, f"{API}/orgs/acme/packages?package_type=container&per_page=10", pat(ghcr))
    assert len({one["name"] for one in found}) == len(found) == 33 and "nested/deep/app" in {one["name"] for one in found}
    assert len(ghcr.browse("GET", f"{API}/orgs/acme/packages?package_type=container&per_page=500", pat(ghcr)).document) == 33
    assert [one["name"] for one in ghcr.browse("GET", f"{API}/users/octo/packages?package_type=container", pat(ghcr)).document] == ["own"]
    assert ghcr.browse("GET", f"{API}/orgs/octo/packages?package_type=container", pat(ghcr)).status == 404
    assert ghcr.browse("GET", f"{API}/orgs/vault/packages?package_type=container", pat(ghcr, "reader")).document == []
    assert ghcr.violations == []


def test_versions(ghcr):
    there = f"{API}/orgs/acme/packages/container"
    multi = ghcr.browse("GET", f"{there}/multi/versions?state=active", pat(ghcr)).document
    assert [one["metadata"]["container"]["tags"] for one in multi] == [["latest", "1.0"], [], []]
    assert multi[0]["name"] == ghcr.content.sample(10).digest and re.fullmatch(r"2026-02-01T\d\d:\d\d:\d\dZ", multi[0]["created_at"])
    assert len(ghcr.browse("GET", f"{there}/nested%2Fdeep%2Fapp/versions", pat(ghcr)).document) == 1
    assert ghcr.browse("GET", f"{there}/none/versions", pat(ghcr)).document["message"] == "Package not found."
    assert ghcr.violations == []
    assert ghcr.browse("GET", f"{there}/nested/deep/app/versions", pat(ghcr)).status == 404
    assert sections(ghcr) == ["12"]


@pytest.mark.parametrize("headers, status, message", [
    (GITHUB, 401, "Requires authentication"),
    (GITHUB | bearer("made up"), 401, "Bad credentials"),
    ("stranger", 403, "You need at least read:packages scope to list packages."),
])
def test_refusals(ghcr, headers, status, message):
    headers = pat(ghcr, headers) if isinstance(headers, str) else headers
    answer = ghcr.browse("GET", f"{API}/orgs/acme/packages?package_type=container", headers)
    assert (answer.status, answer.document["message"]) == (status, message) and ghcr.violations == []


@pytest.mark.parametrize("headers, query, section", [
    ({"User-Agent": None}, "?package_type=container", "4.2"),
    ({"Accept": "*/*"}, "?package_type=container", "11.2"),
    ({"X-GitHub-Api-Version": None}, "?package_type=container", "11.2"),
    ({}, "", "11.2"),
    ({}, "?package_type=container&page=0", "11.2"),
])
def test_what_the_api_wants_to_be_told(ghcr, headers, query, section):
    ghcr.browse("GET", f"{API}/orgs/acme/packages{query}", pat(ghcr) | headers)
    assert section in sections(ghcr)


def test_the_end_of_a_token(ghcr):
    ghcr.ended["octo"] = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    answer = ghcr.browse("GET", f"{API}/user", pat(ghcr))
    assert answer.headers["github-authentication-token-expiration"].endswith(" UTC") and answer.headers["x-oauth-scopes"] == "read:packages, repo"
    ghcr.clock.advance(3601)
    assert ghcr.browse("GET", f"{API}/user", pat(ghcr)).status == 401


def test_pulls(ghcr):
    challenge = ghcr.browse("GET", f"{REGISTRY}/v2/acme/many/manifests/2.0", ACCEPT).headers["www-authenticate"]
    assert challenge == 'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:acme/many:pull"'
    allowed = token(ghcr, "acme/many", "reader")
    manifest = ghcr.browse("GET", f"{REGISTRY}/v2/acme/many/manifests/2.0", ACCEPT | allowed).document
    blob = ghcr.browse("GET", f"{REGISTRY}/v2/acme/many/blobs/{manifest['config']['digest']}", allowed)
    assert blob.status == 307 and ghcr.browse("GET", blob.headers["location"]).status == 200
    assert ghcr.browse("GET", f"{REGISTRY}/v2/acme/multi/manifests/1.0", ACCEPT | allowed).status == 401
    assert ghcr.browse("GET", f"{REGISTRY}/v2/vault/private/manifests/1.0", ACCEPT | token(ghcr, "vault/private", "reader")).status == 403
    wrong = ghcr.browse("GET", f"{REGISTRY}/token?service=ghcr.io", basic("octo", "wrong"))
    assert (wrong.status, wrong.document["errors"][0]["code"]) == (403, "DENIED")
    ghcr.clock.advance(301)
    assert ghcr.browse("GET", f"{REGISTRY}/v2/acme/many/manifests/2.0", ACCEPT | allowed).status == 401
    assert ghcr.violations == []


def test_a_token_in_base64_is_a_bearer_or_is_none(ghcr):
    encoded = bearer(base64.b64encode(ghcr.secret.encode()).decode())
    assert ghcr.browse("GET", f"{REGISTRY}/v2/acme/many/manifests/2.0", ACCEPT | encoded).status == 200
    ghcr.set_knob("base64-bearer", "refused")
    assert ghcr.browse("GET", f"{REGISTRY}/v2/acme/many/manifests/2.0", ACCEPT | encoded).status == 401


def test_there_is_no_catalog(ghcr):
    assert ghcr.browse("GET", f"{REGISTRY}/v2/_catalog").status == 404 and sections(ghcr) == ["11.2"]


@pytest.mark.parametrize("status", ["403", "429"])
def test_limits(ghcr, status):
    ghcr.set_knob("limit", status)
    ghcr.fault("status", on="repositories", status=429, retry_after=3)
    answer = ghcr.browse("GET", f"{API}/orgs/acme/packages?package_type=container", pat(ghcr))
    assert (answer.status, answer.headers["retry-after"]) == (int(status), "3") and int(answer.headers["x-ratelimit-reset"]) > 1e9
