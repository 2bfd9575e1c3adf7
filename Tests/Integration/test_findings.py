"""What is wrong with an image beside its packages: how it is to be run and was built, modes of its files."""
import json

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
    shown = cli.run("image", "report", "plain/findings/app:1").out
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
