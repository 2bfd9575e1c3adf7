"""What the daemon's memory keeps of secrets, and who may look into it."""
import os
import re
from pathlib import Path

import pytest

from support.daemon import CANARY, canary_forms
from support.images import image, layer
from support.memory import search
from support.nginx import PROGRAM, Nginx
from support.packages import alpine
from support.proxies import Tinyproxy
from support.tls import authority
from support.waiting import eventually

PASSWORD = "password-" + CANARY

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may read another process's memory"),
    pytest.mark.skipif(not os.access(PROGRAM, os.X_OK), reason="nginx is not installed (nginx-light)")]


def test_no_core_and_nobody_else_looks(daemon):
    limits = Path(f"/proc/{daemon.process.pid}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0\s", limits)
    # Files of a process that is not dumpable are root's, whoever runs it.
    assert os.stat(f"/proc/{daemon.process.pid}/environ").st_uid == 0


def test_nothing_is_left_of_removed_secrets(make_daemon, make_registry, make_token_server, tls, tmp_path):
    """Passwords, tokens' accounts, a client key and a proxy's password are gone from memory with their integrations,
    after everything that uses them was done: tests, polls, scans, wrong passwords, edits."""
    daemon = make_daemon().start()
    cli = daemon.cli
    clients = authority(tmp_path / "clients", "clients")
    pair = clients.issue("scanner")
    # A line from the middle of the key is what is looked for.
    key_line = pair.key.read_text().splitlines()[5].encode()
    forms = {f"canary {number}": form for number, form in enumerate(canary_forms())} | {"client key": key_line}
    proxy_password = tmp_path / "proxy-password"
    proxy_password.write_text("proxy-" + CANARY)
    made = image([layer(alpine(("libalpha", "1.0-r0")))])
    tokens = make_token_server({"ann": PASSWORD}, {"ann": ["team/app"]})
    registries = {"basic": make_registry(users={"ann": PASSWORD}, authority=tls), "token": make_registry(token=tokens)}
    plain = make_registry()
    for registry in (*registries.values(), plain):
        registry.push("team/app", made, "1")
    with Nginx(tmp_path / "nginx", plain.url, {"private": (tls, clients)}) as nginx, \
            Tinyproxy(tmp_path / "proxy", "bob", "proxy-" + CANARY) as proxy:
        cli.add_integration("basic", registries["basic"].url, "--ca-file", tls.ca, username="ann", password=PASSWORD)
        cli.add_integration("token", registries["token"].url, username="ann", password=PASSWORD)
        cli.add_integration("private", nginx.url("private"), "--ca-file", tls.ca, "--client-cert", pair.certificate,
                            "--client-key", pair.key, "--proxy", f"http://bob@{proxy.address}", "--proxy-password-file",
                            proxy_password)
        names = ["basic", "token", "private"]
        for name in names:
            cli.run("integration", "test", name)
            assert cli.scan(f"{name}/team/app:1")["packages"]
            cli.run("integration", "poll", name, "--wait", code=None)
        cli.run("integration", "edit", "basic", "--password-stdin", stdin="wrong-" + CANARY)
        cli.run("integration", "test", "basic", code=1)
        for name in names:
            cli.run("integration", "remove", name)
    eventually(lambda: cli("integration", "list")["integrations"] == [], "the integrations to be gone")
    # Connections that the daemon still held are closed by then, and what was theirs is given back.
    try:
        eventually(lambda: not search(daemon.process.pid, forms), "secrets to be gone from memory", patience=30)
    except AssertionError:
        raise AssertionError("\n".join(map(str, search(daemon.process.pid, forms)))) from None
