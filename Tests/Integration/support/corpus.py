"""The corpus of real images beside the project, where it is present: an OCI layout, advisories, and what is true."""
import csv
import json
import os
from pathlib import Path

from .images import DOCKER_LIST, OCI_INDEX, Pusher

TOP = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("TIDEWAITER_SHARED", TOP.parent / "shared"))
CORPUS = SHARED / "corpus"
MISSING = None if (CORPUS / "oci").is_dir() else f"no corpus in {CORPUS} (TIDEWAITER_SHARED names another place)"


def blob(digest):
    return (CORPUS / "oci/blobs" / digest.replace(":", "/")).read_bytes()


def references():
    """{reference: descriptor} of the layout."""
    document = json.loads((CORPUS / "oci/index.json").read_text())
    return {one["annotations"]["org.opencontainers.image.ref.name"]: one for one in document["manifests"]}


def push(url, reference, **credentials):
    """Puts one reference with everything below it to a registry under its own name and tag."""
    repository, _, tag = reference.rpartition(":")
    described = references()[reference]
    push_manifest(Pusher(url, **credentials), repository, described["digest"], described["mediaType"], tag)


def push_manifest(pusher, repository, digest, media_type, reference=None):
    data = blob(digest)
    manifest = json.loads(data)
    if media_type in (OCI_INDEX, DOCKER_LIST):
        for child in manifest["manifests"]:
            push_manifest(pusher, repository, child["digest"], child["mediaType"])
    else:
        for one in [manifest["config"], *manifest["layers"]]:
            pusher.blob(repository, blob(one["digest"]), one["digest"])
    pusher.manifest(repository, reference or digest, data, media_type)


def push_all(url, **credentials):
    for reference in references():
        push(url, reference, **credentials)


def truth(name, kind):
    """The rows of truth/<name>.<kind>.tsv as dictionaries; none where there is no such file."""
    return rows(f"{name}.{kind}.tsv")


def summary():
    return rows("summary.tsv")


NOT_AN_IMAGE = "artifact:sbom"
PLATFORMS = {"amd64": "linux/amd64", "arm64v8": "linux/arm64/v8", "armv7": "linux/arm/v7", "s390x": "linux/s390x"}


def cases():
    """(reference, platform or None, name of the truth's files) of each image of the summary."""
    found = []
    for row in ([] if MISSING else summary()):
        reference, _, architecture = row["image"].partition("@")
        if reference != NOT_AN_IMAGE:
            name = reference.replace(":", "_") + (f"_{architecture}" if architecture else "")
            found.append((reference, PLATFORMS.get(architecture), name))
    return found


def rows(name):
    path = CORPUS / "truth" / name
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
