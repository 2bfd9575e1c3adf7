"""Registries that let the daemon wait: they cost their own scans time, and nobody else's."""
import pytest

from support.events import Events
from support.images import image, layer
from support.packages import alpine
from support.samples import sample
from support.scripted import Reply
from support.waiting import eventually


@pytest.fixture
def start(make_daemon, tmp_path):
    """Starts a daemon whose scanner has these settings."""
    def start(**settings):
        config = tmp_path / "config.yaml"
        config.write_text("scanner:\n" + "".join(f"  {key}: {value}\n" for key, value in settings.items()))
        return make_daemon("--config", str(config)).start()
    return start


@pytest.fixture
def following():
    """The events of a daemon, as they come."""
    made = []

    def follow(cli):
        made.append(Events(cli))
        return made[-1]

    yield follow
    for one in made:
        one.close()


def dribble_layers(registry, slow):
    """Has the registry hand out the image's layers byte by byte."""
    layers = {one.digest: one.blob for one in slow.layers}

    def dribble(request):
        blob = layers.get(request.path.rpartition("/")[2])
        return blob and Reply(200, (), blob, drip_seconds=0.2)

    registry.on("GET", "/blobs/", dribble)


def test_registries_that_hold_every_connection(start, following, make_scripted):
    """Three of them, two slots, two workers: the jobs of another end first, in the order in which they came."""
    cli = start(slots=2, workers=2).cli
    events = following(cli)
    stalled = [make_scripted() for _ in range(3)]
    for number, registry in enumerate(stalled):
        cli.add_integration(f"stalled{number}", registry.url)
        for tag in ("1", "2"):
            registry.push("held/app", sample(name=f"libheld{number}{tag}"), tag)
        # The config comes, and no layer.
        registry.blobs_free = 1
        registry.blobs_gate.close()
        for tag in ("1", "2"):
            cli.run("image", "add", f"stalled{number}/held/app:{tag}")
    quick = make_scripted()
    cli.add_integration("quick", quick.url)
    for number in range(4):
        quick.push("quick/app", sample(name=f"libquick{number}"), str(number))
        cli.run("image", "add", f"quick/quick/app:{number}")
    for number in range(4):
        event = events.wait_for("image.scanned")
        assert event["reference"].startswith(f"quick/quick/app:{number}@"), event
    states = {job["reference"].split("@")[0]: job["state"] for job in cli.jobs()}
    for number in range(3):
        assert [states[f"stalled{number}/held/app:{tag}"] for tag in ("1", "2")] == ["in_progress", "pending"], states
    for registry in stalled:
        registry.blobs_gate.open()
    assert {job["state"] for job in cli.wait_idle()} == {"finished"}


@pytest.mark.slow
def test_a_registry_that_dribbles(start, following, make_scripted):
    """H04 without a floor rate: the maximum scan time ends it, three times, and the next image does not wait for that."""
    cli = start(blobBytesPerSecondMinimum=0).cli
    events = following(cli)
    registry, made = make_scripted(), sample(name="libslow")
    registry.push("slow/app", made, "1")
    registry.push("slow/next", sample(name="libnext"), "1")
    dribble_layers(registry, made)
    cli.add_integration("slow", registry.url, "--scan-timeout", "10s")
    cli.run("image", "add", "slow/slow/app:1")
    cli.run("image", "add", "slow/slow/next:1", "--wait")
    job = cli.job("slow/slow/app:1")
    assert (job["state"], job["attempt"]) == ("in_progress", 1), job
    for _ in range(2):
        assert events.wait_for("job.changed", state="pending")["detail"].startswith("SCAN_TIMEOUT: ")
    assert events.wait_for("image.failed")["detail"].startswith("SCAN_TIMEOUT: ")
    job = cli.job("slow/slow/app:1")
    assert (job["state"], job["attempt"], job["error"]["code"]) == ("error", 3, "SCAN_TIMEOUT"), job
    assert job["error"]["hint"]


def test_a_registry_below_the_floor_rate(start, following, make_scripted):
    """H04: given up for now with a code of its own, and tried again."""
    cli = start(blobIdleSeconds=1).cli
    events = following(cli)
    registry, made = make_scripted(), sample(name="libslow")
    registry.push("slow/app", made, "1")
    dribble_layers(registry, made)
    cli.add_integration("slow", registry.url)
    cli.run("image", "add", "slow/slow/app:1")
    assert events.wait_for("job.changed", state="pending")["detail"].startswith("STALLED: ")
    registry.clear()
    assert events.wait_for("job.changed", state="finished")
    job = cli.job("slow/slow/app:1")
    assert (job["state"], job["attempt"]) == ("finished", 2), job


def test_layers_that_the_dead_have_analysed(daemon, cli, make_scripted):
    """Killed between two layers, the daemon goes on with the next one."""
    registry = make_scripted()
    layers = [layer(alpine((f"lib{number}", "1.0-r0"))) for number in range(3)]
    registry.push("large/app", image(layers), "1")
    held = registry.hold(3, "GET", "/blobs/")  # the config and two layers pass
    cli.add_integration("large", registry.url)
    cli.run("image", "add", "large/large/app:1")
    held.wait()
    eventually(lambda: cli.job("large/large/app:1")["layersDone"] == 2, "two layers to be analysed")
    daemon.kill()
    held.release()
    daemon.start()
    job, = cli.wait_idle()
    assert (job["state"], job["attempt"]) == ("finished", 1), job
    asked = sorted(len(registry.requests("GET", one.digest)) for one in layers)
    assert asked == [1, 1, 2]
    assert len(cli.report("large/large/app:1")["layers"]) == 3


def test_an_image_that_is_too_large(start, make_scripted):
    """Refused by what its manifest declares, before a byte of a layer is asked for."""
    cli = start(imageBytesMaximum=16).cli
    registry, made = make_scripted(), sample()
    registry.push("large/app", made, "1")
    cli.add_integration("large", registry.url)
    cli.run("image", "add", "large/large/app:1", "--wait", code=None)
    job = cli.job("large/large/app:1")
    assert (job["state"], job["attempt"], job["error"]["code"]) == ("error", 1, "IMAGE_TOO_LARGE"), job
    assert "scanner.imageBytesMaximum" in job["error"]["message"] and "16" in job["error"]["message"], job
    assert not any(registry.requests("GET", one.digest) for one in made.layers)
    # An integration's own limit counts instead, and what was refused can be asked for again.
    cli.run("integration", "edit", "large", "--max-image-size", "1MiB")
    assert cli.scan("large/large/app:1")["packages"]
