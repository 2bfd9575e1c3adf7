"""Before and after: what a poll would select and why, how much there is to fetch, what would change; and of one image, why it
was taken, was not, or is not there."""
import json

import pytest

from support import ledger
from support.images import index, layer, image
from support.packages import alpine
from support.samples import sample
from support.scripted import Reply

BASE = layer(alpine(("base", "1.0-r0")) | {"data": "base " * 5000})


def on_base(number, **options):
    """An image of the common layer and one of its own."""
    return image([BASE, layer({f"app/{number}": f"{number} " * 1000})], **options)


def size(*layers):
    return sum(len(one.blob) for one in layers)


@pytest.fixture
def registry(make_scripted):
    made = make_scripted()
    for number in range(3):
        made.push("team/app", on_base(number, created=f"2024-0{number + 1}-01T00:00:00Z"), f"{number}.0")
    made.push("team/app", on_base(7, created="2023-07-01T00:00:00Z"), "2.0-dev", "same")
    made.push("team/tool", on_base(8, created="2022-08-01T00:00:00Z"), "1.0")
    made.push("other/tool", on_base(9, created="2021-09-01T00:00:00Z"), "nightly", "9.9")
    return made


def by_tag(preview):
    found = {}
    for one in preview["images"]:
        reference = ledger.Reference.of(one["reference"])
        assert (reference.repository, reference.tag) not in found
        found[reference.repository, reference.tag] = one
    return found


def selected(preview):
    return {tag for tag, one in by_tag(preview).items() if one["selected"]}


SETTINGS = ("--criteria", "team/*", "--never", ":*-dev", "--always", ":nightly")


def test_stored_settings(cli, registry):
    """Everything that is selected and rejected, with the rule that did it; and nothing is queued, stored or told."""
    cli.add_integration("it", registry.url, *SETTINGS)
    told = [event["kind"] for event in cli("events")["events"]]
    preview = cli.preview("it")
    assert selected(preview) == {("team/app", "0.0"), ("team/app", "1.0"), ("team/app", "2.0"), ("team/app", "same"), ("team/tool", "1.0"),
                                 ("other/tool", "nightly")}
    reasons = {tag: one["reason"] for tag, one in by_tag(preview).items()}
    assert reasons["team/app", "0.0"] == 'criteria: "team/*"'
    assert reasons["team/app", "2.0-dev"] == 'never: "*-dev"' or reasons["team/app", "2.0-dev"] == 'never: ":*-dev"'
    assert "nightly" in reasons["other/tool", "nightly"] and reasons["other/tool", "nightly"].startswith("always: ")
    assert reasons["other/tool", "9.9"] == "no criteria matches"
    for tag, one in by_tag(preview).items():
        assert {"reference", "digest", "created", "selected", "reason"} <= set(one), one
        assert one["decision"] == ("selected" if one["selected"] else "rejected") and one["reasonCode"], one
        assert one["digest"] == registry.repositories[tag[0]][tag[1]] or not one["selected"], one
        assert one["change"] == "new" and one["previousDecision"] == "", one
    assert {one["name"]: (one["kind"], one["skipped"]) for one in preview["repositories"]} == {
        "team/app": ("local", False), "team/tool": ("local", False), "other/tool": ("local", False)}
    summary = preview["summary"]
    assert (summary["repositories"], summary["tags"], summary["selected"], summary["rejected"], summary["queued"]) == (3, 8, 6, 2, 6), summary
    assert (summary["tagsNew"], summary["lastPollId"], summary["isPartial"], summary["errors"]) == (8, 0, False, [])
    # Nothing came of it.
    assert cli.jobs() == cli.images() == cli.polls("it") == []
    assert [event["kind"] for event in cli("events")["events"]] == told
    assert cli.coverage("it")["tags"] == cli.coverage("it")["repositories"] == 0
    assert registry.requests("GET", "/blobs/") == [], "no condition asks for dates"
    # A poll does as the preview said.
    poll = cli.poll("it")
    assert ledger.queued(cli, poll) == ledger.images_of({tag: registry.repositories[tag[0]][tag[1]] for tag in selected(preview)})


def test_given_settings(cli, registry):
    """They are tried, and not stored; one that is given takes the place of the stored one of its kind, the others stay."""
    cli.add_integration("it", registry.url, *SETTINGS)
    stored = cli("integration", "show", "it")
    latest = cli.preview("it", "--latest", "2")
    # "same" is older than the three numbered ones, and rejected by rule comes before latest.
    assert selected(latest) == {("team/app", "1.0"), ("team/app", "2.0"), ("team/tool", "1.0"), ("other/tool", "nightly")}
    reasons = {tag: one["reason"] for tag, one in by_tag(latest).items()}
    assert reasons["team/app", "0.0"] == "not among the newest 2 (created 2024-01-01, from the image config)"
    assert reasons["team/app", "2.0"] == "among the newest 2 (created 2024-03-01, from the image config)"
    assert by_tag(latest)["team/app", "0.0"]["created"] == "2024-01-01T00:00:00Z"
    assert by_tag(latest)["team/app", "0.0"]["createdFrom"] == "config"
    within = cli.preview("it", "--created-within", "60d", "--criteria", "team/app:*.0", "--never", "team/tool", "--always", "other/*")
    assert selected(within) == {("other/tool", "nightly"), ("other/tool", "9.9")}
    reasons = {tag: one["reason"] for tag, one in by_tag(within).items()}
    assert reasons["team/app", "0.0"] == "older than 60 days (created 2024-01-01, from the image config)"
    assert reasons["team/app", "same"] == "no criteria matches"
    assert cli("integration", "show", "it") == stored
    # What cannot be used is refused as it is when it is stored.
    outcome = cli.fails("integration", "preview", "it", "--criteria", "a:b:c", "--never", ":")
    assert [one["field"] for one in outcome.error["details"] if "field" in one] == ["criteria[0]", "never[0]"]
    assert cli.jobs() == []


def test_output_as_lines_and_as_a_table(cli, registry):
    cli.add_integration("it", registry.url, *SETTINGS)
    lines = [json.loads(line) for line in cli.run("integration", "preview", "it", output="jsonl").out.splitlines()]
    assert {"it/team/app:0.0", "it/other/tool:9.9"} <= {one["reference"].partition("@")[0] for one in lines if "reference" in one}
    text = cli.run("integration", "preview", "it", output="table").out
    for word in ("team/app:0.0", "-dev", "no criteria matches"):
        assert word in text, text


def test_bytes_to_fetch(cli, registry):
    """The layers that were not analysed before, each once; and none for what is known."""
    cli.add_integration("it", registry.url, "--criteria", "team/app:*.0")
    own = [on_base(number).layers[1] for number in range(3)]
    preview = cli.preview("it")
    assert preview["summary"]["bytesToFetch"] == size(BASE, *own)
    assert preview["summary"]["unsized"] == 0
    each = {tag: one["bytesToFetch"] for tag, one in by_tag(preview).items() if one["queued"]}
    assert sum(each.values()) == size(BASE, *own)
    assert sorted(each.values()) == sorted([size(BASE, own[number]) if value > size(BASE) else size(own[number])
                                            for number, value in ((n, each["team/app", f"{n}.0"]) for n in range(3))])
    # One is scanned: the base is known, and so is its own.
    cli.scan("it/team/app:1.0")
    preview = cli.preview("it")
    assert preview["summary"]["bytesToFetch"] == size(own[0], own[2])
    assert (preview["summary"]["queued"], preview["summary"]["selected"]) == (2, 3)
    cli.poll("it")
    summary = cli.preview("it")["summary"]
    assert (summary["bytesToFetch"], summary["queued"], summary["selected"]) == (0, 0, 3)
    # A rescan fetches nothing that is known either.
    cli.run("integration", "edit", "it", "--rescan")
    summary = cli.preview("it")["summary"]
    assert (summary["bytesToFetch"], summary["queued"]) == (0, 3)


def test_bytes_of_an_index(cli, registry):
    """Only of the platforms that are scanned."""
    native, other = layer({"native": "x" * 7000}), layer({"other": "y" * 9000})
    made = index([image([BASE, native]), image([BASE, other], architecture="arm64", variant="v8")])
    registry.push("multi/app", made, "1.0")
    cli.add_integration("it", registry.url, "--criteria", "multi/app")
    assert cli.preview("it")["summary"]["bytesToFetch"] == size(BASE, native)
    cli.add_integration("all", registry.url, "--criteria", "multi/app", "--platform", "all")
    assert cli.preview("all")["summary"]["bytesToFetch"] == size(BASE, native, other)


def test_change_against_the_last_poll(cli, registry):
    cli.add_integration("it", registry.url, *SETTINGS)
    first = cli.poll("it")
    unchanged = cli.preview("it")
    assert {one["change"] for one in unchanged["images"]} == {"unchanged"}
    assert (unchanged["summary"]["queued"], unchanged["summary"]["lastPollId"]) == (0, first["id"])
    old = registry.repositories["team/app"]["same"]
    registry.untag("team/app", "1.0", "same")
    registry.push("team/app", on_base(20), "0.0")
    registry.push("team/app", on_base(21), "5.0")
    preview = cli.preview("it")
    tags = by_tag(preview)
    assert {tag[1]: one["change"] for tag, one in tags.items() if tag[0] == "team/app"} == {
        "0.0": "moved", "2.0": "unchanged", "2.0-dev": "unchanged", "5.0": "new", "1.0": "gone", "same": "gone"}
    assert tags["team/app", "1.0"]["decision"] == "gone" and not tags["team/app", "1.0"]["selected"]
    assert {tag[1] for tag, one in tags.items() if one["queued"]} == {"0.0", "5.0"}
    summary = preview["summary"]
    assert (summary["tagsNew"], summary["tagsMoved"], summary["gone"], summary["queued"]) == (1, 1, 2, 2), summary
    assert cli.coverage("it")["pollId"] == first["id"], "a preview is no poll"
    cli.poll("it")
    registry.repositories["team/app"]["same"] = old
    assert by_tag(cli.preview("it"))["team/app", "same"]["change"] == "returned"
    # Other settings than those of the last poll.
    other = cli.preview("it", "--criteria", "other/*")
    assert by_tag(other)["other/tool", "9.9"]["previousDecision"] == "rejected" and by_tag(other)["other/tool", "9.9"]["selected"]
    assert by_tag(other)["team/tool", "1.0"]["previousDecision"] == "selected" and not by_tag(other)["team/tool", "1.0"]["selected"]
    summary = other["summary"]
    assert (summary["newlySelected"], summary["newlyRejected"]) == (1, 4), summary


def test_what_cannot_be_listed_is_said(cli, registry):
    registry.on("GET", "/v2/team/tool/tags/list", lambda _: Reply(500))
    cli.add_integration("it", registry.url)
    preview = cli.preview("it")
    assert preview["summary"]["isPartial"] and any("team/tool" in error for error in preview["summary"]["errors"]), preview["summary"]
    assert ("team/app", "0.0") in selected(preview)


# -- of one image

def test_explain(cli, registry):
    """Each answer there is, with the rule that gave it, since when, and by which poll."""
    unreadable = registry.push("team/bad", on_base(30), "broken")
    registry.on("GET|HEAD", f"/manifests/(broken|{unreadable})$", lambda _: Reply(500))
    cli.add_integration("it", registry.url, "--criteria", "team/*", "--never", ":*-dev", "--always", ":nightly", "--latest", "2")
    assert cli.explain("it/team/app:2.0")["state"] == "unknown", "there was no poll yet"
    poll = cli.poll("it")
    dated = "(created {}, from the image config)"
    expected = {
        "team/app:2.0": ("scanned", "among the newest 2 " + dated.format("2024-03-01")),
        "team/app:0.0": ("rejected", "not among the newest 2 " + dated.format("2024-01-01")),
        "other/tool:nightly": ("scanned", "always: "),
        "team/app:2.0-dev": ("rejected", "never: "),
        "team/bad:broken": ("failed", ""),
    }
    for reference, (state, reason) in expected.items():
        told = cli.explain(f"it/{reference}")
        assert told["reference"].startswith(f"it/{reference}") and (told["state"], reason in told["reason"]) == (state, True), told
        assert told["reason"] and told["reasonCode"] and told["since"] and told["firstSeenAt"] and told["pollId"] == poll["id"], told
    assert '"*-dev"' in cli.explain("it/team/app:2.0-dev")["reason"] or '":*-dev"' in cli.explain("it/team/app:2.0-dev")["reason"]
    job = cli.job("it/team/app:2.0")
    assert (cli.explain("it/team/app:2.0")["jobId"], cli.explain("it/team/app:2.0")["created"]) == (job["id"], "2024-03-01T00:00:00Z")
    # By digest, and by a tag with one.
    digest = registry.repositories["team/app"]["2.0"]
    assert cli.explain(f"it/team/app@{digest}")["state"] == "scanned"
    assert cli.explain(f"it/team/app:2.0@{digest}")["digest"] == digest
    # What nobody has seen, with what is known about why.
    for reference in ("it/team/app:99", "it/team/none:1", f"it/team/app@sha256:{'0' * 64}"):
        told = cli.explain(reference)
        assert told["state"] == "unknown" and (told["reason"] or told["notes"]), told
    cli.fails("image", "explain", "nowhere/team/app:1")
    # Gone, since when.
    registry.untag("team/app", "2.0")
    registry.clear()
    later = cli.poll("it")
    told = cli.explain("it/team/app:2.0")
    assert (told["state"], told["digest"], told["pollId"]) == ("gone", digest, later["id"]) and told["since"] >= later["startedAt"], told
    text = cli.run("image", "explain", "it/team/app:2.0", output="table").out
    assert "gone" in text and "since" in text.lower()


def test_explain_of_a_repository_that_no_rule_takes(cli, registry):
    """Its tags are never asked for: the answer is the rule's all the same."""
    cli.add_integration("it", registry.url, "--criteria", "team/*")
    cli.poll("it")
    told = cli.explain("it/other/tool:9.9")
    assert told["state"] in ("rejected", "unknown") and "no criteria matches" in " ".join([told["reason"], *told["notes"]]), told


def test_explain_after_a_change_of_criteria(cli, registry):
    """What the last poll decided, and beside it what the criteria of now would say."""
    cli.add_integration("it", registry.url, "--criteria", "team/*")
    cli.poll("it")
    cli.run("integration", "edit", "it", "--never", "team/tool")
    told = cli.explain("it/team/tool:1.0")
    assert told["state"] == "scanned" and any("never" in note for note in told["notes"]), told
    cli.poll("it")
    assert cli.explain("it/team/tool:1.0")["state"] == "scanned", "what was scanned stays"


def test_history(cli, registry):
    """What a tag pointed to, the newest first, and how each ended."""
    cli.add_integration("it", registry.url, "--criteria", "team/app", "--never", ":*-dev")
    cli.poll("it")
    first = registry.repositories["team/app"]["0.0"]
    second = registry.push("team/app", on_base(40), "0.0")
    assert cli.poll("it")["tagsMoved"] == 1
    entries = cli.history("it/team/app:0.0")
    assert [(one["digest"], one["ended"], one["status"]) for one in entries] == [(second, "", "scanned"), (first, "moved", "scanned")]
    assert entries[0]["until"] is None and entries[1]["until"] and entries[1]["since"] <= entries[1]["until"] <= entries[0]["since"]
    # The image that no tag points to any more is gone, its report stays.
    assert {one["digest"] for one in cli.images("--status", "gone")} == {first}
    assert cli.report(f"it/team/app@{first}")["digest"] == first
    registry.untag("team/app", "0.0")
    assert cli.poll("it")["tagsGone"] == 1
    assert [(one["digest"], one["ended"]) for one in cli.history("it/team/app:0.0")] == [(second, "gone"), (first, "moved")]
    # Back to what it was: known, not queued again.
    registry.repositories["team/app"]["0.0"] = first
    poll = cli.poll("it")
    assert (poll["tagsNew"], poll["queued"]) == (1, 0), poll
    assert [one["digest"] for one in cli.history("it/team/app:0.0")][0] == first
    # A tag that was rejected all the while has a history too.
    moved = registry.push("team/app", sample("9.0-r0"), "2.0-dev")
    cli.poll("it")
    assert all(one["digest"] in (moved, "", one["digest"]) for one in cli.history("it/team/app:2.0-dev"))
    text = cli.run("image", "history", "it/team/app:0.0", output="table").out
    assert first[7:19] in text


def test_history_is_that_of_one_tag(cli, registry):
    cli.add_integration("it", registry.url)
    cli.poll("it")
    outcome = cli.fails("image", "history", f"it/team/app@{registry.repositories['team/app']['0.0']}", code=None)
    assert outcome.code in (1, 2)


def test_rescan_by_hand(cli, registry):
    """`image rescan`: what is known is queued again, once, whatever the criteria say."""
    cli.add_integration("it", registry.url, "--criteria", "team/*")
    cli.poll("it")
    before = {job["id"] for job in cli.jobs()}
    cli.run("image", "rescan", "it/team/app:0.0", "it/team/tool:1.0")
    jobs = [job for job in cli.wait_idle() if job["id"] not in before]
    assert sorted(ledger.Reference.of(job["reference"]).repository for job in jobs) == ["team/app", "team/tool"]
    assert {job["state"] for job in jobs} == {"finished"}
    # All of them, but not what is gone.
    digest = registry.repositories["team/tool"]["1.0"]
    del registry.repositories["team/tool"]
    cli.poll("it")
    before = {job["id"] for job in cli.jobs()}
    cli.run("image", "rescan", "--all")
    jobs = [job for job in cli.wait_idle() if job["id"] not in before]
    assert {job["digest"] for job in jobs} == {one["digest"] for one in cli.images()} - {digest}
    cli.fails("image", "rescan", "it/team/app:unknown")
