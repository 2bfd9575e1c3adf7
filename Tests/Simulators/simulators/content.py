"""What a simulated registry holds: areas (namespaces, projects, repository keys), repositories, tags with dates."""
import datetime
import json
import urllib.request
from dataclasses import dataclass, field

from support.images import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Pusher, image, index, layer
from support.packages import alpine

LISTS = {OCI_INDEX, DOCKER_LIST}
ACCEPT = ", ".join([OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST])
# Where the docker-registry holds the samples, whatever the simulated product calls them.
SAMPLES = "samples/all"
SAMPLES_PUSHED = {}  # {address of a docker-registry: {number: Manifest}}
# Pushes that name no time happen one minute after the other from here.
FIRST_PUSH = datetime.datetime(2026, 2, 1, 8, 0, 0, 123000, datetime.timezone.utc)


@dataclass
class Manifest:
    digest: str
    media_type: str
    size: int
    created: str = None  # as the image's configuration writes it
    architecture: str = ""
    os: str = ""
    config_media_type: str = ""
    config_digest: str = ""
    children: list = field(default_factory=list)

    @property
    def is_list(self):
        return self.media_type in LISTS

    @staticmethod
    def of(image):
        """From an image of support.images."""
        if image.children:
            return Manifest(image.digest, image.media_type, len(image.manifest), children=[Manifest.of(one) for one in image.children])
        document = json.loads(image.manifest)
        return Manifest.single(image.digest, image.media_type, len(image.manifest), document,
                               image.blobs.get(document["config"]["digest"], b"{}"))

    @staticmethod
    def single(digest, media_type, size, document, config):
        try:
            settings = json.loads(config)
        except ValueError:
            settings = {}
        layers = sum(one.get("size", 0) for one in document.get("layers", []))
        return Manifest(digest, media_type, size + layers, settings.get("created"), settings.get("architecture", ""),
                        settings.get("os", ""), document.get("config", {}).get("mediaType", ""),
                        document.get("config", {}).get("digest", ""))


@dataclass
class Tag:
    name: str
    manifest: Manifest
    pushed: datetime.datetime

    @property
    def digest(self):
        return self.manifest.digest


@dataclass
class Repository:
    name: str  # with its area: area/path
    upstream: str  # its name in the docker-registry behind
    number: int
    tags: dict = field(default_factory=dict)
    content: str = "image"  # or what else a vendor keeps in repositories: helm, plugin, …

    @property
    def area(self):
        return self.name.partition("/")[0]

    @property
    def path(self):
        """The name inside its area."""
        return self.name.partition("/")[2]

    @property
    def updated(self):
        return max((tag.pushed for tag in self.tags.values()), default=FIRST_PUSH)

    def digest_of(self, reference):
        """The digest that a tag or digest names here, None if it names nothing."""
        if reference in self.tags:
            return self.tags[reference].digest
        held = [tag.manifest for tag in self.tags.values()]
        known = {one.digest for one in held} | {child.digest for one in held for child in one.children}
        return reference if reference in known else None

    def manifests(self):
        """{digest: (manifest, its tags)}, newest push first."""
        found = {}
        for tag in sorted(self.tags.values(), key=lambda one: one.pushed, reverse=True):
            found.setdefault(tag.digest, (tag.manifest, []))[1].append(tag)
        return found


@dataclass
class Area:
    """A namespace, project, organization or repository key."""
    name: str
    kind: str = "local"  # or remote, virtual, federated
    public: bool = False
    format: str = "docker"
    number: int = 0


class Content:
    """`upstream` is the address of the docker-registry that holds the bytes."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.areas, self.repositories = {}, {}
        self.pusher = None
        self.pushes = 0

    def area(self, name, **options):
        """Makes an area, or answers the one there is."""
        if name not in self.areas:
            self.areas[name] = Area(name, number=len(self.areas) + 1, **options)
        return self.areas[name]

    def push(self, name, image, *tags, upstream=None, **options):
        """Puts an image into the docker-registry and under the name; answers its digest."""
        self.pusher = self.pusher or Pusher(self.upstream)
        self.pusher.image(upstream or name, image, tags)
        self.record(name, Manifest.of(image), *tags, upstream=upstream, **options)
        return image.digest

    def record(self, name, manifest, *tags, upstream=None, pushed=None):
        """Takes note of what the docker-registry holds already, as `upstream` (by default, under the same name)."""
        self.area(name.partition("/")[0])
        if name not in self.repositories:
            self.repositories[name] = Repository(name, upstream or name, len(self.repositories) + 1)
        repository = self.repositories[name]
        assert repository.upstream == (upstream or name), f"{name} is {repository.upstream} already"
        for tag in tags:
            self.pushes += 1
            repository.tags[tag] = Tag(tag, manifest, pushed or FIRST_PUSH + datetime.timedelta(minutes=self.pushes))
        return repository

    def put(self, name, manifest, *tags, content="image", **options):
        """Names a sample."""
        self.record(name, manifest, *tags, upstream=SAMPLES, **options).content = content

    def sample(self, number):
        """A small image that the docker-registry holds, another for each number; the tenth ones are for two platforms."""
        known = SAMPLES_PUSHED.setdefault(self.upstream, {})
        if number not in known:
            made = sample(number) if number % 10 else index([sample(number), sample(number, "arm64")])
            self.pusher = self.pusher or Pusher(self.upstream)
            self.pusher.image(SAMPLES, made, [f"sample-{number}"])
            known[number] = Manifest.of(made)
        return known[number]

    def learn(self):
        """Takes note of everything that the docker-registry holds: for use by hand."""
        for name in self.fetch("/v2/_catalog?n=1000")["repositories"]:
            for tag in self.fetch(f"/v2/{name}/tags/list").get("tags") or []:
                full = name if "/" in name else "library/" + name
                self.record(full, self.manifest(name, tag), tag, upstream=name)

    def manifest(self, name, reference):
        request = urllib.request.Request(f"{self.upstream}/v2/{name}/manifests/{reference}", headers={"Accept": ACCEPT})
        with urllib.request.urlopen(request, timeout=30) as answer:
            data, media_type, digest = answer.read(), answer.headers["Content-Type"], answer.headers["Docker-Content-Digest"]
        document = json.loads(data)
        if media_type in LISTS:
            children = [self.manifest(name, one["digest"]) for one in document["manifests"]]
            return Manifest(digest, media_type, len(data), children=children)
        with urllib.request.urlopen(f"{self.upstream}/v2/{name}/blobs/{document['config']['digest']}", timeout=30) as answer:
            return Manifest.single(digest, media_type, len(data), document, answer.read())

    def fetch(self, target):
        with urllib.request.urlopen(self.upstream + target, timeout=30) as answer:
            return json.load(answer)

    def in_area(self, area):
        """The repositories of an area, by name."""
        return sorted((one for one in self.repositories.values() if one.area == area), key=lambda one: one.name)


def sparse(count):
    """Numbers for so few entries that all pages must be small: one of each ten ends in 99, and no other in 9, so that whoever
    picks some by their names picks from every page."""
    return [10 * number + (9 if number % 10 == 9 else number % 9) for number in range(count)]


def sample(number, architecture="amd64"):
    package = ("libalpha", f"1.{number}-r0")
    return image([layer(alpine(package))], architecture=architecture, created=f"2026-01-{number % 28 + 1:02d}T08:00:00Z")


def timestamp(moment, digits=3, zone="Z"):
    """RFC 3339 with so many digits of a second."""
    text = moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{moment.microsecond:06d}"[:digits + 1] if digits else "") + zone
