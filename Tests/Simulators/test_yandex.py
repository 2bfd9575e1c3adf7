import json
import time

import pytest

from browser import basic, bearer
from simulators import json_web_token
from simulators.v2 import MANIFEST_TYPES
from simulators.yandex import SHOP, VAULT

REGISTRY, IAM = "https://cr.yandex", "https://iam.api.cloud.yandex.net"
API = "https://container-registry.api.cloud.yandex.net/container-registry/v1"
ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


@pytest.fixture
def yandex(start):
    product = start("yandex")
    product.fill(repositories=110, tags=21)
    return product


def exchange(yandex, document):
    return yandex.browse("POST", f"{IAM}/iam/v1/tokens", {"Content-Type": "application/json"}, document)


def assertion(yandex, who="full", algorithm="PS256", private_key=None, kid=None, **changes):
    file = json.loads(yandex.key_files[yandex.users[who]])
    now = int(time.time())
    claims = {"iss": file["service_account_id"], "aud": f"{IAM}/iam/v1/tokens", "iat": now, "exp": now + 3600} | changes
    key = private_key or file["private_key"].partition("\n")[2]
    return json_web_token.sign(claims, key, algorithm, **({"kid": kid or file["id"]} if kid != "" else {}))


def iam(yandex, who="full"):
    answer = exchange(yandex, {"jwt": assertion(yandex, who)})
    assert answer.status == 200 and answer.document["expiresAt"].endswith("Z"), answer
    return bearer(answer.document["iamToken"])


def sections(product):
    return [one.section for one in product.violations]


def listed(yandex, target, headers, key):
    found, token, pages = [], "", 0
    while pages == 0 or token:
        document = yandex.browse("GET", f"{API}/{target}" + (f"&pageToken={token}" if token else ""), headers).document
        found, token, pages = found + document[key], document.get("nextPageToken"), pages + 1
    return found, pages


@pytest.mark.parametrize("change", [
    {"algorithm": "RS256"}, {"private_key": "another"}, {"iss": "aje0"}, {"kid": "ajk0"}, {"kid": ""}, {"aud": "https://cr.yandex"},
    {"exp": int(time.time()) + 7200}, {"iat": int(time.time()) - 7200, "exp": int(time.time()) - 3600}])
def test_assertions_that_are_not_accepted(yandex, change):
    if "private_key" in change:
        change = {"private_key": json_web_token.make_key()[0]}
    answer = exchange(yandex, {"jwt": assertion(yandex, **change)})
    assert (answer.status, answer.document["code"]) == (401, 16) and yandex.violations == []


def test_other_ways_to_a_token(yandex):
    person = exchange(yandex, {"yandexPassportOauthToken": yandex.accounts["person"].secret}).document["iamToken"]
    assert yandex.browse("GET", f"{API}/repositories?registryId={SHOP}", bearer(person)).status == 200
    assert exchange(yandex, {"yandexPassportOauthToken": "wrong"}).status == 401 and yandex.violations == []
    assert exchange(yandex, {"password": "x"}).status == 400 and sections(yandex) == ["11.5"]


@pytest.mark.parametrize("size, last, pages", [("short", "empty", 12), ("full", "absent", 1)])
def test_listings(yandex, size, last, pages):
    yandex.set_knob("pages", size)
    yandex.set_knob("last-page", last)
    allowed = iam(yandex)
    found, number = listed(yandex, f"repositories?registryId={SHOP}&pageSize=1000", allowed, "repositories")
    assert len({one["name"] for one in found}) == len(found) == 113 and number == pages
    multi, _ = listed(yandex, f"images?repositoryName={SHOP}/multi", allowed, "images")
    assert [one.get("tags") for one in multi] == [["latest", "1.0"], None, None] and multi[0]["createdAt"].endswith("123Z")
    assert "config" not in multi[0] and isinstance(multi[1]["config"]["size"], str)
    everything, _ = listed(yandex, f"images?registryId={SHOP}&pageSize=1000", allowed, "images")
    assert len(everything) == 110 + 21 + 3 + 1 and yandex.violations == []


def test_rights(yandex):
    for headers, registry, status in ((iam(yandex), VAULT, 200), (iam(yandex, "minimum"), VAULT, 403), (iam(yandex, "minimum"), "crp0", 403)):
        answer = yandex.browse("GET", f"{API}/repositories?registryId={registry}", headers)
        assert answer.status == status and (status == 200 or answer.document["code"] == 7)
    assert yandex.browse("GET", f"{API}/registries?folderId=b1g5f1c41d07be85a63f", iam(yandex, "minimum")).status == 403
    assert yandex.browse("GET", f"{API}/images?repositoryName={SHOP}/none", iam(yandex)).document["code"] == 5
    allowed = iam(yandex)
    yandex.clock.advance(12 * 3600 + 1)
    assert yandex.browse("GET", f"{API}/repositories?registryId={SHOP}", allowed).document["code"] == 16 and yandex.violations == []


@pytest.mark.parametrize("target, headers, status, section", [
    (f"repositories?registryId={SHOP}", basic("iam", "x"), 401, "11.5"),
    (f"repositories?registryId={SHOP}", bearer("y0_AgAAAA"), 401, "11.5"),
    ("repositories", None, 400, "11.5"),
    (f"images?registryId={SHOP}&repositoryName={SHOP}/many", None, 400, "11.5"),
    (f"repositories?registryId={SHOP}&pageToken=made-up", None, 400, "11.5"),
    (f"repositories?registryId={SHOP}&pageSize=1001", None, 400, "1.2"),
])
def test_what_the_api_rejects(yandex, target, headers, status, section):
    assert yandex.browse("GET", f"{API}/{target}", headers or iam(yandex)).status == status and section in sections(yandex)


def test_a_page_size_above_the_most_may_be_cut(yandex):
    yandex.set_knob("page-size-above", "clamp")
    assert yandex.browse("GET", f"{API}/repositories?registryId={SHOP}&pageSize=5000", iam(yandex)).status == 200


def test_pulls(yandex):
    there = f"{REGISTRY}/v2/{SHOP}/many/manifests/2.0"
    first = yandex.browse("GET", there, ACCEPT)
    assert (first.status, first.headers["www-authenticate"]) == (401, 'Basic realm="cr.yandex"')
    token = iam(yandex, "minimum")["Authorization"][7:]
    for credentials in (basic("iam", token), basic("oauth", yandex.accounts["person"].secret),
                        basic("json_key", yandex.key_files[yandex.users["minimum"]])):
        assert yandex.browse("GET", there, ACCEPT | credentials).status == 200
        assert yandex.browse("GET", f"{REGISTRY}/v2/{VAULT}/private/manifests/1.0", ACCEPT | credentials).status == 403
    assert f"{SHOP}/many" in yandex.browse("GET", f"{REGISTRY}/v2/_catalog?n=1000", basic("iam", token)).document["repositories"]
    for credentials in (basic("json_key", yandex.integration("wrong").secret), basic("iam", "wrong"), basic("json_key", token)):
        assert yandex.browse("GET", there, ACCEPT | credentials).status == 401
    assert yandex.violations == []
    assert yandex.browse("GET", there, ACCEPT | basic("tidewaiter", token)).status == 401 and sections(yandex) == ["11.5"]


def test_blobs_elsewhere(yandex):
    key = basic("json_key", yandex.key_files[yandex.users["full"]])
    manifest = yandex.browse("GET", f"{REGISTRY}/v2/{SHOP}/many/manifests/2.0", ACCEPT | key).document
    blob = yandex.browse("GET", f"{REGISTRY}/v2/{SHOP}/many/blobs/{manifest['config']['digest']}", key)
    assert blob.status == 307 and yandex.browse("GET", blob.headers["location"]).status == 200 and yandex.violations == []
