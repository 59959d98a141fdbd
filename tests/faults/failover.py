"""A database that fails over to its synchronous standby after commits that the standby missed."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.conftest import require
from tests.faults.history import History
from tests.faults.place import ServerPlace
from tests.faults.scenarios import Scene, events, on_scene
from tests.support.postgres_server import (
    HOW_TO_GET_IT,
    OwnServer,
    find_programs,
    standby_of,
    started,
)
from tests.support.waiting import until

_DATABASE: Final = "failover"
_PUBLISHES_FOR: Final = 15.0
"""Seconds: longer than the product waits for a response of its database."""

_PUBLISHES_AFTER_RESTART_FOR: Final = 4.0


async def failed_over(folder: Path, tampering: Sequence[str]) -> History:
    """Kill the standby, publish again and again, also after a restart of the primary; fail over.

    A producer publishes its event until it is acknowledged, and then never again.
    """
    programs = find_programs()
    require(programs, HOW_TO_GET_IT)
    assert programs
    with started(programs) as primary:
        await primary.execute(f"CREATE DATABASE {_DATABASE}")
        place = ServerPlace(primary, _DATABASE)
        async with (
            standby_of(primary) as standby,
            on_scene(
                folder, place, tampering, lambda: (0, 200), API_SERVER_WRITE_TIMEOUT="2s"
            ) as scene,
        ):
            return await _fail_over(scene, primary, standby)


async def _fail_over(scene: Scene, primary: OwnServer, standby: OwnServer) -> History:
    await scene.publish(events(5))
    await until("all is delivered", scene.place.is_done)
    standby.stop(at_once=True)
    await _publish_again(scene, [*events(6)][5:], _PUBLISHES_FOR)
    # A restart ends the wait of what is being committed: the row is there, on the primary alone.
    await asyncio.to_thread(primary.stop, at_once=True)
    await asyncio.to_thread(primary.start)
    await _publish_again(scene, (), _PUBLISHES_AFTER_RESTART_FOR)
    primary.stop(at_once=True)
    await scene.up.kill()
    await asyncio.to_thread(standby.start)
    await standby.execute("SELECT pg_promote()")
    scene.place = scene.up.place = ServerPlace(standby, _DATABASE)
    await scene.up.start()
    await until("all is acknowledged", lambda: _all_acknowledged(scene))
    return await scene.rested(*scene.up.kills)


async def _publish_again(scene: Scene, more: Sequence[str], seconds: float) -> None:
    """Publish until all is acknowledged, or the time is over."""
    await scene.publish(more)
    with suppress(AssertionError):
        await until("all is acknowledged", lambda: _all_acknowledged(scene), seconds)


async def _all_acknowledged(scene: Scene) -> bool:
    await scene.publish_again()
    return all(scene.published.values())
