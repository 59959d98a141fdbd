"""How `up` ends when it is told to, and how it refuses to start."""

import asyncio
import shutil
import signal
import socket
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest

from tests.faults.accounts import Accounts
from tests.faults.experiment import Experiment
from tests.faults.history import Allowed, History
from tests.faults.marks import postgres_when_long
from tests.faults.place import Place
from tests.faults.producer import producing
from tests.faults.rules import interruptions
from tests.faults.stage import Up, running
from tests.support.receivers import LOOPBACK, Receiver
from tests.support.waiting import until

SECOND_SIGNAL, FAILED, SETTINGS = 130, 1, 7
STOPS_WITHIN = 15.0
AT_ONCE = 5.0  # told once, it would wait for its receiver for twice as long
HEEDED_WITHIN = timedelta(milliseconds=100)


@pytest.mark.experiment(9, "stopped by SIGTERM under load")
@postgres_when_long
async def test_a_stop_under_load_cuts_nothing_off(experiment: Experiment, place: Place) -> None:
    accounts = Accounts()
    slowly = accounts.receiver(lambda: (experiment.random.uniform(0.05, 0.3), 200))
    async with slowly, running(experiment.folder, place) as (up, api):
        await api.subscribe(slowly.url)
        key = await api.key()
        async with producing(api, experiment.random) as producer:
            await slowly.wait_for(100)
            told = datetime.now(UTC)
            unready = asyncio.create_task(until_unready(up))
            assert await up.terminate(STOPS_WITHIN) == 0
            producer.give_up()
        stopped = await up.stored()
        assert interruptions(stopped.attempts) == 0
        assert not any(one.held for one in stopped.deliveries)
        assert "background_task_failed" not in up.said()
        await up.start()
        await until("the rest is delivered", up.is_done)
        history = History(producer.published(), accounts.seen(key), await up.stored(), Allowed())
    experiment.judge(history)
    late = max(one.started_at for one in stopped.attempts) - told
    after = await unready - told
    experiment.tell(f"not ready after {after.total_seconds():.3f} s, last attempt after {late}")
    if experiment.judged:
        assert max(after, late) <= HEEDED_WITHIN


async def until_unready(up: Up) -> datetime:
    await until("it is not ready any more", lambda: is_unready(up))
    return datetime.now(UTC)


async def is_unready(up: Up) -> bool:
    try:
        async with aiohttp.request("GET", f"http://127.0.0.1:{up.ports[1]}/readyz") as response:
            return response.status == HTTPStatus.SERVICE_UNAVAILABLE
    except aiohttp.ClientError:
        return True


@pytest.mark.experiment(9, "told to stop twice")
async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async with Receiver("hang") as receiver, running(tmp_path) as (up, api):
        await api.subscribe(receiver.url)
        await api.publish("event")
        await receiver.wait_for(1)
        assert up.process
        up.process.send_signal(signal.SIGTERM)
        await until("it says that it stops", lambda: says(up, "stopping"))
        assert await up.terminate(within=AT_ONCE) == SECOND_SIGNAL


async def says(up: Up, word: str) -> bool:
    return word in up.said()


# What keeps it from starting.


def a_directory(up: Up) -> None:
    up.database.unlink()
    up.database.mkdir()


def a_corrupt_file(up: Up) -> None:
    up.database.write_bytes(b"SQLite format 3\0" + b"\xff" * 8_192)


def another_programs_database(up: Up) -> None:
    up.database.unlink()
    with closing(sqlite3.connect(up.database)) as connection:
        connection.execute("CREATE TABLE events (name TEXT)")


def a_missing_secret(up: Up) -> None:
    secret(up).unlink()


def another_secret(up: Up) -> None:
    secret(up).write_text("f" * 32)


def a_cut_secret(up: Up) -> None:
    secret(up).write_text("f" * 31)


def a_schema_ahead(up: Up) -> None:
    with closing(sqlite3.connect(up.database)) as connection:
        connection.execute("UPDATE notification_schema SET version_num = '9999'")
        connection.execute("UPDATE instance SET oldest_compatible = '9999'")
        connection.commit()


def secret(up: Up) -> Path:
    return up.database.with_name(f"{up.database.name}.secret")


OBSTACLES: Mapping[str, tuple[Callable[[Up], None], int, str]] = {
    "a directory": (a_directory, FAILED, "directory"),
    "a corrupt file": (a_corrupt_file, FAILED, "corrupt"),
    "another program's database": (another_programs_database, FAILED, "belongs to another program"),
    "a missing secret": (a_missing_secret, FAILED, "Put the secret back"),
    "another secret": (another_secret, FAILED, "DB_ENCRYPTION_SECRET"),
    "a cut secret": (a_cut_secret, SETTINGS, "DB_ENCRYPTION_SECRET must be set to"),
    "a schema ahead": (a_schema_ahead, FAILED, "Install a newer version"),
    "a taken API port": (lambda _: None, FAILED, "API_SERVER_PORT"),
}


async def test_what_keeps_it_from_starting_is_said_in_one_sentence(tmp_path: Path) -> None:
    async with running(tmp_path / "good") as (up, _):
        assert await up.terminate() == 0
    said = await asyncio.gather(*(refusal(tmp_path, name) for name in OBSTACLES))
    for (_, code, words), (ended_with, lines) in zip(OBSTACLES.values(), said, strict=True):
        assert ended_with == code, lines
        (sentence,) = lines
        assert sentence.startswith("Error: ")
        assert words in sentence


async def refusal(folder: Path, name: str) -> tuple[int, Sequence[str]]:
    """Start it on a copy of what worked, with an obstacle; return its exit code and its words."""
    place = folder / name
    shutil.copytree(folder / "good" / "data", place / "data")
    with socket.create_server((LOOPBACK, 0)) as taken:
        up = Up(place)
        if "port" in name:
            up.ports = (taken.getsockname()[1], up.ports[1])
        make, *_ = OBSTACLES[name]
        make(up)
        try:
            await up.spawn()
            return await up.ended(within=60), up.said().splitlines()
        finally:
            await up.close()
