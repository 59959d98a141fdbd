"""Whatever happens in whatever order, every storage does as the one in memory does.

And whatever happens, attempt numbers have no gaps and no delivery has two live attempts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

import hypothesis.strategies as st
from attrs import evolve, frozen
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from notification_adapters.memory import ManualClock, memory_storage
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.postgres import open_postgres
from notification_adapters.sql.sqlite import migrate_sqlite, open_sqlite
from notification_core.deliveries import (
    Attempt,
    BegunDelivery,
    Failed,
    Fence,
    Outcome,
    Retry,
    Succeeded,
)
from notification_core.errors import WebhookNotFound
from notification_core.ids import IdGenerator
from notification_core.ports.deliveries import Claim, Claimed
from notification_core.webhooks import FOREVER, DisabledReason, Webhook
from tests.contracts.world import (
    DELAY,
    LEASE,
    Probe,
    Storage,
    Stored,
    World,
    memory_probe,
    sql_probe,
    standing_still,
)
from tests.postgres_server import CIPHER, PostgresServer

T = TypeVar("T")

WORKERS = [UUID(int=1), UUID(int=2)]
WEBHOOKS = st.integers(0, 2)
BOUNDS = st.fixed_dictionaries(
    {
        "worker": st.sampled_from(WORKERS),
        "limit": st.integers(1, 6),
        "limit_bytes": st.sampled_from([1, 400, 10_000]),
        "room": st.integers(0, 3),
        "max_webhooks": st.integers(1, 3),
    }
)
VERDICTS = st.sampled_from(
    [
        (Succeeded(), Outcome.SUCCEEDED),
        (Retry(timedelta(seconds=3)), Outcome.FAILED),
        (Retry(timedelta(seconds=3)), Outcome.INTERRUPTED),
        (Failed(), Outcome.FAILED),
        (Failed(disables=DisabledReason.GONE), Outcome.FAILED),
    ]
)


@frozen
class Kept:
    """All that a storage keeps, as far as anybody can see it."""

    deliveries: Mapping[UUID, Stored]
    leased: Mapping[UUID, frozenset[Fence]]
    log: frozenset[Attempt]
    changes: int


Opening = Callable[
    [AsyncExitStack, ManualClock, IdGenerator], Awaitable[AbstractAsyncContextManager[SqlStorage]]
]


class DeliveryMachine(RuleBasedStateMachine):
    """Drives two storages alike, and compares what they say and what they keep."""

    def __init__(self, opening: Opening) -> None:
        super().__init__()
        self._opening = opening
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._clock = ManualClock()
        self._ids = IdGenerator(self._clock)
        self._webhooks: list[Webhook] = []
        self._deliveries: list[UUID] = []
        self._begun: list[BegunDelivery] = []
        self._worlds = self._runner.run(self._open())

    async def _open(self) -> list[World]:
        memory = memory_storage(self._clock, self._ids)
        opening = await self._opening(self._stack, self._clock, self._ids)
        other = await self._stack.enter_async_context(opening)
        return [
            self._world(memory, memory_probe(memory)),
            self._world(other, sql_probe(other)),
        ]

    def _world(self, storage: Storage, probe: Probe) -> World:
        return World(
            storage=storage,
            rival=storage,
            clock=self._clock,
            ids=self._ids,
            probe=probe,
            environment_id=UUID(int=9),
            other_environment_id=UUID(int=8),
            worker=WORKERS[0],
            other_worker=WORKERS[1],
        )

    def teardown(self) -> None:
        """Compare what the storages keep in the end, and close them."""
        try:
            self._check()
        finally:
            self._runner.run(self._stack.aclose())
            self._runner.close()

    def _both(self, step: Callable[[World], Awaitable[T]]) -> T:
        """Do the same to both; they must say the same."""

        async def run() -> list[T]:
            return [await step(world) for world in self._worlds]

        expected, told = self._runner.run(run())
        assert told == expected
        return told

    @initialize()
    def three_webhooks(self) -> None:
        for _ in range(3):
            made = self._runner.run(self._worlds[0].webhook())
            self._runner.run(self._worlds[1].storage.webhooks.add(made, most=9))
            self._webhooks.append(made)

    @rule(webhook=WEBHOOKS, count=st.integers(1, 4), begun=st.booleans())
    def publish(self, webhook: int, count: int, begun: bool) -> None:  # noqa: FBT001 - drawn
        event = self._worlds[0].event()
        to = [self._worlds[0].to(self._webhooks[webhook], event, begun=begun) for _ in range(count)]
        self._both(lambda world: world.ingest([event], to, WORKERS[0]))
        self._deliveries += [one.delivery_id for one in to]
        if begun:
            self._begun += [
                BegunDelivery(
                    Fence(one.delivery_id, one.environment_id, 1, WORKERS[0]),
                    webhook_id=one.webhook_id,
                    event_id=one.event_id,
                    event_type=event.event.type,
                    failures=0,
                    body=event.body or b"",
                )
                for one in to
            ]
        self._clock.jump(timedelta(microseconds=1))

    @rule(bounds=BOUNDS, full=st.none() | WEBHOOKS)
    def claim(self, bounds: Mapping[str, Any], full: int | None) -> None:
        rooms = {} if full is None else {self._webhooks[full].webhook_id: 0}
        claim = Claim(lease=LEASE, rooms=rooms, **bounds)
        self._begun += self._both(lambda world: _acquired(world, claim)).deliveries

    @rule(data=st.data(), how=VERDICTS, version=st.integers(1, 2))
    def finish(
        self, data: st.DataObject, how: tuple[Succeeded | Retry | Failed, Outcome], version: int
    ) -> None:
        results = [
            self._worlds[0].result(begun, how[0], how[1], version) for begun in self._some(data)
        ]
        self._both(lambda world: world.storage.deliveries.finish(results, DELAY))

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        fences = [begun.fence for begun in self._some(data)]
        self._both(lambda world: world.storage.deliveries.give_back(fences))

    @rule(dead=st.lists(st.sampled_from(WORKERS), unique=True))
    def reap(self, dead: list[UUID]) -> None:
        self._both(lambda world: world.storage.deliveries.reap(dead, DELAY))

    @rule(age=st.integers(0, 60))
    def settle(self, age: int) -> None:
        before = self._clock.now() - timedelta(seconds=age)
        self._both(lambda world: world.storage.deliveries.settle(1000, before))

    @rule(seconds=st.sampled_from([0.5, 1, 3, 31]))
    def wait(self, seconds: float) -> None:
        self._runner.run(self._clock.advance(seconds))

    @rule(webhook=WEBHOOKS)
    def delete(self, webhook: int) -> None:
        self._both(lambda world: _delete(world, self._webhooks[webhook]))

    @rule(webhook=WEBHOOKS, pause=st.sampled_from(["ended", "paused", "for good"]))
    def change(self, webhook: int, pause: str) -> None:
        until = {"ended": None, "paused": self._clock.now() + LEASE, "for good": FOREVER}[pause]
        self._both(lambda world: _change(world, self._webhooks[webhook], until))

    def _check(self) -> None:
        kept = self._both(self._kept)
        for delivery_id, stored in kept.deliveries.items():
            ended = stored.attempt - (stored.worker is not None)
            numbers = sorted(one.number for one in kept.log if one.delivery_id == delivery_id)
            assert numbers == [*range(1, ended + 1)]

    async def _kept(self, world: World) -> Kept:
        store = world.storage.deliveries
        attempts = [each for one in self._webhooks for each in await world.log(one)]
        return Kept(
            deliveries={one: await world.probe(one) for one in self._deliveries},
            leased={one: frozenset(await store.leased(one)) for one in WORKERS},
            # Whoever writes an interrupted attempt draws its id and words it.
            log=frozenset(evolve(one, log_id=UUID(int=0), error=None) for one in attempts),
            changes=await world.storage.webhooks.changes(),
        )

    def _some(self, data: st.DataObject) -> list[BegunDelivery]:
        """Draw some of all that was ever begun, what others took over too."""
        if not self._begun:
            return []
        return data.draw(st.lists(st.sampled_from(self._begun), max_size=4, unique_by=_fence_of))


def _fence_of(begun: BegunDelivery) -> Fence:
    return begun.fence


async def _acquired(world: World, claim: Claim) -> Claimed:
    """Claim, and forget when to claim again: of what it did not look at a storage knows less."""
    return evolve(await world.storage.deliveries.acquire(claim), next_due=None)


async def _delete(world: World, webhook: Webhook) -> int | None:
    key = webhook.environment_id, webhook.webhook_id
    try:
        return await world.storage.webhooks.delete(*key, world.clock.now())
    except WebhookNotFound:
        return None


async def _change(world: World, webhook: Webhook, until: datetime | None) -> int | None:
    """Pause a webhook, end its pause, or disable it as the system does."""
    store = world.storage.webhooks
    try:
        stored = await store.get(webhook.environment_id, webhook.webhook_id)
    except WebhookNotFound:
        return None
    reason = DisabledReason.GONE if until == FOREVER else None
    version = stored.version + 1
    return await store.replace(
        evolve(stored, disabled_until=until, disabled_reason=reason, version=version)
    )


def test_sqlite_does_as_memory_does(tmp_path: Path) -> None:
    template = tmp_path / "template.sqlite"
    asyncio.run(migrate_sqlite(template, CIPHER))
    numbers = count()

    async def opening(
        _: AsyncExitStack, clock: ManualClock, ids: IdGenerator
    ) -> AbstractAsyncContextManager[SqlStorage]:
        path = tmp_path / f"{next(numbers)}.sqlite"
        path.write_bytes(template.read_bytes())
        return open_sqlite(path, CIPHER, clock, ids)

    _run(opening, settings(stateful_step_count=30))


def test_postgres_does_as_memory_does(postgres: PostgresServer) -> None:
    async def opening(
        stack: AsyncExitStack, clock: ManualClock, ids: IdGenerator
    ) -> AbstractAsyncContextManager[SqlStorage]:
        database = await stack.enter_async_context(postgres.database())
        return open_postgres(postgres.server(database), CIPHER, clock, ids, standing_still(clock))

    # Each run takes half a second here.
    _run(opening, settings(stateful_step_count=30, max_examples=50))


def _run(opening: Opening, bounds: settings) -> None:
    """Drive the machine; migrating takes longer than one of its runs, so each gets a copy."""
    machine = cast("type[DeliveryMachine]", partial(DeliveryMachine, opening))
    run_state_machine_as_test(machine, settings=bounds)
