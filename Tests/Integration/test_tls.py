"""TLS against a real nginx: who is trusted, who is not and what is said of it, client certificates, connections."""
import os

import pytest

from support.daemon import CANARY
from support.images import image, layer
from support.nginx import PROGRAM, Nginx
from support.packages import alpine
from support.tls import authority, openssl, self_signed

PASSWORD = "password-" + CANARY

pytestmark = pytest.mark.skipif(not os.access(PROGRAM, os.X_OK), reason="nginx is not installed (nginx-light)")


@pytest.fixture(scope="module")
def clients_authority(tmp_path_factory):
    """The authority of client certificates."""
    return authority(tmp_path_factory.mktemp("clients"), "clients")


@pytest.fixture(scope="module")
def nginx(tmp_path_factory, registry, tls, clients_authority):
    folder = tmp_path_factory.mktemp("nginx")
    registry.push("tls/app", image([layer(alpine(("libalpha", "1.0-r0")))]), "1")
    servers = {
        "good": (tls,), "expired": (tls.issue("expired", days=-1),), "elsewhere": (tls.issue("elsewhere", "DNS:elsewhere.test"),),
        "self-signed": (self_signed(folder),), "private": (tls, clients_authority),
    }
    with Nginx(folder, registry.url, servers) as running:
        yield running


def tls_step(cli, name, code):
    return next(step for step in cli.run("integration", "test", name, code=code).document["steps"] if step["name"] == "tls")


def works(cli, name):
    assert tls_step(cli, name, 0)["outcome"] == "ok"
    assert cli.scan(f"{name}/tls/app:1")["packages"]


def fails(cli, name, *words):
    """The test names the step and the reasons; a scan is not tried twice."""
    step = tls_step(cli, name, 1)
    said = step["detail"] + " " + step.get("hint", "")
    assert step["outcome"] == "failed" and all(word in said for word in words), said
    outcome = cli.fails("image", "add", f"{name}/tls/app:1")
    assert "TLS_FAILED" in outcome.err or "certificate" in outcome.err
    return said


# -- the matrix (H17)

def test_public_authority(make_daemon, nginx, tls):
    """What the system trusts, told by SSL_CERT_FILE, is enough by itself."""
    cli = make_daemon(environment={"SSL_CERT_FILE": str(tls.ca)}).start().cli
    cli.add_integration("public", nginx.url("good"))
    works(cli, "public")


def test_authorities_of_the_system_in_a_folder(make_daemon, nginx, tls, tmp_path):
    digest = openssl("x509", "-in", tls.ca, "-noout", "-hash").decode().strip()
    (tmp_path / f"{digest}.0").write_bytes(tls.ca.read_bytes())
    cli = make_daemon(environment={"SSL_CERT_DIR": str(tmp_path)}).start().cli
    cli.add_integration("folder", nginx.url("good"))
    works(cli, "folder")


def test_broken_authorities_of_the_system(make_daemon, nginx, tls, tmp_path):
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    cli = make_daemon(environment={"SSL_CERT_FILE": str(broken)}).start().cli
    cli.add_integration("broken", nginx.url("good"), "--ca-file", tls.ca)
    fails(cli, "broken", str(broken))


def test_own_authority(cli, nginx, tls):
    cli.add_integration("own", nginx.url("good"), "--ca-file", tls.ca)
    works(cli, "own")
    detail = tls_step(cli, "own", 0)["detail"]
    assert "test authority" in detail and "127.0.0.1" in detail, "the certificate is described"


def test_own_authority_beside_those_of_the_system(make_daemon, nginx, tls, other_tls):
    cli = make_daemon(environment={"SSL_CERT_FILE": str(tls.ca)}).start().cli
    cli.add_integration("beside", nginx.url("good"), "--ca-file", other_tls.ca)
    works(cli, "beside")


def test_unknown_authority(cli, nginx, other_tls):
    cli.add_integration("none", nginx.url("good"))
    cli.add_integration("wrong", nginx.url("good"), "--ca-file", other_tls.ca)
    for name in ("none", "wrong"):
        fails(cli, name, "local issuer", "test authority", "CN=server", "--ca-file")


def test_self_signed(cli, nginx):
    """--insecure of one integration changes no other."""
    cli.add_integration("loose", nginx.url("self-signed"), "--insecure")
    works(cli, "loose")
    cli.add_integration("strict", nginx.url("self-signed"))
    fails(cli, "strict", "self-signed", "--ca-file", "--insecure")
    works(cli, "loose")
    assert "--insecure" in tls_step(cli, "loose", 0)["detail"]
    shown = cli.run("integration", "show", "loose", output=None).out
    assert "not verified" in shown
    cli.add_integration("pinned", nginx.url("self-signed"), "--ca-file", nginx.servers["self-signed"][0].certificate)
    works(cli, "pinned")


def test_expired(cli, nginx, tls):
    cli.add_integration("expired", nginx.url("expired"), "--ca-file", tls.ca)
    fails(cli, "expired", "expired", "valid from", "clock")
    cli.add_integration("expired-loose", nginx.url("expired"), "--insecure")
    works(cli, "expired-loose")


def test_wrong_host(cli, nginx, tls):
    cli.add_integration("elsewhere", nginx.url("elsewhere"), "--ca-file", tls.ca)
    fails(cli, "elsewhere", "is not for the name 127.0.0.1", "elsewhere.test")


def test_mapped_host_keeps_its_name(make_daemon, nginx, tls, tmp_path):
    """`resolve` changes where a host is, and nothing of what it must prove."""
    port = nginx.ports["elsewhere"]
    settings = tmp_path / "settings.yaml"
    settings.write_text(f'resolve:\n  - "elsewhere.test:443=127.0.0.1:{port}"\n  - "stranger.test:443=127.0.0.1:{port}"\n')
    cli = make_daemon("--config", str(settings)).start().cli
    cli.add_integration("mapped", "https://elsewhere.test", "--ca-file", tls.ca)
    works(cli, "mapped")
    cli.add_integration("stranger", "https://stranger.test", "--ca-file", tls.ca)
    fails(cli, "stranger", "is not for the name stranger.test", "elsewhere.test")
    assert cli("status")["resolve"] == [f"elsewhere.test:443=127.0.0.1:{port}", f"stranger.test:443=127.0.0.1:{port}"]
    assert f"elsewhere.test:443=127.0.0.1:{port}" in cli.run("status", output=None).out


@pytest.mark.parametrize("entry, word", [
    ("elsewhere.test", "form"), ("a:1=127.0.0.1", "port"), ("a:0=127.0.0.1:1", "port"), ("a:1=name:1", "IP address"),
    ("a:1=127.0.0.1:99999", "port"), ("a/b:1=127.0.0.1:1", "host"), ("u@a:1=127.0.0.1:1", "host"), ("=", "port"),
])
def test_mappings_that_cannot_be_are_refused(make_daemon, tmp_path, entry, word):
    settings = tmp_path / "settings.yaml"
    settings.write_text(f'resolve: ["ok.test:443=127.0.0.1:1", "{entry}"]\n')
    text = make_daemon("--config", str(settings)).refuses_to_start()
    assert "resolve[1]" in text and word in text


# -- client certificates

def test_client_certificate(cli, nginx, tls, clients_authority):
    pair = clients_authority.issue("scanner")
    cli.add_integration("without", nginx.url("private"), "--ca-file", tls.ca)
    outcome = cli.run("integration", "test", "without", code=1).document["steps"]
    assert any("--client-cert" in step.get("hint", "") for step in outcome if step["outcome"] == "failed"), outcome
    cli.add_integration("with", nginx.url("private"), "--ca-file", tls.ca, "--client-cert", pair.certificate,
                        "--client-key", pair.key)
    works(cli, "with")
    assert {one.client for one in nginx.requests("private") if one.path.startswith("/v2/tls")} == {"CN=scanner"}


def test_client_certificate_of_a_stranger(cli, nginx, tls, other_tls):
    pair = other_tls.issue("stranger")
    cli.add_integration("stranger", nginx.url("private"), "--ca-file", tls.ca, "--client-cert", pair.certificate,
                        "--client-key", pair.key)
    steps = cli.run("integration", "test", "stranger", code=1).document["steps"]
    assert any("client certificate" in step["detail"] and step["name"] == "tls" for step in steps if step["outcome"] == "failed"), steps


def test_client_key_of_another_certificate(cli, nginx, clients_authority, other_tls):
    one, other = clients_authority.issue("one"), other_tls.issue("other")
    outcome = cli.fails("integration", "add", "mixed", "--type", "docker-registry", "--url", nginx.url("private"),
                        "--client-cert", one.certificate, "--client-key", other.key)
    assert "key" in outcome.err


def test_client_certificate_stays_with_the_registry(cli, make_scripted, nginx, tls, clients_authority, registry):
    """H08: storage that a registry redirects to sees no client certificate, though it asks for one."""
    pair = clients_authority.issue("guest")
    made = image([layer(alpine(("libguest", "1.0-r0")))])
    registry.push("tls/guest", made, "1")
    home = make_scripted(authority=tls)
    home.push("tls/guest", made, "1", blobs=False)
    home.on("GET", "/blobs/", lambda request: type(home.json({}))(307, (("Location", nginx.url("private") + request.path),)))
    cli.add_integration("guest", home.url, "--ca-file", tls.ca, "--client-cert", pair.certificate, "--client-key", pair.key)
    cli.run("image", "add", "guest/tls/guest:1", "--wait", code=None)
    seen = [one for one in nginx.requests("private") if "/tls/guest/" in one.path]
    assert seen and {one.client for one in seen} == {"-"}


# -- connections

def test_api_calls_share_connections_over_http_2(cli, nginx, registry, tls):
    """Small requests multiplex over HTTP/2, blobs come over HTTP/1.1."""
    for number in range(12):
        registry.push(f"tls/many{number}", image([layer(alpine((f"libmany{number}", "1.0-r0")))]), "1")
    cli.add_integration("many", nginx.url("good"), "--ca-file", tls.ca, "--criteria", "tls/many*")
    before = len(nginx.requests("good"))
    cli.run("integration", "poll", "many", "--wait")
    seen = nginx.requests("good")[before:]
    blobs = [one for one in seen if one.method == "GET" and "/blobs/" in one.path]
    calls = [one for one in seen if one.method == "HEAD" or "/blobs/" not in one.path]
    assert len(calls) > 30 and {one.protocol for one in calls} == {"HTTP/2.0"}
    assert len({one.connection for one in calls}) <= 2, "calls go over one connection, or one more at the beginning"
    layers = {one.path for one in blobs if one.protocol == "HTTP/1.1"}
    assert len(layers) == 12
