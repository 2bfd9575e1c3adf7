import datetime
import re

import pytest

from browser import basic, bearer
from simulators.v2 import MANIFEST_TYPES

API, REGISTRY = "https://gitlab.example.test", "https://registry.gitlab.example.test"
ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


@pytest.fixture
def gitlab(start):
    product = start("gitlab")
    product.fill(repositories=25, tags=25)
    return product


def private(gitlab, name="root"):
    return {"PRIVATE-TOKEN": gitlab.accounts[name].secret}


def token(gitlab, scope, name="root", user=None):
    answer = gitlab.browse("GET", f"{API}/jwt/auth?service=container_registry&scope={scope}", basic(user or name, gitlab.accounts[name].secret))
    assert answer.status == 200 and set(answer.document) == {"token"}, answer
    return bearer(answer.document["token"])


def sections(product):
    return [one.section for one in product.violations]


def project_id(gitlab, path):
    return next(one.id for one in gitlab.all_projects() if one.path == path)


def test_numbered_pages(gitlab):
    first = gitlab.browse("GET", f"{API}/api/v4/projects?membership=true", private(gitlab))
    assert len(first.document) == 20 and first.headers["x-next-page"] == "2" and first.headers["x-total-pages"] == "2"
    assert f'<{API}/api/v4/projects?membership=true&page=2&per_page=20>; rel="next"' in first.headers["link"]
    second = gitlab.browse("GET", f"{API}/api/v4/projects?membership=true&page=2", private(gitlab))
    assert second.headers["x-next-page"] == "" and 'rel="next"' not in second.headers["link"]
    assert len(gitlab.browse("GET", f"{API}/api/v4/projects?per_page=500", private(gitlab)).document) == 31
    gitlab.set_knob("totals", "withheld")
    withheld = gitlab.browse("GET", f"{API}/api/v4/projects", private(gitlab)).headers
    assert "x-total" not in withheld and 'rel="last"' not in withheld["link"] and withheld["x-next-page"] == "2"
    assert gitlab.violations == []


def test_projects_by_keyset(gitlab):
    found, target = [], f"{API}/api/v4/projects?pagination=keyset&order_by=id&sort=asc&per_page=10"
    while target:
        answer = gitlab.browse("GET", target, private(gitlab))
        found += [one["id"] for one in answer.document]
        assert "x-next-page" not in answer.headers
        link = answer.headers.get("link")
        target = link and re.match("<([^>]+)>", link)[1]
    assert len(found) == len(set(found)) == 31 and gitlab.violations == []
    assert gitlab.browse("GET", f"{API}/api/v4/projects?pagination=keyset", private(gitlab)).status == 405
    assert sections(gitlab) == ["8.3"]


def test_repositories_and_tags(gitlab):
    number = project_id(gitlab, "shop/Tools")
    for which in (str(number), "shop%2FTools"):
        root, worker = gitlab.browse("GET", f"{API}/api/v4/projects/{which}/registry/repositories?tags_count=true", private(gitlab)).document
        assert (root["name"], root["path"], worker["name"], worker["path"]) == ("", "shop/tools", "worker", "shop/tools/worker")
        assert root["tags_count"] == 1
    going, = gitlab.browse("GET", f"{API}/api/v4/projects/shop%2Fgoing/registry/repositories", private(gitlab)).document
    assert going["status"] == "delete_scheduled"
    there = f"{API}/api/v4/projects/{number}/registry/repositories/{root['id']}/tags"
    assert gitlab.browse("GET", there, private(gitlab)).document == [
        {"name": "1.0", "path": "shop/tools:1.0", "location": "registry.gitlab.example.test/shop/tools:1.0"}]
    detail = gitlab.browse("GET", f"{there}/1.0", private(gitlab)).document
    sample = gitlab.content.sample(3)
    assert detail["digest"] == sample.digest and "sha256:" + detail["revision"] == sample.config_digest
    assert detail["created_at"] == "2026-01-04T08:00:00.000+00:00"
    assert gitlab.browse("GET", f"{there}/none", private(gitlab)).document == {"message": "404 Tag Not Found"}
    multi, = gitlab.browse("GET", f"{API}/api/v4/projects/shop%2Fmulti/registry/repositories", private(gitlab)).document
    detail = gitlab.browse("GET", f"{API}/api/v4/projects/shop%2Fmulti/registry/repositories/{multi['id']}/tags/latest", private(gitlab)).document
    assert detail["created_at"] is None and detail["digest"] == gitlab.content.sample(10).digest
    assert gitlab.violations == []


def test_tags_by_keyset(gitlab):
    gitlab.set_knob("tag-paging", "keyset")
    gitlab.set_knob("link-host", "external")
    many, = gitlab.browse("GET", f"{API}/api/v4/projects/shop%2Fmany/registry/repositories", private(gitlab)).document
    there = f"{API}/api/v4/projects/shop%2Fmany/registry/repositories/{many['id']}/tags"
    found, query = [], "per_page=10"
    for _ in range(3):
        answer = gitlab.browse("GET", f"{there}?{query}", private(gitlab))
        found += [one["name"] for one in answer.document]
        link = answer.headers.get("link", "")
        assert link == "" or link.startswith("<https://gitlab.elsewhere.example.test/api/v4/projects/shop%2Fmany/")
        query = link.partition("?")[2].partition(">")[0]
    assert len(set(found)) == 25 and query == "" and gitlab.violations == []
    gitlab.browse("GET", f"{there}?per_page=10&page=2", private(gitlab))
    assert sections(gitlab) == ["8.4"]


def test_group_listing(gitlab):
    answer = gitlab.browse("GET", f"{API}/api/v4/groups/shop/registry/repositories?per_page=100", private(gitlab, "group_1_bot_5f1c"))
    assert {one["path"] for one in answer.document} == {name for name in gitlab.content.repositories if name.startswith("shop/")}
    assert gitlab.browse("GET", f"{API}/api/v4/groups/vault/registry/repositories", private(gitlab, "group_1_bot_5f1c")).document == {
        "message": "404 Group Not Found"}


@pytest.mark.parametrize("headers, status, document", [
    ({}, 401, {"message": "401 Unauthorized"}),
    ({"PRIVATE-TOKEN": "made up"}, 401, {"message": "401 Unauthorized"}),
    ("gitlab+deploy-token-1", 401, {"message": "401 Unauthorized"}),
    ("developer", 401, {"message": "401 Unauthorized"}),
])
def test_the_api_is_for_tokens_with_its_scope(gitlab, headers, status, document):
    headers = headers if isinstance(headers, dict) else private(gitlab, headers)
    answer = gitlab.browse("GET", f"{API}/api/v4/user", headers)
    assert (answer.status, answer.document) == (status, document)


def test_scopes_roles_and_ends(gitlab):
    gitlab.accounts["group_1_bot_5f1c"].rights = {"read_registry"}
    answer = gitlab.browse("GET", f"{API}/api/v4/projects", private(gitlab, "group_1_bot_5f1c"))
    assert (answer.status, answer.document["error"], answer.document["scope"]) == (403, "insufficient_scope", "api read_api")
    guest = gitlab.browse("GET", f"{API}/api/v4/projects/shop%2Fmany/registry/repositories", private(gitlab, "group_1_bot_guest"))
    assert guest.document == {"message": "403 Forbidden"}
    hidden = gitlab.browse("GET", f"{API}/api/v4/projects/vault%2Fprivate/registry/repositories", private(gitlab, "group_1_bot_guest"))
    assert hidden.document == {"message": "404 Project Not Found"}
    gitlab.expires["root"] = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    assert gitlab.browse("GET", f"{API}/api/v4/personal_access_tokens/self", private(gitlab)).document["expires_at"]
    gitlab.clock.advance(3700)
    assert gitlab.browse("GET", f"{API}/api/v4/projects", private(gitlab)).document["error"] == "invalid_token"
    assert gitlab.violations == []


def test_passwords_do_not_open_the_api(gitlab):
    assert gitlab.browse("GET", f"{API}/api/v4/projects", basic("root", gitlab.secret)).status == 401
    assert sections(gitlab) == ["8.2"]


def test_a_project_without_registry(gitlab):
    there = f"{API}/api/v4/projects/shop%2Fclosed/registry/repositories"
    assert gitlab.browse("GET", there, private(gitlab)).status == 404
    gitlab.set_knob("registry-off", "empty")
    assert gitlab.browse("GET", there, private(gitlab)).document == []


def test_pulls(gitlab):
    challenged = gitlab.browse("GET", f"{REGISTRY}/v2/shop/many/manifests/2.1", ACCEPT).headers["www-authenticate"]
    assert challenged == f'Bearer realm="{API}/jwt/auth",service="container_registry",scope="repository:shop/many:pull"'
    allowed = token(gitlab, "repository:shop/many:pull", "group_1_bot_5f1c", user="whoever")
    manifest = gitlab.browse("GET", f"{REGISTRY}/v2/shop/many/manifests/2.1", ACCEPT | allowed)
    assert manifest.status == 200
    gitlab.set_knob("blobs", "redirected")
    blob = gitlab.browse("GET", f"{REGISTRY}/v2/shop/many/blobs/{manifest.document['config']['digest']}", allowed)
    assert blob.status == 307 and gitlab.browse("GET", blob.headers["location"]).status == 200
    assert "insufficient_scope" in gitlab.browse("GET", f"{REGISTRY}/v2/shop/multi/manifests/1.0", ACCEPT | allowed).headers["www-authenticate"]
    hidden = token(gitlab, "repository:vault/private:pull", "group_1_bot_5f1c")  # given, and opens nothing
    assert gitlab.browse("GET", f"{REGISTRY}/v2/vault/private/manifests/1.0", ACCEPT | hidden).status == 401
    gitlab.clock.advance(301)
    assert "invalid_token" in gitlab.browse("GET", f"{REGISTRY}/v2/shop/many/manifests/2.1", ACCEPT | allowed).headers["www-authenticate"]
    assert gitlab.violations == []


def test_the_catalog_is_for_administrators(gitlab):
    reporter = token(gitlab, "registry:catalog:*", "group_1_bot_5f1c")
    assert gitlab.browse("GET", f"{REGISTRY}/v2/_catalog", reporter).status == 401
    assert len(gitlab.browse("GET", f"{REGISTRY}/v2/_catalog", token(gitlab, "registry:catalog:*")).document["repositories"]) == 31


@pytest.mark.parametrize("user, account", [("somebody", "root"), ("somebody", "developer"), ("root", "developer")])
def test_the_login_must_be_the_tokens(gitlab, user, account):
    answer = gitlab.browse("GET", f"{API}/jwt/auth?service=container_registry", basic(user, gitlab.accounts[account].secret))
    assert (answer.status, answer.document["errors"][0]["code"]) == (401, "UNAUTHORIZED")


def test_thirty_failures_shut_an_address_out(gitlab):
    for _ in range(30):
        gitlab.browse("GET", f"{API}/jwt/auth?service=container_registry", basic("root", "wrong"))
    right = basic("root", gitlab.secret)
    assert gitlab.browse("GET", f"{API}/jwt/auth?service=container_registry", right).status == 403
    gitlab.clock.advance(3601)
    assert gitlab.browse("GET", f"{API}/jwt/auth?service=container_registry", right).status == 200
    assert sections(gitlab) == ["3.10", "8.2"]


@pytest.mark.parametrize("method, url, section", [
    ("GET", f"{API}/api/v4/projects?simple=true", "8.3"),
    ("GET", f"{API}/api/v4/projects?per_page=x", "8.4"),
    ("GET", f"{API}/jwt/auth?service=registry", "8.2"),
    ("GET", f"{API}/jwt/auth?service=container_registry&scope=repository:shop/many:push,pull", "3.2"),
    ("GET", f"{REGISTRY}/v2/", "8.2"),
    ("POST", f"{API}/api/v4/projects", "12"),
])
def test_what_gitlab_rejects_is_a_violation(gitlab, method, url, section):
    gitlab.browse(method, url, private(gitlab))
    assert section in sections(gitlab)


def test_a_relative_root(gitlab):
    gitlab.set_knob("relative-root", "/gitlab")
    assert "/gitlab/jwt/auth" in gitlab.browse("GET", f"{REGISTRY}/v2/").headers["www-authenticate"]
    assert gitlab.browse("GET", f"{API}/gitlab/api/v4/version", private(gitlab)).status == 200


def test_rate_limits(gitlab):
    assert gitlab.browse("GET", f"{API}/api/v4/user", private(gitlab)).headers["ratelimit-remaining"] == "1999"
    gitlab.fault("status", on="user", status=429, retry_after=5)
    answer = gitlab.browse("GET", f"{API}/api/v4/user", private(gitlab))
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (429, b"Retry later\n", "5")
