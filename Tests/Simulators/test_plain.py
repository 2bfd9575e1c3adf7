import pytest

from browser import basic, bearer
from simulators.v2 import MANIFEST_TYPES

REGISTRY, TOKENS = "https://registry.example.test", "https://tokens.example.test"
ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


@pytest.fixture
def plain(start):
    product = start("docker-registry")
    product.fill(repositories=120, tags=120)
    return product


def sections(product):
    return [one.section for one in product.violations]


def catalog(plain, headers, query=""):
    return plain.browse("GET", f"{REGISTRY}/v2/_catalog{query}", headers)


def test_passwords(plain):
    assert plain.browse("GET", f"{REGISTRY}/v2/").headers["www-authenticate"] == 'Basic realm="Registry Realm"'
    assert plain.browse("GET", f"{REGISTRY}/v2/", basic("admin", "no")).status == 401
    assert plain.browse("GET", f"{REGISTRY}/v2/", basic("admin", plain.secret)).status == 200
    assert plain.violations == []


def test_catalog(plain):
    admin = basic("admin", plain.secret)
    first = catalog(plain, admin)
    assert len(first.document["repositories"]) == 100 and first.headers["link"].endswith('&n=100>; rel="next"')
    assert len(catalog(plain, admin, "?last=team%2Fapp-100&n=100").document["repositories"]) == 22
    over = catalog(plain, admin, "?n=101")
    assert (over.status, over.document["errors"][0]["code"]) == (400, "PAGINATION_NUMBER_INVALID")
    assert catalog(plain, admin, "?n=0").document["repositories"] == [] and plain.violations == []
    assert catalog(plain, admin, "?n=many").status == 400 and sections(plain) == ["1.2"]
    plain.set_knob("catalog", "closed")
    assert catalog(plain, admin).status == 404


def test_tags(plain):
    admin, there = basic("admin", plain.secret), f"{REGISTRY}/v2/team/many/tags/list"
    assert len(plain.browse("GET", there, admin).document["tags"]) == 120
    page = plain.browse("GET", there + "?n=50", admin)
    assert len(page.document["tags"]) == 50 and "link" in page.headers
    plain.set_knob("tags", "whole")
    assert len(plain.browse("GET", there + "?n=50", admin).document["tags"]) == 120
    assert plain.browse("GET", f"{REGISTRY}/v2/team/none/tags/list", admin).status == 404


def test_tokens(plain):
    plain.set_knob("auth", "token")
    there = f"{REGISTRY}/v2/team/many/manifests/2.1"
    assert plain.browse("GET", there, ACCEPT).headers["www-authenticate"] == \
        f'Bearer realm="{TOKENS}/token",service="registry.example.test",scope="repository:team/many:pull"'

    def token(scope, name="admin", secret=None):
        return plain.browse("GET", f"{TOKENS}/token?service=registry.example.test&scope={scope}", basic(name, secret or plain.secret))
    assert token("repository:team/many:pull", secret="no").status == 401
    allowed = bearer(token("repository:team/many:pull").document["token"])
    assert plain.browse("GET", there, ACCEPT | allowed).status == 200
    assert "insufficient_scope" in catalog(plain, allowed).headers["www-authenticate"]
    assert catalog(plain, bearer(token("registry:catalog:*").document["token"])).status == 200
    plain.expire_tokens()
    assert "invalid_token" in plain.browse("GET", there, ACCEPT | allowed).headers["www-authenticate"]
    assert plain.violations == []
    plain.browse("GET", there, ACCEPT | basic("admin", plain.secret))
    assert sections(plain) == ["3.1"]


def test_a_static_token(plain):
    plain.set_knob("auth", "static")
    assert catalog(plain, bearer("no")).status == 401 and catalog(plain, bearer(plain.static_token)).status == 200


def test_what_a_poll_must_see(plain):
    assert len(plain.expected()) == 120 + 120 + 2 + 1
