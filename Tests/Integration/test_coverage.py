"""The ledger: every tag that was ever listed is in exactly one state, with a reason, and the sums are what the registry lists
when it is asked directly."""
import threading

import pytest

from support import ledger
from support.images import OCI_MANIFEST, index
from support.manifests import config_of, descriptor, put_document, put_manifest
from support.memory import private_bytes
from support.samples import sample
from support.scripted import Reply

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
MIB = 1 << 20
MANY_TAGS = 100_000
# What a poll of any size may take beside what the daemon needs at rest; a debug build and its allocator are generous.
MEMORY_BYTES = 64 * MIB


def put_artifacts(registry, repository):
    """A tag of each kind that is no image that can be scanned; answers them."""
    blob = b"chart"
    put_manifest(registry, repository, "chart", b"{}", [descriptor(blob)], [blob], config_type=HELM_CONFIG)
    put_manifest(registry, repository, "sbom", b"{}", [descriptor(blob, "application/spdx+json")], [blob],
                 config_type="application/vnd.oci.empty.v1+json", artifactType="application/spdx+json")
    put_manifest(registry, repository, "sha256-" + "a" * 64 + ".sig", b"{}", [
        descriptor(blob, "application/vnd.dev.cosign.simplesigning.v1+json")], [blob])
    attestation = sample("8.0-r0")
    attestation.platform = {"os": "unknown", "architecture": "unknown"}
    registry.push(repository, index([attestation]), "attestation")
    put_document(registry, repository, "old", {
        "schemaVersion": 1, "name": repository, "tag": "old", "architecture": "amd64", "fsLayers": [], "history": [], "signatures": []}, SCHEMA_1)
    return {"chart", "sbom", "sha256-" + "a" * 64 + ".sig", "attestation", "old"}


@pytest.fixture
def scripted(make_scripted):
    return make_scripted()


def test_every_tag_is_in_one_state(cli, scripted):
    """From first to last: queued, scanned, failed to be scanned, failed to be read, rejected by each kind of rule, no image,
    gone, and back."""
    scripted.push("team/app", sample("1.0-r0"), "1.0", "latest")
    scripted.push("team/app", sample("1.1-r0"), "1.1-dev")
    scripted.push("team/app", sample("1.2-r0"), "nightly")
    scripted.push("team/app", sample("1.3-r0", created="2020-01-01T00:00:00Z"), "1.3")
    broken = config_of()
    scripted.push("team/tool", sample("2.0-r0"), "1.0")
    del scripted.blobs["team/app", put_manifest(scripted, "team/app", "1.4", broken, []) and
                       descriptor(broken)["digest"]]  # its configuration is missing
    unreadable = scripted.push("team/app", sample("1.5-r0"), "1.5")
    scripted.on("GET|HEAD", f"/manifests/(1.5|{unreadable})$", lambda _: Reply(500))
    artifacts = put_artifacts(scripted, "team/things")
    scripted.push("other/app", sample("3.0-r0"), "1.0", "2.0")
    scripted.blobs_gate.close()
    cli.add_integration("it", scripted.url, "--criteria", "team/*:1.*", "--criteria", "team/things", "--never", ":*-dev", "--always", ":nightly")
    poll = cli.poll_only("it")
    assert poll["state"] == "finished"

    def states():
        there = {tag for tag in ledger.listed(scripted.url) if tag[0] not in rejected_repositories}
        return ledger.states(ledger.check(cli, "it", there, gone))

    gone = set()
    # A repository that no rule can take is not asked for its tags: it is in the count of repositories.
    coverage = cli.coverage("it")
    rejected_repositories = {"other/app"} if any(one["state"] == "rejected" for one in coverage["repositoryStates"]) else set()
    found = states()
    skipped = {("team/things", tag): "skipped" for tag in artifacts}
    expected = skipped | {
        ("team/app", "1.0"): "queued", ("team/app", "latest"): "rejected", ("team/app", "1.1-dev"): "rejected",
        ("team/app", "nightly"): "queued", ("team/app", "1.3"): "queued", ("team/app", "1.4"): "queued", ("team/app", "1.5"): "failed",
        ("team/tool", "1.0"): "queued"}
    if not rejected_repositories:
        expected |= {("other/app", "1.0"): "rejected", ("other/app", "2.0"): "rejected"}
    # Two tags on one digest: whoever was rejected is rejected still, unless its image is known by the other tag.
    assert found.pop(("team/app", "latest")) in ("rejected", "queued")
    # Nothing in it is for any platform: skipped, or refused by the scan.
    assert found.pop(("team/things", "attestation")) in ("skipped", "queued", "failed")
    expected.pop(("team/things", "attestation"))
    expected.pop(("team/app", "latest"))
    assert found == expected

    # Scanned, or failed to be.
    scripted.blobs_gate.open()
    cli.wait_idle()
    found = states()
    assert found["team/app", "1.4"] == "failed" and found["team/app", "1.5"] == "failed"
    assert {found[tag] for tag, state in expected.items() if state == "queued" and tag != ("team/app", "1.4")} == {"scanned"}

    # Read at last.
    scripted.clear()
    assert ledger.queued(cli, cli.poll("it")) == {("team/app", unreadable)}
    assert states()["team/app", "1.5"] == "scanned"

    # Other criteria: what was scanned keeps that state, what never was is decided anew.
    cli.run("integration", "edit", "it", "--never", ":1.5", "--never", ":1.0", "--created-within", "60d", "--criteria", "team/app")
    late = scripted.push("team/app", sample("1.6-r0", created="2020-01-01T00:00:00Z"), "1.6")
    poll = cli.poll("it")
    found = states()
    assert found["team/app", "1.6"] == "rejected" and cli.explain("it/team/app:1.6")["digest"] in ("", late)
    assert found["team/app", "1.5"] == found["team/app", "1.0"] == found["team/app", "1.3"] == "scanned"
    assert poll["tagsGone"] == 0
    assert {one["status"] for one in cli.images()} == {"scanned", "failed"}

    # Gone, a tag of two and a whole repository.
    digest = scripted.repositories["team/app"]["1.3"]
    scripted.untag("team/app", "1.3", "1.1-dev")
    del scripted.repositories["team/tool"]
    cli.run("integration", "edit", "it", "--criteria", "team/*", "--never", ":*-dev", "--no-condition")
    poll = cli.poll("it")
    gone = {("team/app", "1.3"), ("team/app", "1.1-dev"), ("team/tool", "1.0")}
    assert (poll["tagsGone"], poll["repositoriesGone"]) == (3, 1), poll
    states()
    assert {one["digest"] for one in cli.images("--status", "gone")} >= {digest}
    assert cli.report(f"it/team/app@{digest}")["digest"] == digest, "the report stays"

    # And back: what was scanned is not scanned again.
    scripted.repositories["team/app"]["1.3"] = digest
    gone -= {("team/app", "1.3")}
    poll = cli.poll("it")
    assert (poll["tagsNew"], (("team/app", digest) in ledger.queued(cli, poll))) == (1, False)
    assert states()["team/app", "1.3"] == "scanned"


def test_sums_at_a_real_registry(cli, make_registry):
    """Debian's docker-registry, asked directly, lists as many tags as there are in all states but gone."""
    real = make_registry()
    for repository in range(3):
        for tag in range(4):
            real.push(f"sum/app{repository}", sample(f"{repository}.{tag}-r0"), f"{tag}.0", f"{tag}.0-dev")
    cli.add_integration("it", real.url, "--never", ":*-dev", "--latest", "2")
    cli.poll("it")
    there = ledger.listed(real.url)
    assert len(there) == 24
    found = ledger.states(ledger.check(cli, "it", there, repositories={"listed": 3}))
    assert {tag for tag, state in found.items() if state == "rejected"} >= {tag for tag in there if tag[1] in ("0.0", "1.0")}


def test_a_tag_deleted_between_listing_and_fetch(cli, scripted):
    """H39: it was listed, so it is in the ledger; there is no image, and nothing else suffers."""
    for number in range(4):
        scripted.push("team/app", sample(f"1.{number}-r0"), f"{number}.0")
    digest = scripted.repositories["team/app"]["2.0"]
    scripted.on("GET|HEAD", f"/manifests/(2.0|{digest})$", lambda _: scripted.error(404, "MANIFEST_UNKNOWN"))
    cli.add_integration("it", scripted.url)
    poll = cli.poll("it")
    assert poll["state"] == "finished" and poll["tags"] == 4 and poll["queued"] == 3, poll
    found = cli.explain("it/team/app:2.0")
    assert found["state"] in ("gone", "failed") and found["reason"], found
    coverage = cli.coverage("it")
    assert coverage["tags"] == sum(one["tags"] for one in coverage["states"]) == 4, coverage
    scripted.untag("team/app", "2.0")
    scripted.clear()
    assert cli.poll("it")["state"] == "finished"
    ledger.check(cli, "it", ledger.listed(scripted.url), {("team/app", "2.0")})
    # And when it comes again it is new.
    again = scripted.push("team/app", sample("9.9-r0"), "2.0")
    assert ledger.queued(cli, cli.poll("it")) == {("team/app", again)}
    ledger.check(cli, "it", ledger.listed(scripted.url))


def test_a_digest_that_is_not_the_bytes(cli, scripted):
    """H42: the header says one digest, the bytes are another's: it is nobody's image, and says so."""
    scripted.push("team/app", sample("1.0-r0"), "good")
    lie = scripted.push("team/app", sample("1.1-r0"), "bad")
    scripted.on("GET", f"/manifests/(bad|{lie})$", lambda _: Reply(200, (
        ("Content-Type", OCI_MANIFEST), ("Docker-Content-Digest", lie)), sample("6.6-r0").manifest))
    cli.add_integration("it", scripted.url)
    cli.run("integration", "poll", "it", "--wait", code=None)
    found = ledger.states(ledger.check(cli, "it", ledger.listed(scripted.url)))
    assert found == {("team/app", "good"): "scanned", ("team/app", "bad"): "failed"}
    assert "digest" in cli.explain("it/team/app:bad")["reason"].lower()


@pytest.mark.parametrize("vendor, way", [("artifactory", "repository path"), ("nexus", "")])
def test_remote_repositories(make_bench, vendor, way):
    """D6: what is not polled because of its kind is counted, by name and reason; with --include-remote it is polled."""
    bench = make_bench(vendor, way)
    left_out = bench.product.left_out()
    assert left_out
    name = bench.add("full")
    bench.poll(name)
    coverage = bench.cli.coverage(name)
    skipped = [one for one in coverage["repositoryStates"] if one["state"] == "skipped"]
    assert skipped and all(one["reason"] and one["example"] for one in skipped), coverage
    assert any(kind in one["reason"] for one in skipped for kind in ("remote", "virtual")), skipped
    ledger.check_sums(bench.cli, name, set(bench.images(name)) | skipped_tags(bench, name))
    preview = bench.cli.preview(name)
    passed_over = {one["name"]: one for one in preview["repositories"] if one["skipped"]}
    assert passed_over and all(one["reason"] and one["kind"] in ("remote", "virtual", "local") for one in passed_over.values())
    assert any(place.partition("/")[0] in left_out for place in passed_over), (passed_over, left_out)
    everything = bench.add("full", "--include-remote")
    bench.poll(everything)
    assert set(bench.images(everything)) > set(bench.images(name))
    assert bench.product.violations == []


def skipped_tags(bench, name):
    """The tags of what is no image, as the daemon lists them."""
    return {(reference.repository, reference.tag) for reference in (
        ledger.Reference.of(one["reference"]) for one in bench.cli("image", "list", "--integration", name, "--status", "skipped")["images"])}


@pytest.mark.slow
def test_a_hundred_thousand_tags(daemon, cli, scripted):
    """H36: of one repository: all of them in the ledger, and the daemon does not grow with them."""
    scripted.push("team/app", sample("1.0-r0"), "taken")
    digest = scripted.repositories["team/app"]["taken"]
    scripted.repositories["team/app"] |= {f"t{number:06}": digest for number in range(MANY_TAGS - 1)}
    scripted.page_size = 1000
    cli.add_integration("it", scripted.url, "--criteria", ":taken")
    before, peak, ended = private_bytes(daemon.process.pid), [0], threading.Event()

    def watch():
        while not ended.wait(0.02):
            peak[0] = max(peak[0], private_bytes(daemon.process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        poll = cli.poll("it")
    finally:
        ended.set()
        watcher.join()
    assert (poll["tags"], poll["queued"], poll["rejected"]) == (MANY_TAGS, 1, MANY_TAGS - 1)
    counts = {(one["status"], one["reasonCode"]): one["tags"] for one in cli.coverage("it")["states"]}
    assert sum(count for (state, _), count in counts.items() if state == "rejected") == MANY_TAGS - 1
    assert sum(counts.values()) == MANY_TAGS
    assert peak[0] - before < MEMORY_BYTES, f"{(peak[0] - before) / MIB:.0f} MiB more"
