"""Registries behind real proxies: tinyproxy (HTTP) and microsocks (SOCKS5), of an integration and of the environment."""
import shutil

import pytest

from support.daemon import CANARY
from support.images import image, layer
from support.packages import alpine
from support.proxies import Microsocks, Tinyproxy
from support.registry import closed_port

PASSWORD = "password-" + CANARY
PROXY_PASSWORD = "proxy-" + CANARY

pytestmark = [
    pytest.mark.skipif(not shutil.which(name), reason=f"{name} is not installed") for name in ("tinyproxy", "microsocks")]


@pytest.fixture
def secure(make_registry, tls):
    made = make_registry(users={"ann": PASSWORD}, authority=tls)
    made.push("team/app", image([layer(alpine(("libalpha", "1.0-r0")))]), "1")
    return made


@pytest.fixture
def password_file(tmp_path):
    file = tmp_path / "proxy-password"
    file.write_text(PROXY_PASSWORD)
    return file


@pytest.fixture
def add(cli, secure, tls):
    def add(name, *flags):
        cli.add_integration(name, secure.url, "--ca-file", tls.ca, *flags, username="ann", password=PASSWORD)
    return add


def works(cli, name):
    steps = cli("integration", "test", name)["steps"]
    assert {step["outcome"] for step in steps} <= {"ok", "skipped"}, steps
    assert cli.scan(f"{name}/team/app:1")["packages"]
    return steps


@pytest.mark.parametrize("user", [None, "bob"])
def test_tunnel_through_an_http_proxy(cli, add, secure, tmp_path, password_file, user):
    with Tinyproxy(tmp_path / "proxy", user, PROXY_PASSWORD) as proxy:
        account = ["--proxy-password-file", password_file] if user else []
        add("tunnel", "--proxy", f"http://{user + '@' if user else ''}{proxy.address}", *account)
        steps = works(cli, "tunnel")
        assert proxy.address in steps[0]["detail"]
        assert proxy.requests and set(proxy.requests) == {("CONNECT", f"127.0.0.1:{secure.port}")}
    # Nothing goes around a proxy that is gone.
    outcome = cli.fails("image", "add", "tunnel/team/app:2")
    assert "proxy" in outcome.err


@pytest.mark.parametrize("user", [None, "bob"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_socks_proxy(cli, add, secure, tmp_path, password_file, user, scheme):
    with Microsocks(tmp_path / "proxy", user, PROXY_PASSWORD) as proxy:
        account = ["--proxy-password-file", password_file] if user else []
        add("socks", "--proxy", f"{scheme}://{user + '@' if user else ''}{proxy.address}", *account)
        works(cli, "socks")
        assert proxy.requests and set(proxy.requests) == {("127.0.0.1", str(secure.port))}


def test_plain_http_through_an_http_proxy(cli, make_scripted, tmp_path, password_file):
    """H18: the proxy's password does not reach the registry, nor is the registry's the proxy's to ask for."""
    plain = make_scripted(accounts={"ann": (PASSWORD, ["team/app"])})
    plain.push("team/app", image([layer(alpine(("libalpha", "1.0-r0")))]), "1")
    headers = []
    plain.on(".*", "/v2/", lambda request: headers.append(dict(request.headers)))
    with Tinyproxy(tmp_path / "proxy", "bob", PROXY_PASSWORD) as proxy:
        cli.add_integration("forward", plain.url, "--proxy", f"http://bob@{proxy.address}", "--proxy-password-file",
                            password_file, username="ann", password=PASSWORD)
        works(cli, "forward")
        assert {method for method, _ in proxy.requests} <= {"GET", "HEAD"} and proxy.requests
    assert headers and not any(name.lower() == "proxy-authorization" for one in headers for name in one)


@pytest.mark.parametrize("given", [None, "wrong"])
@pytest.mark.parametrize("server, scheme", [(Tinyproxy, "http"), (Microsocks, "socks5")])
def test_proxy_that_wants_another_password(cli, add, tmp_path, server, scheme, given):
    """H18: the error names the proxy, and the registry's password is not tried on it."""
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong-" + CANARY)
    with server(tmp_path / "proxy", "bob", PROXY_PASSWORD) as proxy:
        flags = ["--proxy", f"{scheme}://bob@{proxy.address}", "--proxy-password-file", wrong] if given else \
            ["--proxy", f"{scheme}://{proxy.address}"]
        add("refused", *flags)
        step = cli.run("integration", "test", "refused", code=1).document["steps"][0]
        assert step["outcome"] == "failed" and proxy.address in step["detail"] and step["hint"], step
        outcome = cli.fails("image", "add", "refused/team/app:1")
        assert "proxy" in outcome.err


def test_proxy_that_is_not_there(cli, add):
    with closed_port() as port:
        add("absent", "--proxy", f"http://127.0.0.1:{port}")
        step = cli.run("integration", "test", "absent", code=1).document["steps"][0]
        assert step["outcome"] == "failed" and f"127.0.0.1:{port}" in step["detail"] and "proxy" in step["detail"]


def test_proxies_of_the_environment(make_daemon, secure, tls, tmp_path):
    """https_proxy counts unless no_proxy excepts the host, or the integration has one of its own."""
    def start(**variables):
        cli = make_daemon(environment={"no_proxy": "", "NO_PROXY": ""} | variables).start().cli
        for name, flags in (("env", ()), ("direct", ("--proxy", "none"))):
            cli.add_integration(name, secure.url, "--ca-file", tls.ca, *flags, username="ann", password=PASSWORD)
        return cli

    with Tinyproxy(tmp_path / "proxy", "bob", "env-password") as proxy:
        address = f"http://bob:env-password@{proxy.address}"
        works(start(https_proxy=address), "env")
        count = len(proxy.requests)
        assert count > 0
        for variables in ({"no_proxy": "127.0.0.0/8"}, {"NO_PROXY": "example.test, 127.0.0.1"}, {"no_proxy": "*"}):
            works(start(https_proxy=address, **{key: value for key, value in variables.items()}), "env")
        works(start(HTTPS_PROXY=address), "direct")
        assert len(proxy.requests) == count
        works(start(ALL_PROXY=address), "env")
        assert len(proxy.requests) > count
    cli = start(https_proxy="gopher://127.0.0.1:1")
    outcome = cli.fails("image", "add", "env/team/app:1")
    assert "https_proxy" in outcome.err
    works(cli, "direct")


@pytest.mark.parametrize("proxy", [
    "127.0.0.1:3128", "ftp://127.0.0.1", "http://127.0.0.1:99999", "http://u:p@127.0.0.1", "http://127.0.0.1/path", "http://"])
def test_proxies_that_cannot_be_are_refused(cli, registry, proxy):
    outcome = cli.fails("integration", "add", "bad", "--type", "docker-registry", "--url", registry.url, "--proxy", proxy)
    assert "proxy" in outcome.err
