import pytest

from browser import basic, bearer
from simulators.v2 import MANIFEST_TYPES

HARBOR = "https://harbor.example.test"
API = HARBOR + "/api/v2.0"
ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


@pytest.fixture
def harbor(start):
    product = start("harbor")
    product.fill(repositories=12, tags=3)
    return product


def as_user(harbor, who="full"):
    name = harbor.users[who]
    return basic(name, harbor.accounts[name].secret)


def sections(product):
    return [one.section for one in product.violations]


def projects(harbor, headers):
    return [one["name"] for one in harbor.browse("GET", f"{API}/projects?page_size=100", headers).document]


def test_who_sees_which_projects(harbor):
    assert projects(harbor, {}) == ["2026", "hub-proxy", "open"]
    assert projects(harbor, as_user(harbor, "minimum")) == ["2026", "acme", "hub-proxy", "open"]
    assert projects(harbor, as_user(harbor)) == ["2026", "acme", "hub-proxy", "open", "vault"]
    assert projects(harbor, as_user(harbor, "project-robot")) == ["2026", "acme", "hub-proxy", "open"]
    assert harbor.browse("GET", f"{API}/projects", basic("admin", "no")).status == 401
    assert harbor.browse("GET", f"{API}/projects/vault/repositories", as_user(harbor, "minimum")).status == 403
    harbor.set_knob("hidden-project", "404")
    assert harbor.browse("GET", f"{API}/projects/vault/repositories", as_user(harbor, "minimum")).status == 404
    assert harbor.violations == []
    assert harbor.browse("GET", f"{API}/projects", bearer("x")).status == 401 and sections(harbor) == ["5.2"]


@pytest.mark.parametrize("value, shown", [("0", {"registry_id": 0}), ("null", {"registry_id": None}), ("absent", {})])
def test_proxy_projects_have_a_registry(harbor, value, shown):
    harbor.set_knob("local-registry-id", value)
    found = {one["name"]: one for one in harbor.browse("GET", f"{API}/projects", as_user(harbor)).document}
    assert found["hub-proxy"]["registry_id"] == 2
    assert {key: found["acme"][key] for key in found["acme"] if key == "registry_id"} == shown


def test_pages(harbor):
    first = harbor.browse("GET", f"{API}/projects/acme/repositories?page=1&page_size=6", as_user(harbor))
    assert (len(first.document), first.headers["x-total-count"]) == (6, "16")
    assert first.headers["link"] == '</api/v2.0/projects/acme/repositories?page=2&page_size=6>; rel="next"'
    middle = harbor.browse("GET", f"{API}/projects/acme/repositories?page=2&page_size=6", as_user(harbor))
    assert middle.headers["link"].split(" , ")[0].endswith('rel="prev"')
    last = harbor.browse("GET", f"{API}/projects/acme/repositories?page=3&page_size=6", as_user(harbor))
    assert len(last.document) == 4 and "next" not in last.headers["link"]
    assert len(harbor.browse("GET", f"{API}/projects/acme/repositories", as_user(harbor)).document) == 10
    assert harbor.violations == []
    over = harbor.browse("GET", f"{API}/projects?page_size=101", as_user(harbor))
    assert (over.status, over.document["errors"][0]["code"]) == (422, "UNPROCESSABLE_ENTITY") and sections(harbor) == ["5.4"]


def artifacts(harbor, name, more=""):
    return harbor.browse("GET", f"{API}/projects/acme/repositories/{name}/artifacts{more}", as_user(harbor))


def test_names_are_encoded_twice(harbor):
    assert artifacts(harbor, "web%252Ffront%252Fend").document[0]["tags"][0]["name"] == "1.4.2"
    assert artifacts(harbor, "many").status == 200 and harbor.violations == []
    assert artifacts(harbor, "web%2Ffront%2Fend").status == 404
    assert artifacts(harbor, "web/front/end").status == 404
    assert artifacts(harbor, "acme%252Fmany").status == 404
    assert [one.rule for one in harbor.violations] == ["a slash of a repository's name is to be encoded twice"] * 2 + [
        "the repository's name goes without the project"]


def test_artifacts(harbor):
    one, = artifacts(harbor, "many", "?with_tag=true&q=tags%3D*").document
    assert one["type"] == "IMAGE" and len(one["tags"]) == 3 and one["extra_attrs"]["created"] == "2026-01-03T08:00:00Z"
    multi, = artifacts(harbor, "multi").document
    assert "created" not in multi["extra_attrs"] and len(multi["references"]) == 2
    child = artifacts(harbor, "multi", "/" + multi["references"][0]["child_digest"]).document
    assert child["extra_attrs"]["created"] and child["tags"] is None
    assert artifacts(harbor, "multi", "/latest").document["digest"] == multi["digest"]
    assert artifacts(harbor, "multi", "/none").status == 404
    assert artifacts(harbor, "chart").document[0]["type"] == "CHART"
    assert "tags" not in artifacts(harbor, "many", "?with_tag=false").document[0]
    assert harbor.violations == []


def test_a_name_of_digits_is_taken_for_a_number(harbor):
    assert harbor.browse("GET", f"{API}/projects/2026", as_user(harbor) | {"X-Is-Resource-Name": "true"}).status == 200
    assert harbor.browse("GET", f"{API}/projects/2026/repositories", as_user(harbor)).status == 200 and harbor.violations == []
    assert harbor.browse("GET", f"{API}/projects/2026", as_user(harbor)).status == 404 and sections(harbor) == ["5.3"]


def test_robots_and_single_sign_on(harbor):
    assert harbor.browse("GET", f"{API}/users/current", as_user(harbor)).status == 200
    assert harbor.browse("GET", f"{API}/users/current", as_user(harbor, "robot")).status == 412
    assert harbor.browse("GET", f"{API}/users/current").status == 401
    assert harbor.browse("GET", f"{API}/projects/acme/repositories", as_user(harbor, "oidc")).status == 200
    assert harbor.violations == []
    assert harbor.browse("GET", f"{API}/repositories", as_user(harbor, "oidc")).status == 401 and sections(harbor) == ["5.2"]


def token(harbor, scope, who="full"):
    answer = harbor.browse("GET", f"{HARBOR}/service/token?service=harbor-registry&scope={scope}", as_user(harbor, who) if who else {})
    assert answer.document["access_token"] == "" and answer.document["expires_in"] == 1800
    return bearer(answer.document["token"])


def test_pulls(harbor):
    there = f"{HARBOR}/v2/acme/web/front/end/manifests/1.4.2"
    challenge = harbor.browse("GET", there, ACCEPT).headers["www-authenticate"]
    assert challenge == f'Bearer realm="{HARBOR}/service/token",service="harbor-registry",scope="repository:acme/web/front/end:pull"'
    allowed = token(harbor, "repository:acme/web/front/end:pull")
    assert harbor.browse("GET", there, ACCEPT | allowed).status == 200
    assert harbor.browse("GET", there, ACCEPT | as_user(harbor)).status == 200
    assert harbor.browse("GET", there, ACCEPT | basic("admin", "no")).headers["www-authenticate"] == 'Basic realm="harbor"'
    # Public projects ask for an anonymous token too; one of a guest does not open a project that is not his.
    assert harbor.browse("GET", f"{HARBOR}/v2/open/tools/manifests/1.0", ACCEPT).status == 401
    assert harbor.browse("GET", f"{HARBOR}/v2/open/tools/manifests/1.0", ACCEPT | token(harbor, "repository:open/tools:pull", None)).status == 200
    hidden = token(harbor, "repository:vault/secret:pull", "minimum")
    assert harbor.browse("GET", f"{HARBOR}/v2/vault/secret/manifests/1.0", ACCEPT | hidden).status == 401
    harbor.clock.advance(1801)
    assert harbor.browse("GET", there, ACCEPT | allowed).status == 401
    harbor.set_knob("policy", "on")
    assert harbor.browse("GET", there, ACCEPT | as_user(harbor)).document["errors"][0]["code"] == "PROJECTPOLICYVIOLATION"
    assert harbor.violations == []


def test_the_catalog_is_for_administrators(harbor):
    assert len(harbor.browse("GET", f"{HARBOR}/v2/_catalog", as_user(harbor)).document["repositories"]) == 20
    first = harbor.browse("GET", f"{HARBOR}/v2/_catalog?n=3", as_user(harbor))
    assert first.headers["link"].startswith("</v2/_catalog?last=acme%2Fapp-001&n=3>")
    assert harbor.browse("GET", f"{HARBOR}/v2/_catalog?n=3&last=none", as_user(harbor)).status == 400
    guest = harbor.browse("GET", f"{HARBOR}/v2/_catalog", as_user(harbor, "minimum"))
    assert (guest.status, guest.headers["www-authenticate"]) == (401, 'Basic realm="harbor"')
    assert harbor.violations == []


def test_cookies_are_not_to_come_back(harbor):
    assert harbor.browse("GET", f"{API}/projects", as_user(harbor)).headers["set-cookie"].startswith("sid=")
    harbor.browse("GET", f"{API}/projects", as_user(harbor) | {"Cookie": "sid=7a1b"})
    assert sections(harbor) == ["5.5"]


def test_product_detection(harbor):
    assert harbor.browse("GET", f"{HARBOR}/api/version").document == {"version": "v2.0"}
    assert harbor.browse("GET", f"{API}/ping").body == b"Pong"
    assert "harbor_version" not in harbor.browse("GET", f"{API}/systeminfo").document
    assert "harbor_version" in harbor.browse("GET", f"{API}/systeminfo", as_user(harbor)).document
    harbor.set_knob("version", "1.x")
    assert harbor.browse("GET", f"{HARBOR}/api/version").status == 404


def test_what_a_poll_must_see(harbor):
    minimum, full = harbor.expected("minimum"), harbor.expected()
    assert {name.partition("/")[0] for name, _ in minimum} == {"acme", "open", "2026"}
    assert set(full) - set(minimum) == {("vault/secret", "1.0")} and ("acme/chart", "1.0") not in full
