import contextlib
import os
from pathlib import Path

import pytest

from support.clamav import Clamd, FakeClamd, write_settings
from support.daemon import Binaries, Daemon
from support.events import Events
from support.registry import Registry
from support.scripted import ScriptedRegistry
from support.token_server import TokenServer
from support.tls import authority
from support.vendors import Bench, Benches

TOP = Path(__file__).resolve().parents[2]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Lets fixtures know whether their test failed: then they show logs instead of checking."""
    report = (yield).get_result()
    setattr(item, "failed_in_" + report.when, report.failed)
    item.failed_before = getattr(item, "failed_before", False) or report.failed


@pytest.fixture(scope="session")
def binaries():
    """The built programs: those of TIDEWAITER_BIN, by default the debug build's."""
    folder = Path(os.environ.get("TIDEWAITER_BIN", TOP / ".build/debug"))
    found = Binaries(*(str(folder / name) for name in ("tidewaiterd", "tidewaiter-worker", "tidewaiter")))
    for path in (found.daemon, found.worker, found.client):
        assert os.access(path, os.X_OK), f"{path} is not built: run `swift build`, or name a folder in TIDEWAITER_BIN"
    return found


@pytest.fixture
def make_daemon(binaries, request):
    """Makes daemons that are not started yet, and closes them at the end."""
    yield from daemons(binaries, request)


@pytest.fixture
def daemon(make_daemon):
    return make_daemon().start()


@pytest.fixture
def cli(daemon):
    return daemon.cli


@pytest.fixture
def events(daemon):
    with contextlib.closing(Events(daemon.cli)) as following:
        yield following


@pytest.fixture(scope="module")
def module_daemon(binaries, request):
    """One daemon for all tests of a module that only read."""
    for make in daemons(binaries, request):
        yield make().start()


def daemons(binaries, request):
    made = []

    def make(*arguments, **options):
        made.append(Daemon(binaries, arguments, **options))
        return made[-1]

    yield make
    failed = getattr(request.node, "failed_before", False)
    problems = []
    for one in made:
        if failed:
            print(f"-- log of {one.folder}\n{one.tail()}")
        try:
            one.close(sane=not failed)
        except AssertionError as problem:
            problems.append(str(problem))
    assert not problems, "\n".join(problems)


@pytest.fixture(scope="session")
def common_registry(tmp_path_factory):
    with Registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def registry(common_registry):
    """A plain, open docker-registry for all tests: use repositories of your own."""
    return common_registry


@pytest.fixture
def make_registry(tmp_path_factory):
    """Makes and starts docker-registries with the options of Registry, and stops them at the end."""
    made = []

    def make(**options):
        made.append(Registry(tmp_path_factory.mktemp("registry"), **options).start())
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def make_scripted():
    """Makes scripted registries with the options of ScriptedRegistry, and stops them at the end."""
    made = []

    def make(**options):
        made.append(ScriptedRegistry(**options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def module_registry():
    """One scripted registry for all tests of a module."""
    running = ScriptedRegistry()
    yield running
    running.stop()


@pytest.fixture
def make_token_server(tmp_path_factory):
    made = []

    def make(users, readable=None):
        made.append(TokenServer(tmp_path_factory.mktemp("tokens"), users, readable))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    return authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def other_tls(tmp_path_factory):
    """An authority that certified nothing a test connects to."""
    return authority(tmp_path_factory.mktemp("other-tls"), "other")


@pytest.fixture(scope="module")
def benches(binaries, common_registry, tmp_path_factory):
    made = Benches(binaries, common_registry, tmp_path_factory.mktemp("vendors"))
    yield made
    made.close()


@pytest.fixture
def make_bench(binaries, common_registry, tmp_path, request):
    """Makes a simulated product, with a daemon of its own, for tests that change what it holds."""
    made = []

    def make(vendor, way="", repositories=3, tags=3):
        folder = tmp_path / f"{vendor}-{len(made)}"
        folder.mkdir()
        made.append(Bench(vendor, way, common_registry, folder, binaries, (repositories, tags)))
        return made[-1]

    yield make
    for one in made:
        if request.node.failed_before:
            print(f"-- log of the daemon\n{one.daemon.tail()}")
        one.close(sane=not request.node.failed_before)


@pytest.fixture
def bench(request, benches, vendor, way):
    yield benches.of(vendor, way)
    if request.node.failed_before:
        print(f"-- log of the daemon\n{benches.current.daemon.tail()}")
        benches.close(sane=False)


@pytest.fixture
def make_clamd():
    """Makes clamds that are not started yet, with settings of Clamd, and ends them."""
    made = []

    def make(**settings):
        made.append(Clamd(**settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def make_fake_clamd():
    """Makes what answers in place of a clamd, as FakeClamd has it."""
    made = []

    def make(answer=lambda data, connection: b"stream: OK", **more):
        made.append(FakeClamd(answer, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def with_malware(make_daemon, tmp_path):
    """Starts a daemon that is told of a clamd at a socket."""
    def start(path, **settings):
        daemon = make_daemon("--config", str(write_settings(tmp_path, path, **settings)))
        return daemon.start()
    return start
