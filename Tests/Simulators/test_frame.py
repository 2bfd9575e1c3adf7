"""What all simulators share: hosts, faults, judging, the control address, the registry behind."""
import http.client
import socket

import pytest
from support.images import image, layer

from browser import basic, bearer
from simulators.faults import Fault, page
from simulators.server import Response
from simulators.simulator import Refusal, Simulator, route
from simulators.v2 import MANIFEST_TYPES, Distribution, Scope, bearer_challenge, error

ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


class Example(Distribution, Simulator):
    vendor = "example"
    hosts = {"registry": "registry.example.test", "auth": "auth.example.test", "store": "store.example.test"}
    knobs = {"colour": ("red", "green")}
    blob_host = None

    def prepare(self):
        self.pulls = self.tokens(300)
        self.account("reader")

    @route("GET", "/token", name="token", role="auth")
    def token(self, request):
        account = self.login(request)
        if account is None:
            return error(401, "UNAUTHORIZED")
        scope, = self.scopes(request)
        return Response.json({"token": self.grant(request, self.pulls, account, scope).value})

    @route("GET|HEAD", "/v2/(.+)/manifests/([^/]+)", name="manifest", role="registry")
    def manifest(self, request, name, reference):
        return self.v2_manifest(request, name, reference)

    @route("GET|HEAD", "/v2/(.+)/blobs/([^/]+)", name="blob", role="registry")
    def blob(self, request, name, digest):
        return self.v2_blob(request, name, digest)

    @route("GET|HEAD", "/(.+)/(sha256:[^/]+)", name="stored", role="store")
    def stored(self, request, upstream, digest):
        return self.stored_blob(request, upstream, digest)

    @route("GET", "/v2/(.+)/tags/list", name="tags", role="registry")
    def tags(self, request, name):
        return self.v2_tags(request, name)

    def v2_repository(self, request, name):
        token = self.token_of(request, self.pulls)
        if token is None or token.claims["scope"] != Scope("repository", name, ("pull",)):
            raise Refusal(error(401, "UNAUTHORIZED", headers=[bearer_challenge(self.url("auth") + "/token", "r", f"repository:{name}:pull")]))
        request.account = token.account
        return self.content.repositories[name]


REGISTRY, AUTH = "https://registry.example.test", "https://auth.example.test"


def token(product, name="frame/app", secret=None):
    answer = product.browse("GET", f"{AUTH}/token?service=r&scope=repository:{name}:pull", basic("reader", secret or product.secret))
    return bearer(answer.document["token"]) if answer.status == 200 else answer


@pytest.fixture
def product(start, small):
    product = start(Example)
    product.digest = product.content.push("frame/app", small(), *(f"1.{number}" for number in range(7)))
    return product


def rules(product):
    return [(one.section, one.rule.split(":")[0]) for one in product.violations]


def test_a_pull_goes_through(product):
    challenged = product.browse("GET", f"{REGISTRY}/v2/frame/app/manifests/1.0", ACCEPT)
    assert challenged.status == 401 and 'realm="https://auth.example.test/token"' in challenged.headers["www-authenticate"]
    allowed = token(product)
    answer = product.browse("GET", f"{REGISTRY}/v2/frame/app/manifests/1.0", ACCEPT | allowed)
    assert answer.status == 200 and answer.headers["docker-content-digest"] == product.digest
    head = product.browse("HEAD", f"{REGISTRY}/v2/frame/app/manifests/1.0", ACCEPT | allowed)
    assert head.headers["content-length"] == str(len(answer.body)) and head.body == b""
    config = answer.document["config"]["digest"]
    assert len(product.browse("GET", f"{REGISTRY}/v2/frame/app/blobs/{config}", allowed).body) == answer.document["config"]["size"]
    part = product.browse("GET", f"{REGISTRY}/v2/frame/app/blobs/{config}", allowed | {"Range": "bytes=5-"})
    assert part.status == 206 and len(part.body) == answer.document["config"]["size"] - 5
    assert product.violations == []


def test_a_large_blob_is_streamed(product):
    made = image([layer({"bin/large": bytes(range(256)) * 8192}, compression="none")])
    product.content.push("frame/large", made, "1")
    digest = made.layers[0].digest
    answer = product.browse("GET", f"{REGISTRY}/v2/frame/large/blobs/{digest}", token(product, "frame/large"))
    assert answer.body == made.layers[0].blob


def test_blobs_elsewhere_take_no_authorization(product):
    product.blob_host = "store"
    allowed = token(product)
    config = product.browse("GET", f"{REGISTRY}/v2/frame/app/manifests/1.0", ACCEPT | allowed).document["config"]
    moved = product.browse("GET", f"{REGISTRY}/v2/frame/app/blobs/{config['digest']}", allowed)
    assert moved.status == 307
    assert len(product.browse("GET", moved.headers["location"]).body) == config["size"]
    assert product.browse("GET", moved.headers["location"].partition("?")[0]).status == 403
    assert product.violations == []
    assert product.browse("GET", moved.headers["location"], allowed).status == 400
    assert rules(product) == [("3.8", "authorization was sent on to the object store")]


@pytest.mark.parametrize("headers, rule", [
    ({"Cookie": "sid=1"}, ("5.5", "a stored cookie was sent")),
    ({"User-Agent": None}, ("4.2", "no User-Agent")),
    ({"Host": "elsewhere.example.test"}, ("0", "example has no host elsewhere.example.test")),
    ({"Host": "auth.example.test"}, ("0", "TLS was opened for registry.example.test")),
    ({"Accept": MANIFEST_TYPES[0]}, ("3.6", "the first Accept line does not list " + ", ".join(MANIFEST_TYPES[1:]))),
])
def test_what_is_sent_is_judged(product, headers, rule):
    product.browse("GET", f"{REGISTRY}/v2/frame/app/manifests/1.0", ACCEPT | token(product) | headers)
    assert rule in rules(product)


@pytest.mark.parametrize("method, target, status, rule", [
    ("GET", "/nowhere", 404, ("12", "no such address is known of this product")),
    ("GET", "/v2/frame/app/manifests/-x", 400, ("3.4", "neither a tag nor a digest")),
    ("GET", "/v2/frame/app/tags/list?n=x", 400, ("1.2", "n=x is not a number up to 1000")),
])
def test_bad_requests_are_violations(product, method, target, status, rule):
    assert product.browse(method, REGISTRY + target, ACCEPT | token(product)).status == status
    assert rules(product) == [rule]


def test_only_reading_is_asked_for(product):
    answer = product.browse("GET", f"{AUTH}/token?scope=repository:frame/app:pull,push", basic("reader", product.secret))
    assert answer.status == 200 and rules(product) == [("3.2", "asks for more than it needs")]


def test_wrong_credentials_are_to_be_given_up(product):
    for _ in range(12):
        assert token(product, secret="wrong").status == 401
    assert rules(product) == [("3.10", "credentials that were refused 12 times are still tried")]


def test_a_token_for_each_request_is_too_many(product):
    for _ in range(25):
        token(product)
    assert rules(product) == [("3.2", "a new token for each request, while older ones are good")]


def test_tokens_expire(product):
    allowed = token(product)
    product.clock.advance(299)
    assert product.browse("GET", f"{REGISTRY}/v2/frame/app/tags/list", allowed).status == 200
    product.clock.advance(2)
    assert product.browse("GET", f"{REGISTRY}/v2/frame/app/tags/list", allowed).status == 401
    assert product.browse("GET", f"{REGISTRY}/v2/frame/app/tags/list", bearer("made up")).status == 401


def walk(product, limit=6):
    allowed, found, target = token(product), [], "/v2/frame/app/tags/list?n=3"
    for _ in range(limit):
        answer = product.browse("GET", REGISTRY + target, allowed)
        found.append([tag[2:] for tag in answer.document["tags"]])
        if "link" not in answer.headers:
            return found
        target = answer.headers["link"].partition(">")[0][1:]
    return found + ["and so on"]


@pytest.mark.parametrize("kind, after, pages", [
    (None, 0, [["0", "1", "2"], ["3", "4", "5"], ["6"]]),
    ("loop", 1, [["0", "1", "2"], ["0", "1", "2"], ["0", "1", "2"], ["0", "1", "2"], ["0", "1", "2"], ["0", "1", "2"], "and so on"]),
    ("repeat", 0, [["0", "1", "2"], ["2", "3", "4"], ["5", "6"]]),
    ("shrink", 0, [["0", "1", "2"], ["3", "4", "5"], ["6"]]),
    ("end", 1, [["0", "1", "2"], []]),
])
def test_listings_are_bent(product, kind, after, pages):
    if kind:
        product.fault(kind, on="tags", after=after)
    assert walk(product) == pages


def numbered(fault):
    """The pages of a listing of ten, by threes, and the totals they tell."""
    pages, totals, start = [], [], 0
    while start is not None:
        one = page(list(range(10)), start, 3, fault)
        pages.append(one.items)
        totals.append(one.total)
        start = one.next
    return pages, totals


def test_what_is_added_meanwhile_repeats_an_entry():
    pages, totals = numbered(Fault("repeat"))
    assert (pages, totals) == ([[0, 1, 2], [2, 3, 4], [5, 6, 7], [8, 9]], [10, 11, 11, 11])


def test_what_is_removed_meanwhile_hides_another_until_the_page_is_read_again():
    fault = Fault("shrink")
    pages, totals = numbered(fault)
    assert (pages, totals) == ([[0, 1, 2], [4, 5, 6], [7, 8, 9]], [10, 9, 9])
    assert page(list(range(10)), 0, 3, fault).items == [1, 2, 3]


def test_faults_strike_where_they_are_told(product):
    allowed = token(product)
    product.fault("status", on="tags", after=1, times=2, status=503)
    answers = [product.browse("GET", f"{REGISTRY}/v2/frame/app/tags/list", allowed).status for _ in range(4)]
    assert answers == [200, 503, 503, 200]
    product.fault("expire", on="tags")
    assert product.browse("GET", f"{REGISTRY}/v2/frame/app/tags/list", allowed).status == 401
    allowed = token(product)
    product.fault("truncate", on="tags")
    with pytest.raises(http.client.IncompleteRead):
        product.browse("GET", f"{REGISTRY}/v2/frame/app/tags/list", allowed)
    product.fault("garbage", on="tags")
    assert product.browse("GET", f"{REGISTRY}/v2/frame/app/tags/list", allowed).body.startswith(b"<html>")
    assert product.browse("GET", f"{REGISTRY}/v2/frame/app/tags/list", allowed).status == 200


def test_retry_after_is_to_be_kept(product, monkeypatch):
    monkeypatch.setattr("simulators.simulator.UNDER_WAY_SECONDS", 0)
    allowed = token(product)
    product.fault("status", on="tags", status=429, retry_after=60)
    first = product.browse("GET", f"{REGISTRY}/v2/frame/app/tags/list", allowed)
    assert (first.status, first.headers["retry-after"]) == (429, "60") and product.violations == []
    product.browse("GET", f"{REGISTRY}/v2/frame/app/tags/list", allowed)
    assert rules(product) == [("3.10", "asked again before Retry-After had passed")]


def test_control(product):
    there = f"{REGISTRY}/_sim/"
    assert product.browse("POST", there + "faults", body={"kind": "status", "on": "tags", "status": 500}).document == {"done": True}
    assert product.browse("GET", there).document["faults"][0]["status"] == 500
    assert product.browse("POST", there + "faults", body={"kind": "mischief"}).status == 400
    assert product.browse("POST", there + "knobs", body={"colour": "blue"}).status == 400
    product.browse("POST", there + "knobs", body={"colour": "green"})
    assert product.browse("GET", there).document["set"] == {"colour": "green"}
    allowed = token(product)
    product.browse("POST", there + "advance", body={"seconds": 301})
    assert product.browse("GET", f"{REGISTRY}/v2/frame/app/manifests/1.1", ACCEPT | allowed).status == 401
    assert product.browse("GET", there + "log").document["log"][-1]["status"] == 401
    product.browse("DELETE", there)
    assert (product.faults, product.log, product.violations, product.knob) == ([], [], [], {"colour": "red"})


def test_content_is_learnt_from_the_registry(product, start):
    other = start(Example)
    other.content.learn()
    learnt = other.content.repositories["frame/app"]
    assert learnt.tags["1.0"].digest == product.digest
    assert learnt.tags["1.0"].manifest.created == "2024-01-02T03:04:05Z"


def test_what_is_no_request_is_a_violation(start):
    product = start(Example, tls=False)
    with socket.create_connection(("127.0.0.1", product.port)) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    assert rules(product) == [("3", "no well-formed HTTP/1.1 request")]


def test_keep_alive(start):
    product = start(Example, tls=False)
    connection = http.client.HTTPConnection("127.0.0.1", product.port)
    for _ in range(3):
        connection.request("GET", "/v2/a/tags/list", headers={"Host": "registry.example.test", "User-Agent": "x"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 401 and not answer.will_close
