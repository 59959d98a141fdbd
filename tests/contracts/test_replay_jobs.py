"""What storage promises of replays: each delivery is repeated once, whichever process is killed."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from notification_core.errors import ReplayNotFound, ReplayRunning, ResponseAlreadyStored
from notification_core.model.delivery import DeliveryOrigin, DeliveryState, EndReason, Failed
from notification_core.model.read_models import DeliveryView
from notification_core.model.replay import (
    NO_PROGRESS,
    NOT_ARRIVED,
    Replay,
    ReplayProgress,
    ReplayState,
    Selection,
)
from notification_core.model.request_records import StoredResponse
from notification_core.model.webhook import FOREVER, Webhook
from tests.contracts.harness import Harness, ids_of

MAX_WAITING = 100
LONG_AGO = datetime(2020, 1, 1, tzinfo=FOREVER.tzinfo)


async def _skip(harness: Harness, webhook: Webhook, count: int = 1) -> list[str]:
    """Store so many skipped deliveries; return their events' ids."""
    return [await _ended(harness, webhook, DeliveryState.SKIPPED) for _ in range(count)]


async def _ended(
    harness: Harness, webhook: Webhook, state: DeliveryState, event_id: str = ""
) -> str:
    """Store a delivery that has ended so, a millisecond later than the one before."""
    harness.clock.jump(timedelta(milliseconds=1))
    event = harness.event(event_id, environment_id=webhook.environment_id)
    reason = EndReason.WEBHOOK_DISABLED if state is DeliveryState.SKIPPED else None
    await harness.ingest([event], [harness.to(webhook, event, state=state, reason=reason)])
    return event.event.event_id


async def _start(
    harness: Harness,
    webhook: Webhook,
    states: Collection[DeliveryState] = NOT_ARRIVED,
    **changes: Any,
) -> Replay:
    harness.clock.jump(timedelta(milliseconds=1))
    now = harness.clock.now()
    replay = Replay(
        replay_id=harness.ids(),
        environment_id=webhook.environment_id,
        webhook_id=webhook.webhook_id,
        selection=Selection(LONG_AGO, now, frozenset(states)),
        created_at=now,
    )
    replay = evolve(replay, **changes)
    await harness.storage.replays.add(replay)
    return replay


async def _advance(
    harness: Harness, replay: Replay, limit: int = 1000, max_waiting: int = MAX_WAITING
) -> ReplayProgress:
    return await harness.storage.replays.advance(replay, limit, max_waiting)


async def _run(harness: Harness, replay: Replay) -> Replay:
    """Advance a replay until it has ended; return how it stands."""
    for _ in range(10):
        await _advance(harness, replay)
    return await _now(harness, replay)


async def _now(harness: Harness, replay: Replay) -> Replay:
    key = replay.environment_id, replay.webhook_id
    return await harness.rival.replays.get(*key, replay.replay_id)


async def _made(harness: Harness, webhook: Webhook) -> Sequence[DeliveryView]:
    """Return the deliveries that replays have made, oldest first."""
    key = webhook.environment_id, webhook.webhook_id
    page = await harness.storage.history.of_webhook(*key, limit=1000)
    return [one for one in page.rows[::-1] if one.origin is DeliveryOrigin.REPLAY]


async def test_what_was_skipped_is_replayed_in_its_order_and_can_be_claimed(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    events = await _skip(harness, webhook, 3)
    replay = await _start(harness, webhook)
    assert await _advance(harness, replay) == ReplayProgress(examined=3, made=3)
    ended = await _now(harness, replay)
    assert (ended.state, ended.replayed) == (ReplayState.COMPLETED, 3)
    assert (ended.done_until, ended.ended_at) == (replay.selection.until, harness.clock.now())
    made = await _made(harness, webhook)
    assert [one.event_id for one in made] == events
    assert {(one.state, one.replay_id) for one in made} == {
        (DeliveryState.PENDING, replay.replay_id)
    }
    assert sorted(ids_of(await harness.claim())) == [one.delivery_id for one in made]


async def test_a_batch_goes_on_where_the_one_before_stopped(harness: Harness) -> None:
    webhook = await harness.webhook()
    events = await _skip(harness, webhook, 5)
    replay = await _start(harness, webhook)
    advances = [await _advance(harness, replay, limit=2) for _ in range(4)]
    assert advances == [
        ReplayProgress(2, 2),
        ReplayProgress(2, 2),
        ReplayProgress(1, 1),
        NO_PROGRESS,
    ]
    assert [one.event_id for one in await _made(harness, webhook)] == events


async def test_how_far_it_is_can_be_seen(harness: Harness) -> None:
    webhook = await harness.webhook()
    await _skip(harness, webhook, 3)
    replay = await _start(harness, webhook)
    assert await _now(harness, replay) == replay
    await _advance(harness, replay, limit=2)
    under_way = await _now(harness, replay)
    assert (under_way.state, under_way.replayed) == (ReplayState.RUNNING, 2)
    assert under_way.done_until is not None
    assert replay.selection.since < under_way.done_until < replay.selection.until


async def test_no_more_is_made_than_there_is_room_for(harness: Harness) -> None:
    webhook = await harness.webhook()
    events = await _skip(harness, webhook, 5)
    replay = await _start(harness, webhook)
    assert (await _advance(harness, replay, max_waiting=2)).made == 2
    assert await _advance(harness, replay, max_waiting=2) == NO_PROGRESS
    claimed = await harness.claim(limit=1)
    assert (await _advance(harness, replay, max_waiting=2)).made == 1
    for delivery in (*claimed.deliveries, *(await harness.claim()).deliveries):
        await harness.finish(delivery)
    await _run(harness, replay)
    assert [one.event_id for one in await _made(harness, webhook)] == events


async def test_what_others_have_waiting_takes_up_room(harness: Harness) -> None:
    webhook = await harness.webhook()
    await _skip(harness, webhook, 2)
    await harness.publish(webhook, 3)
    replay = await _start(harness, webhook)
    assert await _advance(harness, replay, max_waiting=3) == NO_PROGRESS
    assert (await _advance(harness, replay, max_waiting=4)).made == 1


@pytest.mark.parametrize("state", NOT_ARRIVED)
async def test_only_the_states_that_were_asked_for_are_replayed(
    harness: Harness, state: DeliveryState
) -> None:
    webhook = await harness.webhook()
    events = {
        one: await _ended(harness, webhook, one) for one in (*NOT_ARRIVED, DeliveryState.SUCCEEDED)
    }
    await _run(harness, await _start(harness, webhook, {state}))
    assert [one.event_id for one in await _made(harness, webhook)] == [events[state]]


async def test_only_the_time_that_was_asked_for_is_replayed(harness: Harness) -> None:
    webhook = await harness.webhook()
    await _skip(harness, webhook)
    harness.clock.jump(timedelta(milliseconds=1))
    since = harness.clock.now()
    events = await _skip(harness, webhook, 2)
    harness.clock.jump(timedelta(milliseconds=1))
    until = harness.clock.now()
    await _skip(harness, webhook)
    selection = Selection(since, until, frozenset(NOT_ARRIVED))
    await _run(harness, await _start(harness, webhook, selection=selection))
    assert [one.event_id for one in await _made(harness, webhook)] == events


async def test_an_event_that_failed_several_times_is_replayed_once(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.finish(await harness.begin(webhook), Failed())
    harness.clock.jump(timedelta(milliseconds=1))
    for _ in range(2):
        replay = await _start(harness, webhook)
        assert (await _run(harness, replay)).replayed == 1
        (claimed,) = (await harness.claim()).deliveries
        await harness.finish(claimed, Failed())
        harness.clock.jump(timedelta(milliseconds=1))


async def test_what_has_arrived_since_or_is_pending_is_skipped(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.finish(await harness.begin(webhook), Failed())
    harness.clock.jump(timedelta(milliseconds=1))
    until = harness.clock.now()
    selection = Selection(LONG_AGO, until, frozenset(NOT_ARRIVED))
    assert (await _run(harness, await _start(harness, webhook, selection=selection))).replayed == 1
    assert (await _run(harness, await _start(harness, webhook, selection=selection))).replayed == 0
    (claimed,) = (await harness.claim()).deliveries
    await harness.finish(claimed)
    assert (await _run(harness, await _start(harness, webhook, selection=selection))).replayed == 0


async def test_what_arrived_is_replayed_as_often_as_it_is_asked_for(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.finish(await harness.begin(webhook))
    harness.clock.jump(timedelta(milliseconds=1))
    selection = Selection(LONG_AGO, harness.clock.now(), frozenset({DeliveryState.SUCCEEDED}))
    for _ in range(2):
        assert (
            await _run(harness, await _start(harness, webhook, selection=selection))
        ).replayed == 1
        (claimed,) = (await harness.claim()).deliveries
        await harness.finish(claimed)


async def test_nothing_is_replayed_of_others_of_pending_ones_and_of_events_without_a_body(
    harness: Harness,
) -> None:
    webhook, another = await harness.webhook(), await harness.webhook()
    elsewhere = await harness.webhook(harness.other_environment_id)
    await _skip(harness, another)
    await _skip(harness, elsewhere)
    await harness.publish(webhook)
    hollow = harness.event(whole=False)
    await harness.ingest([hollow], [harness.to(webhook, hollow, state=DeliveryState.SKIPPED)])
    replay = await _run(harness, await _start(harness, webhook))
    assert (replay.state, replay.replayed) == (ReplayState.COMPLETED, 0)


async def test_of_several_processes_at_once_each_delivery_is_made_by_one(harness: Harness) -> None:
    webhook = await harness.webhook()
    events = await _skip(harness, webhook, 20)
    replay = await _start(harness, webhook)
    # Who finds somebody else at it leaves it to them.
    while (await _now(harness, replay)).state is ReplayState.RUNNING:
        await asyncio.gather(
            *(
                storage.replays.advance(replay, 3, MAX_WAITING)
                for storage in (harness.storage, harness.rival) * 2
            )
        )
    assert sorted(one.event_id for one in await _made(harness, webhook)) == sorted(events)
    assert (await _now(harness, replay)).replayed == 20


async def test_a_replay_of_a_disabled_webhook_waits_and_that_of_a_deleted_one_is_cancelled(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    await _skip(harness, webhook)
    replay = await _start(harness, webhook)
    disabled = await harness.change(webhook, disabled_until=FOREVER)
    assert await _advance(harness, replay) == NO_PROGRESS
    assert (await _now(harness, replay)).state is ReplayState.RUNNING
    enabled = await harness.change(disabled, disabled_until=None)
    key = enabled.environment_id, enabled.webhook_id
    await harness.storage.webhooks.delete(*key, harness.clock.now())
    assert await _advance(harness, replay) == NO_PROGRESS
    ended = await _now(harness, replay)
    assert (ended.state, ended.ended_at) == (ReplayState.CANCELLED, harness.clock.now())
    assert await _made(harness, webhook) == []


async def test_a_cancelled_replay_makes_nothing_more(harness: Harness) -> None:
    webhook = await harness.webhook()
    await _skip(harness, webhook, 4)
    replay = await _start(harness, webhook)
    await _advance(harness, replay, limit=2)
    one = replay.environment_id, replay.webhook_id, replay.replay_id
    await harness.rival.replays.cancel(*one, harness.clock.now())
    assert await _advance(harness, replay) == NO_PROGRESS
    ended = await _now(harness, replay)
    assert (ended.state, ended.replayed) == (ReplayState.CANCELLED, 2)
    await harness.storage.replays.cancel(*one, harness.clock.now() + timedelta(seconds=1))
    assert await _now(harness, replay) == ended


async def test_a_replay_that_has_ended_is_not_cancelled_any_more(harness: Harness) -> None:
    webhook = await harness.webhook()
    replay = await _start(harness, webhook)
    ended = await _run(harness, replay)
    await harness.storage.replays.cancel(
        replay.environment_id, replay.webhook_id, replay.replay_id, harness.clock.now()
    )
    assert await _now(harness, replay) == ended


async def test_a_webhook_has_one_running_replay(harness: Harness) -> None:
    webhook, another = await harness.webhook(), await harness.webhook()
    told = await asyncio.gather(
        *(_start(harness, webhook) for _ in range(3)), return_exceptions=True
    )
    (first,) = [one for one in told if isinstance(one, Replay)]
    assert sum(isinstance(one, ReplayRunning) for one in told) == 2
    second = await _start(harness, another)
    by_webhook = sorted([first, second], key=lambda one: one.webhook_id)
    assert list(await harness.rival.replays.running(10)) == by_webhook
    assert list(await harness.rival.replays.running(1)) == by_webhook[:1]
    after = by_webhook[0].webhook_id
    assert list(await harness.rival.replays.running(10, after)) == by_webhook[1:]
    await _run(harness, first)
    await _start(harness, webhook)


async def test_replays_are_listed_newest_first_and_are_their_webhooks_own(harness: Harness) -> None:
    webhook, another = await harness.webhook(), await harness.webhook()
    replays = [await _run(harness, await _start(harness, webhook)) for _ in range(3)]
    key = harness.environment_id, webhook.webhook_id
    first = await harness.storage.replays.of_webhook(*key, limit=2)
    rest = await harness.storage.replays.of_webhook(*key, limit=2, before=first.after)
    assert [*first.rows, *rest.rows] == replays[::-1]
    assert rest.after is None
    for wrong in (
        (harness.environment_id, another.webhook_id, replays[0].replay_id),
        (harness.other_environment_id, webhook.webhook_id, replays[0].replay_id),
        (*key, UUID(int=7)),
    ):
        with pytest.raises(ReplayNotFound):
            await harness.storage.replays.get(*wrong)
        with pytest.raises(ReplayNotFound):
            await harness.storage.replays.cancel(*wrong, harness.clock.now())


async def test_how_much_there_is_to_replay_is_counted_up_to_a_bound(harness: Harness) -> None:
    webhook = await harness.webhook()
    await _skip(harness, webhook, 5)
    await _ended(harness, webhook, DeliveryState.SUCCEEDED)
    harness.clock.jump(timedelta(milliseconds=1))
    selection = Selection(LONG_AGO, harness.clock.now(), frozenset(NOT_ARRIVED))
    key = harness.environment_id, webhook.webhook_id
    whole = await harness.storage.replays.count(*key, selection, 100)
    assert (whole.count, whole.is_exact) == (5, True)
    part = await harness.storage.replays.count(*key, selection, 3)
    assert (part.count, part.is_exact) == (3, False)
    assert await _made(harness, webhook) == []


async def test_a_replay_that_was_answered_is_not_started_again(harness: Harness) -> None:
    webhook = await harness.webhook()
    stored = StoredResponse(
        harness.environment_id, "replay", "asked", b"answer", harness.clock.now()
    )
    replay = await _run(harness, await _start(harness, webhook))
    once = evolve(replay, replay_id=harness.ids(), state=ReplayState.RUNNING)
    await harness.storage.replays.add(once, [stored])
    with pytest.raises(ResponseAlreadyStored):
        await harness.rival.replays.add(evolve(once, replay_id=harness.ids()), [stored])
