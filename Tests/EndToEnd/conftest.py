"""Fixtures of the end-to-end tests. Nothing here builds: scripts/test does. See README.md."""
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.dns import Nameserver  # noqa: E402
from harness.gateway import ROOT, Gateway, Ports, binary, rule_file  # noqa: E402
from harness.origin import Origin  # noqa: E402
from harness.waiting import holding  # noqa: E402

PROTOCOLS = ["http1", "http1-tls", "http2"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="1 GiB bodies and 1,000,000 requests instead of small ones")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes tens of seconds")
    if not binary().exists():
        raise pytest.UsageError(f"no binary {binary()}: run scripts/test, or swift build first")


@pytest.fixture(autouse=True, scope="module")
def ports_of_a_file() -> Iterator[None]:
    """Autouse fixtures come first and go last: a port is kept as long as the gateway or origin that it was meant for."""
    with holding():
        yield


@pytest.fixture(autouse=True)
def ports_of_a_test() -> Iterator[None]:
    with holding():
        yield


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--full"))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fresh development authority and server certificate."""
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([ROOT / "scripts/dev-certs", "--dir", folder, "--quiet"], check=True, capture_output=True)
    return folder


@pytest.fixture
def origin() -> Iterator[Origin]:
    server = Origin()
    yield server
    server.stop()


@pytest.fixture
def second() -> Iterator[Origin]:
    """Another origin beside `origin`."""
    server = Origin()
    yield server
    server.stop()


@pytest.fixture
def dns() -> Iterator[Nameserver]:
    server = Nameserver()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shared_origin() -> Iterator[Origin]:
    server = Origin()
    yield server
    server.stop()


Start = Callable[..., Gateway]


def starter(certificates: Path, origin: Origin, make_folder: Callable[[], Path], running: list[Gateway]) -> Start:
    def start(*, hooks: dict[str, str] | None = None, workers: int = 1, rules: Callable[[Ports], str] | None = None,
              arguments: list[str] | None = None, **parts: str) -> Gateway:
        make = rules or (lambda ports: rule_file(ports, certificates, origin.port, **parts))
        gateway = Gateway(make_folder(), certificates, make, hooks, workers, arguments=arguments)
        try:
            gateway.wait_ready(workers)
        except AssertionError:
            gateway.stop()
            raise
        running.append(gateway)
        return gateway

    return start


def stop_all(running: list[Gateway]) -> None:
    """Every gateway must end cleanly on SIGTERM after every test: that is part of each test."""
    statuses = [(gateway, gateway.stop()) for gateway in running]
    for gateway, status in statuses:
        assert status == 0, f"exit status {status} on SIGTERM:\n{gateway.text}"


@pytest.fixture
def start(certificates: Path, origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """start(request=..., response=..., functions=..., hooks={...}) gives a running gateway before `origin`."""
    running: list[Gateway] = []
    yield starter(certificates, origin, lambda: tmp_path_factory.mktemp("gateway"), running)
    stop_all(running)


@pytest.fixture(scope="module")
def start_shared(certificates: Path, shared_origin: Origin,
                 tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """The same for a gateway that all tests of a file use, before `shared_origin`."""
    running: list[Gateway] = []
    yield starter(certificates, shared_origin, lambda: tmp_path_factory.mktemp("gateway"), running)
    stop_all(running)


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)
