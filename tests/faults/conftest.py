"""How experiments run: with a seed, and on each kind of storage."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random, SystemRandom

import pytest

from tests.faults.experiment import Experiment
from tests.faults.figures import Figures
from tests.faults.kafka_stage import GROUP
from tests.faults.place import DATABASE, FilePlace, Place, place_on
from tests.faults.reporting import keep_figures, keep_line
from tests.kafka.topics import Kafka
from tests.support.postgres_server import PostgresServer


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Give a function that keeps a line of figures for the end of the run."""
    properties = request.node.user_properties

    def keep(line: str) -> None:
        keep_line(properties, line)

    return keep


@pytest.fixture
def seed(request: pytest.FixtureRequest, tell: Callable[[str], None]) -> int:
    """Return the seed of what is random: ``--seed``, or a new one, which is told."""
    given = request.config.getoption("--seed")
    chosen = SystemRandom().randrange(10_000) if given is None else int(given)
    tell(f"--seed {chosen}")
    return chosen


@pytest.fixture
def experiment(
    request: pytest.FixtureRequest, tmp_path: Path, seed: int, tell: Callable[[str], None]
) -> Experiment:
    """Give what an experiment is run and checked by."""
    properties = request.node.user_properties

    def note(figures: Figures) -> None:
        keep_figures(properties, figures)

    random = Random(seed)  # noqa: S311 - to be repeated, not to be kept secret
    judged = bool(request.config.getoption("--long"))
    return Experiment(request.node.name, tmp_path, seed, random, tell, note, judged)


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest) -> PostgresServer | None:
    """Give the server of each kind of storage: SQLite has none."""
    wanted: PostgresServer | None = None
    if request.param == "postgres":
        wanted = request.getfixturevalue("postgres")
    return wanted


@pytest.fixture
async def place(server: PostgresServer | None, tmp_path: Path) -> AsyncIterator[Place]:
    """Give an empty storage of each kind in turn."""
    if server is None:
        path = tmp_path / DATABASE
        path.parent.mkdir(parents=True)
        yield FilePlace(path)
    else:
        async with place_on(server) as on_it:
            yield on_it


@pytest.fixture
def kafka(kafka: Kafka) -> Kafka:
    """Give the group its name in production."""
    kafka.group = GROUP
    return kafka
