import pytest

from browser import basic, bearer
from simulators.aql import Query
from simulators.v2 import MANIFEST_TYPES

WEB, SUB, PORT = "https://art.example.test", "https://docker-local.art.example.test", "https://art.example.test:8181"
ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}
QUERY = ('items.find({"repo":"docker-local","$or":[{"name":"manifest.json"},{"name":"list.manifest.json"}]})'
         '\n  .include("repo","path","name","created","modified")')


@pytest.fixture
def art(start):
    product = start("artifactory")
    product.fill(repositories=4, tags=7)
    return product


def browse(art, method, url, headers=None, body=None):
    """As `art.browse`, with the port that users write led to where the product listens."""
    if not url.startswith(PORT):
        return art.browse(method, url, headers, body)
    return art.browse(method, url.replace(":8181", f":{art.access_listener}"), {"Host": "art.example.test:8181"} | (headers or {}), body)


def as_user(art, who="full", secret="secret"):
    account = art.accounts[art.users[who]]
    return basic(account.name, getattr(account, secret))


def rules(product):
    return [(one.section, one.rule) for one in product.violations]


def test_secrets(art):
    account = art.accounts["scanner"]
    there = f"{WEB}/artifactory/api/repositories"
    good = [basic("scanner", one) for one in (account.secret, account.api_key, account.access_token)]
    good += [{"X-JFrog-Art-Api": account.api_key}, bearer(account.access_token)]
    assert [browse(art, "GET", there, one).status for one in good] == [200] * 5
    bad = [{}, basic("scanner", "no"), {"X-JFrog-Art-Api": account.access_token}, bearer(account.api_key)]
    answers = [browse(art, "GET", there, one) for one in bad]
    assert [one.status for one in answers] == [401] * 4 and answers[1].document == {"errors": [{"status": 401, "message": "Bad credentials"}]}
    assert answers[0].headers["x-jfrog-version"].startswith("Artifactory/7.")
    assert art.violations == []
    browse(art, "GET", there, good[0] | {"X-JFrog-Art-Api": account.api_key})
    assert rules(art) == [("6.2", "two kinds of secrets at once")]


def keys(art, query="", who="full"):
    return {one["key"]: one for one in browse(art, "GET", f"{WEB}/artifactory/api/repositories{query}", as_user(art, who)).document}


def test_repository_keys(art):
    assert set(keys(art)) == {"docker-local", "docker-fed", "docker-hub", "docker", "oci-local", "helm-local", "vault-local"}
    assert set(keys(art, who="minimum")) == set(keys(art)) - {"vault-local"}
    assert set(keys(art, "?type=local&packageType=docker")) == {"docker-local", "vault-local"}
    assert keys(art)["docker-fed"]["type"] == "FEDERATED" and keys(art)["docker-hub"]["url"] == "https://registry-1.docker.io/"
    art.set_knob("case", "odd")
    assert keys(art)["docker-fed"]["type"] == "federated" and keys(art)["docker-fed"]["packageType"] == "DOCKER"
    art.set_knob("filters", "ignored")
    assert len(keys(art, "?type=local")) == 7
    one = f"{WEB}/artifactory/api/repositories/"
    assert browse(art, "GET", one + "docker", as_user(art)).document["rclass"] == "virtual"
    assert browse(art, "GET", one + "docker", as_user(art, "minimum")).status == 403
    assert browse(art, "GET", one + "none", as_user(art)).status == 400
    assert art.violations == []


def search(art, text, who="minimum", kind="text/plain"):
    return browse(art, "POST", f"{WEB}/artifactory/api/search/aql", as_user(art, who) | {"Content-Type": kind}, text.encode())


def test_queries(art):
    found = search(art, QUERY).document
    paths = {one["path"] for one in found["results"]}
    child = art.content.sample(10).children[0].digest.partition(":")[2]
    assert {"app-000/1.0", "many/2.6", "multi/latest", "team/app/1.4.2", f"multi/sha256__{child}", "many/_uploads"} <= paths
    assert set(found["results"][0]) == {"repo", "path", "name", "created", "modified"}
    assert {one["name"] for one in found["results"] if one["path"] == "multi/1.0"} == {"list.manifest.json"}
    page = search(art, QUERY + ".offset(5).limit(4)").document
    assert page["range"] == {"start_pos": 5, "end_pos": 9, "total": found["range"]["total"], "limit": 4}
    assert page["results"] == found["results"][5:9]
    art.set_knob("offset", "+02:00")
    assert search(art, QUERY + ".limit(1)").document["results"][0]["created"].endswith("+02:00")
    assert search(art, QUERY.replace("docker-local", "docker-hub-cache")).document["results"][0]["path"] == "library/alpine/3.18"
    assert search(art, QUERY.replace("docker-local", "vault-local")).document["results"] == []
    art.page_cap = 3
    assert len(search(art, QUERY).document["results"]) == 3
    assert art.violations == []


@pytest.mark.parametrize("text, kind, status, rule", [
    ("items.find(", "text/plain", 400, "no query: "),
    (QUERY, "application/json", 415, "a query is text/plain"),
    (QUERY.replace('"path",', ""), "text/plain", 400, "repo, path and name are to be included"),
    (QUERY + '.sort({"$asc":["path"]})', "text/plain", 403, "sorting is for administrators"),
    (QUERY.replace('"created"', '"colour"'), "text/plain", 400, "no fields of an item: colour"),
    (QUERY.replace('"repo":"docker-local",', ""), "text/plain", 200, "a query that names no repository key"),
])
def test_bad_queries(art, text, kind, status, rule):
    assert search(art, text, kind=kind).status == status
    assert art.violations[0].rule.startswith(rule)


def test_the_query_language():
    query = Query.parse('items.find({"repo":{"$eq":"a"},"path":{"$nmatch":"*/_uploads"}}).include("repo").offset(2).limit(3)')
    assert (query.include, query.offset, query.limit, query.repositories()) == (["repo"], 2, 3, {"a"})
    assert query.matches({"repo": "a", "path": "x/1"}) and not query.matches({"repo": "a", "path": "x/_uploads"})


def test_dates_of_one_file(art):
    there = f"{WEB}/artifactory/api/storage/docker-local/team/app/1.4.2/manifest.json"
    found = browse(art, "GET", there, as_user(art)).document
    assert isinstance(found["size"], str) and found["checksums"]["sha256"] == art.content.sample(3).digest[7:]
    assert browse(art, "GET", there.replace("1.4.2", "none"), as_user(art)).status == 404


def token(art, challenge, headers):
    """A token for a challenge, from the realm it names."""
    parts = dict(part.split("=", 1) for part in challenge.removeprefix("Bearer ").replace('"', "").split(","))
    url = parts["realm"].replace(":443/", "/")
    answer = browse(art, "GET", f"{url}?service={parts['service']}&scope={parts['scope']}", headers)
    assert answer.document["expires_in"] == 3600
    return bearer(answer.document["token"])


@pytest.mark.parametrize("base, realm", [
    (f"{WEB}/v2/docker-local/", "https://art.example.test:443/v2/token"),
    (f"{WEB}/artifactory/api/docker/docker-local/v2/", "https://art.example.test:443/artifactory/api/docker/docker-local/v2/token"),
    (f"{SUB}/v2/", "https://docker-local.art.example.test:443/artifactory/api/docker/docker-local/v2/token"),
    (f"{PORT}/v2/", "https://art.example.test:8181/artifactory/api/docker/docker-local/v2/token"),
])
@pytest.mark.parametrize("scope", ["with-key", "without-key"])
def test_the_ways_to_an_image(art, base, realm, scope):
    art.set_knob("scope", scope)
    there = base + "team/app/manifests/1.4.2"
    challenge = browse(art, "GET", there, ACCEPT).headers["www-authenticate"]
    assert f'realm="{realm}"' in challenge
    allowed = token(art, challenge, as_user(art, "minimum"))
    assert browse(art, "GET", there, ACCEPT | allowed).headers["docker-content-digest"] == art.content.sample(3).digest
    for headers in (as_user(art), {"X-JFrog-Art-Api": art.accounts["admin"].api_key}, bearer(art.accounts["admin"].access_token)):
        assert browse(art, "GET", there, ACCEPT | headers).status == 200
    missing = browse(art, "GET", base + "team/app/manifests/none", ACCEPT | as_user(art))
    assert (missing.status, missing.document["errors"][0]["code"]) == (403, "UNAUTHORIZED")
    assert len(browse(art, "GET", base + "many/tags/list", as_user(art)).document["tags"]) == 8
    art.clock.advance(3601)
    assert "invalid_token" in browse(art, "GET", there, ACCEPT | allowed).headers["www-authenticate"]
    assert art.violations == []


def test_the_scope_is_to_be_copied(art):
    there = f"{WEB}/v2/docker-local/team/app/manifests/1.4.2"
    other = browse(art, "GET", f"{WEB}/v2/token?service=art.example.test:443&scope=repository:team/app:pull", as_user(art)).document["token"]
    assert browse(art, "GET", there, ACCEPT | bearer(other)).status == 401
    assert rules(art) == [("6.2", "the token's scope is not that of the challenge")]


@pytest.mark.parametrize("last, links", [
    ("number", ["</v2/many/tags/list?last=3&n=3>", "</v2/many/tags/list?last=6&n=3>"]),
    ("name", ["</v2/many/tags/list?last=2.2&n=3>", "</v2/many/tags/list?last=2.5&n=3>"]),
])
def test_links_mislead(art, last, links):
    art.set_knob("last", last)
    art.set_knob("odd-tags", "off")
    there = f"{WEB}/artifactory/api/docker/docker-local/v2/many/tags/list"
    found, query = [], "?n=3"
    for link in [*links, None]:
        answer = browse(art, "GET", there + query, as_user(art))
        found += answer.document["tags"]
        assert answer.headers.get("link", "").startswith(link or "") and ("link" in answer.headers) == (link is not None)
        query = answer.headers.get("link", "").partition("list")[2].partition(">")[0]
    assert found == [f"2.{number}" for number in range(7)] and art.violations == []
    art.set_knob("last", "number")
    browse(art, "GET", there + "?n=3&last=2.2", as_user(art))
    assert rules(art) == [("6.4", "last is what the Link said, not a name")]


def test_catalogs(art):
    native = f"{WEB}/artifactory/api/docker/docker-local/v2/_catalog"
    names = browse(art, "GET", native, as_user(art)).document["repositories"]
    assert len(names) == 7 and "team/app" in names
    assert browse(art, "GET", f"{PORT}/v2/_catalog", as_user(art)).document["repositories"] == names
    assert browse(art, "GET", f"{SUB}/v2/_catalog", as_user(art)).document["repositories"] == names
    art.page_cap = 4
    assert len(browse(art, "GET", native, as_user(art)).document["repositories"]) == 4
    assert art.violations == []
    browse(art, "GET", f"{WEB}/v2/_catalog", as_user(art))
    browse(art, "GET", native.replace("docker-local", "docker-hub"), as_user(art))
    assert [section for section, _ in rules(art)] == ["6.4", "6.4"]


def test_anonymous_visitors_are_never_challenged(art):
    art.set_knob("anonymous", "on")
    art.content.area("open-local", public=True)
    assert browse(art, "GET", f"{WEB}/v2/").status == 200
    assert [one["key"] for one in browse(art, "GET", f"{WEB}/artifactory/api/repositories").document] == ["open-local"]
    assert browse(art, "GET", f"{WEB}/v2/docker-local/team/app/manifests/1.4.2", ACCEPT).status == 403
    assert art.violations == []


@pytest.mark.parametrize("method, url, status, section", [
    ("POST", f"{WEB}/artifactory/api/docker/docker-local/v2/token", 401, "6.2"),
    ("GET", f"{WEB}/artifactory/api/docker/v2/docker-local/team/app/tags/list", 400, "6.1"),
])
def test_wrong_addresses(art, method, url, status, section):
    assert browse(art, method, url, as_user(art)).status == status
    assert rules(art)[0][0] == section


def test_the_api_may_be_at_the_parent_only(art):
    assert browse(art, "GET", f"{SUB}/artifactory/api/system/ping", as_user(art)).status == 404
    assert browse(art, "GET", f"{PORT}/artifactory/api/system/ping", as_user(art)).status == 404
    assert browse(art, "GET", f"{WEB}/artifactory/api/system/ping", as_user(art)).body == b"OK"
    art.set_knob("admin-api", "everywhere")
    assert browse(art, "GET", f"{SUB}/artifactory/api/system/ping", as_user(art)).body == b"OK"
    assert art.violations == []


def test_keys_do_not_follow_to_the_object_store(art):
    art.set_knob("redirect", "on")
    key = {"X-JFrog-Art-Api": art.accounts["admin"].api_key}
    config = browse(art, "GET", f"{WEB}/v2/docker-local/team/app/manifests/1.4.2", ACCEPT | key).document["config"]["digest"]
    moved = browse(art, "GET", f"{WEB}/v2/docker-local/team/app/blobs/{config}", key)
    assert moved.status == 307 and browse(art, "GET", moved.headers["location"]).status == 200 and art.violations == []
    assert browse(art, "GET", moved.headers["location"], key).status == 400 and rules(art)[0][0] == "3.8"


def test_what_a_poll_must_see(art):
    assert {name.partition("/")[0] for name, _ in art.expected("minimum")} == {"docker-local", "docker-fed", "oci-local"}
    assert set(art.expected()) - set(art.expected("minimum")) == {("vault-local/secret", "1.0")}
