"""How a server starts while its database is unreachable."""

import time
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.faults.place import ServerPlace
from tests.faults.proxy import Proxy
from tests.faults.stage import Up
from tests.support.ports import free_ports
from tests.support.receivers import LOOPBACK
from tests.support.waiting import until

UNAVAILABLE, FAILED = 3, 1
AT_ONCE = 30.0  # on a busy machine; it would wait for ten times as long


@pytest.fixture
async def proxy(place: ServerPlace) -> AsyncIterator[Proxy]:
    """Give the way to the database, which refuses connections as yet."""
    (port,) = free_ports(1)
    proxy = Proxy(urlsplit(place.settings["DB_URI"]).port or 5432, port)
    yield proxy
    await proxy.close()


def through(proxy: Proxy, place: ServerPlace) -> Mapping[str, str]:
    """Return the settings of a server that reaches its database by this way."""
    uri = urlsplit(place.settings["DB_URI"])
    host = f"{uri.netloc.rpartition(':')[0]}:{proxy.port}"
    return {**place.settings, "DB_URI": uri._replace(netloc=host).geturl()}


async def waits(up: Up) -> bool:
    """Tell whether it says what it waits for."""
    try:
        async with aiohttp.request("GET", f"http://{LOOPBACK}:{up.ports[1]}/readyz") as response:
            text = await response.text()
            unready = response.status == HTTPStatus.SERVICE_UNAVAILABLE
            return unready and "The database cannot be reached: " in text
    except aiohttp.ClientError:
        return False


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["alone", "two workers"])
async def test_a_start_waits_for_a_database_that_is_unreachable(
    place: ServerPlace, proxy: Proxy, tmp_path: Path, options: tuple[str, ...]
) -> None:
    settings = {**through(proxy, place), "STARTUP_TIMEOUT": "5m"}
    up = Up(tmp_path, settings, options=options)
    try:
        process = await up.spawn()
        if not options:
            await until("it says what it waits for", lambda: waits(up))
        else:
            await until("its workers wait", lambda: both_wait(up))
        assert process.returncode is None
        await proxy.accept()
        await until("it is ready", up.is_ready)
        assert await up.terminate(15) == 0
        assert "worker_exited" not in up.said()
    finally:
        await up.close()


async def both_wait(up: Up) -> bool:
    return up.said().count('"start"') == 2


async def test_a_start_that_waited_in_vain_ends_with_the_reason(
    place: ServerPlace, proxy: Proxy, tmp_path: Path
) -> None:
    up = Up(tmp_path, {**through(proxy, place), "STARTUP_TIMEOUT": "1s"}, command="api")
    try:
        await up.spawn()
        assert await up.ended() == UNAVAILABLE
        assert "Error: The database cannot be reached: " in up.said()
    finally:
        await up.close()


async def test_while_it_waits_a_signal_stops_it(
    place: ServerPlace, proxy: Proxy, tmp_path: Path
) -> None:
    up = Up(tmp_path, {**through(proxy, place), "STARTUP_TIMEOUT": "5m"}, command="api")
    try:
        await up.spawn()
        await until("it says what it waits for", lambda: waits(up))
        assert await up.terminate(15) == 0
    finally:
        await up.close()


async def test_what_waiting_cannot_fix_ends_a_start_at_once(
    place: ServerPlace, tmp_path: Path
) -> None:
    await Up(tmp_path / "before", place.settings, command="migrate").ended_well()
    wrong = {"STARTUP_TIMEOUT": "5m", "DB_ENCRYPTION_SECRET": "f" * 32}
    up = Up(tmp_path, {**place.settings, **wrong})
    try:
        began = time.monotonic()
        await up.spawn()
        assert await up.ended(AT_ONCE) == FAILED
        assert "DB_ENCRYPTION_SECRET" in up.said()
        assert time.monotonic() - began < AT_ONCE
    finally:
        await up.close()
