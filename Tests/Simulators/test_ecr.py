import base64
import datetime
import json

import pytest

from browser import basic, bearer
from simulators import sigv4
from simulators.v2 import MANIFEST_TYPES

HOST, API_HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "api.ecr.eu-west-1.amazonaws.com"
REGISTRY, API = "https://" + HOST, "https://" + API_HOST
ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


@pytest.fixture
def ecr(start):
    product = start("ecr")
    product.fill(repositories=101, tags=21)
    return product


def call(ecr, action, document=None, name="AKIAFULLRIGHTS000000", secret=None, content_type="application/x-amz-json-1.1"):
    body = json.dumps(document or {}).encode()
    now = datetime.datetime.fromtimestamp(ecr.clock.now(), datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    headers = {"content-type": content_type, "host": API_HOST, "x-amz-date": now,
               "x-amz-target": f"AmazonEC2ContainerRegistry_V20150921.{action}"}
    if ecr.accounts[name].kind == "session":
        headers["x-amz-security-token"] = ecr.session_token
    text = sigv4.canonical_request("POST", "/", headers, sorted(headers), sigv4.digest(body))
    signature = sigv4.signature(secret or ecr.accounts[name].secret, text, now, "eu-west-1", "ecr")
    authorization = f"AWS4-HMAC-SHA256 Credential={name}/{now[:8]}/eu-west-1/ecr/aws4_request, SignedHeaders={';'.join(sorted(headers))}, " \
                    f"Signature={signature}"
    return ecr.browse("POST", API + "/", {key.title(): value for key, value in headers.items()} | {"Authorization": authorization}, body)


def password(ecr, name="AKIAFULLRIGHTS000000"):
    data, = call(ecr, "GetAuthorizationToken", name=name).document["authorizationData"]
    user, _, value = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    assert user == "AWS" and data["proxyEndpoint"] == REGISTRY and isinstance(data["expiresAt"], float)
    return basic("AWS", value)


def sections(product):
    return [one.section for one in product.violations]


def everything(ecr, action, key, **document):
    found, token, pages = [], None, 0
    while pages == 0 or token is not None:
        page = call(ecr, action, document | ({"nextToken": token} if token else {})).document
        found, token, pages = found + page[key], page.get("nextToken"), pages + 1
    return found, pages


@pytest.mark.parametrize("size, last, pages", [("short", "absent", 11), ("full", "null", 1)])
def test_repositories(ecr, size, last, pages):
    ecr.set_knob("pages", size)
    ecr.set_knob("last-page", last)
    found, number = everything(ecr, "DescribeRepositories", "repositories", maxResults=1000)
    assert len({one["repositoryName"] for one in found}) == len(found) == 107 and number == pages
    assert found[0]["repositoryUri"] == HOST + "/shop/app-000" and ecr.violations == []


def test_images(ecr):
    found, pages = everything(ecr, "DescribeImages", "imageDetails", repositoryName="shop/many", filter={"tagStatus": "TAGGED"})
    assert pages == 3 and sorted(tag for one in found for tag in one["imageTags"]) == sorted(ecr.content.repositories["shop/many"].tags)
    found, _ = everything(ecr, "DescribeImages", "imageDetails", repositoryName="shop/multi")
    assert [one.get("imageTags") for one in found] == [["latest", "1.0"], None, None]
    tagged, _ = everything(ecr, "DescribeImages", "imageDetails", repositoryName="shop/multi", filter={"tagStatus": "TAGGED"})
    assert tagged == found[:1] and tagged[0]["imagePushedAt"] == ecr.content.repositories["shop/multi"].updated.timestamp() // 0.1 / 10
    archived, = everything(ecr, "DescribeImages", "imageDetails", repositoryName="shop/archive")[0]
    assert archived["imageStatus"] == "ARCHIVED"
    unknown = call(ecr, "DescribeImages", {"repositoryName": "shop/none"})
    assert (unknown.status, unknown.document["__type"]) == (400, "RepositoryNotFoundException") and ecr.violations == []


def test_rules_of_pull_through_caches(ecr):
    rule, = call(ecr, "DescribePullThroughCacheRules").document["pullThroughCacheRules"]
    assert rule["ecrRepositoryPrefix"] == "upstream"
    refused = call(ecr, "DescribePullThroughCacheRules", name="AKIAREADONLYRIGHTS00")
    assert (refused.status, refused.document["__type"]) == (400, "AccessDeniedException") and ecr.violations == []


@pytest.mark.parametrize("action, document, name, section", [
    ("DescribeRepositories", {"maxResults": 1001}, "InvalidParameterException", "1.2"),
    ("DescribeRepositories", {"nextToken": "made up"}, "InvalidParameterException", "11.1"),
    ("DescribeImages", {}, "InvalidParameterException", "11.1"),
    ("DeleteRepository", {}, "UnknownOperationException", "12"),
])
def test_bad_calls(ecr, action, document, name, section):
    answer = call(ecr, action, document)
    assert (answer.status, answer.document["__type"]) == (400, name) and sections(ecr) == [section]


def test_the_content_type_is_awss_own(ecr):
    call(ecr, "DescribeRepositories", content_type="application/json")
    assert sections(ecr) == ["11.1"]


def test_who_may_not(ecr):
    def refusal(**options):
        return call(ecr, "DescribeRepositories", **options).document["__type"]

    assert refusal(secret="wrong") == "InvalidSignatureException"
    assert refusal(name="AKIABLINDRIGHTS00000") == "AccessDeniedException"
    ecr.set_knob("pages", "full")
    answer = call(ecr, "DescribeRepositories", {"maxResults": 1000}, "AKIAMINIMUMRIGHTS000")
    assert {one["repositoryName"].partition("/")[0] for one in answer.document["repositories"]} == {"shop", "upstream"}
    assert call(ecr, "DescribeImages", {"repositoryName": "vault/private"}, "AKIAMINIMUMRIGHTS000").document["__type"] == "RepositoryNotFoundException"
    assert "repositories" in call(ecr, "DescribeRepositories", name="ASIATEMPORARYKEY0000").document
    ecr.session_ended.add("ASIATEMPORARYKEY0000")
    assert refusal(name="ASIATEMPORARYKEY0000") == "ExpiredTokenException" and ecr.violations == []


def test_pulls(ecr):
    first = ecr.browse("GET", f"{REGISTRY}/v2/")
    assert (first.status, first.headers["www-authenticate"]) == (401, f'Basic realm="{REGISTRY}/",service="ecr.amazonaws.com"')
    allowed = password(ecr)
    manifest = ecr.browse("GET", f"{REGISTRY}/v2/shop/many/manifests/2.0", ACCEPT | allowed).document
    there = f"{REGISTRY}/v2/shop/many/blobs/{manifest['config']['digest']}"
    blob = ecr.browse("GET", there, allowed)
    assert blob.status == 307 and ecr.browse("GET", blob.headers["location"]).status == 200
    assert ecr.browse("HEAD", there, allowed).status == 307
    ecr.set_knob("head-blob", "refused")
    assert ecr.browse("HEAD", there, allowed).status == 401
    assert ecr.browse("GET", f"{REGISTRY}/v2/vault/private/manifests/1.0", ACCEPT | password(ecr, "AKIAMINIMUMRIGHTS000")).status == 404
    ecr.clock.advance(12 * 3600 + 1)
    for status in (401, 403):
        ecr.set_knob("expired-password", str(status))
        answer = ecr.browse("GET", f"{REGISTRY}/v2/", allowed)
        assert answer.status == status and ("www-authenticate" in answer.headers) == (status == 401)
    assert ecr.violations == []


def test_the_key_is_not_for_the_registry(ecr):
    assert ecr.browse("GET", f"{REGISTRY}/v2/", basic("AKIAFULLRIGHTS000000", ecr.secret)).status == 401
    assert ecr.browse("GET", f"{REGISTRY}/v2/", bearer("x")).status == 401
    assert sections(ecr) == ["11.1"]


def test_names_by_v2(ecr):
    allowed = password(ecr)
    assert len(ecr.browse("GET", f"{REGISTRY}/v2/_catalog", allowed).document["repositories"]) == 100
    answer = ecr.browse("GET", f"{REGISTRY}/v2/shop/many/tags/list?n=10", allowed)
    assert len(answer.document["tags"]) == 10 and "last=2.178&n=10" in answer.headers["link"] and ecr.violations == []
    over = ecr.browse("GET", f"{REGISTRY}/v2/_catalog?n=1001", allowed)
    assert (over.status, over.document["errors"][0]["code"]) == (400, "UNSUPPORTED") and sections(ecr) == ["11.1"]


def test_limits(ecr):
    ecr.fault("status", on="repositories", status=429, times=2)
    assert call(ecr, "DescribeRepositories").document == {"__type": "ThrottlingException", "message": "Rate exceeded"}
    ecr.set_knob("throttle", "429")
    assert call(ecr, "DescribeRepositories").status == 429
    ecr.fault("status", on="manifest", status=429)
    limited = ecr.browse("GET", f"{REGISTRY}/v2/shop/many/manifests/2.0", ACCEPT | password(ecr))
    assert limited.document["errors"][0]["code"] == "TOOMANYREQUESTS"
