"""What every test runs under: on this host only, and with hypothesis set for the place."""

import gc
import os
from collections.abc import AsyncIterator, Generator, Iterator

import hypothesis
import pytest

from tests.faults import reporting
from tests.kafka.jars import HOW_TO_GET_JAVA, HOW_TO_GET_MAVEN, jars, java
from tests.kafka.servers import Broker, running_broker
from tests.kafka.topics import Kafka, topics_on
from tests.support import postgres_server
from tests.support.network_guard import NetworkGuard, guarded_network
from tests.support.postgres_server import PostgresServer

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

# No deadlines: a shared machine pauses. CI repeats the same examples, so that a red run can be
# run again; on a developer's machine they are few and new each time.
hypothesis.settings.register_profile("dev", max_examples=50, deadline=None)
hypothesis.settings.register_profile(
    "ci", max_examples=60, deadline=None, derandomize=True, print_blob=True
)
hypothesis.settings.load_profile("ci" if IN_CI else "dev")

# Nothing out there is talked to, and reading the system's CA bundle takes a while each
# time. What tests start inherits it.
os.environ["SSL_CERT_FILE"] = os.devnull

# Here, so that they hold whichever tests are asked for.
pytest_addoption = reporting.pytest_addoption
pytest_collection_modifyitems = reporting.pytest_collection_modifyitems
pytest_terminal_summary = reporting.pytest_terminal_summary


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage among thousands of tests that all stay, and look for it less often."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        gc.enable()


def require(condition: object, reason: str) -> None:
    """Skip the test where something that it needs is missing; in CI, fail it.

    ``reason`` says what is missing and how to get it.
    """
    if condition:
        return
    if IN_CI:
        pytest.fail(f"Missing in CI: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def network_guard() -> Iterator[NetworkGuard]:
    """Refuse every connection of the whole run that would leave this host."""
    with guarded_network() as guard:
        yield guard


@pytest.fixture(autouse=True)
def stay_on_this_machine(network_guard: NetworkGuard) -> Iterator[None]:
    """Fail the test that tried to leave, also when the code under test took it in its stride."""
    yield
    refused, network_guard.refused = network_guard.refused, []
    if refused:
        pytest.fail(f"The test tried to {', '.join(refused)}.", pytrace=False)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run one PostgreSQL for all tests that want one."""
    with postgres_server.postgres_server() as server:
        require(server, postgres_server.HOW_TO_GET_IT)
        assert server
        yield server


@pytest.fixture(scope="session")
def kafka_jars() -> None:
    """Skip the test where no Kafka can be run."""
    require(java(), HOW_TO_GET_JAVA)
    require(jars(), HOW_TO_GET_MAVEN)


@pytest.fixture(scope="session")
def broker(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:  # noqa: ARG001 - it only skips
    """Run one real Kafka for all the tests that want one."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
async def kafka(broker: Broker) -> AsyncIterator[Kafka]:
    """Give topics and a group of the test's own on the broker of the run."""
    async with topics_on(broker.server.address) as kafka:
        yield kafka
