import pytest

from browser import basic, bearer
from simulators.v2 import MANIFEST_TYPES

WEB, CONNECTOR = "https://nexus.example.test", "https://docker.nexus.example.test"
REST = WEB + "/service/rest/v1"
BY_PATH = WEB + "/repository/docker-hosted"
ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


@pytest.fixture
def nexus(start):
    product = start("nexus")
    product.fill(repositories=4, tags=7)
    product.page_size = 5
    return product


def as_user(nexus, name="admin"):
    return basic(name, nexus.accounts[name].secret)


def rules(product):
    return [(one.section, one.rule) for one in product.violations]


def test_repositories_by_rights(nexus):
    found = nexus.browse("GET", f"{REST}/repositories", as_user(nexus)).document
    assert {one["name"]: one["type"] for one in found if one["format"] == "docker"} == {
        "docker-hosted": "hosted", "docker-releases": "hosted", "docker-hub": "proxy", "docker-all": "group", "vault": "hosted"}
    assert [one["name"] for one in nexus.browse("GET", f"{REST}/repositories", as_user(nexus, "scanner")).document] == [
        "docker-hosted", "docker-releases"]
    assert nexus.browse("GET", f"{REST}/repositories", as_user(nexus, "blind")).document == []
    one = f"{REST}/repositories/docker/hosted/docker-hosted"
    assert nexus.browse("GET", one, as_user(nexus)).document["docker"]["httpsPort"] == 5000
    assert nexus.browse("GET", one, as_user(nexus, "scanner")).status == 403
    assert nexus.violations == []


def test_only_basic(nexus):
    for headers in ({}, basic("admin", "no")):
        answer = nexus.browse("GET", f"{REST}/repositories", headers)
        assert (answer.status, answer.body, answer.headers["www-authenticate"][:5]) == (401, b"", "BASIC")
    assert nexus.violations == []
    assert nexus.browse("GET", f"{REST}/repositories", bearer("x")).status == 401
    assert rules(nexus) == [("7.2", "REST takes nothing but Basic")]


def components(nexus, key="docker-hosted", user="admin"):
    found, token = [], None
    while True:
        more = f"&continuationToken={token}" if token else ""
        page = nexus.browse("GET", f"{REST}/components?repository={key}{more}", as_user(nexus, user)).document
        found.append(page["items"])
        token = page["continuationToken"]
        if token is None:
            return found


def test_components(nexus):
    pages = components(nexus)
    assert [len(page) for page in pages] == [5, 5, 5] and nexus.violations == []
    items = [one for page in pages for one in page]
    assert {("many", "2.0"), ("multi", "latest"), ("team/app", "1.4.2")} < {(one["name"], one["version"]) for one in items}
    assert any(one["version"].startswith("sha256:") for one in items)
    asset, = next(one["assets"] for one in items if one["name"] == "team/app")
    assert asset["checksum"]["sha256"] == nexus.content.sample(3).digest[7:] and asset["path"] == "v2/team/app/manifests/1.4.2"
    assert asset["docker"] == {"imageName": "team/app", "imageTag": "1.4.2"} and asset["lastModified"].endswith("+00:00")
    nexus.set_knob("asset-path", "slash")
    nexus.set_knob("docker-block", "absent")
    asset, = components(nexus)[0][0]["assets"]
    assert asset["path"].startswith("/v2/") and "docker" not in asset


def test_too_few_rights_are_an_empty_list_or_a_refusal(nexus):
    assert components(nexus, user="blind") == [[]]
    assert nexus.browse("GET", f"{REST}/components?repository=vault", as_user(nexus, "scanner")).status == 403
    assert nexus.browse("GET", f"{REST}/components?repository=none", as_user(nexus)).status == 404
    assert nexus.violations == []


@pytest.mark.parametrize("query, status, rule", [
    ("", 422, "components are asked for by repository"),
    ("?repository=docker-hosted&continuationToken=5", 404, "a continuationToken that was not given out"),
])
def test_bad_requests(nexus, query, status, rule):
    assert nexus.browse("GET", f"{REST}/components{query}", as_user(nexus)).status == status
    assert rules(nexus) == [("7.3", rule)]


def test_search(nexus):
    found = nexus.browse("GET", f"{REST}/search?repository=docker-hosted&name=team/*&version=1.*", as_user(nexus)).document
    assert [one["name"] for one in found["items"]] == ["team/app"] and found["continuationToken"] is None


@pytest.mark.parametrize("base", [BY_PATH, CONNECTOR])
def test_pulls_with_basic(nexus, base):
    there = base + "/v2/team/app/manifests/1.4.2"
    first = nexus.browse("GET", there, ACCEPT)
    assert (first.status, first.headers["www-authenticate"]) == (401, 'BASIC realm="Sonatype Nexus Repository Manager"')
    assert nexus.browse("GET", there, ACCEPT | as_user(nexus, "scanner")).headers["docker-content-digest"] == nexus.content.sample(3).digest
    assert nexus.browse("GET", there, ACCEPT | basic("scanner", "no")).status == 401
    assert nexus.browse("GET", base + "/v2/", as_user(nexus)).status == 200
    assert nexus.violations == []


@pytest.mark.parametrize("base", [BY_PATH, CONNECTOR])
def test_pulls_with_a_token(nexus, base):
    nexus.set_knob("anonymous", "on")
    there = base + "/v2/team/app/manifests/1.4.2"
    assert nexus.browse("GET", there, ACCEPT).headers["www-authenticate"] == \
        f'Bearer realm="{base}/v2/token",service="{base}/v2/token",scope="repository:team/app:pull"'
    answer = nexus.browse("GET", f"{base}/v2/token?service={base}/v2/token&scope=repository:team/app:pull", as_user(nexus, "scanner"))
    assert set(answer.document) == {"token"} and answer.document["token"].startswith("DockerToken.")
    assert nexus.browse("GET", there, ACCEPT | bearer(answer.document["token"])).status == 200
    anonymous = nexus.browse("GET", f"{base}/v2/token?service={base}/v2/token&scope=repository:team/app:pull").document["token"]
    assert nexus.browse("GET", there, ACCEPT | bearer(anonymous)).status == 403
    nexus.expire_tokens()
    assert nexus.browse("GET", there, ACCEPT | bearer(answer.document["token"])).status == 401
    assert nexus.violations == []
    nexus.browse("GET", f"{base}/v2/token?service=other", as_user(nexus))
    assert rules(nexus) == [("7.2", "service equals the token's address")]


def test_a_connectors_link_misleads(nexus):
    page = nexus.browse("GET", f"{CONNECTOR}/v2/many/tags/list?n=3", as_user(nexus))
    link = page.headers["link"].partition(">")[0][1:]
    assert link == f"{CONNECTOR}/repository/docker-hosted/v2/many/tags/list?n=3&last=2.2" and nexus.violations == []
    assert nexus.browse("GET", link, as_user(nexus)).status == 400
    assert rules(nexus)[0][0] == "7.3"
    good = nexus.browse("GET", f"{CONNECTOR}/v2/many/tags/list?" + link.partition("?")[2], as_user(nexus)).document
    assert good["tags"] == ["2.3", "2.4", "2.5"]
    assert nexus.browse("GET", f"{BY_PATH}/v2/many/tags/list?n=3", as_user(nexus)).headers["link"].startswith("</repository/docker-hosted/v2/many")
    nexus.set_knob("v2-link", "none")
    assert "link" not in nexus.browse("GET", f"{BY_PATH}/v2/many/tags/list?n=3", as_user(nexus)).headers


def test_v2_listings(nexus):
    assert nexus.browse("GET", f"{CONNECTOR}/v2/_catalog", as_user(nexus)).document["repositories"][-1] == "team/app"
    nexus.content.repositories["docker-hosted/many"].tags.clear()
    assert nexus.browse("GET", f"{BY_PATH}/v2/many/tags/list", as_user(nexus)).document == {"name": "many", "tags": None}
    assert nexus.browse("GET", f"{BY_PATH}/v2/none/tags/list", as_user(nexus)).status == 404
    assert nexus.browse("GET", f"{CONNECTOR}/service/rest/v1/repositories", as_user(nexus)).status == 404
    assert [section for section, _ in rules(nexus)] == ["12"]


def test_what_a_poll_must_see(nexus):
    assert {name.partition("/")[0] for name, _ in nexus.expected("minimum")} == {"docker-hosted", "docker-releases"}
    assert set(nexus.expected()) - set(nexus.expected("minimum")) == {("vault/secret", "1.0")}
