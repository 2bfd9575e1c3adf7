import pytest

from browser import basic, bearer
from simulators.v2 import MANIFEST_TYPES

HUB, AUTH, REGISTRY = "https://hub.docker.com", "https://auth.docker.io", "https://registry-1.docker.io"
ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


@pytest.fixture
def hub(start):
    product = start("docker-hub")
    product.fill(repositories=12, tags=12)
    return product


def log_in(hub, name="acme"):
    body = {"identifier": name, "secret": hub.accounts[name].secret}
    answer = hub.browse("POST", f"{HUB}/v2/auth/token", {"Content-Type": "application/json"}, body)
    return bearer(answer.document["access_token"])


def pull_token(hub, repository, name="acme"):
    answer = hub.browse("GET", f"{AUTH}/token?service=registry.docker.io&scope=repository:{repository}:pull",
                        basic(name, hub.accounts[name].secret) if name else {})
    return bearer(answer.document["token"])


def names(hub, token, namespace="acme", query="page_size=100"):
    found, target = [], f"{HUB}/v2/namespaces/{namespace}/repositories?{query}"
    while target:
        page = hub.browse("GET", target, token).document
        found += [one["name"] for one in page["results"]]
        target = page["next"]
    return found


def sections(product):
    return [one.section for one in product.violations]


def test_the_listing_comes_in_pages(hub):
    token = log_in(hub)
    assert len(names(hub, token, query="page=1&page_size=5")) == len(names(hub, token, query="")) == len(names(hub, token)) == 17
    page = hub.browse("GET", f"{HUB}/v2/namespaces/acme/repositories", token).document
    assert len(page["results"]) == 10 and page["next"] == f"{HUB}/v2/namespaces/acme/repositories?page=2&page_size=10"
    assert hub.violations == []


def test_tags_have_push_dates_and_perhaps_digests(hub):
    token = log_in(hub)
    there = f"{HUB}/v2/namespaces/acme/repositories/multi/tags"
    newest, _ = hub.browse("GET", there, token).document["results"]
    assert newest["name"] == "latest" and newest["digest"] == hub.content.sample(10).digest and len(newest["images"]) == 2
    hub.set_knob("tag-digest", "absent")
    assert "digest" not in hub.browse("GET", there, token).document["results"][0]
    assert hub.browse("GET", f"{HUB}/v2/repositories/acme/multi/tags/", token).status == 200
    assert hub.browse("GET", there).status == 404


def test_logins(hub):
    json = {"Content-Type": "application/json"}
    wrong = hub.browse("POST", f"{HUB}/v2/auth/token", json, {"identifier": "acme", "secret": "no"})
    assert (wrong.status, wrong.document) == (401, {"detail": "Incorrect authentication credentials"})
    second = hub.browse("POST", f"{HUB}/v2/auth/token", json, {"identifier": "cautious", "secret": hub.secret})
    assert second.status == 401 and "login_2fa_token" in second.document
    assert hub.browse("POST", f"{HUB}/v2/users/login", json, {"username": "acme", "password": hub.secret}).document["token"]
    assert hub.violations == []
    assert hub.browse("POST", f"{HUB}/v2/auth/token", {}, {"identifier": "acme", "secret": hub.secret}).status == 400
    assert sections(hub) == ["4.2"]


@pytest.mark.parametrize("headers", [bearer("dckr_pat_x"), basic("acme", "x"), {"Authorization": "JWT x"}, bearer("stolen")])
def test_the_api_takes_its_own_tokens_only(hub, headers):
    answer = hub.browse("GET", f"{HUB}/v2/namespaces/acme/repositories", headers)
    assert (answer.status, answer.document) == (401, {"message": "unauthorized", "errinfo": {}})
    assert "4.2" in sections(hub)


def test_api_tokens_live_ten_minutes(hub):
    token = log_in(hub)
    hub.clock.advance(601)
    assert hub.browse("GET", f"{HUB}/v2/namespaces/acme/repositories", token).status == 401
    assert hub.violations == []


def test_an_organizations_token_without_the_scope_sees_public_repositories_only(hub):
    assert len(names(hub, log_in(hub, "acme-org"))) == 17
    assert names(hub, log_in(hub, "acme-blind")) == []
    assert names(hub, log_in(hub, "acme-blind"), "library") == ["alpine"]
    assert hub.violations == []
    assert hub.browse("GET", f"{HUB}/v2/repositories/acme/", log_in(hub, "acme-org")).status == 403
    assert sections(hub) == ["4.2"]


def test_rights(hub):
    assert names(hub, log_in(hub, "scanner"), "acme-tools") == []
    assert names(hub, log_in(hub), "acme-tools") == ["private"]
    assert names(hub, {}, "library") == ["alpine"] and names(hub, {}) == []
    assert hub.browse("GET", f"{HUB}/v2/namespaces/nobody/repositories").status == 404
    hub.set_knob("unknown-namespace", "empty")
    assert hub.browse("GET", f"{HUB}/v2/repositories/nobody/").document["count"] == 0
    assert set(hub.expected("minimum")) < set(hub.expected("full")) and ("acme/chart", "1.0") not in hub.expected()


def test_page_size_has_a_cap(hub):
    token = log_in(hub)
    assert hub.browse("GET", f"{HUB}/v2/namespaces/acme/repositories?page_size=101", token).status == 200
    hub.set_knob("page-size-above", "reject")
    assert hub.browse("GET", f"{HUB}/v2/namespaces/acme/repositories?page_size=101", token).status == 400
    assert hub.browse("GET", f"{HUB}/v2/namespaces/acme/repositories?page=9", token).status == 404
    assert sections(hub) == ["1.2", "1.2", "4.3"]


def test_a_foreign_next_is_a_trap(hub):
    hub.set_knob("next", "foreign")
    there = hub.browse("GET", f"{HUB}/v2/namespaces/acme/repositories?page_size=5", log_in(hub)).document["next"]
    assert there.startswith("https://hub.elsewhere.test/") and hub.violations == []
    assert hub.browse("GET", there).status == 421 and sections(hub) == ["0"]


def test_pulls(hub):
    first = hub.browse("GET", f"{REGISTRY}/v2/acme/many/manifests/2.1", ACCEPT)
    assert first.headers["www-authenticate"] == \
        'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:acme/many:pull"'
    token = pull_token(hub, "acme/many")
    manifest = hub.browse("GET", f"{REGISTRY}/v2/acme/many/manifests/2.1", ACCEPT | token)
    assert manifest.headers["docker-content-digest"] == hub.content.sample(2).digest and "ratelimit-limit" not in manifest.headers
    blob = hub.browse("GET", f"{REGISTRY}/v2/acme/many/blobs/{manifest.document['config']['digest']}", token)
    assert blob.status == 307 and blob.headers["location"].startswith("https://production.cloudflare.docker.com/")
    assert hub.browse("GET", blob.headers["location"]).status == 200
    assert hub.browse("GET", f"{REGISTRY}/v2/acme/many/manifests/none", ACCEPT | token).status == 404
    assert hub.browse("GET", f"{REGISTRY}/v2/library/alpine/manifests/3.18", ACCEPT | pull_token(hub, "library/alpine", None)).status == 200
    # A token is given to whoever asks; it does not open what is private, nor another repository.
    assert hub.browse("GET", f"{REGISTRY}/v2/acme/many/manifests/2.1", ACCEPT | pull_token(hub, "acme/many", None)).status == 401
    assert hub.browse("GET", f"{REGISTRY}/v2/acme/multi/manifests/1.0", ACCEPT | token).status == 401
    hub.clock.advance(301)
    assert "invalid_token" in hub.browse("GET", f"{REGISTRY}/v2/acme/many/manifests/2.1", ACCEPT | token).headers["www-authenticate"]
    hub.set_knob("expired", "bare")
    assert "www-authenticate" not in hub.browse("GET", f"{REGISTRY}/v2/acme/many/manifests/2.1", ACCEPT | token).headers
    assert hub.violations == []


def test_reading_manifests_counts(hub):
    hub.pulls_max = 2
    token, there = pull_token(hub, "acme/many"), f"{REGISTRY}/v2/acme/many/manifests/2.1"
    for _ in range(3):
        assert hub.browse("HEAD", there, ACCEPT | token).headers["ratelimit-remaining"] == "2;w=21600"
    for left in ("1", "0"):
        assert hub.browse("GET", there, ACCEPT | token).headers["ratelimit-remaining"] == left + ";w=21600"
    over = hub.browse("GET", there, ACCEPT | token)
    assert (over.status, over.document["errors"][0]["code"]) == (429, "TOOMANYREQUESTS") and "retry-after" not in over.headers
    hub.set_knob("limit", "abuse")
    assert hub.browse("GET", there, ACCEPT | token).body == b"Too Many Requests"


def test_limits_of_the_api(hub):
    token = log_in(hub)
    hub.fault("status", on="repositories", status=429, retry_after=7, times=2)
    assert hub.browse("GET", f"{HUB}/v2/namespaces/acme/repositories", token).headers["retry-after"] == "7"
    hub.set_knob("retry-header", "X-Retry-After")
    assert int(hub.browse("GET", f"{HUB}/v2/namespaces/acme/repositories", token).headers["x-retry-after"]) > 1e9


@pytest.mark.parametrize("method, url, section", [
    ("GET", f"{REGISTRY}/v2/_catalog", "4.3"),
    ("GET", f"{REGISTRY}/v2/alpine/manifests/1", "4.1"),
    ("GET", f"{AUTH}/token?service=other&scope=repository:acme/many:pull", "4.2"),
    ("PUT", f"{REGISTRY}/v2/acme/many/manifests/1", "3"),
])
def test_what_hub_does_not_have_is_a_violation(hub, method, url, section):
    hub.browse(method, url, ACCEPT | (pull_token(hub, "acme/many") if "/acme/" in url else {}))
    assert section in sections(hub)
