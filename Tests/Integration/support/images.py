"""Makes container images from dictionaries, and puts them to a registry by plain HTTP.

    base = layer({"etc/os-release": "ID=alpine\\n", "bin/": None, "bin/sh": Link("busybox")})
    push(url, "team/app", image([base, layer({"bin/.wh.sh": ""}, compression="zstd")]), tags=["1.0"])
"""
import base64
import gzip
import hashlib
import http.client
import io
import json
import ssl
import subprocess
import tarfile
import urllib.parse
from dataclasses import dataclass, field

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Link:
    """A symbolic link, or a hard link."""
    target: str
    hard: bool = False


@dataclass(frozen=True)
class Layer:
    blob: bytes
    diff_id: str
    media_type: str
    created_by: str = "COPY . /"

    @property
    def digest(self):
        return sha256(self.blob)


def tar(files):
    """A tar of {path: text, bytes, Link, or None for a directory}; the same bytes for the same content."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.mode = 0o644
            if content is None:
                entry.type, entry.mode, content = tarfile.DIRTYPE, 0o755, b""
            elif isinstance(content, Link):
                entry.type = tarfile.LNKTYPE if content.hard else tarfile.SYMTYPE
                entry.linkname, content = content.target, b""
            elif isinstance(content, str):
                content = content.encode()
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return output.getvalue()


def layer(files, compression="gzip", media_type=None, created_by="COPY . /"):
    return layer_of(tar(files), compression, media_type, created_by)


def layer_of(data, compression="gzip", media_type=None, created_by="COPY . /"):
    """A layer of tar bytes, compressed as "gzip", "zstd" or "none"."""
    if compression == "gzip":
        blob, suffix = gzip.compress(data, compresslevel=6, mtime=0), "+gzip"
    elif compression == "zstd":
        blob, suffix = subprocess.run(["zstd", "-q", "-c"], input=data, check=True, capture_output=True).stdout, "+zstd"
    else:
        blob, suffix = data, ""
    return Layer(blob, sha256(data), media_type or OCI_LAYER + suffix, created_by)


@dataclass
class Image:
    """A manifest or index with everything below it."""
    manifest: bytes
    media_type: str
    blobs: dict = field(default_factory=dict)  # digest: bytes
    children: list = field(default_factory=list)  # images of an index
    layers: list = field(default_factory=list)
    platform: dict = None

    @property
    def digest(self):
        return sha256(self.manifest)


def image(layers, *, docker=False, architecture="amd64", variant=None, created="2024-01-02T03:04:05Z", config=None, **more):
    """An image of the layers, with nothing wrong in how it is to be run. `config` adds to the image's configuration, `more` to
    the manifest. Without `created`, its configuration has no date."""
    date = {} if created is None else {"created": created}
    document = {"architecture": architecture, "os": "linux", **date,
                "config": {"Cmd": ["/bin/sh"], "User": "65532", "Healthcheck": {"Test": ["CMD", "true"]}},
                "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in layers]},
                "history": [{**date, "created_by": one.created_by} for one in layers]}
    if variant:
        document["variant"] = variant
    settings = json.dumps(document | (config or {})).encode()
    manifest = {
        "schemaVersion": 2, "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
        "config": descriptor(settings, DOCKER_CONFIG if docker else OCI_CONFIG),
        "layers": [descriptor(one.blob, DOCKER_LAYER + ".gzip" if docker else one.media_type) for one in layers]}
    made = Image(json.dumps(manifest | more).encode(), manifest["mediaType"], {sha256(settings): settings}, layers=list(layers))
    made.blobs.update({one.digest: one.blob for one in layers})
    made.platform = {"os": "linux", "architecture": architecture} | ({"variant": variant} if variant else {})
    return made


def index(images, docker=False):
    media_type = DOCKER_LIST if docker else OCI_INDEX
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": [
        descriptor(one.manifest, one.media_type) | ({"platform": one.platform} if one.platform else {}) for one in images]}
    return Image(json.dumps(document).encode(), media_type, children=list(images))


def descriptor(data, media_type):
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


class Pusher:
    """Puts blobs and manifests to one registry."""

    def __init__(self, url, username=None, password=None, ca_file=None):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca_file)
            self.connection = http.client.HTTPSConnection(parts.netloc, timeout=60, context=context)
        else:
            self.connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        self.headers = {}
        if username is not None:
            self.headers["Authorization"] = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()

    def request(self, method, path, body=b"", headers=None, expect=(200, 201, 202)):
        self.connection.request(method, path, body=body, headers=self.headers | (headers or {}))
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status not in expect:
            raise AssertionError(f"{method} {path}: {answer.status} {text[:500]!r}")
        return answer

    def blob(self, repository, data, digest=None):
        digest = digest or sha256(data)
        if self.request("HEAD", f"/v2/{repository}/blobs/{digest}", expect=(200, 404)).status == 200:
            return
        location = self.request("POST", f"/v2/{repository}/blobs/uploads/").getheader("Location")
        parts = urllib.parse.urlsplit(location)
        query = (parts.query + "&" if parts.query else "") + "digest=" + digest
        self.request("PUT", parts.path + "?" + query, data, {"Content-Type": "application/octet-stream"}, expect=(201,))

    def manifest(self, repository, reference, data, media_type):
        self.request("PUT", f"/v2/{repository}/manifests/{reference}", data, {"Content-Type": media_type}, expect=(201,))

    def image(self, repository, made, tags=()):
        """Pushes an image with everything below it, under its digest and the tags; returns its digest."""
        for child in made.children:
            self.image(repository, child)
        for digest, data in made.blobs.items():
            self.blob(repository, data, digest)
        for reference in [made.digest, *tags]:
            self.manifest(repository, reference, made.manifest, made.media_type)
        return made.digest


def push(url, repository, made, tags=("latest",), **credentials):
    return Pusher(url, **credentials).image(repository, made, tags)
