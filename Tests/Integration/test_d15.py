"""D15: what is cached by digest serves a repository only after that repository has confirmed it."""
import pytest

from support.daemon import CANARY
from support.images import Image, image, index, layer, sha256
from support.packages import alpine
from support.scripted import Reply

SECRET_PACKAGE = "libsecret"


@pytest.fixture
def private(make_scripted):
    """A registry on which `ann` may read team/private, and `bob` only his own repository."""
    return make_scripted(accounts={"ann": ("ann" + CANARY, ["team/private"]), "bob": ("bob" + CANARY, ["bob/own"])})


@pytest.fixture
def secret(private):
    made = image([layer(alpine((SECRET_PACKAGE, "1.0-r0")))])
    private.push("team/private", made, "1")
    return made


@pytest.fixture
def two(cli, private, secret):
    """The client, after ann has scanned her image: everything of it is cached."""
    cli.add_integration("ann", private.url, username="ann", password="ann" + CANARY)
    cli.add_integration("bob", private.url, username="bob", password="bob" + CANARY)
    report = cli.scan("ann/team/private:1")
    assert [one["name"] for one in report["packages"]] == [SECRET_PACKAGE]
    return cli


def reveals(document):
    return SECRET_PACKAGE in str(document)


def test_naming_a_foreign_manifest_reveals_nothing(two, private, secret):
    for repository in ("team/private", "bob/own"):
        outcome = two.run("image", "add", f"bob/{repository}@{secret.digest}", code=1)
        unknown = two.run("image", "add", f"bob/{repository}@sha256:{'0' * 64}", code=1)
        assert not reveals(outcome.err)
        # The answer does not tell an image that exists elsewhere from one that does not.
        assert outcome.error["code"] == unknown.error["code"]
    outcome = two.run("image", "report", f"bob/team/private@{secret.digest}", code=1)
    assert not reveals(outcome.out + outcome.err)


def test_a_manifest_of_foreign_layers_reveals_nothing(two, private, secret):
    """Bob pushes a manifest of his own that names ann's layer, which the registry does not have in his repository."""
    own = image(secret.layers, config={"author": "bob"})
    config = next(digest for digest in own.blobs if digest != secret.layers[0].digest)
    private.push("bob/own", Image(own.manifest, own.media_type, {config: own.blobs[config]}), "1")
    two.run("image", "add", "bob/bob/own:1", "--wait", code=3)
    job = two.job("bob/bob/own")
    assert job["state"] == "error" and job["error"]["code"] and job["error"]["message"]
    assert not reveals(two.run("queue", "list").out + two.run("image", "list").out)
    assert not reveals(two.run("image", "report", "bob/bob/own:1", code=None).out)


def test_a_manifest_of_a_foreign_config_reveals_nothing(two, private, secret):
    own = layer({"bob": "his own"})
    document = image([own])
    document.manifest = document.manifest.replace(
        sha256(next(iter(document.blobs.values()))).encode(), next(iter(secret.blobs)).encode())
    private.push("bob/own", Image(document.manifest, document.media_type, {own.digest: own.blob}), "1")
    two.run("image", "add", "bob/bob/own:1", "--wait", code=3)
    assert two.job("bob/bob/own")["state"] == "error"


def test_an_index_of_foreign_children_reveals_nothing(two, private, secret):
    document = index([secret])
    private.push("bob/own", Image(document.manifest, document.media_type), "1")
    two.run("image", "add", "bob/bob/own:1", "--wait", code=None)
    assert not reveals(two.run("queue", "list").out + two.run("image", "list").out)
    assert not reveals(two.run("image", "report", "bob/bob/own:1", code=None).out)


def test_a_confirmed_layer_is_used_without_being_fetched(two, private, secret):
    """Bob has the layer in his repository: a HEAD says so, and its analysis is used."""
    private.push("bob/own", image(secret.layers, config={"author": "bob"}), "1")
    private.forget()
    report = two.scan("bob/bob/own:1")
    digest = secret.layers[0].digest
    assert [one["name"] for one in report["packages"]] == [SECRET_PACKAGE]
    assert [one["cached"] for one in report["layers"]] == [True]
    asked = private.requests(pattern=f"/v2/bob/own/blobs/{digest}")
    assert [one.method for one in asked] == ["HEAD"]
    assert {one.authorization for one in private.requests()} <= {"", asked[0].authorization}, "ann's credential was used for bob"


def test_where_head_is_refused_a_get_confirms(two, private, secret):
    private.push("bob/own", image(secret.layers, config={"author": "bob"}), "1")
    private.on("HEAD", "/v2/bob/own/blobs/", lambda _: Reply(405))
    private.forget()
    report = two.scan("bob/bob/own:1")
    assert [one["name"] for one in report["packages"]] == [SECRET_PACKAGE]
    assert private.requests("GET", f"/v2/bob/own/blobs/{secret.layers[0].digest}")


def test_where_head_and_get_are_refused_nothing_is_used(two, private, secret):
    private.push("bob/own", image(secret.layers, config={"author": "bob"}), "1")
    digest = secret.layers[0].digest
    private.on("HEAD", f"/v2/bob/own/blobs/{digest}", lambda _: Reply(405))
    private.on("GET", f"/v2/bob/own/blobs/{digest}", lambda _: private.error(403, "DENIED"))
    two.run("image", "add", "bob/bob/own:1", "--wait", code=3)
    assert two.job("bob/bob/own")["state"] == "error"
    assert not reveals(two.run("image", "report", "bob/bob/own:1", code=None).out)


def test_a_report_of_a_revoked_repository_is_not_made_anew(two, private, secret):
    """Ann loses the right to read: a second image of the same layers in that repository is refused like the first fetch."""
    private.push("team/private", image(secret.layers, config={"author": "later"}), "2")
    private.accounts["ann"] = ("ann" + CANARY, [])
    outcome = two.run("image", "add", "ann/team/private:2", code=1)
    assert not reveals(outcome.err)
