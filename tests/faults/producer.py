"""A producer that publishes throughout a run, and keeps account of what was acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import count
from random import Random

import aiohttp
from attrs import define, field

from tests.faults.history import Published
from tests.faults.stage import TYPE, Api, event_named

_BATCH = 5
_CONNECTIONS = 4
_PAUSE = 0.1
_PAUSE_AFTER_ERROR = 0.05
_IMPATIENT = 0.2


@define
class Producer:
    """Publishes small batches over some connections, each again under its ids until it is in.

    Now and then it gives up after the first try: whether these were stored is unknown.
    """

    api: Api
    random: Random
    outcomes: dict[str, bool] = field(factory=dict)
    is_idle: bool = False
    _numbers: "count[int]" = field(factory=count)
    _stopping: bool = False
    _giving_up: bool = False

    async def run(self) -> None:
        """Publish until told to stop; then no batch is left without a response to its last try."""
        await asyncio.gather(*(self._publish_on() for _ in range(_CONNECTIONS)))
        self.is_idle = True

    def stop(self) -> None:
        """Have no more batches begun."""
        self._stopping = True

    def give_up(self) -> None:
        """Have nothing retried: the server is not coming back."""
        self._stopping = self._giving_up = True

    def published(self) -> Sequence[Published]:
        """Return the account: what was acknowledged, and what may or may not be in."""
        return [
            Published(event_id, self.api.environment, TYPE, acknowledged)
            for event_id, acknowledged in self.outcomes.items()
        ]

    async def _publish_on(self) -> None:
        while not self._stopping:
            event_ids = [f"event-{next(self._numbers):05}" for _ in range(_BATCH)]
            self.outcomes |= dict.fromkeys(event_ids, False)
            gives_up = self.random.random() < _IMPATIENT
            while not await self._is_acknowledged(event_ids):
                if gives_up or self._giving_up:
                    break
                await asyncio.sleep(_PAUSE_AFTER_ERROR)
            await asyncio.sleep(_PAUSE)

    async def _is_acknowledged(self, event_ids: Sequence[str]) -> bool:
        try:
            status = await self.api.try_to_publish([event_named(one) for one in event_ids])
        except (aiohttp.ClientError, TimeoutError):
            return False
        assert status in {HTTPStatus.ACCEPTED, HTTPStatus.SERVICE_UNAVAILABLE}
        if status == HTTPStatus.ACCEPTED:
            self.outcomes |= dict.fromkeys(event_ids, True)
        return status == HTTPStatus.ACCEPTED


@asynccontextmanager
async def producing(api: Api, random: Random, first: int = 0) -> AsyncIterator[Producer]:
    """Publish for the length of the block, or until told to stop; from event ``first`` on."""
    producer = Producer(api, random, numbers=count(first))
    task = asyncio.create_task(producer.run())
    try:
        yield producer
        producer.stop()
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
