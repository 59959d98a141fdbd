"""Sending again: what may be, and what is said where it may not."""

from typing import Any

import attrs
import pytest

from notification_adapters.memory import ManualClock, MemoryStorage, memory_storage
from notification_adapters.memory.state import StoredDelivery
from notification_core.deliveries import State
from notification_core.errors import (
    DeliveryNotFound,
    EventGone,
    WebhookDeleted,
    WebhookDisabled,
)
from notification_core.ids import IdGenerator
from notification_core.ingest import Ingest
from notification_core.replays import Replays
from notification_core.webhooks import FOREVER, Webhook
from tests.unit.builders import ENVIRONMENT, NOW, Notebook, a_webhook, an_event, an_id


@attrs.define
class World:
    """Replays on memory stores, which count how often they wake the dispatcher."""

    clock: ManualClock
    ids: IdGenerator
    storage: MemoryStorage
    replays: Replays
    wakes: list[None]

    async def delivery(self, webhook: Webhook, state: State = State.FAILED) -> StoredDelivery:
        """Store a delivery that has come to this."""
        if webhook.webhook_id not in self.storage.state.webhooks:
            await self.storage.webhooks.add(webhook, 100)
        event = an_event(environment_id=webhook.environment_id)
        ingest = Ingest(self.storage.deliveries, self.clock, self.ids, Notebook(), None)
        await ingest.publish([event])
        (found,) = (one for one in self.deliveries if one.event_id == event.event_id)
        found.settle(state)
        return found

    @property
    def deliveries(self) -> list[StoredDelivery]:
        return list(self.storage.state.deliveries.values())


@pytest.fixture
def world() -> World:
    clock, wakes = ManualClock(), list[None]()
    ids = IdGenerator(clock)
    storage = memory_storage(clock, ids)
    replays = Replays(
        store=storage.replays,
        history=storage.history,
        webhooks=storage.webhooks,
        clock=clock,
        ids=ids,
        wake=lambda: wakes.append(None),
    )
    return World(clock, ids, storage, replays, wakes)


@pytest.mark.parametrize("state", State)
async def test_whatever_became_of_a_delivery_its_event_is_sent_once_more(
    world: World, state: State
) -> None:
    first = await world.delivery(a_webhook(), state)
    made = await world.replays.retry(ENVIRONMENT, first.delivery_id)
    assert (made.event_id, made.webhook_id) == (first.event_id, first.webhook_id)
    assert (made.state, made.attempt, made.origin) == ("pending", 0, "retry")
    assert await world.storage.history.delivery(ENVIRONMENT, made.delivery_id) == attrs.evolve(
        made, attempts=[]
    )
    assert first.state is state
    assert len(world.wakes) == 1


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"deleted_at": NOW}, WebhookDeleted),
        ({"disabled_until": FOREVER}, WebhookDisabled),
    ],
)
async def test_nothing_is_made_that_could_not_be_sent(
    world: World, changes: dict[str, Any], refused: type[Exception]
) -> None:
    webhook = a_webhook()
    first = await world.delivery(webhook)
    world.storage.state.change(attrs.evolve(webhook, **changes))
    with pytest.raises(refused):
        await world.replays.retry(ENVIRONMENT, first.delivery_id)
    assert world.deliveries == [first]
    assert not world.wakes


async def test_an_event_that_is_gone_and_a_delivery_of_another_environment_are_not_sent(
    world: World,
) -> None:
    first = await world.delivery(a_webhook())
    with pytest.raises(DeliveryNotFound):
        await world.replays.retry(an_id(), first.delivery_id)
    event = world.storage.state.events[first.event_key]
    world.storage.state.events[first.event_key] = attrs.evolve(event, body=None)
    with pytest.raises(EventGone):
        await world.replays.retry(ENVIRONMENT, first.delivery_id)
    assert world.deliveries == [first]
