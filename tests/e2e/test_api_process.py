"""An API that only stores, beside processes that deliver."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.place import DATABASE, ServerPlace
from tests.faults.stage import Api, Up, running, served_by
from tests.support.receivers import Receiver
from tests.support.waiting import until

SECRET = "0123456789abcdef0123456789abcdef"
ALONE = {"PROJECT_MANAGEMENT_API_URI": "", "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8"}
FAILED, SETTINGS = 1, 7


@asynccontextmanager
async def serving_api(folder: Path, **settings: str) -> AsyncIterator[tuple[Up, Api]]:
    process = Up(folder, {**ALONE, **settings}, command="api")
    async with served_by(process) as api:
        yield process, api


async def test_what_it_stores_on_postgres_is_delivered_by_others_that_it_wakes(
    place: ServerPlace, tmp_path: Path
) -> None:
    # Nobody polls within the time of this test.
    settings = {**place.settings, "WEBHOOKS_POLL_INTERVAL": "10m"}
    async with AsyncExitStack() as stack:
        up, _ = await stack.enter_async_context(running(tmp_path / "up", **settings))
        process, api = await stack.enter_async_context(serving_api(tmp_path / "api", **settings))
        receiver = await stack.enter_async_context(Receiver())
        await api.subscribe(receiver.url)
        for number in range(1, 21):
            await api.publish(f"event-{number}")
            await receiver.wait_for(number)
        await until("all is written", place.is_done)
        assert await process.terminate(within=15) == 0
        assert await up.terminate(within=15) == 0
        assert "leases_reaped" not in up.said()


async def test_beside_an_up_on_one_file_what_it_stores_is_found_by_the_poll(
    tmp_path: Path,
) -> None:
    (tmp_path / DATABASE).parent.mkdir()
    async with AsyncExitStack() as stack:
        up, _ = await stack.enter_async_context(
            running(tmp_path, DB_ENCRYPTION_SECRET=SECRET, WEBHOOKS_POLL_INTERVAL="100ms")
        )
        process, api = await stack.enter_async_context(
            serving_api(
                tmp_path,
                DB_URI=f"sqlite:///{tmp_path / DATABASE}",
                DB_ENCRYPTION_SECRET=SECRET,
            )
        )
        receiver = await stack.enter_async_context(Receiver())
        await api.subscribe(receiver.url)
        await api.publish("event")
        await receiver.wait_for(1)
        assert await process.terminate(within=15) == 0
        assert await up.terminate(within=15) == 0


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"POD_IP": "0.0.0.0"}, SETTINGS, "API_AUTH must be set"),  # noqa: S104 - it is refused
        ({"DB_ENCRYPTION_SECRET": ""}, SETTINGS, "DB_ENCRYPTION_SECRET"),
        ({}, FAILED, "Run `notification-management migrate`"),
    ],
    ids=["exposed", "without a secret", "without a schema"],
)
async def test_what_keeps_it_from_starting_is_said_in_one_sentence(
    place: ServerPlace, tmp_path: Path, settings: dict[str, str], code: int, words: str
) -> None:
    process = Up(tmp_path, {**place.settings, **settings}, command="api")
    try:
        await process.spawn()
        assert await process.ended() == code
        (sentence,) = process.said().splitlines()
        assert sentence.startswith("Error: ")
        assert words in sentence
    finally:
        await process.close()
