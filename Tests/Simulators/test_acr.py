import re
import urllib.parse

import pytest

from browser import basic, bearer
from simulators.v2 import MANIFEST_TYPES

ACR = "https://tidewaiter.azurecr.io"
ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


@pytest.fixture
def acr(start):
    product = start("acr")
    product.fill(repositories=110, tags=21)
    return product


def secret(acr, name="tidewaiter"):
    return basic(name, acr.accounts[name].secret)


def form(acr, path, **fields):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return acr.browse("POST", ACR + path, headers, urllib.parse.urlencode(fields).encode())


def token(acr, scope, name="scan-token"):
    answer = acr.browse("GET", f"{ACR}/oauth2/token?service=tidewaiter.azurecr.io&scope={scope}", secret(acr, name))
    assert answer.status == 200 and set(answer.document) == {"access_token"}, answer
    return bearer(answer.document["access_token"])


def sections(product):
    return [one.section for one in product.violations]


def listed(acr, target, headers, key):
    found, pages = [], 0
    while target:
        answer = acr.browse("GET", ACR + target, headers)
        found, pages = found + answer.document[key], pages + 1
        link = re.match('<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        target = link and link[1]
    return found, pages


@pytest.mark.parametrize("size, pages", [("short", 12), ("full", 1)])
@pytest.mark.parametrize("path", ["/v2/_catalog", "/acr/v1/_catalog"])
def test_the_catalog(acr, path, size, pages):
    acr.set_knob("pages", size)
    found, number = listed(acr, path + "?n=5000", secret(acr), "repositories")  # silently fewer
    assert len(set(found)) == len(found) == 114 and number == pages
    found, _ = listed(acr, path, token(acr, "registry:catalog:*"), "repositories")
    assert "vault/private" not in found and len(found) == 113 and acr.violations == []


def test_the_link_has_an_empty_parameter(acr):
    link = acr.browse("GET", f"{ACR}/v2/_catalog?n=2", secret(acr)).headers["link"]
    assert link == '</v2/_catalog?last=shop%2Fapp-011&n=2&orderby=>; rel="next"'


def test_tags(acr):
    allowed = token(acr, "repository:shop/many:metadata_read")
    found, pages = listed(acr, "/acr/v1/shop/many/_tags?n=100&orderby=timedesc", allowed, "tags")
    assert [one["name"] for one in found[:2]] == ["2.202", "2.199"] and len(found) == 21 and pages == 3
    assert re.fullmatch(r"2026-02-01T\d\d:\d\d:\d\d\.\d{7}Z", found[0]["createdTime"])
    locked = acr.browse("GET", f"{ACR}/acr/v1/shop/locked/_tags", secret(acr)).document["tags"][0]
    assert locked["changeableAttributes"]["readEnabled"] is False
    assert listed(acr, "/v2/shop/many/tags/list", allowed, "tags")[1] == 3 and acr.violations == []
    acr.browse("GET", f"{ACR}/acr/v1/shop/many/_tags?orderby=name", allowed)
    acr.browse("GET", f"{ACR}/v2/shop/locked/manifests/1.0", ACCEPT | secret(acr))
    assert sections(acr) == ["11.3", "11.3"]


def test_scopes(acr):
    pull = token(acr, "repository:shop/many:pull")
    for target in ("/acr/v1/shop/many/_tags", "/v2/shop/many/tags/list", "/v2/_catalog", "/acr/v1/shop/multi/_tags"):
        answer = acr.browse("GET", ACR + target, pull)
        assert answer.status == 401 and "insufficient_scope" in answer.headers["www-authenticate"]
    blind = token(acr, "repository:shop/many:metadata_read", "pull-token")  # given, and opens nothing
    assert acr.browse("GET", f"{ACR}/acr/v1/shop/many/_tags", blind).status == 401
    assert acr.browse("GET", f"{ACR}/acr/v1/shop/many/_tags", secret(acr, "pull-token")).status == 403
    assert acr.browse("GET", f"{ACR}/v2/vault/private/manifests/1.0", ACCEPT | token(acr, "repository:vault/private:pull")).status == 401
    assert acr.violations == []
    token(acr, "repository:shop/many:pull,push")
    assert sections(acr) == ["3.2"]


def test_identities(acr):
    aad = acr.accounts["identity"].secret
    refresh = form(acr, "/oauth2/exchange", grant_type="access_token", service="tidewaiter.azurecr.io", access_token=aad).document["refresh_token"]
    access = form(acr, "/oauth2/token", grant_type="refresh_token", service="tidewaiter.azurecr.io", scope="repository:shop/many:pull",
                  refresh_token=refresh).document
    assert set(access) == {"access_token"}
    assert acr.browse("GET", f"{ACR}/v2/shop/many/manifests/2.0", ACCEPT | bearer(access["access_token"])).status == 200
    assert acr.browse("GET", f"{ACR}/v2/", basic("00000000-0000-0000-0000-000000000000", refresh)).status == 200
    assert acr.violations == []
    assert acr.browse("GET", f"{ACR}/v2/", bearer(refresh)).status == 401
    assert acr.browse("GET", f"{ACR}/v2/shop/many/manifests/2.0", ACCEPT | bearer(refresh)).status == 401
    assert sections(acr) == ["11.3"]


@pytest.mark.parametrize("path, fields", [
    ("/oauth2/exchange", {"grant_type": "access_token", "access_token": "x"}),
    ("/oauth2/exchange", {"grant_type": "access_token", "service": "tidewaiter.azurecr.io"}),
    ("/oauth2/token", {"grant_type": "refresh_token", "service": "tidewaiter.azurecr.io", "scope": "repository:shop/many:pull"}),
    ("/oauth2/token", {"grant_type": "refresh_token", "service": "tidewaiter.azurecr.io", "refresh_token": "x"}),
])
def test_a_missing_field(acr, path, fields):
    assert form(acr, path, **fields).status == 400 and sections(acr) == ["11.3"]


def test_wrong_secrets(acr):
    wrong = acr.browse("GET", f"{ACR}/v2/shop/many/manifests/2.0", ACCEPT | basic("tidewaiter", "wrong"))
    assert wrong.status == 401 and wrong.document["errors"][0]["code"] == "UNAUTHORIZED"
    assert wrong.headers["www-authenticate"] == \
        f'Bearer realm="{ACR}/oauth2/token",service="tidewaiter.azurecr.io",scope="repository:shop/many:pull"'
    assert acr.browse("GET", f"{ACR}/oauth2/token?service=tidewaiter.azurecr.io", basic("tidewaiter", "wrong")).status == 401
    expired = form(acr, "/oauth2/exchange", grant_type="access_token", service="tidewaiter.azurecr.io", access_token="wrong")
    assert expired.status == 401 and acr.violations == []
    acr.set_knob("basic", "exchanged")
    assert acr.browse("GET", f"{ACR}/v2/shop/many/manifests/2.0", ACCEPT | secret(acr)).status == 401
    allowed = token(acr, "repository:shop/many:pull")
    assert acr.browse("GET", f"{ACR}/v2/shop/many/manifests/2.0", ACCEPT | allowed).status == 200
    acr.clock.advance(75 * 60 + 1)
    assert "invalid_token" in acr.browse("GET", f"{ACR}/v2/shop/many/manifests/2.0", ACCEPT | allowed).headers["www-authenticate"]


def test_blobs(acr):
    manifest = acr.browse("GET", f"{ACR}/v2/shop/many/manifests/2.0", ACCEPT | secret(acr)).document
    blob = acr.browse("GET", f"{ACR}/v2/shop/many/blobs/{manifest['config']['digest']}", secret(acr))
    assert blob.status == 307 and acr.browse("GET", blob.headers["location"]).status == 200 and acr.violations == []
    assert acr.browse("GET", blob.headers["location"], secret(acr)).status == 400 and sections(acr) == ["3.8"]
