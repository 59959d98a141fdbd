"""Sending again: what may be, and what is said where it may not."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from notification_adapters.memory import ManualClock, MemoryStorage, memory_storage
from notification_adapters.memory.state import StoredDelivery
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import (
    DeliveryNotFound,
    EventGone,
    InvalidReplay,
    WebhookDeleted,
    WebhookDisabled,
    WebhookNotFound,
)
from notification_core.ingest.ingest import Ingest
from notification_core.model.delivery import DeliveryState
from notification_core.model.replay import NOT_ARRIVED, Selection
from notification_core.model.webhook import FOREVER, Webhook
from notification_core.replays.replay_runner import Replaying
from notification_core.replays.replays import ReplayDraft, Replays
from tests.support.observers import RecordingObserver
from tests.support.samples import ENVIRONMENT, NOW, a_webhook, an_event, an_id


@attrs.define
class World:
    """Replays on memory stores, which count how often they wake the dispatcher."""

    clock: ManualClock
    ids: IdGenerator
    storage: MemoryStorage
    replays: Replays
    wakes: list[None]
    starts: list[None]

    async def delivery(
        self, webhook: Webhook, state: DeliveryState = DeliveryState.FAILED
    ) -> StoredDelivery:
        """Store a delivery that has come to this."""
        if webhook.webhook_id not in self.storage.state.webhooks:
            await self.storage.webhooks.add(webhook, 100)
        event = an_event(environment_id=webhook.environment_id)
        ingest = Ingest(
            self.storage.deliveries,
            self.clock,
            self.ids,
            RecordingObserver(),
            None,
            self.storage.waking,
        )
        await ingest.publish([event])
        (found,) = (one for one in self.deliveries if one.event_id == event.event_id)
        found.settle(state)
        return found

    @property
    def deliveries(self) -> list[StoredDelivery]:
        return list(self.storage.state.deliveries.values())


@pytest.fixture
def world() -> World:
    clock, wakes, starts = ManualClock(), list[None](), list[None]()
    ids = IdGenerator(clock)
    storage = memory_storage(clock, ids)
    replays = Replays(
        store=storage.replays,
        history=storage.history,
        webhooks=storage.webhooks,
        clock=clock,
        ids=ids,
        wake=lambda: wakes.append(None),
        started=lambda: starts.append(None),
    )
    return World(clock, ids, storage, replays, wakes, starts)


@pytest.mark.parametrize("state", DeliveryState)
async def test_whatever_became_of_a_delivery_its_event_is_sent_once_more(
    world: World, state: DeliveryState
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


# Replays of a range.


SINCE = NOW - timedelta(hours=1)


async def test_a_replay_is_of_all_until_now_that_has_not_arrived_unless_more_is_said(
    world: World,
) -> None:
    webhook = a_webhook()
    await world.delivery(webhook)
    replay = await world.replays.start(ENVIRONMENT, webhook.webhook_id, ReplayDraft(SINCE))
    assert replay.selection == Selection(SINCE, NOW, frozenset(NOT_ARRIVED))
    assert (replay.state, replay.created_at) == ("running", NOW)
    assert await world.replays.get(ENVIRONMENT, webhook.webhook_id, replay.replay_id) == replay
    assert len(world.starts) == 1


async def test_what_is_yet_to_come_is_never_replayed(world: World) -> None:
    webhook = a_webhook()
    await world.delivery(webhook)
    draft = ReplayDraft(SINCE, until=NOW + timedelta(days=1))
    replay = await world.replays.start(ENVIRONMENT, webhook.webhook_id, draft)
    assert replay.selection.until == NOW


@pytest.mark.parametrize(
    "draft",
    [ReplayDraft(NOW), ReplayDraft(SINCE, until=SINCE), ReplayDraft(NOW + 2 * (NOW - SINCE))],
)
async def test_a_time_range_without_any_time_is_refused(world: World, draft: ReplayDraft) -> None:
    webhook = a_webhook()
    await world.delivery(webhook)
    for ask in (world.replays.start, world.replays.count):
        with pytest.raises(InvalidReplay) as refused:
            await ask(ENVIRONMENT, webhook.webhook_id, draft)
        assert [detail.field for detail in refused.value.details] == ["since"]
    assert not world.starts


async def test_no_replay_is_begun_of_a_webhook_that_cannot_be_sent_to(world: World) -> None:
    webhook = a_webhook(disabled_until=FOREVER)
    await world.storage.webhooks.add(webhook, 100)
    with pytest.raises(WebhookDisabled):
        await world.replays.start(ENVIRONMENT, webhook.webhook_id, ReplayDraft(SINCE))
    with pytest.raises(WebhookNotFound):
        await world.replays.start(ENVIRONMENT, an_id(), ReplayDraft(SINCE))
    assert not world.starts


async def test_a_count_begins_nothing(world: World) -> None:
    webhook = a_webhook()
    await world.delivery(webhook)
    await world.clock.advance(1)
    count = await world.replays.count(ENVIRONMENT, webhook.webhook_id, ReplayDraft(SINCE))
    assert (count.count, count.is_exact) == (1, True)
    assert not world.storage.state.replays
    assert not world.starts


async def test_more_replays_than_are_advanced_at_once_all_have_their_turn(world: World) -> None:
    webhooks = [a_webhook() for _ in range(150)]
    for webhook in webhooks:
        await world.storage.webhooks.add(webhook, 1_000)
        await world.replays.start(ENVIRONMENT, webhook.webhook_id, ReplayDraft(SINCE))
    replaying = Replaying(world.storage.replays, RecordingObserver())
    for _ in range(2):
        await replaying.step()
    assert {one.replay.state for one in world.storage.state.replays.values()} == {"completed"}
