"""Every image of the corpus, read by the real daemon from a real registry: exactly the packages and matches that are true."""
import os
from pathlib import Path

import pytest

from support import corpus

pytestmark = [pytest.mark.skipif(corpus.MISSING is not None, reason=str(corpus.MISSING))]

DISTRIBUTION_TYPES = {"apk", "deb", "rpm"}
INSTALLED_TYPES = DISTRIBUTION_TYPES | {"npm", "pypi", "golang"}
LOCKED_TYPES = {"npm-lock": "npm", "npm-lock-dev": "npm"}
ADVISORIES = ("Alpine", "Debian", "AlmaLinux")


@pytest.fixture(scope="module")
def scanned(module_daemon, registry):
    """The daemon after one poll of the whole corpus; lines for the table."""
    corpus.push_all(registry.url)
    cli = module_daemon.cli
    cli.add_integration("corpus", registry.url, "--platform", "all",
                        *(flag for reference in corpus.references() for flag in ("--criteria", reference)))
    cli.import_advisories(*(corpus.CORPUS / "osv" / name for name in ADVISORIES))
    cli.run("integration", "poll", "corpus", "--wait", code=None)
    cli.wait_idle()
    table = []
    yield cli, table
    write_table(table)


def write_table(table):
    """Prints the table, and leaves it in the file that TIDEWAITER_CORPUS_TABLE names for whoever runs the tests."""
    lines = [f"{'image':40}{'':10}{'expected':>9}{'found':>7}{'missing':>9}{'extra':>7}"]
    lines += [f"{image:40}{what:10}{expected:9}{found:7}{missing:9}{extra:7}"
              for image, what, expected, found, missing, extra in sorted(table)]
    print("\n".join(lines))
    if path := os.environ.get("TIDEWAITER_CORPUS_TABLE"):
        Path(path).write_text("\n".join(lines) + "\n")


def compare(table, image, what, expected, found):
    missing, extra = expected - found, found - expected
    table.append((image, what, len(expected), len(found), len(missing), len(extra)))
    assert not missing and not extra, f"{image} {what}: missing {sorted(missing)[:20]}, extra {sorted(extra)[:20]}"


@pytest.mark.parametrize("reference, platform, name", corpus.cases(), ids=lambda value: str(value))
def test_packages_and_matches(scanned, reference, platform, name):
    cli, table = scanned
    report = cli.report("corpus/" + reference, platform)
    packages, locked = ({(one["type"], one["name"], one["version"]) for one in report[key]} for key in ("packages", "lockedPackages"))
    matches = {(one["id"], one["package"], one["installedVersion"]) for one in report["findings"]
               if one["kind"] == "vulnerability"}
    errors = [one for one in report["findings"] if one["kind"] == "error"]
    assert not errors, errors
    truth = corpus.truth(name, "packages")
    assert {row["type"] for row in truth} <= INSTALLED_TYPES | set(LOCKED_TYPES)
    compare(table, name, "packages",
            {(row["type"], row["name"], row["version"]) for row in truth if row["type"] in INSTALLED_TYPES}, packages)
    # The truth leaves out what a requirements.txt asks for.
    compare(table, name, "locked", {(LOCKED_TYPES[row["type"]], row["name"], row["version"]) for row in truth
                                    if row["type"] in LOCKED_TYPES}, {one for one in locked if one[0] in LOCKED_TYPES.values()})
    compare(table, name, "matches", {(row["id"], row["package"], row["version"]) for row in corpus.truth(name, "matches")
                                     if row["type"] in DISTRIBUTION_TYPES}, matches)


def test_nothing_is_listed_twice(scanned):
    cli, _ = scanned
    for reference, platform, _ in corpus.cases():
        packages = [tuple(sorted((key, str(value)) for key, value in one.items())) for one in
                    cli.report("corpus/" + reference, platform)["packages"]]
        assert len(packages) == len(set(packages)), reference


def test_operating_systems(scanned):
    cli, _ = scanned
    for row in corpus.summary():
        reference, _, architecture = row["image"].partition("@")
        if reference == corpus.NOT_AN_IMAGE or row["os"] == "- -":
            continue
        expected = row["os"].split(" ")
        found = cli.report("corpus/" + reference, corpus.PLATFORMS.get(architecture))["os"]
        assert [found["id"], found["version"]] == expected, row["image"]


def test_fixed_versions(scanned):
    """The fixed version a finding names is among those the truth lists for its pair."""
    cli, _ = scanned
    for reference, platform, name in corpus.cases():
        fixed = {(row["id"], row["package"]): row["fixed"] for row in corpus.truth(name, "matches")
                 if row["type"] in DISTRIBUTION_TYPES}
        for one in cli.report("corpus/" + reference, platform)["findings"]:
            wanted = fixed.get((one["id"], one["package"]))
            if wanted:
                assert wanted in one["fixedVersions"], (name, one)


def test_an_artifact_is_skipped_by_its_kind(scanned):
    cli, _ = scanned
    assert not any(job["reference"].startswith("corpus/artifact") for job in cli.jobs())
    outcome = cli.fails("image", "add", "corpus/" + corpus.NOT_AN_IMAGE)
    assert "image" in outcome.error["message"], outcome


def test_adding_by_hand_answers_the_known_image(scanned):
    """An image that a poll found is the same image when a person names its tag, or its digest."""
    cli, _ = scanned
    row = next(row for row in corpus.summary() if row["image"] == "alpine:3.10.3")
    by_tag, by_digest = cli.report("corpus/alpine:3.10.3"), cli.report(f"corpus/alpine@{row['digest']}")
    assert by_tag["digest"] == by_digest["digest"] == row["digest"]
    assert by_tag["packages"] == by_digest["packages"]


def test_layers_carry_their_packages(scanned):
    """Of the image with packages removed, every package left is attributed to a layer it has."""
    cli, _ = scanned
    report = cli.report("corpus/layers:whiteouts")
    digests = {layer["digest"] for layer in report["layers"]}
    assert len(report["layers"]) == 4
    assert {one["layer"] for one in report["packages"]} <= digests


def test_one_layer_in_three_compressions(scanned):
    cli, _ = scanned
    same = [{(one["name"], one["version"]) for one in cli.report("corpus/alpine:" + tag, platform)["packages"]}
            for tag, platform in (("3.18.9", "linux/amd64"), ("3.18.9-zstd", None), ("3.18.9-plain", None))]
    assert same[0] == same[1] == same[2]


def test_status_counts(scanned):
    cli, _ = scanned
    status = cli("db", "status")
    counts = {one["name"].split(":")[0]: 0 for one in status["ecosystems"]}
    for one in status["ecosystems"]:
        counts[one["name"].split(":")[0]] += one["advisories"]
        assert one["updatedAt"]
    assert set(counts) >= set(ADVISORIES)
