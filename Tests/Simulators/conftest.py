import pytest

from browser import Browser
from simulators.vendors import simulator
from support.images import image, layer
from support.registry import Registry


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """The docker-registry behind all simulators."""
    with Registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def certificates():
    """{class of simulators: the authority of the first one}, so that each need not make its own."""
    return {}


@pytest.fixture
def start(registry, certificates, tmp_path_factory):
    """Starts simulators, by vendor or by class, with the options of Simulator; stops them at the end."""
    made = []

    def start(kind, **options):
        kind = simulator(kind) if isinstance(kind, str) else kind
        made.append(kind(tmp_path_factory.mktemp("product"), registry.url, certificate=certificates.get(kind), **options))
        if made[-1].authority:
            certificates[kind] = made[-1].authority
        made[-1].browse = Browser(made[-1])
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture
def small():
    return lambda number=1: image([layer({"etc/number": str(number)})])
