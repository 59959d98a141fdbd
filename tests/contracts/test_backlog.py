"""What every storage says of what waits in it."""

from datetime import timedelta
from uuid import UUID

from notification_core.model.delivery import DeliveryState, Failed, Retry
from notification_core.model.replay import Replay, Selection
from notification_core.model.webhook import FOREVER
from notification_core.ports.backlog import BacklogSize, Unfinished
from tests.contracts.harness import Harness

EMPTY = BacklogSize(0, 0, 0, {}, frozenset())


async def test_nothing_waits_in_an_empty_storage(harness: Harness) -> None:
    assert await harness.storage.backlog.size() == EMPTY


async def test_what_waits_is_counted_and_the_oldest_is_told_by_its_age(harness: Harness) -> None:
    one, other = await harness.webhook(), await harness.webhook()
    await harness.publish(one, 3)
    await harness.clock.advance(60)
    await harness.publish(other, 2)
    await harness.clock.advance(5)
    size = await harness.storage.backlog.size()
    assert (size.waiting, size.claimed, size.webhooks) == (5, 0, 2)
    assert size.oldest_due
    assert size.oldest_due // timedelta(seconds=1) == 65
    ages = {webhook_id: age // timedelta(seconds=1) for webhook_id, age in size.due.items()}
    assert ages == {one.webhook_id: 65, other.webhook_id: 5}


async def test_what_a_worker_has_taken_is_counted_apart_with_the_worker(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, 3)
    await harness.claim(limit=2)
    size = await harness.storage.backlog.size()
    assert (size.waiting, size.claimed, size.workers) == (1, 2, {harness.worker})


async def test_what_is_not_due_yet_waits_and_has_no_age(harness: Harness) -> None:
    claimed = await harness.begin(await harness.webhook())
    await harness.finish(claimed, Retry(timedelta(hours=1)))
    size = await harness.storage.backlog.size()
    assert (size.waiting, size.oldest_due) == (1, None)


async def test_a_webhook_that_is_not_sent_to_makes_nothing_old(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook)
    await harness.change(webhook, disabled_until=FOREVER)
    await harness.clock.advance(3600)
    size = await harness.storage.backlog.size()
    assert (size.waiting, size.webhooks, size.oldest_due) == (1, 1, None)


async def test_what_has_ended_waits_no_more(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await harness.finish(claimed)
    assert await harness.storage.backlog.size() == EMPTY


async def test_counting_stops_at_its_bounds(harness: Harness) -> None:
    for _ in range(3):
        await harness.publish(await harness.webhook(), 4)
    size = await harness.storage.backlog.size(max_counted=10, max_webhooks=2)
    assert (size.waiting, size.webhooks) == (10, 2)


async def _longest(
    harness: Harness, limit: int = 10, **bounds: int
) -> list[tuple[UUID, int, bool]]:
    queues = await harness.storage.backlog.longest(limit, **bounds)
    assert {one.environment_id for one in queues} <= {harness.environment_id}
    return [(one.webhook_id, one.waiting, one.is_exact) for one in queues]


async def test_the_longest_queues_come_first_with_their_lengths(harness: Harness) -> None:
    assert await _longest(harness) == []
    a, b, c = [(await harness.webhook()).webhook_id for _ in range(3)]
    for webhook_id, length in ((a, 2), (b, 5), (c, 1)):
        webhook = await harness.storage.webhooks.get(harness.environment_id, webhook_id)
        await harness.publish(webhook, length)
    assert await _longest(harness) == [(b, 5, True), (a, 2, True), (c, 1, True)]
    assert await _longest(harness, 2) == [(b, 5, True), (a, 2, True)]
    assert await _longest(harness, max_counted=6) == [(b, 5, True), (a, 2, True), (c, 1, True)]
    assert len(await _longest(harness, max_webhooks=2)) == 2
    paused = await harness.storage.webhooks.get(harness.environment_id, c)
    await harness.change(paused, disabled_until=FOREVER)
    await harness.publish(paused, 8)
    assert await _longest(harness, 1) == [(c, 9, True)]


async def test_a_queue_is_counted_to_a_bound(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, 4)
    assert await _longest(harness, max_counted=4) == [(webhook.webhook_id, 4, False)]
    assert await _longest(harness, max_counted=5) == [(webhook.webhook_id, 4, True)]


async def test_what_a_worker_has_taken_is_in_no_queue(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, 3)
    claimed, *_ = (await harness.claim(limit=2)).deliveries
    assert await _longest(harness) == [(webhook.webhook_id, 1, True)]
    await harness.finish(claimed)
    assert await _longest(harness) == [(webhook.webhook_id, 1, True)]


async def test_the_queues_that_are_longer_than_a_bound_are_found(harness: Harness) -> None:
    long, short = await harness.webhook(), await harness.webhook()
    disabled = await harness.webhook(harness.other_environment_id, disabled_until=FOREVER)
    await harness.publish(long, 4)
    await harness.publish(short, 3)
    await harness.publish(disabled, 5)
    backlog = harness.storage.backlog
    assert set(await backlog.longer_than(3)) == {long.webhook_id, disabled.webhook_id}
    assert set(await backlog.longer_than(4)) == {disabled.webhook_id}
    assert set(await backlog.longer_than(5)) == set()
    assert set(await backlog.longer_than(12)) == set()


async def test_what_is_being_sent_and_what_has_ended_makes_no_queue_longer(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, 4)
    claimed, *_ = (await harness.claim(limit=2)).deliveries
    await harness.finish(claimed)
    assert set(await harness.storage.backlog.longer_than(1)) == {webhook.webhook_id}
    assert set(await harness.storage.backlog.longer_than(2)) == set()


async def test_what_is_on_its_way_to_topics_and_webhooks_is_counted_with_its_age(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    await harness.finish(await harness.begin(webhook), Failed())
    await harness.clock.advance(5)
    await harness.finish(await harness.begin(webhook), Failed())
    await harness.clock.advance(60)
    size = await harness.storage.backlog.size()
    assert (size.outbox.count, size.operational_events.count) == (2, 2)
    assert size.operational_events.age // timedelta(seconds=1) == 65
    assert size.outbox.age // timedelta(seconds=1) == 65
    assert (await harness.storage.backlog.size(max_counted=1)).outbox.count == 1


async def test_replays_and_erasures_are_counted_until_they_end(harness: Harness) -> None:
    now = harness.clock.now()
    selection = Selection(now - timedelta(hours=1), now, frozenset({DeliveryState.FAILED}))
    one, other = [
        Replay(harness.ids(), webhook.environment_id, webhook.webhook_id, selection, now)
        for webhook in (await harness.webhook(), await harness.webhook())
    ]
    for replay in (one, other):
        await harness.storage.replays.add(replay)
    await harness.storage.erasures.begin(harness.other_environment_id, now)
    await harness.clock.advance(30)
    size = await harness.storage.backlog.size()
    assert size.replays == Unfinished(2, timedelta(seconds=30))
    assert size.erasures == Unfinished(1, timedelta(seconds=30))
    await harness.storage.replays.cancel(one.environment_id, one.webhook_id, one.replay_id, now)
    while not (await harness.storage.erasures.advance(harness.other_environment_id, 10)).is_last:
        pass
    size = await harness.storage.backlog.size()
    assert (size.replays.count, size.erasures.count) == (1, 0)
