"""Sending again: what may be, and what is said where it may not."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from notification_adapters.memory.state import StoredDelivery
from notification_core.errors import (
    DeliveryNotFound,
    EventGone,
    InvalidReplay,
    WebhookDeleted,
    WebhookDisabled,
    WebhookNotFound,
)
from notification_core.model.delivery import DeliveryState
from notification_core.model.replay import NOT_ARRIVED, Selection
from notification_core.model.webhook import FOREVER, Webhook
from notification_core.replays.replays import ReplayDraft
from tests.support.assembly import MemoryApp
from tests.support.samples import ENVIRONMENT, NOW, a_webhook, an_id


async def failed_delivery(
    app: MemoryApp, webhook: Webhook, state: DeliveryState = DeliveryState.FAILED
) -> StoredDelivery:
    """Store a delivery that has failed, or come to another state."""
    delivery = await app.add_delivery(webhook)
    delivery.cancel_unsendable(state)
    return delivery


@pytest.mark.parametrize("state", DeliveryState)
async def test_whatever_the_state_of_a_delivery_its_event_is_sent_once_more(
    app: MemoryApp, state: DeliveryState
) -> None:
    first = await failed_delivery(app, a_webhook(), state)
    made = await app.replays.retry(ENVIRONMENT, first.delivery_id)
    assert (made.event_id, made.webhook_id) == (first.event_id, first.webhook_id)
    assert (made.state, made.attempt, made.origin) == ("pending", 0, "retry")
    assert await app.storage.history.delivery(ENVIRONMENT, made.delivery_id) == attrs.evolve(
        made, attempts=[]
    )
    assert first.state is state
    assert app.wakes == 1


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"deleted_at": NOW}, WebhookDeleted),
        ({"disabled_until": FOREVER}, WebhookDisabled),
    ],
)
async def test_nothing_is_made_that_could_not_be_sent(
    app: MemoryApp, changes: dict[str, Any], refused: type[Exception]
) -> None:
    webhook = a_webhook()
    first = await failed_delivery(app, webhook)
    app.storage.state.change(attrs.evolve(webhook, **changes))
    with pytest.raises(refused):
        await app.replays.retry(ENVIRONMENT, first.delivery_id)
    assert app.stored_deliveries() == [first]
    assert not app.wakes


async def test_an_event_that_is_gone_and_a_delivery_of_another_environment_are_not_sent(
    app: MemoryApp,
) -> None:
    first = await failed_delivery(app, a_webhook())
    with pytest.raises(DeliveryNotFound):
        await app.replays.retry(an_id(), first.delivery_id)
    event = app.storage.state.events[first.event_key]
    app.storage.state.events[first.event_key] = attrs.evolve(event, body=None)
    with pytest.raises(EventGone):
        await app.replays.retry(ENVIRONMENT, first.delivery_id)
    assert app.stored_deliveries() == [first]


# Replays of a range.


SINCE = NOW - timedelta(hours=1)


async def test_a_replay_is_of_all_until_now_that_has_not_arrived_unless_more_is_said(
    app: MemoryApp,
) -> None:
    webhook = a_webhook()
    await failed_delivery(app, webhook)
    replay = await app.replays.start(ENVIRONMENT, webhook.webhook_id, ReplayDraft(SINCE))
    assert replay.selection == Selection(
        SINCE, NOW, frozenset(NOT_ARRIVED), includes_filtered=False
    )
    assert (replay.state, replay.created_at) == ("running", NOW)
    assert await app.replays.get(ENVIRONMENT, webhook.webhook_id, replay.replay_id) == replay
    assert app.replay_starts == 1


async def test_what_is_yet_to_come_is_never_replayed(app: MemoryApp) -> None:
    webhook = a_webhook()
    await failed_delivery(app, webhook)
    draft = ReplayDraft(SINCE, until=NOW + timedelta(days=1))
    replay = await app.replays.start(ENVIRONMENT, webhook.webhook_id, draft)
    assert replay.selection.until == NOW


@pytest.mark.parametrize(
    "draft",
    [ReplayDraft(NOW), ReplayDraft(SINCE, until=SINCE), ReplayDraft(NOW + 2 * (NOW - SINCE))],
)
async def test_a_time_range_without_any_time_is_refused(app: MemoryApp, draft: ReplayDraft) -> None:
    webhook = a_webhook()
    await failed_delivery(app, webhook)
    for ask in (app.replays.start, app.replays.count):
        with pytest.raises(InvalidReplay) as refused:
            await ask(ENVIRONMENT, webhook.webhook_id, draft)
        assert [detail.field for detail in refused.value.details] == ["since"]
    assert not app.replay_starts


async def test_no_replay_is_begun_of_a_webhook_that_cannot_be_sent_to(app: MemoryApp) -> None:
    webhook = await app.add_webhook(disabled_until=FOREVER)
    with pytest.raises(WebhookDisabled):
        await app.replays.start(ENVIRONMENT, webhook.webhook_id, ReplayDraft(SINCE))
    with pytest.raises(WebhookNotFound):
        await app.replays.start(ENVIRONMENT, an_id(), ReplayDraft(SINCE))
    assert not app.replay_starts


async def test_a_count_begins_nothing(app: MemoryApp) -> None:
    webhook = a_webhook()
    await failed_delivery(app, webhook)
    await app.clock.advance(1)
    count = await app.replays.count(ENVIRONMENT, webhook.webhook_id, ReplayDraft(SINCE))
    assert (count.count, count.is_exact) == (1, True)
    assert not app.storage.state.replays
    assert not app.replay_starts


async def test_more_replays_than_are_advanced_at_once_all_have_their_turn(app: MemoryApp) -> None:
    webhooks = [a_webhook() for _ in range(150)]
    for webhook in webhooks:
        await app.add_webhook(webhook)
        await app.replays.start(ENVIRONMENT, webhook.webhook_id, ReplayDraft(SINCE))
    for _ in range(2):
        await app.replay_runner.advance_all()
    assert {job.replay.state for job in app.storage.state.replays.values()} == {"completed"}
