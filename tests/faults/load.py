"""A run under load: receivers of several manners, and the account of it for the checker."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from random import Random

from attrs import define

from tests.faults.accounts import Accounts, Manner
from tests.faults.history import Allowed, History, Published, Stored
from tests.faults.place import Place
from tests.faults.producer import Producer, producing
from tests.faults.stage import TYPE, Api, Up
from tests.support.waiting import until

_DELIVERED_WITHIN = 60.0
_PUBLISHED_WITHIN = 60.0
_BETWEEN_LOOKS = 0.1
_ROWS = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM attempts)"


def manners(random: Random, slowest: float) -> Sequence[Manner]:
    """Return how the receivers answer: at once, after some time, and every eighth with a 500."""
    return [
        lambda: (0, 200),
        lambda: (random.uniform(slowest / 3, slowest), 204),
        lambda: (random.uniform(0, slowest), 500 if random.random() < 1 / 8 else 200),
    ]


@define
class Load:
    """What goes on in a run: who publishes, and who receives."""

    producer: Producer
    accounts: Accounts
    _rows: int = -1
    _stored: Stored | None = None

    async def has_published(self, more: int) -> None:
        """Return once so many more events are acknowledged."""
        wanted = self._acknowledged + more

        async def holds() -> bool:
            return self._acknowledged >= wanted

        await until(f"{more} more are published", holds, _PUBLISHED_WITHIN)

    @property
    def _acknowledged(self) -> int:
        return sum(self.producer.outcomes.values())

    async def ended(self, place: Place) -> None:
        """Publish no more, and return once all that is in storage has come to its end."""
        self.producer.stop()
        await until("all is delivered", lambda: self._is_delivered(place), _DELIVERED_WITHIN)
        self._stored = await place.stored()

    async def _is_delivered(self, place: Place) -> bool:
        """Look twice: what a client has given up on, a server may still be about to store."""
        if not (self.producer.is_idle and await place.is_done()):
            return False
        # Counted: to read all of half an hour takes longer than is waited here.
        before, self._rows = self._rows, await place.count(_ROWS)
        await asyncio.sleep(_BETWEEN_LOOKS)
        return before == self._rows

    def history(self, key: str, allowed: Allowed) -> History:
        """Return all that is known of the run that has ended; the key is the environment's."""
        assert self._stored
        return History(self.producer.published(), self.accounts.seen(key), self._stored, allowed)


@asynccontextmanager
async def under_load(api: Api, random: Random, slowest: float) -> AsyncIterator[Load]:
    """Publish to receivers of all manners for the length of the block, or until it is ended."""
    accounts = Accounts()
    async with AsyncExitStack() as stack:
        for manner in manners(random, slowest):
            receiver = await stack.enter_async_context(accounts.receiver(manner))
            await api.subscribe(receiver.url)
        producer = await stack.enter_async_context(producing(api, random))
        yield Load(producer, accounts)


def all_published(api: Api, event_ids: Sequence[str]) -> Sequence[Published]:
    """Return the account of events that were all acknowledged."""
    return accounted(api, dict.fromkeys(event_ids, True))


def accounted(api: Api, outcomes: Mapping[str, bool]) -> Sequence[Published]:
    """Return the account of events that were acknowledged, or not."""
    return [Published(one, api.environment, TYPE, known) for one, known in outcomes.items()]


def kills_of(*processes: Up) -> Sequence[datetime]:
    """Return when any of these was killed."""
    return sorted(kill for each in processes for kill in each.kills)
