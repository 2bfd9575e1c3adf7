"""The settings of integrations: what is accepted, what is refused and how it is said, editing, files that are applied, and
questions at a terminal."""
import json
import os
import subprocess

import pytest

from support.daemon import CANARY
from support.scripted import Reply
from support.terminal import Terminal
from support.tls import openssl
from support.waiting import eventually


@pytest.fixture
def secret(tmp_path):
    """Writes a secret into a file."""
    def write(text="pw-" + CANARY, name="secret"):
        (tmp_path / name).write_text(text + "\n")
        return tmp_path / name
    return write


@pytest.fixture
def add(cli, secret):
    """Adds an integration with an account unless the flags say otherwise."""
    def add(name, kind, *flags, code=0):
        account = [] if "--auth" in flags else ["--auth", "account", "--username", "ann", "--password-file", secret()]
        return cli.run("integration", "add", name, "--type", kind, *account, *flags, code=code)
    return add


def fields(outcome):
    """The fields that an answer found wrong."""
    return [detail["field"] for detail in outcome.error["details"] if "field" in detail]


# -- what each type takes

URL = ("--url", "https://registry.example")
TAKEN = {
    "docker-hub": (), "harbor": URL, "artifactory": URL, "nexus": URL, "gitlab": (*URL, "--api-url", "https://gitlab.example"),
    "quay": (*URL, "--scope", "team"), "docker-registry": URL, "ecr": (*URL, "--region", "eu-west-1"),
    "ghcr": (*URL, "--scope", "team"), "acr": URL, "yandex": (*URL, "--scope", "crp1"),
}


def test_every_type_is_taken(module_daemon, secret):
    cli = module_daemon.cli
    for kind, flags in TAKEN.items():
        cli.run("integration", "add", "t-" + kind, "--type", kind, "--username", "ann", "--password-file", secret(), *flags)
        assert cli("integration", "show", "t-" + kind)["type"] == kind
    cli.run("integration", "add", "t-gar", "--type", "gar", *URL, "--scope", "project", "--api-key-file", secret('{"key": "%s"}' % CANARY))
    shown = cli("integration", "show", "t-docker-hub")
    assert shown["url"] == "https://registry-1.docker.io"
    assert cli("integration", "show", "t-artifactory")["repositoryAccess"] == "repository-path"


REFUSED = [
    ("teapot", URL, ["type"]),
    ("harbor", (), ["url"]),
    ("harbor", ("--url", "registry.example"), ["url"]),
    ("harbor", ("--url", "https://ann@registry.example"), ["url"]),
    ("gitlab", URL, ["api_url"]),
    ("docker-registry", (*URL, "--api-url", "https://api.example"), ["api_url"]),
    ("quay", URL, ["scopes"]), ("ghcr", URL, ["scopes"]), ("yandex", URL, ["scopes"]),
    ("harbor", (*URL, "--scope", "a b", "--scope", ".."), ["scopes[0]", "scopes[1]"]),
    ("ecr", URL, ["region"]),
    # Only looks like an address that tells its region.
    ("ecr", ("--url", "https://x.dkr.ecr-like.nowhere.amazonaws.com"), ["region"]), ("harbor", (*URL, "--region", "eu-west-1"), ["region"]),
    ("harbor", (*URL, "--repository-access", "port"), ["repository_access"]),
    ("artifactory", (*URL, "--repository-access", "path"), ["repository_access"]),
    ("artifactory", (*URL, "--repository-key", "k"), ["repository_keys"]),
    ("nexus", (*URL, "--auth", "anonymous"), ["authentication.kind"]),
    ("docker-hub", ("--auth", "anonymous"), ["scopes"]),
    ("harbor", (*URL, "--proxy", "ftp://proxy.example"), ["proxy.url"]),
    ("harbor", (*URL, "--proxy", "http://ann:pw@proxy.example"), ["proxy.url"]),
    ("harbor", (*URL, "--quiet-hours", "25:00-01:00"), ["quiet_hours"]),
    ("harbor", (*URL, "--max-requests-per-second", "99999"), ["requests_per_second"]),
    ("harbor", (*URL, "--max-bytes-per-second", "1"), ["bytes_per_second"]),
    ("harbor", (*URL, "--max-concurrent", "99"), ["max_concurrent"]),
    ("harbor", (*URL, "--max-scans", "257", "--max-image-size", "16000PiB"), ["max_scans", "max_image_bytes"]),
    ("harbor", (*URL, "--scan-timeout", "5s"), ["scan_timeout"]),
    ("harbor", (*URL, "--mode", "automatic"), ["schedule"]),
    ("harbor", (*URL, "--every", "6w"), ["schedule.value"]), ("harbor", (*URL, "--daily-at", "24:00"), ["schedule.value"]),
    ("harbor", (*URL, "--weekly-on", "someday@02:30"), ["schedule.value"]), ("harbor", (*URL, "--cron", "60 * * * *"), ["schedule.value"]),
    ("harbor", (*URL, "--every", "6h", "--timezone", "../../etc/passwd"), ["schedule.timezone"]),
    ("harbor", (*URL, "--criteria", "a:b:c", "--never", ":", "--always", "x:"), ["criteria[0]", "never[0]", "always[0]"]),
]


@pytest.mark.parametrize("kind,flags,wrong", REFUSED, ids=lambda value: " ".join(value) if isinstance(value, (tuple, list)) else str(value))
def test_what_is_refused_is_named(module_daemon, secret, kind, flags, wrong):
    account = [] if "--auth" in flags else ["--username", "ann", "--password-file", secret()]
    outcome = module_daemon.cli.fails("integration", "add", "x", "--type", kind, *account, *flags)
    assert fields(outcome) == wrong, outcome


def test_everything_wrong_is_told_at_once_by_its_option(cli, secret):
    outcome = cli.fails(
        "integration", "add", "Bad", "--type", "nexus", "--url", "x", "--api-url", "y", "--scope", "a b", "--region", "eu-west-1",
        "--repository-access", "port", "--auth", "api-key", "--api-key-file", secret(), "--proxy", "z", "--quiet-hours", "w", "--latest", "9999999")
    assert fields(outcome) == [
        "name", "url", "api_url", "scopes[0]", "proxy.url", "condition.count", "quiet_hours", "region", "repository_access", "authentication.kind"]
    for option in ("--url: ", "--api-url: ", "--scope[0]: ", "--proxy: ", "--latest: ", "--quiet-hours: ", "--region: ", "--auth: "):
        assert "error: " + option in outcome.err, outcome
    assert cli("integration", "list")["integrations"] == []


def test_every_setting_is_shown_as_it_was_given(cli, add, tls, secret, tmp_path):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=me",
            "-keyout", tmp_path / "me.key", "-out", tmp_path / "me.pem")
    add("all", "artifactory", "--url", "https://art.example:8443/x", "--api-url", "https://art.example", "--scope", "a", "--scope", "b",
        "--repository-access", "port", "--repository-key", "docker-local", "--description", "text", "--ca-file", tls.ca,
        "--client-cert", tmp_path / "me.pem", "--client-key", tmp_path / "me.key", "--insecure", "--proxy", "socks5://me@proxy.example:1080",
        "--proxy-password-file", secret(name="proxy"), "--allow-realm-host", "auth.example", "--scan-timeout", "5m", "--rescan", "--include-remote",
        "--criteria", "team/*:1.*", "--latest", "5", "--never", "*-dev", "--always", "base", "--platform", "linux/arm64", "--max-concurrent", "3",
        "--max-requests-per-second", "7", "--max-bytes-per-second", "100000", "--quiet-hours", "22:00-06:00",
        "--max-scans", "2", "--max-image-size", "20GiB")
    shown = cli("integration", "show", "all")
    expected = {
        "type": "artifactory", "url": "https://art.example:8443/x", "apiUrl": "https://art.example", "scopes": ["a", "b"],
        "repositoryAccess": "port", "repositoryKeys": ["docker-local"], "description": "text", "allowedRealmHosts": ["auth.example"],
        "proxy": {"url": "socks5://me@proxy.example:1080", "hasPassword": True}, "scanTimeout": 300, "rescan": True, "includeRemote": True,
        "condition": {"kind": "latest", "count": 5}, "platforms": ["linux/arm64"], "maxConcurrent": 3, "requestsPerSecond": 7,
        "maxScans": 2, "maxImageBytes": 20 << 30, "bytesPerSecond": 100000, "quietHours": "22:00-06:00", "budget": None,
        "authentication": {"kind": "account", "username": "ann", "hasSecret": True, "hasSessionToken": False},
    }
    assert {key: shown[key] for key in expected} == expected
    assert shown["tls"]["insecure"] and shown["tls"]["hasClientKey"] and "BEGIN CERTIFICATE" in shown["tls"]["clientCertificatePem"]
    assert "PRIVATE" not in json.dumps(shown)
    table = cli.run("integration", "show", "all", output="table").out
    for word in ("socks5://me@proxy.example:1080", "22:00-06:00", "20 GiB", "docker-local", "TLS certificates are not verified", "password stored"):
        assert word in table, table


def test_a_key_that_is_not_the_certificates_is_refused(cli, tls, other_tls):
    outcome = cli.fails("integration", "add", "x", "--type", "docker-registry", *URL, "--client-cert", tls.certificate, "--client-key", other_tls.key)
    assert fields(outcome) == ["client_key_pem"]
    outcome = cli.fails("integration", "add", "x", "--type", "docker-registry", *URL, "--client-cert", tls.certificate)
    assert fields(outcome) == ["client_key_pem"]
    cli.fails("integration", "add", "x", "--type", "docker-registry", *URL, "--client-cert", tls.key)


def test_the_budget_is_shown(cli, make_scripted):
    """What the registry last said of its limits (registries.md 4.5), and what is unsafe about the way to it."""
    scripted = make_scripted()
    scripted.on("GET", r"^/v2/_catalog", lambda _: Reply(
        200, (("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "76;w=21600")), b'{"repositories":[]}'))
    cli.add_integration("it", scripted.url)
    assert cli("integration", "show", "it")["budget"] is None
    poll = cli("integration", "poll", "it", "--wait")
    budget = cli("integration", "show", "it")["budget"]
    assert (budget["limit"], budget["remaining"], budget["window"]) == (100, 76, 21600) and budget["throttledUntil"] is None
    shown = cli.run("integration", "show", "it", output="table").out
    assert "76 of 100 requests left in 6h" in shown
    # Plain HTTP is said wherever the integration is shown, and in each poll's record.
    for text in (shown, cli.run("integration", "list", output="table").out, " ".join(poll["notes"])):
        assert "plain HTTP" in text, text


# -- editing

def test_an_edit_changes_what_it_names(cli, add):
    add("it", "harbor", *URL, "--criteria", "a", "--criteria", "b", "--latest", "3", "--description", "old", "--never", "x", "--insecure")
    before = cli("integration", "show", "it")
    after = cli("integration", "edit", "it", "--description", "new", "--criteria", "c", "--never", "", "--no-condition")
    assert after["changedFields"] == ["condition", "criteria", "description", "never"] and after["droppedSecrets"] == []
    assert [pattern["pattern"] for pattern in after["criteria"]] == ["c"] and after["never"] == [] and after["condition"] == {"kind": "none"}
    kept = set(before) - {"description", "criteria", "never", "condition", "etag", "updatedAt", "changedFields"}
    assert {key: before[key] for key in kept} == {key: after[key] for key in kept}
    again = cli("integration", "edit", "it", "--description", "new")
    assert again["changedFields"] == [] and again["etag"] == after["etag"], "an edit that changes nothing is none"
    assert cli.fails("integration", "edit", "it", "--scope", "a b").error["code"] == "INVALID_ARGUMENT"
    cli.fails("integration", "edit", "it", code=2)
    cli.fails("integration", "edit", "absent", "--description", "x")


MOVES = [
    ("--url", "https://elsewhere.example"), ("--api-url", "https://elsewhere.example"), ("--proxy", "http://proxy.example"), ("--insecure",),
    ("--allow-realm-host", "auth.example"), ("--username", "bea"), ("--ca-file", "CA"), ("--repository-access", "subdomain"),
]


@pytest.mark.parametrize("flags", MOVES, ids=lambda flags: flags[0])
def test_no_secret_follows_to_another_host(cli, add, tls, secret, flags):
    flags = [tls.ca if flag == "CA" else flag for flag in flags]
    add("it", "artifactory", *URL)
    outcome = cli.run("integration", "edit", "it", *flags)
    assert outcome.document["droppedSecrets"] == ["secret"]
    assert outcome.document["authentication"]["hasSecret"] is False
    assert "warning: dropped the password" in outcome.err and "--password-file" in outcome.err
    assert any("no secret is stored" in warning for warning in outcome.document["warnings"])
    # Nothing goes out without it.
    failed = cli.run("integration", "test", "it", code=1)
    assert "no password stored" in failed.err, failed
    cli.run("integration", "edit", "it", "--password-file", secret("new-" + CANARY))
    assert cli("integration", "show", "it")["authentication"]["hasSecret"]


def test_another_kind_leaves_the_user_behind(cli, add, secret):
    add("it", "docker-registry", *URL)
    edited = cli("integration", "edit", "it", "--api-key-file", secret("key-" + CANARY))["authentication"]
    assert (edited["kind"], edited["username"], edited["hasSecret"]) == ("api_key", "", True)
    edited = cli("integration", "edit", "it", "--auth", "anonymous")["authentication"]
    assert (edited["kind"], edited["hasSecret"]) == ("anonymous", False)


def test_a_secret_given_with_the_move_stays(cli, add, secret):
    add("it", "harbor", *URL)
    moved = cli("integration", "edit", "it", "--url", "https://elsewhere.example", "--password-file", secret())
    assert moved["droppedSecrets"] == [] and moved["authentication"]["hasSecret"]
    assert moved["changedFields"] == ["url", "secret"], "the same password at another host is another password"


def test_a_schedule_makes_an_integration_automatic_and_goes_with_it(cli, add):
    add("it", "harbor", *URL)
    assert cli("integration", "show", "it")["schedule"] is None
    for flags, schedule in ((("--every", "6h"), ("every", "6h", "")), (("--daily-at", "02:30", "--timezone", "Europe/Berlin"), ("daily", "02:30", "Europe/Berlin")),
                            (("--weekly-on", "mon,thu@02:30"), ("weekly", "mon,thu@02:30", "")), (("--cron", "0 2 * * mon-fri"), ("cron", "0 2 * * mon-fri", ""))):
        edited = cli("integration", "edit", "it", *flags)
        assert edited["mode"] == "automatic"
        assert edited["schedule"] | {"next": 0} == dict(zip(("kind", "value", "timezone"), schedule)) | {"next": 0}
        assert edited["schedule"]["next"] > edited["updatedAt"]
    edited = cli("integration", "edit", "it", "--mode", "manual")
    assert edited["mode"] == "manual" and edited["schedule"] is None
    cli.fails("integration", "edit", "it", "--every", "6h", "--cron", "0 2 * * *", code=2)
    cli.fails("integration", "edit", "it", "--timezone", "Europe/Berlin", code=2)


# -- apply

def write(path, text):
    path.write_text(text)
    return path


def test_apply_makes_the_integrations_match(cli, tmp_path, secret):
    secret(name="hub.password")
    file = write(tmp_path / "integrations.yaml", """
integrations:
  - name: hub
    type: docker-hub
    username: ann
    password-file: hub.password
    scope: [library, team]
    criteria: ['alpine:3.*', debian]
    created-within: 60d
  - name: plain
    type: docker-registry
    url: http://127.0.0.1:1
    insecure: true
    max-concurrent: 3
""")
    cli.run("integration", "add", "stray", "--type", "docker-registry", *URL)

    planned = cli("integration", "apply", "-f", file, "--dry-run", "--prune")
    assert planned["dryRun"] is True
    assert [(step["name"], step["action"]) for step in planned["integrations"]] == [("hub", "create"), ("plain", "create"), ("stray", "remove")]
    assert [one["name"] for one in cli("integration", "list")["integrations"]] == ["stray"], "a dry run changes nothing"

    cli.run("integration", "apply", "-f", file)
    assert [one["name"] for one in cli("integration", "list")["integrations"]] == ["hub", "plain", "stray"]
    before = cli("integration", "show", "hub")
    assert before["scopes"] == ["library", "team"] and before["authentication"]["hasSecret"] and before["condition"]["days"] == 60

    again = cli("integration", "apply", "-f", file)
    assert [step["action"] for step in again["integrations"]] == ["unchanged", "unchanged"]
    assert cli("integration", "show", "hub") == before, "applied again it changes nothing, the secret included"

    secret("other-" + CANARY, name="hub.password")
    file.write_text(file.read_text().replace("debian", "busybox").replace("    max-concurrent: 3\n", ""))
    changed = cli.run("integration", "apply", "-f", file, output="table")
    assert changed.out.splitlines() == [
        "changed hub", '  criteria: ["alpine:3.*","debian"] -> ["alpine:3.*","busybox"]', "  password or key: what is stored -> another",
        "changed plain", "  max-concurrent: 3 -> 8"]
    pruned = cli("integration", "apply", "-f", file, "--prune")
    assert [(step["name"], step["action"]) for step in pruned["integrations"]] == [("hub", "unchanged"), ("plain", "unchanged"), ("stray", "remove")]
    eventually(lambda: [one["name"] for one in cli("integration", "list")["integrations"]] == ["hub", "plain"], "the stray one to go")


def test_apply_takes_secrets_from_the_environment(cli, tmp_path):
    file = write(tmp_path / "i.yaml", "integrations:\n  - {name: a, type: harbor, url: 'https://h.example', username: ann, password-env: HARBOR_PASSWORD}\n")
    outcome = cli.fails("integration", "apply", "-f", file)
    assert f"{file}:2: a: the environment variable HARBOR_PASSWORD is not set" in outcome.err
    cli.run("integration", "apply", "-f", file, environment={"HARBOR_PASSWORD": "pw-" + CANARY})
    assert cli("integration", "show", "a")["authentication"]["hasSecret"]
    # A secret that an entry does not name is kept, unless it would follow to another host.
    file.write_text(file.read_text().replace(", password-env: HARBOR_PASSWORD", ""))
    assert cli("integration", "apply", "-f", file)["integrations"][0]["action"] == "unchanged"
    file.write_text(file.read_text().replace("h.example", "other.example"))
    assert "would drop the password of a" in cli.run("integration", "apply", "-f", file, "--dry-run").err
    assert cli("integration", "show", "a")["authentication"]["hasSecret"]
    assert "warning: dropped the password of a" in cli.run("integration", "apply", "-f", file).err
    assert not cli("integration", "show", "a")["authentication"]["hasSecret"]


def test_apply_says_where_it_is_wrong_and_changes_nothing(cli, tmp_path):
    file = write(tmp_path / "i.yaml", f"""integrations:
  - name: a
    type: docker-registry
    url: https://a.example
  - name: b
    type: harbor
    password: {CANARY}
    teapot: 1
    latest: many
    insecure: maybe
    scope: [{{a: b}}]
  - type: nexus
  - name: a
    type: docker-registry
    url: https://a.example
""")
    outcome = cli.run("integration", "apply", "-f", file, code=1)
    for line, what in ((7, "a secret cannot stand in this file"), (8, '"teapot" is no setting'), (9, "--latest"), (10, "insecure must be true or false"),
                       (11, "scope must be one text"), (12, "name is missing"), (13, '"a" is there twice')):
        assert any(f"{file}:{line}: " in text and what in text for text in outcome.err.splitlines()), (line, what, outcome)
    assert cli("integration", "list")["integrations"] == []

    # What only the daemon knows has its line too.
    file.write_text("integrations:\n  - name: a\n    type: docker-registry\n    url: https://a.example\n"
                    "  - name: b\n    type: quay\n    url: ftp://b\n    region: eu-west-1\n")
    outcome = cli.fails("integration", "apply", "-f", file)
    assert f"{file}:7: b: url: " in outcome.err and f"{file}:8: b: region: " in outcome.err and f"{file}:5: b: scope: " in outcome.err, outcome
    assert cli("integration", "list")["integrations"] == [], "nothing is stored before everything is right"

    for text in ("", "[]", "integrations: {}", "other: 1", "integrations: [\n", "a: &a [*a]\n"):
        cli.fails("integration", "apply", "-f", write(tmp_path / "bad.yaml", text))


# -- step by step

def talk(daemon, *arguments):
    return Terminal(daemon.binaries.client, "--socket", daemon.socket, "integration", *arguments)




def test_add_asks_step_by_step(daemon, tls):
    terminal = talk(daemon, "add")
    terminal.expect("Registry details")
    terminal.answer("Name of the integration", "Bad Name")
    terminal.expect("must begin with a lower-case letter")
    terminal.answer("Name of the integration", "hub")
    terminal.answer("Type (docker-hub, harbor", "teapot")
    terminal.expect("is none of docker-hub")
    terminal.answer("Type (", "gitlab")
    terminal.answer("Address of the registry", "registry.example")
    terminal.expect("beginning with https://")
    terminal.answer("Address of the registry", "https://registry.example")
    terminal.answer("Address of the vendor's API", "")
    terminal.expect("is required for gitlab")
    terminal.answer("Address of the vendor's API", "https://gitlab.example")
    terminal.answer("Scopes to read", "group/sub, other")
    assert "[account]" in terminal.answer("Authentication (", "account")
    terminal.answer("User name", "")
    terminal.expect("is required")
    terminal.answer("User name", "ann")
    terminal.answer("Password", "", echo=False)
    terminal.expect("is required")
    terminal.answer("Password", "pw-" + CANARY, echo=False)
    assert "[yes]" in terminal.answer("Verify the registry's certificate", "")
    terminal.answer("File of certificates", "/absent")
    terminal.expect("/absent")
    terminal.answer("File of certificates", str(tls.ca))
    terminal.answer("File of the certificate to show", "")
    terminal.answer("Proxy", "")
    terminal.answer("Description", "what it is for")
    terminal.expect("Image scan details")
    assert "[30m]" in terminal.answer("Maximum scan time", "1s")
    terminal.expect("from 10 seconds")
    terminal.answer("Maximum scan time", "10m")
    assert "[manual]" in terminal.answer("Mode (", "sometimes")
    terminal.expect("is none of manual, automatic")
    terminal.answer("Mode (", "automatic")
    assert "[6h]" in terminal.answer("Schedule (", "mon@25:00")
    terminal.expect("is no hour")
    terminal.answer("Schedule (", "mon,thu@02:30")
    terminal.answer("Time zone", "Europe/Nowhere")
    terminal.expect("is no time zone")
    terminal.answer("Time zone", "-")
    terminal.answer("Pull only", "a:b:c")
    terminal.expect("a:b:c")
    terminal.answer("Pull only", "team/*:1.* 4")
    terminal.answer("Additional condition", "60x")
    terminal.expect("is no unit")
    terminal.answer("Additional condition", "60d")
    terminal.answer("Never pull", "*-dev")
    terminal.answer("Always pull", "")
    terminal.answer("Scan again with every poll", "perhaps")
    terminal.expect("yes or no")
    terminal.answer("Scan again with every poll", "yes")
    terminal.answer("Poll remote", "")
    terminal.answer("Platforms", "")
    assert "[8]" in terminal.answer("Requests at a time", "")
    terminal.answer("Requests a second", "")
    terminal.answer("Bytes a second", "")
    terminal.answer("Scans at a time", "2")
    terminal.answer("Largest image", "20")
    terminal.answer("Quiet hours", "")
    terminal.expect("team/*:1.*")
    terminal.answer("Add this integration", "")
    code, rest = terminal.end()
    assert code == 0, rest
    assert CANARY.encode() not in terminal.seen, "the terminal showed the password"
    shown = daemon.cli("integration", "show", "hub")
    assert (shown["type"], shown["url"], shown["apiUrl"]) == ("gitlab", "https://registry.example", "https://gitlab.example")
    assert shown["scopes"] == ["group/sub", "other"] and shown["authentication"]["username"] == "ann" and shown["authentication"]["hasSecret"]
    assert (shown["maxScans"], shown["maxImageBytes"]) == (2, 20)
    assert "BEGIN CERTIFICATE" in shown["tls"]["caPem"] and shown["scanTimeout"] == 600 and shown["rescan"]
    assert [(one["name"], one["tag"]) for one in shown["criteria"]] == [("team/*", "1.*"), ("", "4")]
    assert shown["condition"] == {"kind": "created_within", "days": 60}
    assert shown["mode"] == "automatic" and shown["schedule"]["next"] > shown["createdAt"]
    assert shown["schedule"] | {"next": 0} == {"kind": "weekly", "value": "mon,thu@02:30", "timezone": "", "next": 0}

    # Editing proposes what is stored; a move asks for the secret again, or drops it.
    terminal = talk(daemon, "edit", "hub")
    assert "[gitlab]" in terminal.answer("Type (", "")
    assert "[https://registry.example]" in terminal.answer("Address of the registry", "")
    terminal.answer("Address of the vendor's API", "")
    terminal.answer("Scopes to read", "-")
    for question in ("Authentication (", "User name"):
        terminal.answer(question, "")
    assert "what is stored" in terminal.answer("Password", "", echo=False)
    for question in ("Verify", "File of certificates", "File of the certificate", "Proxy", "Description", "Maximum scan time", "Mode", "Schedule", "Time zone", "Pull only", "Additional",
                     "Never", "Always", "Scan again", "Poll remote", "Platforms", "Requests at a time", "Requests a second", "Bytes a second",
                     "Scans at a time", "Largest image", "Quiet",
                     "Store this"):
        terminal.answer(question, "")
    code, rest = terminal.end()
    assert code == 0 and "dropped" not in rest, rest
    edited = daemon.cli("integration", "show", "hub")
    assert edited["scopes"] == [] and edited["authentication"]["hasSecret"]
    assert all(edited[key] == shown[key] for key in ("criteria", "tls", "mode", "schedule"))


def test_questions_that_are_not_answered_store_nothing(daemon):
    terminal = talk(daemon, "add", "hub", "-i", "--type", "docker-hub", "--scope", "library")
    assert "[docker-hub]" in terminal.answer("Type (", "")
    assert "[https://registry-1.docker.io]" in terminal.answer("Address of the registry", "")
    terminal.answer("Address of the vendor's API", "")
    assert "[library]" in terminal.answer("Scopes", "")
    terminal.expect("Authentication (")
    terminal.expect(": ")
    terminal.close_input()
    code, rest = terminal.end()
    assert code == 1 and "nothing was stored" in rest
    assert daemon.cli("integration", "list")["integrations"] == []


def test_without_a_terminal_nobody_is_asked(cli):
    cli.fails("integration", "add", "x", code=2)
    cli.fails("integration", "add", "x", "-i", code=2, **{"seconds": 60})


# -- the key

def test_rotation_survives_kill_9_at_any_moment(make_daemon, make_registry):
    private = make_registry(users={"ann": "pw-" + CANARY})
    daemon = make_daemon().start()
    names = [f"i{number}" for number in range(20)]
    for name in names:
        daemon.cli.add_integration(name, private.url, username="ann", password="pw-" + CANARY)
    keys = set()
    for round in range(12):
        rotation = None
        pid = os.fork()
        if pid == 0:  # rotates for as long as the daemon lives
            while subprocess.run([daemon.binaries.client, "--socket", str(daemon.socket), "system", "rotate-key"], capture_output=True).returncode == 0:
                pass
            os._exit(0)
        before = (daemon.state / "secrets.key").read_bytes()
        # At another place each time: what is seen decides, not a clock.
        for _ in range(1 + round * 3):
            eventually(lambda: (daemon.state / "secrets.key.next").exists() or (daemon.state / "secrets.key").read_bytes() != before,
                       "a rotation to be under way", unless=lambda: not daemon.alive)
        daemon.kill()
        os.waitpid(pid, 0)
        daemon.start()
        assert not (daemon.state / "secrets.key.next").exists()
        assert ((daemon.state / "secrets.key").stat().st_mode & 0o7777) == 0o600
        keys.add((daemon.state / "secrets.key").read_bytes())
        for name in (names[0], names[-1]):
            daemon.cli.run("integration", "test", name)
    assert len(keys) > 1
    for name in names:
        daemon.cli.run("integration", "test", name)
    assert daemon.cli("system", "rotate-key") == {"sealed": 20, "unreadable": 0}


def test_the_key_may_be_a_credential_of_the_unit(make_daemon, make_registry, tmp_path):
    private = make_registry(users={"ann": "pw-" + CANARY})
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    daemon = make_daemon(environment={"CREDENTIALS_DIRECTORY": str(folder)}).start()
    daemon.cli.add_integration("it", private.url, username="ann", password="pw-" + CANARY)
    assert (daemon.state / "secrets.key").exists(), "without a credential of that name there is a file"
    daemon.stop()
    (folder / "tidewaiter.key").write_bytes(os.urandom(32))
    (folder / "tidewaiter.key").chmod(0o400)
    daemon.start()
    assert not (daemon.state / "secrets.key").exists(), "the unit's key took over"
    daemon.cli.run("integration", "test", "it")
    assert "KEY_IS_CREDENTIAL" in str(daemon.cli.fails("system", "rotate-key").error["details"])
    daemon.stop()
    (folder / "tidewaiter.key").rename(folder / "tidewaiter.key.old")
    (folder / "tidewaiter.key").write_bytes(os.urandom(32))
    (folder / "tidewaiter.key").chmod(0o400)
    daemon.start()
    daemon.cli.run("integration", "test", "it")
    daemon.stop()
    (folder / "tidewaiter.key.old").unlink()
    daemon.start()
    daemon.cli.run("integration", "test", "it")
    daemon.stop()
    (folder / "tidewaiter.key").chmod(0o444)
    assert "can be read by others" in daemon.refuses_to_start()
    (folder / "tidewaiter.key").unlink()
    assert "tidewaiter.key" in daemon.refuses_to_start()
