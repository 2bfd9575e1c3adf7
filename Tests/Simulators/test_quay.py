import re

import pytest

from browser import basic, bearer
from simulators.v2 import MANIFEST_TYPES

QUAY = "https://quay.example.test"
ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


@pytest.fixture
def quay(start):
    product = start("quay")
    product.fill(repositories=101, tags=101)
    return product


def oauth(quay, name="kcs"):
    return bearer(quay.accounts[name].secret)


def token(quay, scope=None, user="$oauthtoken", name="kcs"):
    query = f"&scope={scope}" if scope else ""
    answer = quay.browse("GET", f"{QUAY}/v2/auth?service=quay.example.test{query}", basic(user, quay.accounts[name].secret))
    assert answer.status == 200 and set(answer.document) == {"token"}, answer
    return bearer(answer.document["token"])


def sections(product):
    return [one.section for one in product.violations]


def test_repositories_come_by_opaque_places(quay):
    there = f"{QUAY}/api/v1/repository?namespace=shop&last_modified=true&repo_kind=image"
    first = quay.browse("GET", there, oauth(quay)).document
    assert len(first["repositories"]) == 100 and first["repositories"][0]["last_modified"] == int(
        quay.content.repositories["shop/app-000"].updated.timestamp())
    second = quay.browse("GET", f"{there}&next_page={first['next_page']}", oauth(quay)).document
    states = {one["name"]: one["state"] for one in second["repositories"]}
    assert states == {"app-100": "NORMAL", "many": "NORMAL", "multi": "NORMAL", "mirrored": "MIRROR", "going": "MARKED_FOR_DELETION"}
    assert "next_page" not in second and quay.violations == []
    charts = quay.browse("GET", f"{QUAY}/api/v1/repository?namespace=shop&repo_kind=application", oauth(quay)).document["repositories"]
    assert [one["name"] for one in charts] == ["helm"]
    quay.clock.advance(2 * 24 * 3600 + 1)
    assert quay.browse("GET", f"{there}&next_page={first['next_page']}", oauth(quay)).status == 400
    assert sections(quay) == ["9.2"]


def test_a_namespace_is_required(quay):
    answer = quay.browse("GET", f"{QUAY}/api/v1/repository", oauth(quay))
    assert (answer.status, answer.document["error_type"], answer.document["status"]) == (400, "invalid_request", 400)
    assert sections(quay) == ["9.2"]


@pytest.mark.parametrize("headers, status, kind, section", [
    (lambda quay: basic("person", quay.accounts["person"].secret), 401, "invalid_token", "9.1"),
    (lambda quay: basic("shop+robot", quay.accounts["shop+robot"].secret), 401, "invalid_token", "9.1"),
    (lambda quay: bearer(quay.accounts["shop+robot"].secret), 401, "invalid_token", "9.1"),
    (lambda quay: token(quay), 401, "invalid_token", "9.1"),
    (lambda quay: bearer("made up"), 401, "invalid_token", None),
])
def test_the_api_is_for_oauth_tokens(quay, headers, status, kind, section):
    answer = quay.browse("GET", f"{QUAY}/api/v1/repository?namespace=shop", headers(quay))
    assert (answer.status, answer.document["error_type"]) == (status, kind)
    assert sections(quay) == ([section] if section else [])


def test_rights(quay):
    def seen(headers, namespace):
        return len(quay.browse("GET", f"{QUAY}/api/v1/repository?namespace={namespace}", headers).document["repositories"])

    quay.content.area("commons", public=True)
    quay.content.put("commons/base", quay.content.sample(8), "1.0")
    assert (seen({}, "shop"), seen({}, "commons"), seen(oauth(quay, "reader"), "vault"), seen(oauth(quay), "vault")) == (0, 1, 0, 1)
    assert quay.browse("GET", f"{QUAY}/api/v1/repository/vault/private/tag/", oauth(quay, "reader")).document["error_type"] == "insufficient_scope"
    assert quay.browse("GET", f"{QUAY}/api/v1/user/", oauth(quay, "reader")).status == 403
    assert [one["name"] for one in quay.browse("GET", f"{QUAY}/api/v1/user/", oauth(quay)).document["organizations"]] == ["cached", "shop", "vault"]
    quay.ended.add("reader")
    assert quay.browse("GET", f"{QUAY}/api/v1/repository?namespace=shop", oauth(quay, "reader")).document["error_type"] == "expired_token"
    assert quay.violations == []


def test_tags(quay):
    there = f"{QUAY}/api/v1/repository/shop/many/tag/"
    first = quay.browse("GET", f"{there}?onlyActiveTags=true&limit=100&page=1", oauth(quay)).document
    assert len(first["tags"]) == 100 and (first["page"], first["has_additional"]) == (1, True)
    second = quay.browse("GET", f"{there}?onlyActiveTags=true&limit=100&page=2", oauth(quay)).document
    assert [one["name"] for one in second["tags"]] == ["2.0"] and not second["has_additional"]
    assert re.fullmatch(r"\w{3}, \d\d \w{3} 2026 \d\d:\d\d:\d\d -0000", second["tags"][0]["last_modified"])
    assert len(quay.browse("GET", there, oauth(quay)).document["tags"]) == 50
    multi = quay.browse("GET", f"{QUAY}/api/v1/repository/shop/multi/tag/", oauth(quay)).document["tags"]
    assert [one["name"] for one in multi] == ["latest", "1.0", "0.9"] and "end_ts" in multi[2]
    active = quay.browse("GET", f"{QUAY}/api/v1/repository/shop/multi/tag/?onlyActiveTags=true&specificTag=1.0", oauth(quay)).document["tags"]
    assert [one["is_manifest_list"] for one in active] == [True]
    assert quay.browse("GET", f"{QUAY}/api/v1/repository/shop/none/tag/", oauth(quay)).document["type"] == f"{QUAY}/api/v1/error/not_found"
    assert quay.violations == []
    quay.browse("GET", f"{there}?limit=101", oauth(quay))
    assert sections(quay) == ["1.2"]


def test_sparse_lists(quay):
    child = quay.content.sample(10).children[1].digest
    quay.absent.add(child)
    tag = quay.browse("GET", f"{QUAY}/api/v1/repository/shop/multi/tag/?onlyActiveTags=true", oauth(quay)).document["tags"][0]
    assert (tag["is_sparse"], tag["child_manifest_count"], tag["present_child_count"]) == (True, 2, 1)
    allowed = token(quay, "repository:shop/multi:pull")
    assert quay.browse("GET", f"{QUAY}/v2/shop/multi/manifests/latest", ACCEPT | allowed).status == 200
    assert quay.browse("GET", f"{QUAY}/v2/shop/multi/manifests/{child}", ACCEPT | allowed).status == 404


def test_proxy_caches(quay):
    there = f"{QUAY}/api/v1/organization"
    assert quay.browse("GET", f"{there}/cached/proxycache", oauth(quay)).document["upstream_registry"] == "docker.io/library"
    assert quay.browse("GET", f"{there}/shop/proxycache", oauth(quay)).document["upstream_registry"] == ""
    assert quay.browse("GET", f"{there}/vault/proxycache", oauth(quay, "reader")).status == 403
    quay.set_knob("proxy-feature", "off")
    assert quay.browse("GET", f"{there}/cached/proxycache", oauth(quay)).status == 404


def catalog(quay, headers, query="n=50"):
    found, target = [], f"{QUAY}/v2/_catalog?{query}"
    while target:
        answer = quay.browse("GET", target, headers)
        found += answer.document["repositories"]
        link = re.match("<?([^>;]+)>?; rel=\"?next", answer.headers.get("link", ""))
        target = link and QUAY + link[1]
    return found


def test_the_catalog(quay):
    robot = token(quay, user="shop+robot", name="shop+robot")
    for form in ("brackets", "bare"):
        quay.set_knob("catalog-link", form)
        assert len(catalog(quay, robot)) == len(set(catalog(quay, robot))) == 105
    assert catalog(quay, {}) == [] and len(quay.browse("GET", f"{QUAY}/v2/_catalog?n=1000", robot).document["repositories"]) == 100
    assert len(quay.browse("GET", f"{QUAY}/v2/_catalog?n=x", robot).document["repositories"]) == 1
    assert quay.violations == []
    assert quay.browse("GET", f"{QUAY}/v2/_catalog?n=1&last=shop/many", robot).document["repositories"] == ["shop/app-000"]
    assert sections(quay) == ["9.2"]


def test_a_public_catalog(quay):
    quay.content.area("commons", public=True)
    quay.content.put("commons/base", quay.content.sample(8), "1.0")
    quay.set_knob("public-catalog", "on")
    assert catalog(quay, {}) == ["commons/base"]


@pytest.mark.parametrize("user, name, status", [
    ("$oauthtoken", "kcs", 200), ("shop+robot", "shop+robot", 200), ("person", "person", 200), ("kcs", "kcs", 401), ("$app", "kcs", 401),
    ("shop+robot", "person", 401)])
def test_users_of_tokens(quay, user, name, status):
    answer = quay.browse("GET", f"{QUAY}/v2/auth?service=quay.example.test", basic(user, quay.accounts[name].secret))
    assert answer.status == status and quay.violations == []


def test_pulls(quay):
    challenge = quay.browse("GET", f"{QUAY}/v2/shop/many/manifests/2.1", ACCEPT).headers["www-authenticate"]
    assert challenge == f'Bearer realm="{QUAY}/v2/auth",service="quay.example.test",scope="repository:shop/many:pull"'
    allowed = token(quay, "repository:shop/many:pull")
    manifest = quay.browse("GET", f"{QUAY}/v2/shop/many/manifests/2.1", ACCEPT | allowed).document
    blob = quay.browse("GET", f"{QUAY}/v2/shop/many/blobs/{manifest['config']['digest']}", allowed)
    assert blob.status == 307 and quay.browse("GET", blob.headers["location"]).status == 200
    hidden = token(quay, "repository:vault/private:pull", name="reader")
    assert quay.browse("GET", f"{QUAY}/v2/vault/private/manifests/1.0", ACCEPT | hidden).status == 401
    dead = quay.browse("GET", f"{QUAY}/v2/shop/multi/manifests/0.9", ACCEPT | token(quay, "repository:shop/multi:pull"))
    assert (dead.status, dead.document["errors"][0]["code"]) == (404, "TAG_EXPIRED")
    quay.clock.advance(3601)
    assert quay.browse("GET", f"{QUAY}/v2/shop/many/manifests/2.1", ACCEPT | allowed).status == 401
    assert quay.violations == []
    assert quay.browse("GET", f"{QUAY}/v2/auth?scope=repository:shop/many:metadata_read", basic("$oauthtoken", quay.secret)).status == 400
    assert sections(quay) == ["9.1"]


def test_limits_answer_with_html(quay):
    quay.fault("status", on="repositories", status=429)
    answer = quay.browse("GET", f"{QUAY}/api/v1/repository?namespace=shop", oauth(quay))
    assert answer.status == 429 and answer.headers["content-type"] == "text/html" and "retry-after" not in answer.headers
