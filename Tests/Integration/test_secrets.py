"""A planted secret occurs nowhere outside its sealed cell, in no spelling; and nowhere in the daemon's memory when its
integration is gone. What H138 damages is refused."""
import base64
import json
import os
import shutil
import subprocess
import urllib.parse
from pathlib import Path

import pytest

from support import memory
from support.daemon import CANARY
from support.images import image, layer
from support.tls import openssl
from support.waiting import eventually

# With what needs encoding in an address, in a form, in JSON and in YAML.
PLANTED = {
    "password": f'pw %/+&="\\ü-{CANARY}-end',
    "session token": f"token%2F+{CANARY}/session==",
    "proxy password": f"proxy:%/@{CANARY}",
}


def spellings(text):
    """The ways a secret may be written: as it is, in base64 at each place it can have, encoded for addresses, in JSON."""
    raw = text.encode()
    found = {"raw": raw, "URL-encoded": urllib.parse.quote(text, safe="").encode(), "form-encoded": urllib.parse.quote_plus(text).encode(),
             "JSON": json.dumps(text)[1:-1].encode()}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        found[f"base64 at {before}"] = encoded[(before * 8 + 5) // 6 + 1:-4]
    return {name: form for name, form in found.items() if len(form) >= 12}


def all_spellings(key):
    """Of everything that is planted, and of a private key: lines from its middle."""
    forms = {f"{what}, {name}": form for what, text in PLANTED.items() for name, form in spellings(text).items()}
    forms["canary"] = CANARY.encode()
    body = [line for line in key.read_text().splitlines() if not line.startswith("-")]
    # Its bytes too: the curve's secret number stands in the middle of the encoded key.
    whole = base64.b64decode("".join(body))
    forms["private key, PEM"] = body[0][8:56].encode()
    forms["private key, DER"] = whole[36:60]
    return forms


@pytest.fixture
def identity(tmp_path):
    """A client certificate and its key."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=me",
            "-keyout", tmp_path / "me.key", "-out", tmp_path / "me.pem")
    return tmp_path / "me.pem", tmp_path / "me.key"


@pytest.fixture
def plant(tmp_path):
    """Files with the planted secrets."""
    paths = {}
    for what, text in PLANTED.items():
        paths[what] = tmp_path / what.replace(" ", "-")
        paths[what].write_text(text + "\n")
    return paths


def use_every_secret(daemon, make_registry, tls, plant, identity):
    """Integrations with every kind of secret, used for real: tested, polled, edited, refused."""
    cli = daemon.cli
    private = make_registry(users={"ann": PLANTED["password"]}, authority=tls)
    private.push("team/app", image([layer({"x": "y"})]), "1")
    certificate, key = identity
    cli.run("integration", "add", "used", "--type", "docker-registry", "--url", private.url, "--ca-file", tls.ca, "--auth", "account",
            "--username", "ann", "--password-file", plant["password"], "--client-cert", certificate, "--client-key", key)
    cli.run("integration", "test", "used")
    cli.run("integration", "poll", "used", "--wait", code=None)
    cli.run("integration", "edit", "used", "--description", "x")
    cli.run("integration", "add", "cloud", "--type", "ecr", "--url", "https://127.0.0.1:1", "--api-url", "https://127.0.0.1:1", "--region", "eu-west-1",
            "--auth", "account", "--username", "key-id", "--password-file", plant["password"], "--session-token-file", plant["session token"],
            "--proxy", "http://me@127.0.0.1:1", "--proxy-password-file", plant["proxy password"])
    cli.run("integration", "test", "cloud", code=1)
    # Refused by a registry that is told a wrong one.
    cli.run("integration", "add", "wrong", "--type", "docker-registry", "--url", private.url, "--ca-file", tls.ca, "--auth", "api-key",
            "--api-key-file", plant["session token"])
    cli.run("integration", "test", "wrong", code=1)
    cli.run("integration", "poll", "wrong", "--wait", code=None)
    # Refused by the daemon itself.
    cli.run("integration", "add", "bad", "--type", "nexus", "--url", "x", "--api-key-file", plant["password"], code=1)
    cli.run("system", "rotate-key")
    return ["used", "cloud", "wrong"]


def test_secrets_are_nowhere_but_in_their_cells(make_daemon, make_registry, tls, plant, identity):
    daemon = make_daemon().start()
    names = use_every_secret(daemon, make_registry, tls, plant, identity)
    forms = all_spellings(identity[1])
    shown = [daemon.cli.run("integration", "show", name, output=output) for name in names for output in ("json", "table")]
    shown += [daemon.cli.run(*command) for command in (("status",), ("events",), ("integration", "list"), ("queue", "list"), ("image", "list"))]
    places = {f"what {' '.join(one.command)} printed": (one.out + one.err).encode() for one in shown}
    for process in [daemon.process.pid, *daemon.children()]:
        for name in ("cmdline", "environ"):
            places[f"/proc/{process}/{name}"] = Path(f"/proc/{process}/{name}").read_bytes()

    def look(places):
        for where, data in places.items():
            for name, form in forms.items():
                assert form not in data, f"{name} stands in {where}"
    look(places)
    # While it runs, and when it has stopped: everything it wrote.
    for _ in range(2):
        look({str(path): path.read_bytes() for path in daemon.folder.rglob("*") if path.is_file()})
        if daemon.process:
            daemon.stop()


def test_no_argument_list_of_the_client_holds_a_secret(daemon, tmp_path, plant):
    """Watched from outside while it waits: the pipe it reads the secret from is held open."""
    os.mkfifo(tmp_path / "fifo")
    process = subprocess.Popen(
        [daemon.binaries.client, "--socket", str(daemon.socket), "integration", "add", "x", "--type", "harbor", "--url", "https://h.example",
         "--username", "ann", "--password-file", str(tmp_path / "fifo")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with open(tmp_path / "fifo", "wb", buffering=0) as fifo:
        fifo.write(PLANTED["password"].encode())
        for name in ("cmdline", "environ"):
            assert CANARY.encode() not in Path(f"/proc/{process.pid}/{name}").read_bytes()
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert CANARY.encode() not in out + error


@pytest.mark.skipif(os.geteuid() != 0, reason="another process's memory is root's to read")
def test_no_secret_is_left_in_memory_when_its_integration_is_gone(make_daemon, make_registry, tls, plant, identity):
    daemon = make_daemon().start()
    forms = all_spellings(identity[1]) | {"former key of the store": (daemon.state / "secrets.key").read_bytes()}
    names = use_every_secret(daemon, make_registry, tls, plant, identity)
    found = {remnant.form for remnant in memory.search(daemon.process.pid, forms)}
    assert "password, raw" in found, "the search does not find what is in use: it does not work"
    assert "former key of the store" not in found, "the key that was replaced is still in memory"
    for name in names:
        daemon.cli.run("integration", "remove", name)
    eventually(lambda: daemon.cli("integration", "list")["integrations"] == [], "the integrations to be gone")
    # What is left of connections that are being closed goes within a moment.
    remnants = []

    def is_clean():
        remnants[:] = memory.search(daemon.process.pid, forms)
        return not remnants
    try:
        eventually(is_clean, "memory to hold no secret", patience=20)
    except AssertionError:
        raise AssertionError("left in the daemon's memory:\n" + "\n".join(map(str, remnants))) from None


# -- H138

@pytest.fixture
def sealed(make_daemon, make_registry):
    """A stopped daemon with two integrations that have secrets."""
    private = make_registry(users={"ann": "pw-" + CANARY})
    daemon = make_daemon().start()
    for name in ("a", "b"):
        daemon.cli.add_integration(name, private.url, username="ann", password="pw-" + CANARY)
        daemon.cli.run("integration", "test", name)
    daemon.stop()
    return daemon


def test_key_file_that_is_missing_or_open_is_refused(sealed):
    key = sealed.state / "secrets.key"
    kept = key.read_bytes()
    key.unlink()
    assert "missing" in sealed.refuses_to_start()
    assert not key.exists(), "a new key could open nothing"
    key.write_bytes(kept)
    for mode in (0o644, 0o640):
        key.chmod(mode)
        assert "can be read by others" in sealed.refuses_to_start()
    key.chmod(0o600)
    key.write_bytes(kept[:31])
    assert "holds 31 bytes" in sealed.refuses_to_start()
    key.write_bytes(kept)
    sealed.start()
    sealed.cli.run("integration", "test", "a")


def test_another_key_opens_nothing_and_says_so(sealed):
    (sealed.state / "secrets.key").write_bytes(os.urandom(32))
    sealed.start()
    outcome = sealed.cli.run("integration", "test", "a", code=1)
    assert "another key" in outcome.err
    # Given anew, it works again.
    sealed.cli.run("integration", "edit", "a", "--password-stdin", stdin="pw-" + CANARY)
    sealed.cli.run("integration", "test", "a")
    assert "another key" in sealed.cli.run("integration", "test", "b", code=1).err


def change_cells(daemon, change):
    """Rewrites the table of sealed secrets of a stopped daemon; `change` gets {key: value}, both in hexadecimal."""
    store = str(daemon.state / "state.mdb")
    text = subprocess.run(["mdb_dump", "-n", "-s", "secrets", store], check=True, capture_output=True, text=True).stdout
    head, _, body = text.partition("HEADER=END\n")
    lines = [line.strip() for line in body.splitlines() if line.startswith(" ")]
    cells = dict(zip(lines[::2], lines[1::2]))
    change(cells)
    body = "".join(f" {key}\n {value}\n" for key, value in cells.items())
    subprocess.run(["mdb_load", "-n", "-s", "secrets", store], check=True, capture_output=True, text=True,
                   input=f"{head}HEADER=END\n{body}DATA=END\n")


@pytest.mark.skipif(not shutil.which("mdb_dump"), reason="lmdb-utils is not installed")
@pytest.mark.parametrize("damage", ["copied to another integration", "copied to another field", "cut", "changed"])
def test_a_sealed_cell_opens_only_where_it_belongs_and_whole(sealed, damage):
    def change(cells):
        first, second = sorted(cells)
        if damage == "copied to another integration":
            cells[second] = cells[first]
        elif damage == "copied to another field":
            cells[second[:16] + b"session-token".hex()] = cells[second]
        elif damage == "cut":
            cells[second] = cells[second][:-16]
        else:
            at = len(cells[second]) // 2
            cells[second] = cells[second][:at] + ("0" if cells[second][at] != "0" else "1") + cells[second][at + 1:]
    change_cells(sealed, change)
    sealed.start()
    outcome = sealed.cli.run("integration", "test", "b", code=1)
    assert "damaged or belongs to another record" in outcome.err or "does not decode" in outcome.err, outcome
    sealed.cli.run("integration", "test", "a")


def test_a_key_cannot_be_taken_from_a_half_made_rotation(sealed):
    """A next key that was cut short was never used: the daemon says so instead of guessing."""
    (sealed.state / "secrets.key.next").write_bytes(b"short")
    (sealed.state / "secrets.key.next").chmod(0o600)
    assert "holds 5 bytes" in sealed.refuses_to_start()
    (sealed.state / "secrets.key.next").unlink()
    # One that is whole is taken for what it is: the daemon died before it sealed anything with it.
    (sealed.state / "secrets.key.next").write_bytes(os.urandom(32))
    (sealed.state / "secrets.key.next").chmod(0o600)
    sealed.start()
    for name in ("a", "b"):
        sealed.cli.run("integration", "test", name)
    assert not (sealed.state / "secrets.key.next").exists()
