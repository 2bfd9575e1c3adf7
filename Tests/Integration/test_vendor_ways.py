"""What products do in more than one way, and users of other rights than those of the table: each driver gets along with
them, or the poll says what it missed."""
import pytest
from simulators.vendors import VENDORS, simulator
from support.vendors import FEW, PARTIAL, complete, polled

# Ways that show only where something is refused; the table has the others.
REFUSALS = [("docker-hub", "retry-header", "X-Retry-After"), ("docker-hub", "expired", "bare"), ("quay", "limit", "json"),
            ("ecr", "throttle", "429"), ("ecr", "expired-password", "403"), ("ghcr", "limit", "429")]


def one_way(*vendors):
    """The products, each by the first of its ways."""
    return pytest.mark.parametrize("vendor, way", [(vendor, next(iter(simulator(vendor).ways))) for vendor in vendors or VENDORS])


@pytest.fixture(autouse=True)
def fresh(bench):
    bench.product.forget()
    yield
    assert bench.product.violations == [], "\n".join(map(str, bench.product.violations))


@pytest.mark.parametrize("vendor, way, knob, value", [(vendor, "", knob, value) for vendor, knob, value in REFUSALS])
def test_refusals_of_the_other_way(bench, knob, value):
    product = bench.product
    product.set_knob(knob, value)
    limit = product.fault("status", on=product.listings, after=1, status=429, retry_after=1)
    # A token ends once: twice during one request is what no registry does.
    expired = product.fault("expire", on="manifest|blob", after=1)
    complete(bench)
    assert limit.hits and expired.hits


@one_way()
def test_a_credential_that_ends_in_mid_listing(bench):
    refused = bench.product.fault("status", on=bench.product.listings, after=2, times=1000, status=401)
    name = bench.add("full", *FEW)
    poll = bench.cli.run("integration", "poll", name, "--wait", code=None).document
    assert refused.hits
    assert poll["state"] == "failed" or poll["errors"], poll
    assert refused.hits <= 16, "a credential that is refused is given up"


@pytest.mark.parametrize("form", ["brackets", "bare"])
@one_way("quay")
def test_robots_list_by_the_catalog(bench, form):
    bench.product.set_knob("catalog-link", form)
    expired = bench.product.fault("expire", on="catalog|v2-tags", after=2)
    complete(bench, who="robot")
    assert expired.hits and len(bench.product.seen("catalog")) >= 3 and not bench.product.seen("repositories")


@pytest.mark.parametrize("vendor, way, who", [("acr", "", "identity"), ("yandex", "", "oauth")])
def test_other_credentials(bench, who):
    bench.product.fault("expire", on="tags", after=1)
    name, _ = complete(bench, who=who)
    assert {one["outcome"] for one in bench.test(name)} <= {"ok", "skipped", "warning"}


@one_way("ecr")
def test_temporary_keys(bench, tmp_path):
    token = tmp_path / "session-token"
    token.write_text(bench.product.session_token + "\n")
    name = bench.add("session", *FEW, "--session-token-file", token)
    bench.poll(name)
    assert bench.images(name) == bench.expected("session", FEW)
    bench.product.session_ended.add("ASIATEMPORARYKEY0000")
    try:
        refused = bench.cli.fails("integration", "poll", name, "--wait")
        assert "ExpiredTokenException" in refused.err
    finally:
        bench.product.session_ended.clear()


@one_way("ecr")
def test_who_may_not_see_the_rules_of_caches_is_told_so(bench):
    name = bench.add("readonly", *FEW)
    failed = [one for one in bench.test(name, code=1) if one["outcome"] == "failed"]
    assert len(failed) == 1 and "ecr:DescribePullThroughCacheRules" in failed[0]["hint"]
    bench.poll(name)
    assert bench.images(name) == bench.expected("readonly", FEW)


@pytest.mark.parametrize("vendor, way, who, word", [
    ("gitlab", "", "deploy", "read_api"), ("gitlab", "", "guest", "Forbidden"), ("ecr", "", "blind", "DescribeRepositories"),
    ("ghcr", "", "scopeless", "refuses the API key"), ("acr", "", "pull", "metadata"), ("gar", "", "stranger", "artifactregistry"),
    ("yandex", "", "stranger", "container-registry")])
def test_rights_that_are_missing_are_named(bench, who, word):
    """By the connection test with a hint, and by the poll, which fails or says what it missed."""
    name = bench.add(who, *FEW)
    failed = [one for one in bench.test(name, code=1) if one["outcome"] == "failed"]
    assert any(word in one["detail"] + one["hint"] for one in failed), failed
    outcome = bench.cli.run("integration", "poll", name, "--wait", code=None)
    assert outcome.document["state"] == "failed" or outcome.document["errors"], outcome
    assert bench.images(name) == {}


@one_way("docker-hub")
def test_no_next_page_of_another_host_is_asked(bench):
    bench.product.set_knob("next", "foreign")
    result, _, _ = polled(bench)
    assert result == PARTIAL


@one_way("docker-hub")
def test_a_token_that_hides_repositories_is_suspected(bench):
    """An organization's token without the right to list sees public repositories only, and no error (registries.md 4.2)."""
    name = "blind"
    bench.cli.run("integration", "add", name, "--type", "docker-hub", *bench.product.trust(), "--scope", "acme", "--auth", "account",
                  "--username", "acme-blind", "--password-stdin", stdin=bench.product.accounts["acme-blind"].secret)
    steps = bench.test(name, code=None)
    assert any("scope to list" in one["detail"] + one["hint"] for one in steps), steps


@one_way("harbor")
def test_a_pull_that_a_policy_forbids_is_not_tried_again(bench):
    bench.product.set_knob("policy", "on")
    name = bench.add("full", "--criteria", "*/app-*99")
    jobs = bench.poll(name, code=3)["jobs"]
    assert {(one["state"], one["attempt"]) for one in jobs} == {("error", 1)}
    assert all("policy" in one["error"]["message"] for one in jobs), jobs
