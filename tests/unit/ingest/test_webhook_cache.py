"""What ingest remembers of webhooks, and when it reads them again."""

from collections.abc import Collection, Sequence
from uuid import UUID

import pytest
from attrs import define, field

from notification_adapters.memory import ManualClock, memory_storage
from notification_adapters.memory.storage import MemoryStorage
from notification_core.concurrency.ids import IdGenerator
from notification_core.ingest import webhook_cache as directory
from notification_core.ingest.webhook_cache import WebhookCache
from notification_core.model.webhook import Webhook
from notification_core.ports.deliveries import IngestTransaction
from tests.support.samples import a_webhook, an_id


@define
class Reading:
    """A transaction that counts which environments' webhooks were read."""

    transaction: IngestTransaction
    read: list[UUID] = field(factory=list)

    async def webhooks_revision(self) -> int:
        return await self.transaction.webhooks_revision()

    async def erasing(self) -> Collection[UUID]:
        return await self.transaction.erasing()

    async def subscriptions(self, environment_ids: Collection[UUID]) -> Sequence[Webhook]:
        self.read += environment_ids
        return await self.transaction.subscriptions(environment_ids)


@define
class World:
    """A directory, and a storage to look up in."""

    storage: MemoryStorage
    clock: ManualClock
    directory: WebhookCache = field(factory=WebhookCache)
    read: list[UUID] = field(factory=list)

    async def webhook(self, environment_id: UUID) -> Webhook:
        webhook = a_webhook(environment_id=environment_id)
        await self.storage.webhooks.add(webhook, 100)
        return webhook

    async def load(self, *environment_ids: UUID) -> list[Webhook]:
        async with self.storage.deliveries.ingesting() as transaction:
            reading = Reading(transaction)
            known = await self.directory.load(reading, environment_ids)  # type: ignore[arg-type]  # what is looked up takes no more
        self.read = reading.read
        return [*known.webhooks]

    def get_cached(self, *environment_ids: UUID) -> list[Webhook] | None:
        known = self.directory.get_cached(environment_ids)
        return None if known is None else [*known.webhooks]


@pytest.fixture
async def world() -> World:
    """Nothing stored, and nothing remembered."""
    clock = ManualClock()
    return World(memory_storage(clock, IdGenerator(clock)), clock)


async def test_what_was_read_is_remembered_until_something_changes(world: World) -> None:
    mine, theirs = an_id(), an_id()
    first = await world.webhook(mine)
    assert world.get_cached(mine) is None
    assert (await world.load(mine), world.read) == ([first], [mine])
    assert (await world.load(mine), world.read) == ([first], [])
    assert world.get_cached(mine) == [first]
    other = await world.webhook(theirs)
    assert (await world.load(mine), world.read) == ([first], [mine])
    assert (await world.load(theirs, mine), world.read) == ([other, first], [theirs])


async def test_an_environment_without_webhooks_is_remembered_too(world: World) -> None:
    empty = an_id()
    await world.load(empty)
    assert (await world.load(empty), world.read) == ([], [])
    assert world.get_cached(empty) == []


async def test_of_several_all_are_recalled_or_none(world: World) -> None:
    known, unknown = an_id(), an_id()
    webhook = await world.webhook(known)
    await world.load(known)
    assert world.get_cached(known) == [webhook]
    assert world.get_cached(known, unknown) is None


async def test_of_an_environment_that_is_being_erased_nothing_is_recalled(world: World) -> None:
    erased, other = an_id(), an_id()
    await world.storage.erasures.begin(erased, world.clock.now())
    await world.load(erased, other)
    assert world.get_cached(erased) is None
    assert world.get_cached(other) == []


async def test_what_is_remembered_has_a_bound(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "_MOST_REMEMBERED", 10)
    environments = [an_id() for _ in range(20)]
    for each in environments:
        assert await world.load(each) == []
    assert sum(world.get_cached(each) is not None for each in environments) <= 10
    assert await world.load(*environments) == []
