"""The main job: from an integration to a true report, and every way in which a person or a registry can be wrong."""
import re

import pytest

from support import osv
from support.daemon import CANARY
from support.images import DOCKER_MANIFEST, image, index, layer
from support.packages import alpine, debian
from support.registry import closed_port
from support.samples import sample
from support.waiting import eventually

PASSWORD = "password " + CANARY
ZEROS = "sha256:" + "0" * 64


@pytest.fixture
def plain(cli, registry):
    """The client with an integration `plain` to the open registry."""
    cli.add_integration("plain", registry.url)
    return cli


# -- the way through

def test_integration_show_and_list(plain, registry):
    shown = plain("integration", "show", "plain")
    assert {"name", "type", "url", "mode", "schedule", "criteria", "condition", "never", "always", "rescan", "scanTimeout"} <= set(shown)
    assert (shown["name"], shown["type"], shown["url"]) == ("plain", "docker-registry", registry.url)
    assert shown["mode"] == "manual" and shown["schedule"] is None and shown["rescan"] is False
    assert shown["scanTimeout"] == 1800
    assert shown["criteria"] == shown["never"] == shown["always"] == []
    listed = plain("integration", "list")
    assert [one["name"] for one in listed["integrations"]] == ["plain"]


def test_criteria_are_shown_as_they_were_read(plain, registry):
    plain.add_integration("narrow", registry.url, "--criteria", "team/*:1.*", "--criteria", "1.2.*", "--criteria", "alpine")
    shown = plain("integration", "show", "narrow")["criteria"]
    assert [(one["pattern"], one["name"], one["tag"]) for one in shown] == [
        ("team/*:1.*", "team/*", "1.*"), ("1.2.*", "", "1.2.*"), ("alpine", "alpine", "")]


def test_plain_http_is_warned_of(plain):
    text = plain.run("integration", "show", "plain", output=None).out
    assert "http" in text.lower() and "warn" in text.lower()


def test_integration_test_reports_each_step(plain):
    steps = plain("integration", "test", "plain")["steps"]
    assert len(steps) >= 3 and {one["outcome"] for one in steps} <= {"ok", "skipped"}


def test_poll_selects_scans_and_reports(cli, registry, tmp_path):
    registry.push("poll/app", sample(), "1.0", "latest")
    registry.push("poll/app", sample("1.1-r0"), "1.1")
    registry.push("poll/other", sample("1.2-r0"), "1.0")
    registry.push("poll/none", sample("1.3-r0"), "1.0")
    cli.import_advisories(osv.archive(tmp_path / "all.zip", [
        osv.advisory("TEST-1", fixed="1.1-r0", upstream=["CVE-2020-0001"],
                     severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}])]))
    cli.add_integration("polled", registry.url, "--criteria", "poll/*", "--never", "poll/none")
    cli.run("integration", "poll", "polled", "--wait")
    jobs = cli.jobs()
    # Two tags on one digest are one image and one job.
    assert sorted(job["reference"].split("@")[0].rpartition("/")[2].split(":")[0] for job in jobs) == ["app", "app", "other"]
    assert {job["state"] for job in jobs} == {"finished"} and {job["attempt"] for job in jobs} == {1}
    assert all({"id", "reference", "digest", "state", "attempt", "maxAttempts", "priority", "enqueuedAt"} <= set(job) for job in jobs)
    assert {image["status"] for image in cli.images()} == {"scanned"} and len(cli.images()) == 3
    first, again = cli.report("polled/poll/app:1.0"), cli.report("polled/poll/app:latest")
    assert first["digest"] == again["digest"]
    finding, = first["findings"]
    assert (finding["kind"], finding["id"], finding["package"], finding["installedVersion"], finding["fixedVersions"]) == (
        "vulnerability", "TEST-1", "libalpha", "1.0-r0", ["1.1-r0"])
    assert (finding["severity"], finding["score"]) == ("critical", 9.8)
    assert "CVE-2020-0001" in finding["aliases"]
    assert cli.report("polled/poll/app:1.1")["findings"] == []
    counts = next(one for one in cli.images() if one["digest"] == first["digest"])["counts"]
    assert counts == {"critical": 1, "high": 0, "medium": 0, "low": 0, "unknown": 0}
    # A second poll of an unchanged registry queues nothing.
    cli.run("integration", "poll", "polled", "--wait")
    assert len(cli.jobs()) == 3


def test_a_moved_tag_is_a_new_image(plain, registry):
    plain.add_integration("moving", registry.url, "--criteria", "moving/app")
    for version in ("1.0-r0", "2.0-r0"):
        registry.push("moving/app", sample(version), "1")
        plain.run("integration", "poll", "moving", "--wait")
        assert plain.report("moving/moving/app:1")["packages"][0]["version"] == version
    assert len(plain.images()) == 2


def test_image_by_tag_and_by_digest(plain, registry):
    digest = registry.push("by/app", sample(), "1.0")
    by_tag = plain.scan("plain/by/app:1.0")
    by_digest = plain.report(f"plain/by/app@{digest}")
    both = plain.report(f"plain/by/app:1.0@{digest}")
    assert by_tag["digest"] == by_digest["digest"] == both["digest"] == digest
    assert by_tag["packages"] == by_digest["packages"] == both["packages"]
    untagged = registry.push("by/app", sample("2.0-r0"))
    assert plain.scan(f"plain/by/app@{untagged}")["packages"][0]["version"] == "2.0-r0"


def test_report_keys(plain, registry):
    base = layer(alpine(("libalpha", "1.0-r0", "alpha")), created_by="ADD rootfs.tar /")
    registry.push("keys/app", image([base]), "1")
    report = plain.scan("plain/keys/app:1")
    assert {"reference", "digest", "platform", "os", "packages", "findings", "layers"} <= set(report)
    assert report["platform"] == "linux/amd64"
    assert (report["os"]["id"], report["os"]["version"]) == ("alpine", "3.18.9")
    package, = report["packages"]
    assert (package["name"], package["version"], package["type"], package["layer"]) == ("libalpha", "1.0-r0", "apk", base.digest)
    assert package["purl"].startswith("pkg:apk/alpine/libalpha@1.0-r0")
    one, = report["layers"]
    assert one == one | {"digest": base.digest, "createdBy": "ADD rootfs.tar /", "size": len(base.blob), "cached": False}


def test_a_queued_image_is_not_queued_twice(plain, make_scripted):
    scripted = make_scripted()
    scripted.push("a/b", sample(), "1")
    plain.add_integration("slow", scripted.url)
    scripted.blobs_gate.close()
    first = plain.run("image", "add", "slow/a/b:1")
    second = plain.run("image", "add", "slow/a/b:1")
    assert len(plain.jobs()) == 1 and first.code == second.code == 0
    scripted.blobs_gate.open()
    assert [job["state"] for job in plain.wait_idle()] == ["finished"]


def test_queue_show(plain, registry):
    registry.push("show/app", sample(), "1")
    plain.run("image", "add", "plain/show/app:1", "--wait")
    job = plain.job("plain/show/app")
    shown, = plain("queue", "show", job["id"])["jobs"]
    assert shown["id"] == job["id"] and shown["state"] == "finished" and shown["digest"] == job["digest"]
    assert plain("queue", "list", "--state", "pending")["jobs"] == []


def test_image_list_filters(plain, registry):
    registry.push("filter/one", sample(), "1")
    registry.push("filter/two", sample("1.1-r0"), "1")
    plain.run("image", "add", "plain/filter/one:1", "plain/filter/two:1", "--wait")
    listed = plain("image", "list", "--integration", "plain", "--repository", "filter/o*")["images"]
    assert len(listed) == 1 and "filter/one" in listed[0]["reference"]
    assert {"reference", "digest", "status", "scannedAt", "counts"} <= set(listed[0])
    assert plain("image", "list", "--status", "failed")["images"] == []


def test_everything_is_there_after_a_restart(daemon, plain, registry, tmp_path):
    registry.push("restart/app", sample(), "1")
    plain.import_advisories(osv.archive(tmp_path / "all.zip", [osv.advisory("TEST-1")]))
    before = plain.scan("plain/restart/app:1")
    listed = plain.images(), plain.jobs(), plain("db", "status"), plain("integration", "show", "plain")
    daemon.restart()
    assert (plain.images(), plain.jobs(), plain("db", "status"), plain("integration", "show", "plain")) == listed
    assert plain.report("plain/restart/app:1") == before
    # The layer is known: nothing is fetched again for another image of it.
    registry.push("restart/app", image([layer(alpine(("libalpha", "1.0-r0")))], config={"author": "another"}), "2")
    assert [one["cached"] for one in plain.scan("plain/restart/app:2")["layers"]] == [True]


def test_new_advisories_reach_known_images(plain, registry, tmp_path):
    registry.push("rematch/app", sample(), "1")
    assert plain.scan("plain/rematch/app:1")["findings"] == []
    plain.import_advisories(osv.archive(tmp_path / "all.zip", [osv.advisory("TEST-1")]))
    eventually(lambda: [one["id"] for one in plain.report("plain/rematch/app:1")["findings"]] == ["TEST-1"],
               "the image to be matched again")
    assert len(plain.jobs()) == 1


def test_remove_integration(plain, registry):
    registry.push("remove/app", sample(), "1")
    plain.run("image", "add", "plain/remove/app:1", "--wait")
    plain.run("integration", "remove", "plain")
    plain.fails("integration", "show", "plain")
    eventually(lambda: plain.images() == [], "the images of the integration to go")
    plain.add_integration("plain", registry.url)
    assert plain.images() == []


# -- forms of images

@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("docker", [False, True], ids=["oci", "schema2"])
def test_compressions(plain, registry, compression, docker):
    repository = f"forms/{compression}-{'docker' if docker else 'oci'}"
    made = image([layer(alpine(("libalpha", "1.0-r0")), compression)], docker=docker)
    assert (made.media_type == DOCKER_MANIFEST) == docker
    registry.push(repository, made, "1")
    assert [one["name"] for one in plain.scan(f"plain/{repository}:1")["packages"]] == ["libalpha"]


@pytest.mark.parametrize("docker", [False, True], ids=["index", "manifest-list"])
def test_index_is_read_for_the_platforms_asked_for(plain, registry, docker):
    repository = "forms/list" if docker else "forms/index"
    made = index([image([layer(alpine(("on-amd64", "1.0-r0")))], docker=docker),
                  image([layer(alpine(("on-arm64", "1.0-r0")))], architecture="arm64", variant="v8", docker=docker)], docker=docker)
    digest = registry.push(repository, made, "1")
    report = plain.scan(f"plain/{repository}:1")
    assert report["digest"] == digest and [one["name"] for one in report["packages"]] == ["on-amd64"]
    plain.add_integration("all", registry.url, "--platform", "all")
    plain.run("image", "add", f"all/{repository}:1", "--wait")
    for platform, package in (("linux/amd64", "on-amd64"), ("linux/arm64/v8", "on-arm64")):
        report = plain.report(f"all/{repository}:1", platform)
        assert report["platform"] == platform and [one["name"] for one in report["packages"]] == [package]
    assert len([job for job in plain.jobs() if job["reference"].startswith("all/")]) == 1


def test_debian_source_packages_are_matched(plain, registry, tmp_path):
    plain.import_advisories(osv.archive(tmp_path / "all.zip", [
        osv.advisory("TEST-BINNMU", "alpha", "Debian:12", fixed="1.0-2"),
        osv.advisory("TEST-OTHER-RELEASE", "alpha", "Debian:11")]))
    registry.push("debian/app", image([layer(debian(("libalpha1", "1.0-1+b2", "alpha (1.0-1)"), ("libbeta", "1.0-2", "alpha")))]), "1")
    report = plain.scan("plain/debian/app:1")
    assert [(one["id"], one["package"], one["installedVersion"]) for one in report["findings"]] == [
        ("TEST-BINNMU", "libalpha1", "1.0-1+b2")]


def test_a_damaged_layer_is_told_of(plain, make_scripted):
    scripted = make_scripted()
    good, bad = layer(alpine(("libalpha", "1.0-r0"))), layer({"x": "y" * 100_000})
    bad = type(bad)(bad.blob[:len(bad.blob) // 2], bad.diff_id, bad.media_type, "COPY damaged /")
    scripted.push("damaged/app", image([good, bad]), "1")
    plain.add_integration("scripted", scripted.url)
    report = plain.scan("scripted/damaged/app:1")
    assert [one["name"] for one in report["packages"]] == ["libalpha"]
    error, = [one for one in report["findings"] if one["kind"] == "error"]
    assert error["layer"] == bad.digest and error["title"]


def test_bytes_of_another_digest_are_refused(plain, make_scripted):
    scripted = make_scripted()
    made = sample()
    scripted.push("mismatch/app", made, "1")
    other = layer(alpine(("libevil", "1.0-r0"))).blob
    # As long as what was promised, so that only the digest tells.
    promised = made.layers[0]
    scripted.blobs["mismatch/app", promised.digest] = (other + bytes(len(promised.blob)))[:len(promised.blob)]
    plain.add_integration("scripted", scripted.url)
    plain.run("image", "add", "scripted/mismatch/app:1", "--wait", code=3)
    job = plain.job("scripted/mismatch/app")
    assert job["state"] == "error" and job["error"]["code"] == "DIGEST_MISMATCH" and job["attempt"] == 1
    assert promised.digest in job["error"]["message"]
    # Nothing was kept under that digest: the right bytes are fetched and read.
    scripted.blobs["mismatch/app", promised.digest] = promised.blob
    assert [one["name"] for one in plain.scan("scripted/mismatch/app:1")["packages"]] == ["libalpha"]


# -- registries that want to know who asks

def test_basic_authentication(cli, make_registry):
    private = make_registry(users={"ann": PASSWORD})
    private.push("team/app", sample(), "1")
    cli.add_integration("private", private.url, username="ann", password=PASSWORD)
    cli.run("integration", "test", "private")
    assert cli.scan("private/team/app:1")["packages"]
    cli.run("integration", "poll", "private", "--wait")


def test_password_file_loses_one_line_end(cli, make_registry, tmp_path):
    private = make_registry(users={"ann": PASSWORD})
    private.push("team/app", sample(), "1")
    for number, end in enumerate(("", "\n", "\r\n")):
        (tmp_path / "password").write_text(PASSWORD + end, newline="")
        cli.add_integration(f"private{number}", private.url, "--auth", "account", "--username", "ann", "--password-file", tmp_path / "password")
        cli.run("integration", "test", f"private{number}")


def test_wrong_password(cli, make_registry):
    private = make_registry(users={"ann": PASSWORD})
    private.push("team/app", sample(), "1")
    cli.add_integration("private", private.url, username="ann", password="wrong " + CANARY)
    outcome = cli.fails("image", "add", "private/team/app:1")
    assert re.search("unauthori[sz]ed|password|credential", outcome.err, re.IGNORECASE), outcome
    steps = {one["name"]: one["outcome"] for one in cli.run("integration", "test", "private", code=1).document["steps"]}
    assert steps["authentication"] == "failed"
    cli.run("integration", "poll", "private", "--wait", code=1)


def test_no_password_where_one_is_asked(cli, make_registry):
    private = make_registry(users={"ann": PASSWORD})
    private.push("team/app", sample(), "1")
    cli.add_integration("private", private.url)
    cli.fails("image", "add", "private/team/app:1")


def test_token_flow(cli, make_registry, make_token_server):
    tokens = make_token_server({"ann": PASSWORD}, {"ann": ["team/app"]})
    private = make_registry(token=tokens)
    private.push("team/app", sample(), "1")
    cli.add_integration("private", private.url, username="ann", password=PASSWORD)
    assert cli.scan("private/team/app:1")["packages"]
    assert all(header.startswith("Basic ") for _, header in tokens.seen if header)
    assert any("repository%3Ateam%2Fapp%3Apull" in path or "repository:team/app:pull" in path for path, _ in tokens.seen)
    steps = cli("integration", "test", "private")["steps"]
    assert {one["outcome"] for one in steps} <= {"ok", "skipped"}


def test_token_flow_with_a_wrong_password(cli, make_registry, make_token_server):
    tokens = make_token_server({"ann": PASSWORD}, {"ann": ["team/app"]})
    private = make_registry(token=tokens)
    private.push("team/app", sample(), "1")
    cli.add_integration("private", private.url, username="ann", password="wrong " + CANARY)
    cli.fails("image", "add", "private/team/app:1")
    assert len(tokens.seen) <= 4, "a refused password is not tried again and again"


def test_token_realm_on_another_host_gets_no_password(cli, make_scripted):
    """H21: the registry chooses the address that a password is sent to; another host needs leave."""
    registry, thief = make_scripted(), make_scripted(host="127.0.0.2")
    registry.push("team/app", sample(), "1")
    challenge = (("WWW-Authenticate", f'Bearer realm="{thief.url}/token",service="x",scope="repository:team/app:pull"'),)
    registry.on(".*", "/v2/", lambda request: None if request.headers.get("Authorization", "").startswith("Bearer ")
                else registry.error(401, "UNAUTHORIZED", challenge))
    thief.on("GET", "/token", lambda _: thief.json({"token": "t" + CANARY}))
    cli.add_integration("stolen", registry.url, username="ann", password=PASSWORD)
    outcome = cli.fails("image", "add", "stolen/team/app:1")
    assert "127.0.0.2" in outcome.err and "--allow-realm-host" in outcome.err
    assert thief.requests() == []
    cli.add_integration("allowed", registry.url, "--allow-realm-host", "127.0.0.2", username="ann", password=PASSWORD)
    assert cli.scan("allowed/team/app:1")["packages"]
    assert thief.requests()[0].authorization.startswith("Basic ")


def test_redirected_blobs_get_no_credential(cli, make_scripted):
    """H08: a blob that lives on another host is fetched there without the registry's password."""
    registry, store = make_scripted(accounts={"ann": (PASSWORD, ["team/app"])}), make_scripted(host="127.0.0.2")
    made = sample()
    registry.push("team/app", made, "1")
    store.push("team/app", made)
    registry.on("GET", "/blobs/", lambda request: None if not request.headers.get("Authorization") else
                type(registry.json({}))(307, (("Location", store.url + request.path),)))
    cli.add_integration("redirected", registry.url, username="ann", password=PASSWORD)
    assert cli.scan("redirected/team/app:1")["packages"]
    assert store.requests("GET", "/blobs/") and {one.authorization for one in store.requests()} == {""}


def test_own_authority(cli, make_registry, tls):
    secure = make_registry(users={"ann": PASSWORD}, authority=tls)
    secure.push("team/app", sample(), "1")
    cli.add_integration("secure", secure.url, "--ca-file", tls.ca, username="ann", password=PASSWORD)
    cli.run("integration", "test", "secure")
    assert cli.scan("secure/team/app:1")["packages"]


def test_unknown_authority(cli, make_registry, tls, other_tls):
    secure = make_registry(users={"ann": PASSWORD}, authority=tls)
    secure.push("team/app", sample(), "1")
    cli.add_integration("none", secure.url, username="ann", password=PASSWORD)
    cli.add_integration("wrong", secure.url, "--ca-file", other_tls.ca, username="ann", password=PASSWORD)
    for name in ("none", "wrong"):
        outcome = cli.fails("image", "add", f"{name}/team/app:1")
        assert "certificate" in outcome.err.lower() and "--ca-file" in outcome.err
        steps = {one["name"]: one["outcome"] for one in cli.run("integration", "test", name, code=1).document["steps"]}
        assert steps["tls"] == "failed"
    # One integration's choice not to look changes no other.
    cli.add_integration("blind", secure.url, "--insecure", username="ann", password=PASSWORD)
    assert cli.scan("blind/team/app:1")["packages"]
    cli.fails("image", "add", "wrong/team/app:1")


# -- what a person gets wrong

def test_registry_down(cli):
    with closed_port() as port:
        check_unreachable(cli, f"http://127.0.0.1:{port}")


def check_unreachable(cli, url):
    cli.add_integration("down", url)
    outcome = cli.fails("image", "add", "down/team/app:1")
    assert outcome.error["code"] == "UNAVAILABLE"
    steps = cli.run("integration", "test", "down", code=1).document["steps"]
    assert "failed" in {one["outcome"] for one in steps} and any(one.get("hint") for one in steps)
    cli.run("integration", "poll", "down", "--wait", code=1)


def test_registry_goes_down_and_comes_back(cli, make_registry):
    registry = make_registry()
    registry.push("team/app", sample(), "1")
    cli.add_integration("flaky", registry.url)
    registry.stop()
    cli.fails("image", "add", "flaky/team/app:1")
    registry.start()
    assert cli.scan("flaky/team/app:1")["packages"]


@pytest.mark.parametrize("reference", ["plain/absent/repository:1", "plain/known/app:absent", f"plain/known/app@{ZEROS}"],
                         ids=["repository", "tag", "digest"])
def test_unknown_image(plain, registry, reference):
    registry.push("known/app", sample(), "1")
    outcome = plain.fails("image", "add", reference)
    assert outcome.error["code"] == "NOT_FOUND"
    assert plain.fails("image", "show", reference).error["code"] == "NOT_FOUND"
    assert plain.fails("image", "report", reference).error["code"] == "NOT_FOUND"
    assert plain.jobs() == []


@pytest.mark.parametrize("command", [
    ("integration", "show", "absent"), ("integration", "test", "absent"), ("integration", "poll", "absent"),
    ("integration", "remove", "absent"), ("image", "add", "absent/team/app:1"), ("queue", "show", "999999")], ids=" ".join)
def test_unknown_names(plain, command):
    assert plain.fails(*command).error["code"] == "NOT_FOUND"


@pytest.mark.parametrize("reference", [
    "", "plain", "plain/", "/app:1", "plain/App:1", "plain/app:", "plain/app:a:b", "plain/app@", "plain/app@sha256:12",
    "plain/app@md5:d41d8cd98f00b204e9800998ecf8427e", "plain/../app:1", "plain/app//x:1", "plain/" + "a" * 300 + ":1",
    "plain/app:" + "t" * 129, "plain/app:\x1b[2J", "plain/a b:1"], ids=lambda text: repr(text[:24]))
def test_malformed_references(plain, reference):
    outcome = plain.run("image", "add", reference, code=None)
    assert outcome.code in (1, 2), outcome
    assert "error: " in outcome.err.lower()
    assert "\x1b" not in outcome.err
    assert plain.jobs() == []


def test_bad_settings_are_all_named_at_once(cli):
    outcome = cli.fails("integration", "add", "Bad Name", "--type", "docker-registry", "--url", "http://user:word@host/?q#f",
                        "--criteria", "a:b:c", "--scan-timeout", "1s")
    error = outcome.error
    assert error["code"] == "INVALID_ARGUMENT"
    fields = str(error["details"])
    for field in ("name", "url", "criteria", "scan"):
        assert field in fields, (field, error)
    assert cli("integration", "list")["integrations"] == []


def test_a_name_is_taken_once(plain, registry):
    outcome = plain.fails("integration", "add", "plain", "--type", "docker-registry", "--url", registry.url)
    assert outcome.error["code"] == "ALREADY_EXISTS"


def test_unknown_type(cli):
    assert cli.fails("integration", "add", "x", "--type", "teapot", "--url", "https://example.test").error["code"] == "INVALID_ARGUMENT"


def test_usage_errors(cli):
    for words in ((), ("integration", "no-such-verb"), ("image", "add"), ("image", "add", "--no-such-flag", "x")):
        outcome = cli.run(*words, output=None, code=None)
        assert outcome.code == 2 or (words == () and outcome.code == 0), outcome


def test_no_daemon(daemon, cli):
    daemon.stop()
    cli.fails("image", "list", code=4)
    daemon.start()
    cli.run("image", "list")


def test_help_speaks_on_every_level(cli):
    for words in ((), ("integration",), ("integration", "add"), ("image", "report"), ("queue", "list"), ("db", "import")):
        text = cli.run(*words, "--help", output=None).out
        assert "USAGE" in text.upper()


def test_version_and_status(cli):
    assert "tidewaiter" in cli.run("version", output=None).out
    assert cli("version") and cli("status")
    assert cli.run("status", output=None).out.strip()
