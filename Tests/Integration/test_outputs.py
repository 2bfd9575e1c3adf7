"""What the client writes, where it writes it, and what it reads: hostile names, closed pipes, odd files."""
import json
import os
import pty
import re
import subprocess

import pytest

from support import osv
from support.daemon import CANARY
from support.images import image, layer
from support.packages import ALPINE_318, APK_PATH, alpine, apk
from support.waiting import eventually

NASTY = ["evil\x1b[2Jclear", "evil\x1b]52;c;aGk=\x07clip", "evil\x9b31mcsi", "evil\u202ertl", "evil\u200bzero", "evil\x7fdel", "evil\rback"]
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


@pytest.fixture
def nasty(cli, registry, tmp_path):
    """A scanned image whose packages, versions and history hold escapes."""
    packages = [(name, "1.0-r0") for name in NASTY] + [("libalpha", "1.0\x1b[31m-r0")]
    made = image([layer(alpine(*packages) | {"name\x1b[2J\nfile": "x"}, created_by="RUN \x1b[2J\x1b]0;title\x07 echo\nsecond line")])
    registry.push("nasty/app", made, "1")
    cli.add_integration("plain", registry.url, "--description", "words \x1b[2J")
    cli.import_advisories(osv.archive(tmp_path / "nasty.zip", [
        osv.advisory(f"NASTY-{number}", name, summary=f"title {name}") for number, name in enumerate(NASTY)] + [osv.advisory("PLAIN-1")]))
    cli.scan("plain/nasty/app:1")
    return cli


TEXTS = [("image", "report", "plain/nasty/app:1"), ("image", "show", "plain/nasty/app:1"), ("image", "list"), ("queue", "list"),
         ("integration", "show", "plain"), ("integration", "list"), ("status",), ("db", "status")]


def harmless(data):
    """No control character but line ends, no bidirectional or zero-width one."""
    text = data.decode()  # and valid UTF-8
    return not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", text)


@pytest.mark.parametrize("command", TEXTS, ids=" ".join)
def test_pipes_see_no_escapes(nasty, command):
    done = subprocess.run([nasty.binary, "--socket", nasty.socket, *command], capture_output=True, timeout=60)
    assert done.returncode == 0 and harmless(done.stdout), done.stdout


@pytest.mark.parametrize("command", TEXTS, ids=" ".join)
def test_terminals_see_nothing_but_colours(nasty, command):
    """H128, on a terminal: what the client itself colours is all the escapes there are."""
    done, shown = on_terminal(nasty, *command)
    assert done == 0
    assert harmless(COLOUR.sub(b"", shown).replace(b"\r\n", b"\n")), shown


def on_terminal(cli, *command):
    """Runs the client on a pseudo-terminal; answers its exit code and all bytes that the terminal got."""
    ours, its = pty.openpty()
    process = subprocess.Popen([cli.binary, "--socket", cli.socket, *command], stdin=its, stdout=its, stderr=its,
                               env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"})
    os.close(its)
    shown = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        shown += data
    os.close(ours)
    return process.wait(60), shown


def test_json_keeps_names_as_they_are(nasty):
    done = subprocess.run([nasty.binary, "--socket", nasty.socket, "-o", "json", "image", "report", "plain/nasty/app:1"],
                          capture_output=True, timeout=60)
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", done.stdout), "JSON escapes control characters"
    report = json.loads(done.stdout)
    names = {one["name"] for one in report["packages"]}
    assert {name for name in NASTY if "\r" not in name} <= names
    assert report["layers"][0]["createdBy"].startswith("RUN \x1b[2J")
    for one in report["packages"]:
        assert re.fullmatch(r"[\x21-\x7e]+", one["purl"]), one["purl"]


def test_bad_utf8_in_a_package_database(cli, registry):
    text = apk(("libalpha", "1.0-r0"), ("PLACE", "1.0-r0")).encode().replace(b"PLACE", b"evil\xff\xfe")
    registry.push("nasty/utf8", image([layer({"etc/os-release": ALPINE_318, APK_PATH: text})]), "1")
    cli.add_integration("plain", registry.url)
    report = cli.scan("plain/nasty/utf8:1")
    assert "libalpha" in {one["name"] for one in report["packages"]}
    assert harmless(cli.run("image", "report", "plain/nasty/utf8:1", output=None).out.encode())


def test_log_lines_are_one_event_each(make_daemon, make_scripted):
    """H130: what a registry says cannot start a log line of its own."""
    daemon = make_daemon("--log-format", "json").start()
    scripted = make_scripted()
    scripted.push("logged/app", image([layer(alpine(("libalpha", "1.0-r0")))]), "1", "2\nforged")
    forged = '{"errors":[{"code":"DENIED","message":"no\\n{\\"level\\":\\"error\\",\\"message\\":\\"forged\\"}"}]}\n{"level":"error","message":"forged"}\n'
    scripted.on("GET", "/blobs/", lambda _: type(scripted.json({}))(403, (("X-Odd", "value"),), forged.encode()))
    daemon.cli.add_integration("scripted", scripted.url)
    daemon.cli.run("image", "add", "scripted/logged/app:1", "--wait", code=3)
    daemon.cli.run("integration", "poll", "scripted", "--wait", code=None)
    lines = daemon.log.read_text().splitlines()
    assert lines
    for line in lines:
        event = json.loads(line)
        assert event["message"] != "forged", line


def test_error_texts_of_registries_are_escaped(cli, make_scripted):
    scripted = make_scripted()
    scripted.on("GET|HEAD", "/manifests/", lambda _: type(scripted.json({}))(
        403, (), json.dumps({"errors": [{"code": "DENIED", "message": "no \x1b[2J\n\u202e way"}]}).encode()))
    scripted.push("a/b", image([layer({"x": "y"})]), "1")
    cli.add_integration("scripted", scripted.url)
    assert harmless(cli.fails("image", "add", "scripted/a/b:1").err.encode())


def test_registry_that_echoes_the_password(cli, make_scripted):
    """H30: a registry that writes our Authorization header into its error is not allowed to publish it."""
    scripted = make_scripted()
    scripted.push("a/b", image([layer({"x": "y"})]), "1")
    scripted.on("GET|HEAD", "/v2/", lambda request: None if not request.headers.get("Authorization") else type(scripted.json({}))(
        403, (), json.dumps({"errors": [{"code": "DENIED", "message": request.headers["Authorization"]}]}).encode()))
    scripted.on("GET|HEAD", "/v2/", lambda request: None if request.headers.get("Authorization") else
                scripted.error(401, "UNAUTHORIZED", (("WWW-Authenticate", 'Basic realm="x"'),)))
    cli.add_integration("echo", scripted.url, username="ann", password="pw-" + CANARY)
    cli.fails("image", "add", "echo/a/b:1")  # the client and the daemon's end look for the canary
    cli.run("integration", "test", "echo", code=1)
    cli.run("integration", "poll", "echo", "--wait", code=None)


# -- where output goes (H131)

@pytest.fixture
def big(cli, registry):
    """An image with a report larger than a pipe holds."""
    registry.push("big/app", image([layer(alpine(*((f"package-number-{n}", "1.0-r0") for n in range(5000))))]), "1")
    cli.add_integration("plain", registry.url)
    assert len(cli.scan("plain/big/app:1")["packages"]) == 5000
    return cli


@pytest.mark.parametrize("output", ["table", "json", "jsonl"])
def test_reader_that_leaves_early(big, output):
    """`| head -1`: the client ends by itself, without a word, as programs in a pipe do."""
    process = subprocess.Popen([big.binary, "--socket", big.socket, "-o", output, "image", "report", "plain/big/app:1"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    process.stdout.close()
    error = process.stderr.read().decode()
    code = process.wait(60)
    assert code in (0, -13, 141) and error == "", (code, error)


def test_full_device(big):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([big.binary, "--socket", big.socket, "image", "report", "plain/big/app:1"], stdout=full,
                              stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1 and b"error: " in done.stderr, done


def test_out_writes_the_whole_file_or_none(big, tmp_path):
    whole = tmp_path / "report.json"
    big.run("image", "report", "plain/big/app:1", "--format", "json", "--out", whole)
    assert len(json.loads(whole.read_text())["packages"]) == 5000
    assert os.listdir(tmp_path) == ["report.json"]
    whole.write_text("an older report")
    # What fails leaves the older file as it was.
    big.fails("image", "report", "plain/no/such:1", "--format", "json", "--out", whole)
    assert whole.read_text() == "an older report" and os.listdir(tmp_path) == ["report.json"]
    big.run("image", "report", "plain/big/app:1", "--format", "json", "--out", whole)
    assert len(json.loads(whole.read_text())["packages"]) == 5000
    big.fails("image", "report", "plain/big/app:1", "--format", "json", "--out", tmp_path / "absent/report.json")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_out_on_a_full_disk(big, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"no mounts here: {mount.stderr.strip()}")
    try:
        big.fails("image", "report", "plain/big/app:1", "--format", "json", "--out", small / "report.json")
        assert os.listdir(small) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_out_is_a_link(big, tmp_path):
    """Where it leads is for the user to say: it is refused, and what it leads to stays whole."""
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("older")
    link.symlink_to(target)
    big.fails("image", "report", "plain/big/app:1", "--format", "json", "--out", link)
    assert target.read_text() == "older" and link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link.json", "target.json"]


# -- files that hold a secret (H132)

def test_odd_password_files(cli, registry, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 30)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").write_text("")
    for path in ("/dev/zero", tmp_path / "huge", tmp_path / "folder", tmp_path / "absent", tmp_path / "empty"):
        outcome = cli.run("integration", "add", "odd", "--type", "docker-registry", "--url", registry.url, "--auth", "account",
                          "--username", "ann", "--password-file", path, code=None, seconds=60)
        assert outcome.code in (1, 2) and "error: " in outcome.err, outcome
        assert str(path) in outcome.err, outcome
    assert cli("integration", "list")["integrations"] == []


def test_password_through_a_fifo(cli, make_registry, tmp_path):
    """A shell's `--password-file <(command)` is a pipe."""
    private = make_registry(users={"ann": "pw-" + CANARY})
    private.push("team/app", image([layer({"x": "y"})]), "1")
    os.mkfifo(tmp_path / "fifo")
    process = subprocess.Popen([cli.binary, "--socket", cli.socket, "integration", "add", "piped", "--type", "docker-registry", "--url", private.url,
                                "--auth", "account", "--username", "ann", "--password-file", str(tmp_path / "fifo")],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with open(tmp_path / "fifo", "w") as fifo:
        fifo.write("pw-" + CANARY + "\n")
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    cli.run("integration", "test", "piped")


def test_a_fifo_that_nobody_writes_is_left_alone_in_time(cli, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    process = subprocess.Popen([cli.binary, "--socket", cli.socket, "integration", "add", "silent", "--type", "docker-registry",
                                "--url", "http://127.0.0.1:1", "--auth", "account", "--username", "ann", "--password-file", str(tmp_path / "fifo")],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        # Whatever it does with the silent pipe, it can be interrupted.
        eventually(lambda: os.path.exists(f"/proc/{process.pid}"), "the client to run")
        process.terminate()
        assert process.wait(60) != 0
    finally:
        process.kill()
        process.communicate()


def test_no_flag_takes_a_secret(cli):
    text = cli.run("integration", "add", "--help", output=None).out
    for flag in ("--password ", "--api-key ", "--secret ", "--token "):
        assert flag not in text


def test_no_answer_holds_a_secret(cli, make_registry):
    private = make_registry(users={"ann": "pw-" + CANARY})
    private.push("team/app", image([layer({"x": "y"})]), "1")
    cli.add_integration("private", private.url, username="ann", password="pw-" + CANARY)
    for command in (("integration", "show", "private"), ("integration", "list"), ("status",)):
        for output in ("json", "table"):
            cli.run(*command, output=output)
