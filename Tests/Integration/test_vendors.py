"""Every product against its simulator, through the daemon and the client: what is polled is what is there, or the poll says
what it missed. Writes a table of vendor, case and result."""
import os
from pathlib import Path

import pytest
from simulators.vendors import simulator
from support.vendors import COMPLETE, FEW, MANY, PARTIAL, complete, polled, rows, told, without_jobs


@pytest.fixture(scope="module")
def table():
    """{(row, case): result}, written at the end; and left in the file that TIDEWAITER_VENDORS_TABLE names."""
    results = {}
    yield results
    lines = [f"{'vendor':32}" + "".join(f"{name:>15}" for name in CASES)]
    for vendor, way in rows():
        row = f"{vendor} {way}".strip()
        if any(key[0] == row for key in results):
            lines.append(f"{row:32}" + "".join(f"{results.get((row, name), '-'):>15}" for name in CASES))
    print("\n" + "\n".join(lines))
    if path := os.environ.get("TIDEWAITER_VENDORS_TABLE"):
        Path(path).write_text("\n".join(lines) + "\n")


# -- cases

def right_credentials(bench):
    name, poll = complete(bench, flags=MANY)
    steps = bench.test(name)
    assert {one["outcome"] for one in steps} <= {"ok", "skipped", "warning"}, steps
    assert poll["repositories"] >= len({repository for repository, _ in bench.product.expected("full", **bench.options)})
    bench.same_reports(name)
    return "pass"


def minimum_rights(bench):
    name, _ = complete(bench, who="minimum", flags=MANY)
    steps = bench.test(name)
    assert "failed" not in {one["outcome"] for one in steps}, steps
    return "pass"


def wrong_credentials(bench):
    name = bench.add("wrong")
    failed = [one for one in bench.test(name, code=1) if one["outcome"] == "failed"]
    assert failed and failed[0]["hint"], failed
    poll = bench.cli.fails("integration", "poll", name, "--wait")
    assert bench.images(name) == {} and poll.error["message"]
    # Whoever goes on with a refused password is locked out, or locks the account.
    assert sum(bench.product.refusals.values()) <= 8, bench.product.refusals.values()
    return "pass"


def many_pages(bench):
    complete(bench)
    for listing in bench.product.listings.split("|"):
        asked = bench.product.seen(listing)
        assert len(asked) >= 3 or not asked, (listing, asked)
    return "pass"


def expired_token(bench):
    """Once in the midst of the listing, once in the midst of pulling. Not both in one poll: no registry has a token end
    twice during one request, and a request that is refused twice is refused (H25)."""
    for what in (bench.product.listings, "manifest|blob"):
        fault = bench.product.fault("expire", on=what, after=1)
        complete(bench)
        assert fault.hits, what
    return "pass"


def rate_limit(bench):
    listing = bench.product.fault("status", on=bench.product.listings, after=1, status=429, retry_after=2)
    complete(bench)
    assert listing.hits == 1
    return "pass"


def server_errors(bench):
    listings = [bench.product.fault("status", on=bench.product.listings, after=after, status=status)
                for after, status in ((1, 503), (2, 502))]
    complete(bench)
    assert all(one.hits for one in listings)
    return "pass"


def broken_connections(bench):
    listings = [bench.product.fault(kind, on=bench.product.listings, after=1) for kind in ("reset", "truncate")]
    complete(bench)
    assert all(one.hits for one in listings)
    return "pass"


def remote_repositories(bench):
    remote = bench.product.left_out()
    name, poll = complete(bench, flags=MANY)
    assert not any(repository.startswith(one + "/") for repository, _ in bench.images(name) for one in remote)
    assert poll["repositoriesSkipped"] and any(one in note for note in poll["notes"] for one in remote), without_jobs(poll)
    complete(bench, flags=MANY, kinds=("local", "federated", "remote"))
    return "pass"


def either_way(bench):
    """Where a product may behave in two ways, or nobody knows in which, any is as good."""
    product = bench.product
    several = {name: [value for value in values if (name, value) not in product.one_way] for name, values in product.knobs.items()}
    for number in range(1, max(len(values) for values in several.values())):
        wanted = {name: values[min(number, len(values) - 1)] for name, values in several.items() if len(values) > 1}
        name = bench.add("full", *FEW)
        for knob, value in wanted.items():
            product.set_knob(knob, value)
        poll = bench.poll(name)
        assert bench.images(name) == bench.expected("full", FEW) and not told(poll), (wanted, told(poll), without_jobs(poll))
    return "pass"


def bent(kind, after=0):
    """A listing that goes wrong, one after the other."""
    def case(bench):
        results = set()
        for listing in (kind == "end" and bench.product.counted or bench.product.listings).split("|"):
            bench.product.faults.clear()
            fault = bench.product.fault(kind, on=listing, after=after)
            result, _, _ = polled(bench)
            if fault.hits:
                results.add(result)
        assert results, "no listing was hit"
        return PARTIAL if PARTIAL in results else COMPLETE
    return case


CASES = {
    "right": right_credentials, "minimum rights": minimum_rights, "wrong": wrong_credentials, "3 x 3 pages": many_pages,
    "expired token": expired_token, "429": rate_limit, "5xx": server_errors, "broken off": broken_connections,
    "remote": remote_repositories, "either way": either_way, "loop": bent("loop", after=1), "early end": bent("end", after=1),
    "repeats": bent("repeat"), "shrinks": bent("shrink"),
}
ALWAYS = {"right", "wrong", "expired token"}


def applies(vendor, way, case):
    """Whether a product has what the case is about."""
    product = simulator(vendor)
    if case == "remote":
        return product.has_remote and way not in product.one_area_ways
    if case == "early end":
        return product.counted != ""
    return True


def parameters():
    """The second and further ways to a product are short ones in fast tests."""
    for vendor, way in rows():
        first = way == next(iter(simulator(vendor).ways))
        for case in CASES:
            if applies(vendor, way, case):
                marks = [] if first or case in ALWAYS else [pytest.mark.slow]
                yield pytest.param(vendor, way, case, id=f"{vendor} {way} {case}".replace("  ", " "), marks=marks)


@pytest.mark.parametrize("vendor, way, case", parameters())
def test_vendor(bench, case, table):
    row = f"{bench.vendor} {bench.way}".strip()
    table[row, case] = "FAIL"
    bench.product.forget()
    result = CASES[case](bench)
    assert bench.product.violations == [], "\n".join(map(str, bench.product.violations))
    table[row, case] = result
