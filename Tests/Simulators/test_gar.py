import base64
import json
import time
import urllib.parse

import pytest

from browser import basic, bearer
from simulators import json_web_token
from simulators.v2 import MANIFEST_TYPES

REGISTRY, API, OAUTH = "https://europe-west1-docker.pkg.dev", "https://artifactregistry.googleapis.com", "https://oauth2.googleapis.com"
STORES = f"{API}/v1/projects/shop-project/locations/europe-west1/repositories"
ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}
READ = "https://www.googleapis.com/auth/cloud-platform.read-only"


@pytest.fixture
def gar(start):
    product = start("gar")
    product.fill(repositories=110, tags=21)
    return product


def exchange(gar, who="full", algorithm="RS256", private_key=None, grant="urn:ietf:params:oauth:grant-type:jwt-bearer", **changes):
    file = json.loads(gar.key_files[gar.users[who]])
    now = int(time.time())
    claims = {"iss": file["client_email"], "scope": READ, "aud": file["token_uri"], "iat": now, "exp": now + 3600} | changes
    assertion = json_web_token.sign({key: value for key, value in claims.items() if value is not None}, private_key or file["private_key"],
                                    algorithm, kid=file["private_key_id"])
    body = urllib.parse.urlencode({"grant_type": grant, "assertion": assertion}).encode()
    return gar.browse("POST", f"{OAUTH}/token", {"Content-Type": "application/x-www-form-urlencoded"}, body)


def access(gar, who="full"):
    answer = exchange(gar, who)
    assert answer.status == 200 and answer.document["expires_in"] == 3599, answer
    return bearer(answer.document["access_token"])


def sections(product):
    return [one.section for one in product.violations]


def listed(gar, target, headers, key):
    found, token, pages = [], "", 0
    while pages == 0 or token:
        document = gar.browse("GET", target + (f"&pageToken={token}" if token else ""), headers).document
        found, token, pages = found + document.get(key, []), document.get("nextPageToken"), pages + 1
    return found, pages


@pytest.mark.parametrize("change, error", [
    ({"algorithm": "PS256"}, "invalid_grant"),
    ({"private_key": "another"}, "invalid_grant"),
    ({"iss": "nobody@shop-project.iam.gserviceaccount.com"}, "invalid_grant"),
    ({"aud": "https://elsewhere.test/token"}, "invalid_grant"),
    ({"exp": int(time.time()) + 2 * 3600}, "invalid_grant"),
    ({"iat": int(time.time()) - 7200, "exp": int(time.time()) - 3600}, "invalid_grant"),
    ({"iat": None}, "invalid_grant"),
    ({"scope": None}, "invalid_scope"),
    ({"scope": "https://www.googleapis.com/auth/drive"}, "invalid_scope"),
    ({"grant": "password"}, "unsupported_grant_type"),
])
def test_assertions_that_are_not_accepted(gar, change, error):
    if "private_key" in change:
        change = {"private_key": json_web_token.make_key()[0]}
    answer = exchange(gar, **change)
    assert (answer.status, answer.document["error"]) == (400, error)
    assert sections(gar) == ([] if error == "invalid_grant" else ["11.4"])


@pytest.mark.parametrize("last", ["empty", "absent"])
def test_repositories_and_images(gar, last):
    gar.set_knob("last-page", last)
    allowed = access(gar)
    stores, _ = listed(gar, f"{STORES}?pageSize=2", allowed, "repositories")
    assert {one["name"].rpartition("/")[2]: (one["format"], one["mode"]) for one in stores} == {
        "docker": ("DOCKER", "STANDARD_REPOSITORY"), "hub-cache": ("DOCKER", "REMOTE_REPOSITORY"),
        "everything": ("DOCKER", "VIRTUAL_REPOSITORY"), "maven": ("MAVEN", "STANDARD_REPOSITORY")}
    images, pages = listed(gar, f"{STORES}/docker/dockerImages?pageSize=1000", allowed, "dockerImages")
    assert pages == 14 and len(images) == 110 + 21 + 3 + 1
    nested = next(one for one in images if "nested" in one["uri"])
    assert nested["name"].endswith(f"/dockerImages/nested%2Fdeep%2Fapp@{gar.content.sample(3).digest}") and nested["tags"] == ["1.0"]
    assert nested["buildTime"] == "2026-01-04T08:00:00Z" and isinstance(nested["imageSizeBytes"], str)
    assert sum("tags" not in one for one in images) == 2  # the children of a list
    gar.set_knob("pages", "full")
    assert listed(gar, f"{STORES}/docker/dockerImages?pageSize=1000", allowed, "dockerImages")[1] == 1
    assert gar.violations == []


def test_rights(gar):
    hidden = STORES.replace("shop-project", "vault-project")
    assert gar.browse("GET", hidden, access(gar)).document["repositories"]
    for target in (hidden, STORES.replace("shop-project", "nowhere")):
        answer = gar.browse("GET", target, access(gar, "minimum"))
        assert (answer.status, answer.document["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert gar.browse("GET", f"{STORES}/none/dockerImages", access(gar)).status == 404
    allowed = access(gar)
    gar.clock.advance(3600)
    assert gar.browse("GET", STORES, allowed).document["error"]["status"] == "UNAUTHENTICATED"
    assert gar.violations == []


@pytest.mark.parametrize("target, headers, section", [
    (STORES, bearer("made up"), "11.4"),
    (STORES, basic("_json_key", "{}"), "11.4"),
    (f"{STORES}?pageToken=made-up", None, "11.4"),
    (f"{STORES}/maven/dockerImages", None, "11.4"),
])
def test_what_the_api_rejects(gar, target, headers, section):
    assert gar.browse("GET", target, headers or access(gar)).status in (400, 401) and section in sections(gar)


def test_pulls(gar):
    name = "shop-project/docker/many"
    there = f"{REGISTRY}/v2/{name}/manifests/2.0"
    challenge = gar.browse("GET", there, ACCEPT).headers["www-authenticate"]
    assert challenge == f'Bearer realm="{REGISTRY}/v2/token",service="europe-west1-docker.pkg.dev",scope="repository:{name}:pull"'
    file = gar.key_files[gar.users["minimum"]]
    for credentials in (basic("_json_key", file), basic("_json_key_base64", base64.b64encode(file.encode()).decode()),
                        basic("oauth2accesstoken", access(gar, "minimum")["Authorization"][7:]), access(gar, "minimum")):
        assert gar.browse("GET", there, ACCEPT | credentials).status == 200
    key = basic("_json_key", file)
    token = gar.browse("GET", f"{REGISTRY}/v2/token?service=europe-west1-docker.pkg.dev&scope=repository:{name}:pull", key).document
    assert token["expires_in"] == 3599 and gar.browse("GET", there, ACCEPT | bearer(token["token"])).status == 200
    assert gar.browse("GET", f"{REGISTRY}/v2/vault-project/private/app/manifests/1.0", ACCEPT | key).status == 403
    assert gar.browse("GET", there, ACCEPT | basic("_json_key", gar.integration("wrong").secret)).status == 401
    gar.set_knob("json-key", "refused")
    assert gar.browse("GET", there, ACCEPT | key).status == 401 and gar.violations == []
    gar.browse("GET", f"{REGISTRY}/v2/token", basic("tidewaiter", file))
    assert sections(gar) == ["11.4"]


def test_tags_by_v2_tell_both_dates(gar):
    document = gar.browse("GET", f"{REGISTRY}/v2/shop-project/docker/nested/deep/app/tags/list", access(gar)).document
    entry = document["manifest"][gar.content.sample(3).digest]
    assert entry["timeCreatedMs"] == "1767513600000" and entry["tag"] == document["tags"] == ["1.0"]
    assert int(entry["timeUploadedMs"]) > int(entry["timeCreatedMs"])


def test_limits(gar):
    gar.fault("status", on="tags", status=429, retry_after=2)
    answer = gar.browse("GET", f"{STORES}/docker/dockerImages", access(gar))
    assert (answer.status, answer.document["error"]["status"], answer.headers["retry-after"]) == (429, "RESOURCE_EXHAUSTED", "2")
