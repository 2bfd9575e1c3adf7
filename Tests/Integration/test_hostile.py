"""Registries that mean harm, against the real daemon; each test names its rows of the catalogue of hostile inputs."""
import json

import pytest

from support.daemon import CANARY
from support.images import image, layer, sha256
from support.manifests import config_of, descriptor, put_manifest
from support.packages import alpine
from support.samples import sample
from support.scripted import Reply

PASSWORD = "password-" + CANARY


def small(name="libalpha"):
    return sample(name=name)


@pytest.fixture
def registry(make_scripted):
    return make_scripted()


@pytest.fixture
def hostile(cli, registry, request):
    """The client with an integration `hostile`: whatever its registry did, its other images are scanned afterwards."""
    cli.add_integration("hostile", registry.url)
    registry.push("good/app", small(), "1")
    yield cli
    if not getattr(request.node, "failed_in_call", False):
        assert cli.scan("hostile/good/app:1")["packages"]


def job_of(cli, reference):
    cli.run("image", "add", reference, "--wait", code=None)
    return cli.job(reference)


# -- redirects

def test_storage_over_plain_http(cli, make_scripted, tls):
    """H11: from https nothing leads to plain HTTP."""
    secure, store = make_scripted(authority=tls), make_scripted()
    made = small()
    secure.push("team/app", made, "1")
    store.push("team/app", made)
    secure.on("GET", "/blobs/", lambda request: Reply(307, (("Location", store.url + request.path),)))
    cli.add_integration("downgraded", secure.url, "--ca-file", tls.ca)
    cli.run("image", "add", "downgraded/team/app:1", "--wait", code=None)
    job = cli.job("downgraded/team/app:1")
    assert job["error"]["code"] == "REDIRECT_REFUSED" and "plain HTTP" in job["error"]["message"], job
    assert store.requests() == []


@pytest.mark.parametrize("target", [
    "http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/x", "http://0.0.0.0/x", "http://[::ffff:169.254.169.254]/x"])
def test_storage_at_an_address_that_is_nobodys_business(hostile, registry, target):
    """H12: nothing is sent there, and it is not tried again."""
    registry.push("away/app", small("libaway"), "1")
    registry.on("GET", "/v2/away/app/blobs/", lambda _: Reply(307, (("Location", target),)))
    job = job_of(hostile, "hostile/away/app:1")
    assert job["state"] == "error" and job["error"]["code"] == "ADDRESS_REFUSED" and job["attempt"] == 1, job


# -- in passing, and not

def test_refusals_by_turns(hostile, registry):
    """H14: 500 and 200 by turns end well; the registry is asked a bounded number of times."""
    turns = iter(range(10**9))
    registry.on("GET|HEAD", "/v2/good/app/(manifests|blobs|tags)", lambda _: Reply(500) if next(turns) % 2 == 0 else None)
    registry.forget()
    assert hostile.scan("hostile/good/app:1")["packages"]
    assert len(registry.requests()) < 40


@pytest.mark.parametrize("wait", ["999999999", "Fri, 01 Jan 2200 00:00:00 GMT"])
def test_a_registry_that_wants_to_be_left_alone(cli, registry, make_scripted, wait):
    """H13: bounded, shown, and no reason to keep other integrations waiting."""
    other = make_scripted()
    for one in (registry, other):
        one.push("team/app", small(), "1")
    registry.on("GET|HEAD", "/v2/team/app/", lambda _: Reply(429, (("Retry-After", wait),)))
    cli.add_integration("busy", registry.url)
    cli.add_integration("idle", other.url)
    cli.run("integration", "poll", "busy", "--wait", code=None)
    asked = len(registry.requests(pattern="/v2/team/app/"))
    assert 1 <= asked <= 3
    outcome = cli.fails("image", "add", "busy/team/app:1")
    assert "RATE_LIMITED" in outcome.err or "no more requests" in outcome.err or "limit" in outcome.err
    assert len(registry.requests(pattern="/v2/team/app/")) == asked, "it was asked though it said when"
    shown = cli("integration", "show", "busy")
    assert shown["budget"]["throttledUntil"]
    assert cli.scan("idle/team/app:1")["packages"]


# -- manifests

def test_foreign_layers_are_not_fetched(hostile, registry, make_scripted):
    """H29: a layer that a manifest places elsewhere is not read, and the report says so."""
    thief = make_scripted(host="127.0.0.2")
    here, away = layer(alpine(("libforeign", "1.0-r0"))), layer(alpine(("libaway", "1.0-r0")))
    put_manifest(registry, "foreign/app", "1", config_of(here, away), [
        descriptor(here.blob), descriptor(away.blob, "application/vnd.oci.image.layer.nondistributable.v1.tar",
                                          urls=[thief.url + "/layer"])], [here.blob])
    report = hostile.scan("hostile/foreign/app:1")
    assert thief.requests() == []
    assert [one["name"] for one in report["packages"]] == ["libforeign"]
    assert "FOREIGN_LAYER" in {one["id"] for one in report["findings"]}


@pytest.mark.parametrize("change", [-1, 0, 1, 10**6])
def test_descriptor_of_another_size(hostile, registry, change):
    """H52: the size of a layer is what its descriptor says, or the image is refused."""
    only = layer(alpine(("libsize", "1.0-r0")))
    size = len(only.blob) + change if change else 0
    put_manifest(registry, "size/app", "1", config_of(only), [descriptor(only.blob, size=size)], [only.blob])
    job = job_of(hostile, "hostile/size/app:1")
    assert job["state"] == "error" and job["attempt"] == 1 and job["error"]["code"] == "SIZE_MISMATCH", job


@pytest.mark.parametrize("config", [b"not JSON", b"[]", b"{}" + b" " * 10, b'{"os":7}'])
def test_config_that_is_none(hostile, registry, config):
    """H53: refused, or scanned without what it does not say; never tried again."""
    made = small("libconfig")
    blob = made.layers[0].blob
    put_manifest(registry, "config/app", "1", config, [descriptor(blob)], [blob])
    job = job_of(hostile, "hostile/config/app:1")
    assert job["state"] in ("error", "finished") and job["attempt"] == 1, job


def test_config_that_is_missing(hostile, registry):
    """H53."""
    only = layer(alpine(("libgone", "1.0-r0")))
    config = config_of(only)
    put_manifest(registry, "gone/app", "1", config, [descriptor(only.blob)], [only.blob])
    del registry.blobs["gone/app", sha256(config)]
    job = job_of(hostile, "hostile/gone/app:1")
    assert job["state"] == "error" and job["attempt"] == 1 and job["error"]["code"] == "NOT_FOUND", job


def test_no_layer_and_one_layer_many_times(hostile, registry):
    """H51: an image may have no layer, or the same one 500 times, which is fetched once."""
    only = layer(alpine(("libsame", "1.0-r0")))
    put_manifest(registry, "layers/none", "1", config_of(), [])
    put_manifest(registry, "layers/same", "1", config_of(*[only] * 500), [descriptor(only.blob)] * 500, [only.blob])
    assert hostile.scan("hostile/layers/none:1")["packages"] == []
    assert [one["name"] for one in hostile.scan("hostile/layers/same:1")["packages"]] == ["libsame"]
    assert len(registry.requests("GET", f"/v2/layers/same/blobs/{sha256(only.blob)}$")) == 1


def test_layers_that_the_config_does_not_know(hostile, registry):
    """H51: a config that counts otherwise than the manifest is a finding."""
    only = layer(alpine(("libcounted", "1.0-r0")))
    put_manifest(registry, "layers/odd", "1", config_of(only, only), [descriptor(only.blob)], [only.blob])
    report = hostile.scan("hostile/layers/odd:1")
    assert [one["name"] for one in report["packages"]] == ["libcounted"]
    assert "DIFF_IDS_MISMATCH" in {one["id"] for one in report["findings"]}


@pytest.mark.parametrize("head, name", [(b"\xfd7zXZ\0\0", "xz"), (b"BZh91AY&SY", "bzip2"), (b"\x04\x22\x4d\x18", "lz4")])
def test_layers_packed_as_none_is_read(hostile, registry, head, name):
    """H56: never silence: the report says that it is partial, and what the layer is."""
    packed, known = head + b"\0" * 500, layer(alpine(("libknown", "1.0-r0")))
    put_manifest(registry, f"packed/{name}", "1", config_of(known, known), [
        descriptor(known.blob), descriptor(packed, f"application/vnd.oci.image.layer.v1.tar+{name}")], [known.blob, packed])
    report = hostile.scan(f"hostile/packed/{name}:1")
    assert [one["name"] for one in report["packages"]] == ["libknown"]
    found = [one for one in report["findings"] if "compress" in json.dumps(one).lower()]
    assert found, report["findings"]


def test_a_config_that_talks_too_much(hostile, registry):
    """H54: what a config says is data, bounded and harmless in every output."""
    only = layer(alpine(("libloud", "1.0-r0")))
    config = json.dumps({
        "os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [only.diff_id]},
        "history": [{"created_by": "\x1b[2J<script>" + "x" * (5 << 20)}],
        "config": {"User": "\x1b[31mroot\n", "Env": ["A=\x1b]0;title\x07"], "Labels": {"<b>": "$(reboot)\r\n"}},
    }).encode()
    put_manifest(registry, "loud/app", "1", config, [descriptor(only.blob)], [only.blob])
    report = hostile.scan("hostile/loud/app:1")
    assert [one["name"] for one in report["packages"]] == ["libloud"]
    for output in ("json", "table"):
        shown = hostile.run("image", "report", "hostile/loud/app:1", "-o", output).out
        assert not set(shown) & {"\x1b", "\x07", "\r"} and len(shown) < 200_000


def test_tag_that_moves_between_two_looks(hostile, registry):
    """H39: what was read, and its digest, are what counts."""
    first, second = small("libfirst"), small("libsecond")
    registry.push("moving/app", second)
    registry.push("moving/app", first, "1")
    moved = []

    def move(request):
        if request.command == "HEAD" and not moved:
            moved.append(True)
            answer = registry.usual(request, "")
            registry.repositories["moving/app"]["1"] = second.digest
            return answer
        return None

    registry.on("HEAD|GET", "/v2/moving/app/manifests/1$", move)
    report = hostile.scan("hostile/moving/app:1")
    names = {one["name"] for one in report["packages"]}
    assert names in ({"libfirst"}, {"libsecond"})


def test_repository_that_vanishes_in_a_poll(hostile, registry):
    """H39: recorded, and the others are polled."""
    registry.push("vanished/app", small(), "1")
    registry.on("GET", "/v2/vanished/app/tags/list", lambda _: registry.error(404, "NAME_UNKNOWN"))
    hostile.run("integration", "poll", "hostile", "--wait", code=None)
    assert any(job["reference"].startswith("hostile/good/app") for job in hostile.jobs())
    assert not any(job["reference"].startswith("hostile/vanished") for job in hostile.jobs())


def test_broken_blob_goes_on(hostile, registry):
    """H01: a connection that breaks in the middle of a layer is no reason to begin anew."""
    made = image([layer(alpine(("libbroken", "1.0-r0")) | {"data": "x" * 300_000}, compression=None)])
    registry.push("broken/app", made, "1")
    digest = made.layers[0].digest
    data = made.layers[0].blob
    asked = []

    def breaks(request):
        where = request.headers.get("Range", "")
        asked.append(where)
        start = int(where[len("bytes="):].rstrip("-") or 0) if where else 0
        status = 206 if where else 200
        request.send_response(status)
        request.send_header("Content-Length", str(len(data) - start))
        if where:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.end_headers()
        request.wfile.write(data[start:start + 120_000])
        request.wfile.flush()
        request.connection.shutdown(2)
        request.close_connection = True
        raise ConnectionAbortedError

    registry.on("GET", f"/v2/broken/app/blobs/{digest}", breaks)
    report = hostile.scan("hostile/broken/app:1")
    assert [one["name"] for one in report["packages"]] == ["libbroken"]
    assert asked[0] == "" and all(one.startswith("bytes=") for one in asked[1:]) and len(asked) >= 3, asked
    assert hostile.job("hostile/broken/app:1")["attempt"] == 1
