"""What the daemon says of every tag and repository that its registry ever listed, against what the registry lists."""
import json
import re
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import dataclass

STATES = {"scanned", "queued", "rejected", "skipped", "failed", "gone"}
REPOSITORY_STATES = {"listed", "rejected", "skipped", "failed", "gone", "unlisted"}
REFERENCE = re.compile(r"(?P<integration>[^/]+)/(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>.+))?")


@dataclass(frozen=True)
class Reference:
    integration: str
    repository: str
    tag: str = None
    digest: str = None

    @staticmethod
    def of(text):
        match = REFERENCE.fullmatch(text)
        assert match, f"{text!r} is no reference"
        return Reference(**match.groupdict())


def queued(cli, poll):
    """{(repository, digest)} of the images that a poll queued; each of them by one job."""
    jobs = [job for job in cli.jobs() if job["pollId"] == poll["id"] and job["reference"].startswith(poll["integration"] + "/")]
    images = Counter((Reference.of(job["reference"]).repository, job["digest"]) for job in jobs)
    assert not images or max(images.values()) == 1, f"queued twice: {images.most_common(3)}"
    assert poll["queued"] == len(images), poll
    return set(images)


def images_of(registry_tags):
    """{(repository, digest)} of {(repository, tag): digest}."""
    return {(repository, digest) for (repository, _), digest in registry_tags.items()}


def listed(url):
    """{(repository, tag)} that a registry lists when it is asked directly, by the distribution API."""
    return {(repository, tag) for repository in names(f"{url}/v2/_catalog?n=1000", "repositories")
            for tag in names(f"{url}/v2/{repository}/tags/list?n=1000", "tags")}


def names(url, key):
    found = []
    while url:
        with urllib.request.urlopen(url, timeout=30) as answer:
            found += json.load(answer)[key] or []
            following = re.match(r"<([^>]+)>", answer.headers.get("Link", ""))
            url = following and urllib.parse.urljoin(url, following[1])
    return found


def check_sums(cli, name, there, gone=(), repositories=None):
    """The tags of all states are those that the registry lists (`there`) and those that it listed once; each state has a
    reason. Answers {(state, reason code): number of tags}."""
    coverage = cli.coverage(name)
    counts = {}
    for one in coverage["states"]:
        assert one["status"] in STATES and one["tags"] > 0 and one["example"], one
        # No code where the state says it all.
        assert one["reason"] or (not one["reasonCode"] and one["status"] in ("scanned", "queued", "gone")), one
        key = one["status"], one["reasonCode"]
        assert key not in counts, f"{key} is told twice: {coverage}"
        counts[key] = one["tags"]
    of_gone = sum(count for (state, _), count in counts.items() if state == "gone")
    assert sum(counts.values()) == coverage["tags"] == len(there) + len(gone), coverage
    assert coverage["listed"] == len(there) and of_gone == len(gone), coverage
    of_repositories = Counter()
    for one in coverage["repositoryStates"]:
        assert one["state"] in REPOSITORY_STATES, one
        assert one["state"] == "listed" or one["reason"], one
        of_repositories[one["state"]] += one["repositories"]
    assert sum(of_repositories.values()) == coverage["repositories"], coverage
    if repositories is not None:
        assert dict(of_repositories) == repositories, coverage
    return counts


def check(cli, name, there, gone=(), repositories=None):
    """The same, and every single tag is in one state, with a reason, and they make the sums. Answers
    {(repository, tag): (state, reason code)}."""
    counts = check_sums(cli, name, there, gone, repositories)
    found = {}
    for repository, tag in [*there, *gone]:
        explained = cli.explain(f"{name}/{repository}:{tag}")
        assert explained["state"] in STATES and explained["reason"] and explained["since"], explained
        assert (explained["state"] == "gone") == ((repository, tag) in set(gone)), explained
        found[repository, tag] = explained["state"], explained["reasonCode"]
    by_state = Counter(state for state, _ in found.values())
    of_sums = Counter()
    for (state, _), count in counts.items():
        of_sums[state] += count
    assert by_state == of_sums
    return found


def states(found):
    """{(repository, tag): state} of what `check` answers."""
    return {tag: state for tag, (state, _) in found.items()}
