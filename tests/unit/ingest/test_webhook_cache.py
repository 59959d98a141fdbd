"""What ingest remembers of webhooks, and when it reads them again."""

from collections.abc import Collection, Sequence
from uuid import UUID

import pytest
from attrs import define, field

from notification_core.ingest import webhook_cache
from notification_core.ingest.webhook_cache import CachedWebhooks, WebhookCache
from notification_core.model.webhook import Webhook
from notification_core.ports.deliveries import IngestTransaction
from tests.support.assembly import MemoryApp
from tests.support.samples import an_id


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
class Reader:
    """A cache, and the storage that it reads."""

    app: MemoryApp
    cache: WebhookCache = field(factory=WebhookCache)
    read: list[UUID] = field(factory=list)

    async def webhook(self, environment_id: UUID) -> Webhook:
        return await self.app.add_webhook(environment_id=environment_id)

    async def load(self, *environment_ids: UUID) -> list[Webhook]:
        async with self.app.storage.deliveries.ingesting() as transaction:
            reading = Reading(transaction)
            known = await self.cache.load(reading, environment_ids)  # type: ignore[arg-type]  # what is looked up takes no more
        self.read = reading.read
        return _listed(known)

    def get_cached(self, *environment_ids: UUID) -> list[Webhook] | None:
        known = self.cache.get_cached(environment_ids)
        return None if known is None else _listed(known)


def _listed(cached: CachedWebhooks) -> list[Webhook]:
    by_type = [webhooks for of_it in cached.webhooks.values() for webhooks in of_it.values()]
    return [*{each.webhook_id: each for webhooks in by_type for each in webhooks}.values()]


@pytest.fixture
def reader(app: MemoryApp) -> Reader:
    """Nothing stored, and nothing remembered."""
    return Reader(app)


async def test_what_was_read_is_remembered_until_something_changes(reader: Reader) -> None:
    mine, theirs = an_id(), an_id()
    first = await reader.webhook(mine)
    assert reader.get_cached(mine) is None
    assert (await reader.load(mine), reader.read) == ([first], [mine])
    assert (await reader.load(mine), reader.read) == ([first], [])
    assert reader.get_cached(mine) == [first]
    other = await reader.webhook(theirs)
    assert (await reader.load(mine), reader.read) == ([first], [mine])
    both = await reader.load(theirs, mine)
    assert (sorted(each.webhook_id for each in both), reader.read) == (
        sorted([first.webhook_id, other.webhook_id]),
        [theirs],
    )


async def test_an_environment_without_webhooks_is_remembered_too(reader: Reader) -> None:
    empty = an_id()
    await reader.load(empty)
    assert (await reader.load(empty), reader.read) == ([], [])
    assert reader.get_cached(empty) == []


async def test_of_several_all_are_recalled_or_none(reader: Reader) -> None:
    known, unknown = an_id(), an_id()
    webhook = await reader.webhook(known)
    await reader.load(known)
    assert reader.get_cached(known) == [webhook]
    assert reader.get_cached(known, unknown) is None


async def test_of_an_environment_that_is_being_erased_nothing_is_recalled(reader: Reader) -> None:
    erased, other = an_id(), an_id()
    await reader.app.storage.erasures.begin(erased, reader.app.clock.now())
    await reader.load(erased, other)
    assert reader.get_cached(erased) is None
    assert reader.get_cached(other) == []


async def test_what_is_remembered_has_a_bound(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_cache, "_MOST_REMEMBERED", 10)
    environments = [an_id() for _ in range(20)]
    for each in environments:
        assert await reader.load(each) == []
    assert sum(reader.get_cached(each) is not None for each in environments) <= 10
    assert await reader.load(*environments) == []
