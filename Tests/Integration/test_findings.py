"""What is wrong with an image beside its packages: how it is to be run and was built, modes of its files, secrets in them."""
import json
import zlib

import pytest

from support import corpus
from support.images import image, layer
from support.packages import alpine


def found(report, *kinds):
    return {(one["id"], one["path"]) for one in report["findings"] if one["kind"] in kinds}


def test_settings_of_an_image(cli, registry):
    """Each finding has a remedy, names its layer where one is to blame, and never what a variable is set to."""
    steps = [layer(alpine(), created_by="ADD https://example.org/rootfs.tar /"),
             layer({"app/run": b"x"}, created_by="RUN /bin/sh -c curl -k https://example.org/install.sh | sh # buildkit")]
    config = {"config": {"Env": ["PATH=/bin", "DB_PASSWORD=hunter2-really", "API_TOKEN=$OTHER"], "ExposedPorts": {"22/tcp": {}, "80/tcp": {}}}}
    registry.push("findings/app", image(steps, config=config), "1")
    cli.add_integration("plain", registry.url)
    report = cli.scan("plain/findings/app:1")
    assert found(report, "misconfiguration") == {(name, "") for name in (
        "RUNS_AS_ROOT", "NO_HEALTHCHECK", "SECRET_IN_ENV", "REMOTE_SHELL_EXPOSED", "ADD_OF_REMOTE_URL", "DOWNLOAD_PIPED_TO_SHELL",
        "TLS_VERIFICATION_OFF")}
    assert all(one["remedy"] and one["title"] for one in report["findings"])
    layers = {one["id"]: one["layer"] for one in report["findings"]}
    assert (layers["ADD_OF_REMOTE_URL"], layers["DOWNLOAD_PIPED_TO_SHELL"]) == tuple(one.digest for one in steps)
    assert "hunter2" not in json.dumps(report)
    shown = cli.run("image", "report", "--format", "table", "plain/findings/app:1").out
    assert "SECRET_IN_ENV" in shown and "DB_PASSWORD" in shown and "hunter2" not in shown


def test_a_sound_image_has_no_findings(cli, registry):
    registry.push("findings/sound", image([layer(alpine(), created_by="ADD rootfs.tar /")]), "1")
    cli.add_integration("plain", registry.url)
    assert cli.scan("plain/findings/sound:1")["findings"] == []


@pytest.mark.skipif(corpus.MISSING is not None, reason=str(corpus.MISSING))
def test_planted_findings(cli, registry):
    corpus.push(registry.url, "planted:findings")
    cli.add_integration("plain", registry.url)
    report = cli.scan("plain/planted:findings")
    assert found(report, "misconfiguration") >= {
        ("RUNS_AS_ROOT", ""), ("NO_HEALTHCHECK", ""), ("SECRET_IN_ENV", ""), ("REMOTE_SHELL_EXPOSED", ""),
        ("DOWNLOAD_PIPED_TO_SHELL", ""), ("TLS_VERIFICATION_OFF", ""), ("SETUID_FILE", "usr/local/bin/helper"),
        ("WORLD_WRITABLE_FILE", "etc/cron.d/job")}
    secrets = {one["title"] for one in report["findings"] if one["id"] == "SECRET_IN_ENV"}
    assert len(secrets) == 2, secrets
    secrets = [one for one in report["findings"] if one["kind"] == "secret"]
    assert {one["path"] for one in secrets} == {"app/.env", "app/ci.yml", "root/.ssh/id_rsa", "root/.docker/config.json"}
    # What the next layer removes can be fetched all the same.
    assert {one["path"] for one in secrets if one.get("removedByLayer")} == {"app/ci.yml"}
    assert all(one["fingerprint"] and one["excerpt"] and one["line"] and one["severity"] != "unknown" for one in secrets), secrets


def test_secrets_in_layers(cli, daemon, registry):
    """The same secret has the same fingerprint in every image, another one has another; nowhere is the secret itself."""
    token = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5"
    token += checksum(token[4:])
    other = "glpat-" + "x7Kq2mVb9TzR4wLn8yHc"
    layers = [layer({"app/config.yml": f"name: app\ntoken: {token}\n"}), layer({"etc/other": f"x {token}\n", "etc/third": other + "\n"})]
    registry.push("findings/secret", image(layers), "1")
    registry.push("findings/again", image([layer({"somewhere": token + "\n"})]), "1")
    cli.add_integration("plain", registry.url)
    report, again = cli.scan("plain/findings/secret:1"), cli.scan("plain/findings/again:1")
    prints = {one["path"]: one["fingerprint"] for one in report["findings"] if one["kind"] == "secret"}
    assert prints.keys() == {"app/config.yml", "etc/other", "etc/third"}, report["findings"]
    assert prints["app/config.yml"] == prints["etc/other"] != prints["etc/third"]
    assert [one["fingerprint"] for one in again["findings"]] == [prints["etc/other"]]
    assert next(one["line"] for one in report["findings"] if one["path"] == "app/config.yml") == 2
    shown = cli.run("image", "report", "--format", "table", "plain/findings/secret:1").out
    assert "app/config.yml:2" in shown
    for secret in (token, other):
        assert secret not in shown and secret not in json.dumps(report)
        for path in daemon.state.rglob("*"):
            assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def checksum(text):
    """As GitHub's tokens end: CRC-32 in base 62."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number, out = zlib.crc32(text.encode()), ""
    while number:
        number, digit = divmod(number, 62)
        out = digits[digit] + out
    return out.rjust(6, "0")


@pytest.mark.parametrize("release, end", [
    ("ID=debian\nVERSION_ID=8\n", "2020-06-30"), ("ID=sles\nVERSION_ID=15.3\n", "2022-12-31"), ("ID=unheard-of\nVERSION_ID=1\n", ""),
])
def test_distributions_past_their_end(cli, registry, release, end):
    """That few advisories name what is in them is no good sign: it is said, to people and to programs."""
    registry.push("team/old", image([layer({"etc/os-release": release})]), "1")
    cli.add_integration("team", registry.url)
    report = cli.scan("team/team/old:1")
    assert (report["os"]["endOfLife"], report["os"]["isPastEndOfLife"]) == (end, bool(end))
    notes = [note for note in report["notes"] if note.startswith("end of life: ")]
    assert len(notes) == (1 if end else 0) and all(end in note for note in notes)
    assert ("past its end of life" in cli.run("image", "report", "team/team/old:1", output=None).out) == bool(end)


def test_a_distribution_without_os_release(cli, registry):
    """Taken away, or never there: what else tells the release is used, and said."""
    registry.push("team/old", image([layer({"etc/redhat-release": "CentOS release 6.10 (Final)\n"})]), "1")
    cli.add_integration("team", registry.url)
    report = cli.scan("team/team/old:1")
    assert (report["os"]["id"], report["os"]["version"], report["os"]["endOfLife"]) == ("centos", "6.10", "2020-11-30")
    assert any("no os-release file: it is taken for centos 6.10" in note for note in report["notes"])
