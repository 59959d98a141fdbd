"""Two who do one thing each to the same delivery, and what must hold whoever comes first."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, cast
from uuid import UUID, uuid4

from attrs import define, evolve, frozen
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.memory import ManualClock, memory_storage
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.database import Database
from notification_adapters.sql.storage import open_stores
from notification_adapters.sql.stores.deliveries import SqlDeliveryStore
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import EventGone
from notification_core.model.circuit_breaker import NO_BREAKER, BreakerPolicy, CircuitBreaker
from notification_core.model.delivery import (
    AttemptOutcome,
    AttemptResult,
    ClaimedDelivery,
    DeliveryState,
    Failed,
    NextStep,
    Retry,
)
from notification_core.model.ordering import FIRST_GROUP
from notification_core.model.read_models import DeliveryView
from notification_core.model.webhook import FOREVER, DisabledReason, Webhook
from notification_core.ports.deliveries import Claimed
from notification_core.ports.retention import EventMark, Swept
from tests.adapters.interleaving import Actor, Gate, GatedDatabase, play
from tests.contracts.harness import DELAY, LEASE, Harness, sql_probe
from tests.support.postgres_server import CIPHER

KEY = "a"
"""The ordering key of a line."""


@frozen
class Scene:
    """A webhook with one delivery, and with the attempt that is being made, before two begin."""

    harness: Harness
    webhook: Webhook
    claimed: ClaimedDelivery | None = None

    @property
    def held(self) -> ClaimedDelivery:
        """The attempt that is being made."""
        assert self.claimed is not None
        return self.claimed

    @property
    def key(self) -> tuple[UUID, UUID]:
        """What the webhook is found by."""
        return self.webhook.environment_id, self.webhook.webhook_id


@frozen
class Finished:
    """A result that was brought, and whether it was taken."""

    result: AttemptResult
    counts: bool


Does = Callable[[SqlStorage, Scene], Awaitable[Any]]


@frozen
class Act:
    """Something that one does, and before which of its steps the other may come.

    If there is one writer at a time, those are its write, and the look before it if it
    ``looks_first``.
    """

    does: Does
    stops: Sequence[str]
    looks_first: bool = False
    transactions: int = 1


def _finish(next_step: NextStep | None = None, breaker: CircuitBreaker = NO_BREAKER) -> Does:
    async def finish(storage: SqlStorage, scene: Scene) -> Finished:
        result = scene.harness.result(scene.held, next_step)
        fenced = await storage.deliveries.finish([result], DELAY, breaker)
        return Finished(result, not fenced)

    return finish


async def _claim(storage: SqlStorage, scene: Scene) -> Claimed:
    return await scene.harness.claim(storage, worker=uuid4())


async def _give_back(storage: SqlStorage, scene: Scene) -> None:
    await storage.deliveries.release([scene.held.fence])


async def _reap(storage: SqlStorage, scene: Scene) -> None:
    await storage.deliveries.reap([scene.held.fence.worker], DELAY)


async def _expire(storage: SqlStorage, _: Scene) -> None:
    await storage.deliveries.reap([], DELAY)


async def _delete(storage: SqlStorage, scene: Scene) -> None:
    await storage.webhooks.delete(*scene.key, scene.harness.clock.now())


async def _disable(storage: SqlStorage, scene: Scene) -> None:
    await storage.webhooks.replace(_disabled(scene.webhook))


async def _enable(storage: SqlStorage, scene: Scene) -> None:
    await storage.webhooks.replace(evolve(scene.webhook, version=scene.webhook.version + 2))


async def _settle(storage: SqlStorage, scene: Scene) -> None:
    await storage.deliveries.cancel_unsendable(100, scene.harness.clock.now() - timedelta(days=1))


async def _forget(storage: SqlStorage, scene: Scene) -> Swept[EventMark]:
    before = scene.harness.clock.now() + timedelta(seconds=1)
    return await storage.retention.sweep_events(before, None, 100)


async def _retry_by_hand(storage: SqlStorage, scene: Scene) -> bool:
    (known,) = await _deliveries(scene)
    try:
        await storage.replays.retry(known, scene.harness.ids())
    except EventGone:
        return False
    return True


async def _publish_to_group(storage: SqlStorage, scene: Scene) -> None:
    event = scene.harness.event(environment_id=scene.webhook.environment_id, ordering_key=KEY)
    async with storage.deliveries.ingesting() as transaction:
        await transaction.add_events([event])
        new = [scene.harness.to(scene.webhook, event)]
        await transaction.add_deliveries(new, None, LEASE)


async def _release_groups(storage: SqlStorage, _: Scene) -> None:
    await storage.deliveries.release_groups(FIRST_GROUP, 1000)


async def _order_and_publish(storage: SqlStorage, scene: Scene) -> None:
    await storage.webhooks.replace(evolve(scene.webhook, version=scene.webhook.version + 2))
    await _publish_to_group(storage, scene)


_BREAKER = CircuitBreaker(BreakerPolicy(failures=1))


async def _disable_failing(storage: SqlStorage, scene: Scene) -> None:
    # Of the two failures of one that is probed, the first came before this, the other one since.
    since = scene.webhook.updated_at + _BREAKER.policy.pause / 2
    await storage.webhooks.disable_failing(*scene.key, since, scene.harness.clock.now())


# The statements that a transaction makes while it has all its locks go by with the one before.
ACTS: Mapping[str, Act] = {
    "claim": Act(_claim, ("look", "lock_due", "commit"), looks_first=True),
    "succeed": Act(_finish(), ("lock_held", "commit")),
    "retry later": Act(_finish(Retry(DELAY)), ("lock_held", "commit")),
    "find it gone": Act(
        _finish(Failed(disables=DisabledReason.GONE)), ("lock_held", "execute", "commit")
    ),
    "fail": Act(_finish(Retry(DELAY), _BREAKER), ("lock_held", "execute", "commit")),
    "heal": Act(_finish(None, _BREAKER), ("lock_held", "execute", "execute", "commit")),
    "disable failing": Act(
        _disable_failing, ("look", "execute", "execute", "commit"), looks_first=True
    ),
    "give back": Act(_give_back, ("lock_held", "commit")),
    "reap": Act(_reap, ("lock_overdue", "commit"), looks_first=True),
    "expire": Act(_expire, ("lock_overdue", "commit"), looks_first=True),
    "delete": Act(_delete, ("cancel_claimed", "execute", "execute", "commit")),
    "disable": Act(_disable, ("execute", "commit")),
    "enable": Act(_enable, ("execute", "commit")),
    "settle": Act(_settle, ("lock_unsendable", "commit"), looks_first=True),
    "forget": Act(_forget, ("look", "execute", "execute", "commit"), looks_first=True),
    "retry by hand": Act(_retry_by_hand, ("execute", "commit")),
    "succeed in a group": Act(_finish(), ("lock_groups", "lock_held", "first_in_groups", "commit")),
    "publish to a group": Act(_publish_to_group, ("lock_groups", "first_in_groups", "commit")),
    "order again": Act(_order_and_publish, ("execute", "lock_groups", "commit"), transactions=2),
    "release groups": Act(
        _release_groups, ("look", "lock_groups", "commit"), looks_first=True, transactions=2
    ),
}

_OF_ONE_THAT_IS_CLAIMED = (
    ("succeed", "succeed"),
    ("succeed", "reap"),
    ("succeed", "expire"),
    ("succeed", "give back"),
    ("succeed", "delete"),
    ("succeed", "disable"),
    ("succeed", "forget"),
    ("retry later", "delete"),
    ("retry later", "reap"),
    ("find it gone", "delete"),
    ("fail", "delete"),
    ("give back", "delete"),
    ("give back", "reap"),
    ("reap", "delete"),
    ("reap", "reap"),
    ("expire", "reap"),
)
_OF_ONE_THAT_IS_PROBED = (("heal", "delete"), ("heal", "disable failing"))
_OF_ONE_THAT_WAITS = (("claim", "claim"), ("claim", "delete"), ("claim", "disable"))
_OF_ONE_THAT_MAY_NOT_BE_SENT = (("claim", "enable"), ("settle", "enable"), ("settle", "settle"))
_OF_ONE_THAT_HAS_ARRIVED = (("retry by hand", "forget"),)
_OF_THE_FIRST_IN_A_GROUP = (
    ("succeed in a group", "publish to a group"),
    ("publish to a group", "publish to a group"),
    ("succeed in a group", "release groups"),
    ("publish to a group", "release groups"),
    ("succeed in a group", "delete"),
    ("publish to a group", "delete"),
    ("succeed in a group", "reap"),
    ("succeed in a group", "disable"),
)
_OF_ONE_THAT_IS_NOT_ORDERED_ANY_MORE = (("release groups", "order again"),)


PAIRS = [
    *(("claimed", *pair) for pair in _OF_ONE_THAT_IS_CLAIMED),
    *(("probed", *pair) for pair in _OF_ONE_THAT_IS_PROBED),
    *(("waiting", *pair) for pair in _OF_ONE_THAT_WAITS),
    *(("disabled", *pair) for pair in _OF_ONE_THAT_MAY_NOT_BE_SENT),
    *(("arrived", *pair) for pair in _OF_ONE_THAT_HAS_ARRIVED),
    *(("in a group", *pair) for pair in _OF_THE_FIRST_IN_A_GROUP),
    *(("not ordered", *pair) for pair in _OF_ONE_THAT_IS_NOT_ORDERED_ANY_MORE),
]


@define
class Stage:
    """One who looks on through a storage, and two who work on databases of their own."""

    clock: ManualClock
    ids: IdGenerator
    storage: SqlStorage
    databases: Sequence[Database]

    async def scene(self, begins: str) -> Scene:
        """Make a webhook with a delivery that stands so."""
        await _forget_all(self.storage, self.clock)
        harness = Harness(
            storage=self.storage,
            rival=self.storage,
            clock=self.clock,
            ids=self.ids,
            probe=sql_probe(self.storage),
            environment_id=uuid4(),
            other_environment_id=uuid4(),
            worker=uuid4(),
            other_worker=uuid4(),
        )
        webhook = await harness.webhook(ordered=begins in {"in a group", "not ordered"})
        if webhook.ordered:
            await harness.publish(webhook, 2, key=KEY)
            (first,) = (await harness.claim()).deliveries
            if begins == "not ordered":
                await harness.change(webhook, ordered=False)
            return Scene(harness, webhook, first)
        if begins in {"waiting", "disabled"}:
            await harness.publish(webhook)
            if begins == "disabled":
                await self.storage.webhooks.replace(_disabled(webhook))
            return Scene(harness, webhook)
        claimed = await harness.hand_over(webhook)
        if begins == "probed":
            for factor in (1, 2):
                failed = harness.result(claimed, Retry(DELAY))
                await self.storage.deliveries.finish([failed], DELAY, _BREAKER)
                self.clock.jump(factor * _BREAKER.policy.pause)
                (claimed,) = (await harness.claim()).deliveries
        if begins == "arrived":
            await harness.finish(claimed)
        self.clock.jump(LEASE + DELAY)
        return Scene(harness, webhook, claimed)

    async def in_this_order(
        self,
        begins: str,
        names: Sequence[str],
        stops: Sequence[Sequence[str]],
        order: Sequence[int],
    ) -> None:
        """Have two do what they are named for, stopping there, and check what it came to."""
        scene = await self.scene(begins)
        async with AsyncExitStack() as stack:
            actors = [
                await stack.enter_async_context(self._actor(at, ACTS[name].does, stops[at], scene))
                for at, name in enumerate(names)
            ]
            await play(actors, order)
        told = [actor.told() for actor in actors]
        began = zip(names, actors, strict=True)
        lost = [name for name, actor in began if actor.begun() > ACTS[name].transactions]
        assert not lost, f"One of {names} waited for the other, and was lost: {lost}."
        await _check_what_is_kept(scene, told)
        if begins == "in a group":
            await _check_the_line(scene)
        if "order again" in names:
            last = max(await _deliveries(scene), key=lambda one: one.delivery_id)
            assert last.held, "It was published in order, and overtakes."
        sent = await _drain(scene)
        assert not sent or not {"delete", "disable"} & {*names}, "It was sent after all."
        await _check_the_end(scene, told)
        if "delete" in names:
            await _check_nothing_is_left_of_its_health(scene)

    async def waits(self, session: int) -> bool:  # noqa: ARG002 - whom it is asked of
        """Tell whether a session waits for a lock: by default none does."""
        await asyncio.sleep(0)
        return False

    def session_of(self, connection: AsyncConnection) -> int:
        """Return what a connection is called."""
        return id(connection)

    @asynccontextmanager
    async def _actor(
        self, at: int, does: Does, stops: Sequence[str], scene: Scene
    ) -> AsyncGenerator[Actor]:
        gate, memory = Gate(frozenset(stops)), memory_storage(self.clock)
        gated = GatedDatabase(self.databases[at], gate, self.session_of)
        database = cast("Database", gated)
        lock, notifier = memory.worker_lock, memory.notifier
        store = partial(SqlDeliveryStore, database)
        stores = open_stores(database, CIPHER, self.ids, lock, notifier, None, None, store)
        async with stores as storage:
            doing = does(storage, scene)
            yield Actor(doing, gate, lambda: self.waits(gated.session), lambda: gated.begun)


async def _check_what_is_kept(scene: Scene, told: Sequence[Any]) -> None:
    """Check that nobody got what another one got, and that the log has what was taken."""
    taken = [one.fence for each in told if isinstance(each, Claimed) for one in each.deliveries]
    assert len({fence.delivery_id for fence in taken}) == len(taken)
    log = await scene.harness.log(scene.webhook)
    for each in told:
        if isinstance(each, Finished):
            assert (each.result.attempt.log_id in {one.log_id for one in log}) is each.counts
    for delivery in await _deliveries(scene):
        numbers = sorted(one.number for one in log if one.delivery_id == delivery.delivery_id)
        stored = await scene.harness.probe(delivery.delivery_id)
        assert numbers == [*range(1, stored.attempt + 1 - (stored.worker is not None))]


async def _check_the_line(scene: Scene) -> None:
    """Check that at most one may be sent, that it is the first, and that none is overtaken."""
    line = [one for one in await _deliveries(scene) if one.state is DeliveryState.PENDING]
    in_order = sorted(line, key=lambda one: one.delivery_id)
    assert [one.held for one in in_order[1:]] == [True] * len(in_order[1:])


async def _drain(scene: Scene) -> int:
    """Let all who have something die, and deliver what is to be; return how much that was."""
    store, sent = scene.harness.storage.deliveries, 0
    owners = await _owners(scene)
    await store.reap(owners, DELAY)
    scene.harness.clock.jump(DELAY * 2)
    while True:
        await store.cancel_unsendable(100, scene.harness.clock.now() - timedelta(days=1))
        await store.release_groups(FIRST_GROUP, 1000)
        claimed = await scene.harness.claim()
        if not claimed.deliveries:
            return sent
        for delivery in claimed.deliveries:
            await scene.harness.finish(delivery)
            sent += 1


async def _check_nothing_is_left_of_its_health(scene: Scene) -> None:
    later = scene.harness.clock.now() + timedelta(days=1)
    assert scene.key not in await scene.harness.storage.webhook_health.paused_before(later)


async def _check_the_end(scene: Scene, told: Sequence[Any]) -> None:
    """Check that each delivery has come to an end, and arrived no more often than it may."""
    log = await scene.harness.log(scene.webhook)
    found = await _deliveries(scene)
    # Who was told that it is redelivered finds it, and nobody loses what was not let go of.
    assert found or (True not in told and any(isinstance(each, Swept) for each in told))
    for delivery in found:
        assert delivery.state is not DeliveryState.PENDING
        of_it = [one.outcome for one in log if one.delivery_id == delivery.delivery_id]
        assert of_it.count(AttemptOutcome.SUCCEEDED) <= 1
        await scene.harness.storage.history.event(delivery.environment_id, delivery.event_id)


async def _deliveries(scene: Scene) -> Sequence[DeliveryView]:
    key = scene.webhook.environment_id, scene.webhook.webhook_id
    return (await scene.harness.storage.history.of_webhook(*key, limit=10)).rows


async def _owners(scene: Scene) -> Collection[UUID]:
    stored = [await scene.harness.probe(one.delivery_id) for one in await _deliveries(scene)]
    return {one.worker for one in stored if one.worker is not None}


async def _forget_all(storage: SqlStorage, clock: ManualClock) -> None:
    """Let go of the scenes before, so that a sweep finds this one's event first."""
    clock.jump(timedelta(seconds=1))
    while (await storage.retention.sweep_events(clock.now(), None, 1000)).after is not None:
        pass


def _disabled(webhook: Webhook) -> Webhook:
    return evolve(
        webhook,
        version=webhook.version + 1,
        disabled_until=FOREVER,
        disabled_reason=DisabledReason.GONE,
    )
