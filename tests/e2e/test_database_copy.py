"""``copy``: an installation moves from SQLite to PostgreSQL; nothing is lost or sent twice."""

import asyncio
from asyncio.subprocess import Process
from collections import Counter
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from tests.faults.place import ServerPlace
from tests.faults.stage import COMMAND, running
from tests.support.receivers import ReceivedRequest, Receiver
from tests.support.waiting import until

EVENTS = 20_000
_BATCH = 1_000


async def _start_copy(source: Path, target: ServerPlace) -> Process:
    arguments = ("copy", "--from", f"sqlite:///{source}", "--to", target.settings["DB_URI"])
    return await asyncio.create_subprocess_exec(COMMAND, *arguments)


async def _copied_rows(target: ServerPlace, table: str) -> int:
    try:
        return await target.count(f"SELECT count(*) FROM {table}")  # noqa: S608 - our own table
    except asyncpg.UndefinedTableError:
        return 0


def _number(request: ReceivedRequest) -> int:
    return int(request.headers["webhook-id"].removeprefix("msg_"))


def _refuse_odd(request: ReceivedRequest) -> int:
    return 200 if _number(request) % 2 == 0 else 500


async def _has(place: ServerPlace, table: str) -> bool:
    return await _copied_rows(place, table) > 0


def _sent(receiver: Receiver, *, odd: bool) -> Counter[int]:
    """Return how often each event was sent."""
    return Counter(number for number in map(_number, receiver.requests) if number % 2 == odd)


@pytest.mark.long
async def test_an_installation_moves_to_postgresql_though_the_copy_is_killed(
    place: ServerPlace, tmp_path: Path
) -> None:
    async with Receiver(_refuse_odd) as receiver:
        async with running(tmp_path, WEBHOOKS_RETRY_INTERVAL="20s") as (up, api):
            await api.subscribe(receiver.url)
            for first in range(0, EVENTS, _BATCH):
                await api.publish(*map(str, range(first, first + _BATCH)))
            await receiver.wait_for(EVENTS // 2)
            assert await up.terminate() == 0
        assert len(receiver.requests) < 2 * EVENTS, "something is left to be delivered"
        for table in ("attempts", "deliveries", "events"):
            process = await _start_copy(up.database, place)
            await until(f"{table} is being copied", partial(_has, place, table), 60)
            process.kill()
            assert await process.wait() < 0, "it was killed before its end"
        assert await (await _start_copy(up.database, place)).wait() == 0
        refused = _sent(receiver, odd=True)
        receiver.respond(200)
        secret = up.database.with_name(f"{up.database.name}.secret").read_text()
        moved_to = tmp_path / "moved"
        async with running(moved_to, place, DB_ENCRYPTION_SECRET=secret) as (moved, _):
            await until("all is delivered", place.is_done, 120)
            assert await moved.terminate() == 0
    assert _sent(receiver, odd=False) == dict.fromkeys(range(0, EVENTS, 2), 1)
    once_more = {number: refused[number] + 1 for number in range(1, EVENTS, 2)}
    assert _sent(receiver, odd=True) == once_more, "each was delivered once"
    assert await place.count("SELECT count(*) FROM attempts") == len(receiver.requests)
