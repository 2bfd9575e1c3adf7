"""Of PART=poll: listing 2,000 tags of one repository of Debian's docker-registry and what they point to, by a poll, by a
script around curl, and by skopeo."""
import shlex

from daemon import Daemon
from measure import median, spread, timed
from place import SCRATCH, fingerprint, run
from support import images
from support.registry import Registry

REPOSITORY, TAGS = "bench/many", 2_000
CONCURRENCY = 8
ROUNDS = 5
POLL_SECONDS_MAX = 600
# skopeo is started for each tag: some of them tell how long all would take.
SKOPEO_TAGS = 100
GOAL = 1.2
ACCEPTED = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, " \
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


def registry():
    """Debian's docker-registry with the tags in it, an image each. They are made when they are not in the scratch folder."""
    folder = SCRATCH / ("tags-" + fingerprint(__file__))
    complete = folder / "complete"
    if not complete.exists():
        with Registry(folder) as made:
            layer = images.layer({"etc/os-release": "ID=alpine\n"})
            pusher = made.pusher()
            for number in range(TAGS):
                image = images.image([layer], config={"config": {"Labels": {"number": str(number)}}})
                pusher.image(REPOSITORY, image, [f"{number // 100}.{number % 100}"])
        complete.touch()
    return Registry(folder)


def script(url):
    """Lists the tags, and asks with HEAD for each one's digest, as many at a time as the poll."""
    config = f"""sed 's/.*"tags":\\[//; s/\\].*//; s/"//g' | tr ',' '\\n' | sed 's|.*|url = "{url}/v2/{REPOSITORY}/manifests/&"|'"""
    return ["bash", "-c", f"set -o pipefail; curl -sSf {url}/v2/{REPOSITORY}/tags/list | {config} | curl -sSf --head --parallel "
            f"--parallel-max {CONCURRENCY} --parallel-immediate -H {shlex.quote('Accept: ' + ACCEPTED)} -K -"]


def digests(command):
    """How many different digests a command has shown."""
    return len({line.split()[-1] for line in run(command).splitlines() if line.lower().startswith("docker-content-digest:")})


def poll(daemon):
    """Polls once; seconds by its record, and the record."""
    record = daemon.poll("tags", POLL_SECONDS_MAX, 0.05)
    if record["tags"] != TAGS:
        raise AssertionError(f"the poll has not seen every tag: {record}")
    return daemon.poll_seconds(record["id"]), record


def measure(programs, goals):
    """Lines of figures; what became of the goal goes into `goals`."""
    with registry() as server, Daemon(programs) as daemon:
        if (found := digests(script(server.url))) != TAGS:
            raise AssertionError(f"the script finds {found} digests of {TAGS}")
        # What is old is looked at, and not queued.
        run([*daemon.client, "integration", "add", "tags", "--type", "docker-registry", "--url", server.url,
             "--created-within", "1d"])
        first, told = poll(daemon)
        ours, theirs, requests = [], [], 0
        for _ in range(ROUNDS):
            theirs.append(timed(script(server.url)).wall)
            seconds, record = poll(daemon)
            ours.append(seconds)
            requests = record["requests"]
        source = f"docker://{server.url.removeprefix('http://')}/{REPOSITORY}"
        listing = timed(["skopeo", "list-tags", "--tls-verify=false", source]).wall
        inspecting = sum(timed(["skopeo", "inspect", "--raw", "--tls-verify=false", f"{source}:{number // 100}.{number % 100}"]).wall
                         for number in range(0, TAGS, TAGS // SKOPEO_TAGS))
    whole = listing + inspecting * TAGS / SKOPEO_TAGS
    ratios = [one / other for one, other in zip(ours, theirs)]
    yield (f"{TAGS:,} tags of one repository of docker-registry, an image each; {ROUNDS} interleaved rounds, median "
           f"(lowest-highest). curl: one script, HEAD for each tag, {CONCURRENCY} at a time. skopeo: list-tags and inspect --raw, one "
           f"after another, of {SKOPEO_TAGS} tags, reckoned up to all.")
    yield ""
    yield "| | wall, s | to curl's | requests |"
    yield "|---|---|---|---|"
    yield f"| tidewaiter, first poll: configs too | {first:.2f} |  | {told['requests']:,} |"
    yield f"| tidewaiter, a poll after that | {spread(ours)} | {spread(ratios)} | {requests:,} |"
    yield f"| curl --parallel | {spread(theirs)} | 1.00 | {TAGS + 1:,} |"
    yield f"| skopeo | {whole:.1f} | {whole / median(theirs):.1f} |  |"
    state = "met" if median(ratios) <= GOAL else "MISSED"
    goals.append(f"- {state}: {TAGS:,} tags of docker-registry: wall to curl's {spread(ratios)}, at most {GOAL}")
