"""What storage promises of deliveries with an ordering key: one after another, whatever happens."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from attrs import evolve

from notification_core.model.delivery import (
    AttemptOutcome,
    DeliveryState,
    EndReason,
    Failed,
    Retry,
)
from notification_core.model.ordering import FIRST_GROUP
from notification_core.model.replay import NOT_ARRIVED, Replay, Selection
from notification_core.model.webhook import FOREVER, DisabledReason, Webhook
from tests.contracts.harness import DELAY, LEASE, Harness, ids_of

RETRY = Retry(timedelta(seconds=5))


@pytest.fixture
async def webhook(harness: Harness) -> Webhook:
    return await harness.webhook(ordered=True)


async def _released(harness: Harness) -> int:
    """Release what is to be released by a sweep; return how many."""
    total, after = 0, FIRST_GROUP
    for _ in range(100):
        batch = await harness.storage.deliveries.release_groups(after, 2)
        total += batch.released
        if batch.after is None:
            return total
        after = batch.after
    raise AssertionError("The sweep has no end.")


async def _held(harness: Harness, webhook: Webhook, delivery_id: UUID) -> bool:
    view = await harness.storage.history.delivery(webhook.environment_id, delivery_id)
    assert not (view.held and view.next_attempt_at)
    return view.held


async def test_only_the_first_of_a_key_is_claimed(harness: Harness, webhook: Webhook) -> None:
    first, second, third = await harness.publish(webhook, 3, key="a")
    other = await harness.publish(webhook, 1, key="b")
    free = await harness.publish(webhook, 2)
    claimed = await harness.claim()
    assert ids_of(claimed) == [first, *other, *free]
    assert [one.ordering_key for one in claimed.deliveries] == ["a", "b", None, None]
    assert [await _held(harness, webhook, one) for one in (first, second, third)] == [
        False,
        True,
        True,
    ]
    assert ids_of(await harness.claim()) == []


@pytest.mark.parametrize("end", [None, Failed()])
async def test_the_end_of_one_releases_the_next(
    harness: Harness, webhook: Webhook, end: Failed | None
) -> None:
    ids = await harness.publish(webhook, 3, key="a")
    for delivery_id in ids:
        (claimed,) = (await harness.claim()).deliveries
        assert claimed.fence.delivery_id == delivery_id
        await harness.finish(claimed, end)
    assert ids_of(await harness.claim()) == []


async def test_a_retry_holds_up_those_behind_it(harness: Harness, webhook: Webhook) -> None:
    first, second = await harness.publish(webhook, 2, key="a")
    for _ in range(2):
        (claimed,) = (await harness.claim()).deliveries
        await harness.finish(claimed, RETRY)
        nothing = await harness.claim()
        assert ids_of(nothing) == []
        assert nothing.next_due == RETRY.after
        await harness.clock.advance(RETRY.after.total_seconds())
    (claimed,) = (await harness.claim()).deliveries
    assert claimed.fence.delivery_id == first
    await harness.finish(claimed)
    assert ids_of(await harness.claim()) == [second]


async def test_one_that_is_given_back_stays_the_first(harness: Harness, webhook: Webhook) -> None:
    first, _ = await harness.publish(webhook, 2, key="a")
    claimed = await harness.claim()
    await harness.storage.deliveries.release([one.fence for one in claimed.deliveries])
    assert ids_of(await harness.claim()) == [first]


async def test_an_interrupted_one_stays_the_first_and_its_end_releases_the_next(
    harness: Harness, webhook: Webhook
) -> None:
    first, second = await harness.publish(webhook, 2, key="a")
    for _ in range(10):
        assert ids_of(await harness.claim()) == [first]
        await harness.clock.advance(LEASE.total_seconds() + 1)
        assert (await harness.storage.deliveries.reap([], DELAY)).count == 1
        await harness.clock.advance(DELAY.total_seconds())
    assert (await harness.probe(first)).reason is EndReason.INTERRUPTED
    await _released(harness)
    assert ids_of(await harness.claim()) == [second]


async def test_events_of_one_batch_and_results_of_one_batch_keep_their_order(
    harness: Harness, webhook: Webhook
) -> None:
    events = [harness.event(ordering_key=key) for key in "aabbab"]
    new = [harness.to(webhook, event) for event in events]
    assert await harness.store(events, new) is not None
    seen: dict[str, list[UUID]] = {"a": [], "b": []}
    for _ in range(4):
        claimed = (await harness.claim()).deliveries
        for one in claimed:
            seen[one.ordering_key or ""].append(one.fence.delivery_id)
        results = [harness.result(one) for one in claimed]
        assert not await harness.storage.deliveries.finish(results, DELAY)
    of_keys = {
        key: [one.delivery_id for one in new if one.ordering_key == key] for key in ("a", "b")
    }
    assert seen == of_keys


async def test_webhooks_and_keys_do_not_wait_for_each_other(
    harness: Harness, webhook: Webhook
) -> None:
    other = await harness.webhook(ordered=True)
    plain = await harness.webhook()
    event = harness.event(ordering_key="a")
    again = harness.event(ordering_key="a")
    new = [harness.to(to, one) for to in (webhook, other, plain) for one in (event, again)]
    await harness.ingest([event, again], new)
    due = {one.delivery_id for one in (new[0], new[2], new[4], new[5])}
    assert set(ids_of(await harness.claim())) == due


async def test_what_is_skipped_holds_nobody_up(harness: Harness, webhook: Webhook) -> None:
    event = harness.event(ordering_key="a")
    skipped = harness.to(
        webhook, event, state=DeliveryState.SKIPPED, reason=EndReason.FILTER_NOT_MATCHED
    )
    await harness.ingest([event], [skipped])
    assert skipped.ordering_key is None
    (first,) = await harness.publish(webhook, 1, key="a")
    assert ids_of(await harness.claim()) == [first]


async def test_one_more_delivery_goes_to_the_end(harness: Harness, webhook: Webhook) -> None:
    first, second = await harness.publish(webhook, 2, key="a")
    (claimed,) = (await harness.claim()).deliveries
    await harness.finish(claimed, Failed())
    view = await harness.storage.history.delivery(webhook.environment_id, first)
    again = harness.ids()
    await harness.storage.replays.retry(view, again)
    assert await _held(harness, webhook, again)
    for expected in (second, again):
        (claimed,) = (await harness.claim()).deliveries
        assert claimed.fence.delivery_id == expected
        await harness.finish(claimed)


async def test_a_replay_goes_to_the_end_in_its_order(harness: Harness, webhook: Webhook) -> None:
    ids = await harness.publish(webhook, 3, key="a")
    for _ in ids:
        (claimed,) = (await harness.claim()).deliveries
        await harness.finish(claimed, Failed())
    await harness.clock.advance(1)
    now = harness.clock.now()
    selection = Selection(now - timedelta(days=1), now, frozenset(NOT_ARRIVED))
    (last,) = await harness.publish(webhook, 1, key="a")
    key = webhook.environment_id, webhook.webhook_id
    replay = Replay(harness.ids(), *key, selection, now)
    await harness.storage.replays.add(replay)
    await harness.storage.replays.advance(replay, 10, 100)
    order = []
    for _ in range(4):
        (claimed,) = (await harness.claim()).deliveries
        order.append((claimed.fence.delivery_id == last, claimed.event_id))
        await harness.finish(claimed)
    views = (await harness.storage.history.of_webhook(*key, limit=10)).rows
    events = {view.delivery_id: view.event_id for view in views}
    assert order == [(True, events[last]), *((False, events[one]) for one in ids)]


async def test_a_webhook_that_is_disabled_meanwhile_leaves_no_line_standing(
    harness: Harness, webhook: Webhook
) -> None:
    first, *_ = await harness.publish(webhook, 3, key="a")
    disabled = await harness.change(
        webhook, disabled_until=FOREVER, disabled_reason=DisabledReason.FAILING
    )
    ended = await harness.storage.deliveries.cancel_unsendable(1, harness.clock.now())
    assert ended.count == 1
    assert (await harness.probe(first)).state is DeliveryState.SKIPPED
    await harness.change(disabled, disabled_until=None, disabled_reason=None)
    assert await _released(harness) == 1
    for _ in range(2):
        (claimed,) = (await harness.claim()).deliveries
        await harness.finish(claimed)
    assert ids_of(await harness.claim()) == []


async def test_a_deletion_cancels_a_whole_line(harness: Harness, webhook: Webhook) -> None:
    ids = await harness.publish(webhook, 3, key="a")
    (claimed,) = (await harness.claim()).deliveries
    key = webhook.environment_id, webhook.webhook_id
    await harness.storage.webhooks.delete(*key, harness.clock.now())
    assert {(await harness.probe(one)).state for one in ids} == {DeliveryState.CANCELLED}
    await harness.finish(claimed)
    assert ids_of(await harness.claim()) == []
    assert await _released(harness) == 0


async def test_the_end_that_disables_the_webhook_lets_the_next_one_be_sent_later(
    harness: Harness, webhook: Webhook
) -> None:
    await harness.publish(webhook, 1, key="a")
    (claimed,) = (await harness.claim()).deliveries
    gone = harness.result(claimed, Failed(disables=DisabledReason.GONE))
    later = await harness.publish(webhook, 1, key="a")
    assert await _released(harness) == 0
    assert ids_of(await harness.claim()) == []
    assert not await harness.storage.deliveries.finish([gone], DELAY)
    stored = await harness.storage.webhooks.get(webhook.environment_id, webhook.webhook_id)
    await harness.change(stored, disabled_until=None, disabled_reason=None)
    assert ids_of(await harness.claim()) == later


async def test_no_longer_ordered_releases_all_and_what_comes_is_free(
    harness: Harness, webhook: Webhook
) -> None:
    ids = await harness.publish(webhook, 5, key="a")
    plain = await harness.change(webhook, ordered=False)
    assert await _released(harness) == 4
    assert set(ids_of(await harness.claim())) == set(ids)
    more = await harness.publish(plain, 2, key="a")
    assert ids_of(await harness.claim()) == more


async def test_ordered_applies_to_what_is_stored_from_then_on(harness: Harness) -> None:
    plain = await harness.webhook()
    before = await harness.publish(plain, 2, key="a")
    webhook = await harness.change(plain, ordered=True)
    first, _ = await harness.publish(webhook, 2, key="a")
    assert set(ids_of(await harness.claim())) == {*before, first}


async def test_a_line_without_a_head_is_found_by_the_sweep(
    harness: Harness, webhook: Webhook
) -> None:
    groups = {key: await harness.publish(webhook, 2, key=key) for key in "abcde"}
    claimed = (await harness.claim()).deliveries
    for one in claimed:
        # As code does that knows nothing of groups.
        result = evolve(harness.result(one), ordering_key=None)
        assert not await harness.storage.deliveries.finish([result], DELAY)
    assert ids_of(await harness.claim()) == []
    assert await _released(harness) == 5
    assert set(ids_of(await harness.claim())) == {second for _, second in groups.values()}


async def test_results_of_plain_and_ordered_deliveries_are_written_together(
    harness: Harness, webhook: Webhook
) -> None:
    plain = await harness.webhook()
    _, second = await harness.publish(webhook, 2, key="a")
    (free,) = await harness.publish(plain)
    results = [harness.result(one) for one in (await harness.claim()).deliveries]
    assert len(results) == 2
    assert not await harness.storage.deliveries.finish(results, DELAY)
    assert len(await harness.storage.deliveries.finish(results, DELAY)) == 2
    assert (await harness.probe(free)).state is DeliveryState.SUCCEEDED
    assert ids_of(await harness.claim()) == [second]


async def test_a_stale_result_releases_nobody(harness: Harness, webhook: Webhook) -> None:
    first, _ = await harness.publish(webhook, 2, key="a")
    (stale,) = (await harness.claim()).deliveries
    await harness.clock.advance(LEASE.total_seconds() + 1)
    await harness.storage.deliveries.reap([], DELAY)
    result = harness.result(stale)
    assert list(await harness.storage.deliveries.finish([result], DELAY)) == [result.fence]
    await harness.clock.advance(DELAY.total_seconds())
    assert ids_of(await harness.claim()) == [first]


async def test_publishes_at_the_same_time_stand_in_one_line(
    harness: Harness, webhook: Webhook
) -> None:
    async def publish(number: int) -> None:
        keys = [*"abc"] if number % 2 else [*"cba"]
        events = [harness.event(ordering_key=key) for key in keys]
        await harness.store(events, [harness.to(webhook, event) for event in events])

    await asyncio.gather(*map(publish, range(8)))
    delivered = 0
    while claimed := (await harness.claim()).deliveries:
        assert len({one.ordering_key for one in claimed}) == len(claimed)
        results = [harness.result(one) for one in claimed]
        assert not await harness.storage.deliveries.finish(results, DELAY)
        delivered += len(results)
    assert delivered == 24


async def test_an_interrupted_result_keeps_the_first_one(
    harness: Harness, webhook: Webhook
) -> None:
    first, _ = await harness.publish(webhook, 2, key="a")
    (claimed,) = (await harness.claim()).deliveries
    await harness.finish(claimed, RETRY, outcome=AttemptOutcome.INTERRUPTED)
    await harness.clock.advance(DELAY.total_seconds())
    assert ids_of(await harness.claim()) == [first]


async def test_an_event_shows_its_key(harness: Harness, webhook: Webhook) -> None:
    (delivery_id,) = await harness.publish(webhook, 1, key="ключ")
    environment_id = webhook.environment_id
    delivery = await harness.storage.history.delivery(environment_id, delivery_id)
    event = await harness.storage.history.event(environment_id, delivery.event_id)
    (summary,) = (await harness.storage.history.events(environment_id, 1)).rows
    assert delivery.ordering_key == event.ordering_key == summary.ordering_key == "ключ"
