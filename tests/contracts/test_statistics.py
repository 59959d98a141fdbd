"""What every storage promises of statistics: each attempt and each end is counted once."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import cycle
from uuid import UUID

import pytest
import sqlalchemy as sa
from attrs import evolve

from notification_adapters.sql import SqlStorage
from notification_adapters.sql.tables import statistics
from notification_core.model.delivery import (
    TEST_WORKER,
    AttemptError,
    AttemptOutcome,
    ClaimedDelivery,
    DeliveryState,
    EndReason,
    ErrorCode,
    Failed,
    Fence,
    Retry,
)
from notification_core.model.histogram import bucket_of
from notification_core.model.statistics import BucketSize, Counts, Period, sum_of
from notification_core.model.webhook import Webhook
from tests.contracts.harness import DELAY, Harness

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
DURATION = bucket_of(timedelta(microseconds=12345))
"""Of the harness's attempts."""


def _period(
    harness: Harness, span: BucketSize = BucketSize.MINUTE, back: timedelta = DAY
) -> Period:
    now = harness.clock.now()
    return Period.covering(now - back, now + MINUTE, span)


async def _total(harness: Harness, webhook: Webhook | None) -> Counts:
    webhook_id = None if webhook is None else webhook.webhook_id
    period = _period(harness, BucketSize.HOUR, 10 * DAY)
    store = harness.rival.statistics
    return sum_of((await store.read(harness.environment_id, webhook_id, period)).values())


def _skipped(number: int) -> Counts:
    return Counts(deliveries=Counter({DeliveryState.SKIPPED: number}))


async def test_what_succeeds_counts_with_its_times(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    harness.clock.jump(timedelta(seconds=3))
    await harness.finish(claimed)
    assert await _total(harness, webhook) == Counts(
        Counter({AttemptOutcome.SUCCEEDED: 1}),
        deliveries=Counter({DeliveryState.SUCCEEDED: 1}),
        durations=Counter({DURATION: 1}),
        delivery_times=Counter({bucket_of(timedelta(seconds=3)): 1}),
    )


async def test_what_fails_counts_with_its_error(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await harness.finish(claimed, Retry(timedelta(0)))
    (again,) = (await harness.claim()).deliveries
    await harness.finish(again, Failed())
    assert await _total(harness, webhook) == Counts(
        Counter({AttemptOutcome.FAILED: 2}),
        Counter({ErrorCode.HTTP_STATUS: 2}),
        Counter({DeliveryState.FAILED: 1}),
        Counter({DURATION: 2}),
    )


@pytest.mark.parametrize("number", [2, 60])
async def test_a_batch_counts_as_its_parts_do(harness: Harness, number: int) -> None:
    """Few results are written in another way than many."""
    one, two = await harness.webhook(), await harness.webhook()
    await harness.publish(one, number)
    await harness.publish(two, 1)
    results = [harness.result(claimed) for claimed in (await harness.claim()).deliveries]
    assert list(await harness.storage.deliveries.finish(results, DELAY)) == []
    for webhook, count in ((one, number), (two, 1), (None, number + 1)):
        total = await _total(harness, webhook)
        assert total.attempts == {AttemptOutcome.SUCCEEDED: count}
        assert total.deliveries == {DeliveryState.SUCCEEDED: count}
        assert total.durations.total() == total.delivery_times.total() == count


@pytest.mark.parametrize("number", [1, 60])
async def test_a_result_that_is_fenced_off_does_not_count(harness: Harness, number: int) -> None:
    """Nor one that is written twice."""
    webhook = await harness.webhook()
    await harness.publish(webhook, number)
    claimed = (await harness.claim()).deliveries
    results = [harness.result(one) for one in claimed]
    await harness.storage.deliveries.finish(results, DELAY)
    fenced = await harness.storage.deliveries.finish(results, DELAY)
    assert len(fenced) == number
    assert (await _total(harness, webhook)).attempts == {AttemptOutcome.SUCCEEDED: number}


@pytest.mark.parametrize("number", [1, 60])
async def test_a_delivery_that_was_cancelled_meanwhile_counts_once(
    harness: Harness, number: int
) -> None:
    """As cancelled, and its attempt as it ended."""
    webhook = await harness.webhook()
    await harness.publish(webhook, number + 1)
    claimed = (await harness.claim(limit=number)).deliveries
    await harness.storage.webhooks.delete(
        webhook.environment_id, webhook.webhook_id, harness.clock.now()
    )
    await harness.storage.deliveries.finish([harness.result(one) for one in claimed], DELAY)
    total = await _total(harness, webhook)
    assert total.attempts == {AttemptOutcome.SUCCEEDED: number}
    assert total.deliveries == {DeliveryState.CANCELLED: number + 1}
    assert await _total(harness, None) == total


async def test_an_interrupted_attempt_counts_once_it_is_reaped(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    assert (await harness.storage.deliveries.reap([harness.worker], DELAY)).count == 1
    await harness.storage.deliveries.finish([harness.result(claimed)], DELAY)
    assert await _total(harness, webhook) == Counts(
        Counter({AttemptOutcome.INTERRUPTED: 1}), Counter({ErrorCode.INTERRUPTED: 1})
    )


@pytest.mark.parametrize("in_one_step", [True, False])
async def test_skips_count_when_they_are_stored(harness: Harness, *, in_one_step: bool) -> None:
    """Of events that are new."""
    webhook = await harness.webhook()
    skip = {"state": DeliveryState.SKIPPED, "reason": EndReason.WEBHOOK_DISABLED}
    events = [harness.event() for _ in range(3)]
    deliveries = [harness.to(webhook, event, **skip) for event in events]
    store = harness.store if in_one_step else harness.ingest
    await store(events[:1], deliveries[:1])
    await harness.store(
        [events[0], events[1]],
        [harness.to(webhook, events[0], **skip), harness.to(webhook, events[1], **skip)],
    )
    await store(events[2:], deliveries[2:])
    assert await _total(harness, webhook) == _skipped(3)


async def test_what_can_no_longer_be_sent_counts_as_it_ends(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, 2)
    await harness.finish((await harness.claim(limit=1)).deliveries[0], Retry(DELAY))
    await harness.change(webhook, disabled_until=harness.clock.now() + DAY)
    expired = await harness.storage.deliveries.cancel_unsendable(
        10, harness.clock.now() + timedelta(seconds=1)
    )
    assert (expired.count, list(expired.failed)) == (2, [])
    assert (await _total(harness, webhook)).deliveries == {DeliveryState.CANCELLED: 2}


async def test_a_webhook_test_counts_as_an_attempt_alone(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = harness.event()
    fence = Fence(harness.ids(), webhook.environment_id, 1, TEST_WORKER)
    claimed = ClaimedDelivery(fence, webhook.webhook_id, event.event.event_id, "x", 0, b"{}")
    await harness.storage.webhook_tests.begin(event, claimed, DELAY)
    attempt = harness.result(claimed, Failed()).attempt
    assert await harness.storage.webhook_tests.finish(attempt)
    assert not await harness.storage.webhook_tests.finish(attempt)
    total = await _total(harness, webhook)
    assert total.attempts == {AttemptOutcome.FAILED: 1}
    assert total.deliveries == {}


async def test_counts_are_those_of_their_minute(harness: Harness) -> None:
    webhook = await harness.webhook()
    start = BucketSize.MINUTE.start_of(harness.clock.now())
    for _ in range(2):
        await harness.finish(await harness.begin(webhook))
    await harness.clock.advance(60)
    await harness.finish(await harness.begin(webhook))
    key = harness.environment_id, webhook.webhook_id
    read = await harness.storage.statistics.read(*key, _period(harness))
    assert {at: counts.attempts.total() for at, counts in read.items()} == {
        start: 2,
        start + MINUTE: 1,
    }
    only = Period(start, start + MINUTE, BucketSize.MINUTE)
    assert list(await harness.storage.statistics.read(*key, only)) == [start]
    days = await harness.storage.statistics.read(*key, _period(harness, BucketSize.DAY))
    assert sum_of(days.values()).attempts == {AttemptOutcome.SUCCEEDED: 3}


async def test_nobody_reads_those_of_another_environment(harness: Harness) -> None:
    webhook = await harness.webhook(harness.other_environment_id)
    await harness.finish(await harness.hand_over(webhook))
    for webhook_id in (webhook.webhook_id, None):
        period = _period(harness)
        read = harness.storage.statistics.read
        assert not await read(harness.environment_id, webhook_id, period)
        assert await read(harness.other_environment_id, webhook_id, period)


async def test_merging_changes_no_figure(harness: Harness) -> None:
    """Of hours and days; minutes are found by themselves until they are deleted."""
    webhook, other = await harness.webhook(), await harness.webhook()
    for minute in range(70):
        if minute % 2:
            await harness.finish(await harness.begin(webhook))
        await harness.finish(await harness.begin(other), Failed())
        await harness.clock.advance(60)

    async def figures() -> Sequence[Mapping[datetime, Counts]]:
        read, key = harness.storage.statistics.read, harness.environment_id
        return [
            await read(key, webhook_id, _period(harness, span))
            for webhook_id in (webhook.webhook_id, other.webhook_id, None)
            for span in BucketSize
        ]

    before = await figures()
    assert await _merge_all(harness, BucketSize.HOUR.start_of(harness.clock.now())) > 70
    assert await figures() == before, "the last hour is not merged"
    assert await _merge_all(harness, harness.clock.now() + MINUTE) > 0
    assert await figures() == before
    if isinstance(harness.storage, SqlStorage):
        rows = sa.select(sa.func.count()).where(statistics.c.webhook_id == other.webhook_id)
        async with harness.storage.database.query() as connection:
            hours = len(before[4])
            assert (await connection.execute(rows)).scalar_one() == hours, "one for each hour"


async def test_what_is_counted_late_of_a_merged_minute_is_merged_too(harness: Harness) -> None:
    """A transaction may have waited for long."""
    webhook = await harness.webhook()
    for _ in range(2):
        await harness.finish(await harness.begin(webhook))
        assert await _merge_all(harness, harness.clock.now() + MINUTE) == 1
    await harness.finish(await harness.begin(webhook))
    read, key = harness.storage.statistics.read, (harness.environment_id, webhook.webhook_id)
    for span in BucketSize:
        (counts,) = (await read(*key, _period(harness, span))).values()
        assert counts.attempts == {AttemptOutcome.SUCCEEDED: 3}
        assert counts.durations == {DURATION: 3}


async def test_only_hours_stay_of_minutes_that_are_too_old(harness: Harness) -> None:
    webhook = await harness.webhook()
    key, retention = (harness.environment_id, webhook.webhook_id), harness.storage.retention
    await harness.finish(await harness.begin(webhook))
    await harness.clock.advance(60)
    await harness.finish(await harness.begin(webhook))
    last = BucketSize.MINUTE.start_of(harness.clock.now())
    await _merge_all(harness, harness.clock.now() + MINUTE)
    assert await retention.delete_minutes_before(last, 10) == 1
    assert await retention.delete_minutes_before(last, 10) == 0
    assert list(await harness.storage.statistics.read(*key, _period(harness))) == [last]
    assert (await _total(harness, webhook)).attempts == {AttemptOutcome.SUCCEEDED: 2}


async def test_merging_leaves_what_is_erased_to_the_erasure(harness: Harness) -> None:
    """What an erasure has passed does not come back as an hour."""
    webhook = await harness.webhook()
    other = await harness.webhook(harness.other_environment_id)
    for each in (webhook, other):
        await harness.finish(await harness.hand_over(each))
    await harness.storage.erasures.begin(harness.environment_id, harness.clock.now())
    assert await _merge_all(harness, harness.clock.now() + MINUTE) == 1


async def test_many_webhooks_are_one_question(harness: Harness) -> None:
    """Of each it says what reading it alone does."""
    first, second, silent = [await harness.webhook() for _ in range(3)]
    foreign = await harness.webhook(harness.other_environment_id)
    for webhook in (first, second, first, foreign):
        await harness.finish(await harness.hand_over(webhook))
    await _merge_all(harness, harness.clock.now() + MINUTE)
    await harness.finish(await harness.hand_over(second), Failed())
    store = harness.storage.statistics
    asked = [webhook.webhook_id for webhook in (first, second, silent, foreign)]
    for span in BucketSize:
        period = _period(harness, span)
        summaries = await store.summarize(harness.environment_id, asked, period)
        assert set(summaries) == {first.webhook_id, second.webhook_id}
        for webhook_id, summary in summaries.items():
            read = await store.read(harness.environment_id, webhook_id, period)
            assert summary.total == sum_of(read.values())
            assert summary.attempts == {start: counts.attempts for start, counts in read.items()}
    assert await store.summarize(harness.environment_id, [], _period(harness)) == {}


async def _merge_all(harness: Harness, before: datetime) -> int:
    """Merge minutes in turns with another process; return how many rows."""
    merged = 0
    for each in cycle((harness.storage, harness.rival)):
        rows = await each.retention.merge_statistics(before, 30)
        merged += rows
        if not rows:
            return merged
    raise AssertionError


async def test_what_is_too_old_is_deleted(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.finish(await harness.begin(webhook))
    await harness.clock.advance(3600)
    now = BucketSize.MINUTE.start_of(harness.clock.now())
    await harness.finish(await harness.begin(webhook))
    await harness.storage.retention.merge_statistics(now, 100)
    assert await harness.storage.retention.delete_statistics_before(now - DAY, 100) == 0
    assert await harness.storage.retention.delete_statistics_before(now, 100) == 1
    assert (await _total(harness, webhook)).attempts == {AttemptOutcome.SUCCEEDED: 1}
    assert await harness.storage.retention.delete_statistics_before(now + DAY, 100) == 1
    assert await _total(harness, None) == Counts()


async def test_the_webhooks_that_fail_most_are_named(harness: Harness) -> None:
    good, bad, worse = [await harness.webhook() for _ in range(3)]
    long_ago = harness.clock.now()
    await harness.finish(await harness.begin(good), Failed())
    await harness.clock.advance(3600)
    since = BucketSize.MINUTE.start_of(harness.clock.now())
    for webhook, failures in ((bad, 1), (worse, 2)):
        await harness.finish(await harness.begin(webhook))
        for _ in range(failures):
            await harness.finish(await harness.begin(webhook), Failed())
    await harness.finish(await harness.begin(good))
    failing = await harness.rival.statistics.failing(since, 10)
    assert [(one.webhook_id, one.failed, one.succeeded) for one in failing] == [
        (worse.webhook_id, 2, 1),
        (bad.webhook_id, 1, 1),
    ]
    assert {one.environment_id for one in failing} == {harness.environment_id}
    assert [one.webhook_id for one in await harness.storage.statistics.failing(since, 1)] == [
        worse.webhook_id
    ]
    assert len(await harness.storage.statistics.failing(long_ago, 10)) == 3
    busiest = await harness.rival.statistics.busiest(since, 2)
    assert [(one.webhook_id, one.failed, one.succeeded) for one in busiest] == [
        (worse.webhook_id, 2, 1),
        (bad.webhook_id, 1, 1),
    ]
    assert len(await harness.rival.statistics.busiest(since, 10)) == 3


async def test_rows_stay_short_however_much_is_added(harness: Harness) -> None:
    """Each transaction adds some bytes, which are compacted now and then."""
    webhook = await harness.webhook()
    number = 0
    for _ in range(60):
        await harness.publish(webhook, 10)
        claimed = (await harness.claim()).deliveries
        results = []
        for one in claimed:
            result = harness.result(one, Retry(timedelta(days=365)))
            error = AttemptError([*ErrorCode][number % len(ErrorCode)], "It failed.")
            duration = timedelta(milliseconds=1.1 ** (number % 250))
            attempt = evolve(result.attempt, error=error, duration=duration)
            results.append(evolve(result, attempt=attempt))
            number += 1
        assert list(await harness.storage.deliveries.finish(results, DELAY)) == []
    total = await _total(harness, webhook)
    assert total.attempts == {AttemptOutcome.FAILED: 600}
    assert total.durations.total() == total.errors.total() == 600
    if isinstance(harness.storage, SqlStorage):
        longest = sa.select(sa.func.max(sa.func.length(statistics.c.figures)))
        async with harness.storage.database.query() as connection:
            assert 0 < (await connection.execute(longest)).scalar_one() <= 1_600


async def test_those_who_count_at_the_same_time_lose_nothing(harness: Harness) -> None:
    """Two processes, each with several transactions at a time, of the same webhooks."""
    webhooks = [await harness.webhook() for _ in range(3)]
    skip = {"state": DeliveryState.SKIPPED, "reason": EndReason.QUEUE_FULL}

    async def work(number: int) -> None:
        store = (harness.storage if number % 2 else harness.rival).deliveries
        for _ in range(10):
            events = [harness.event() for _ in webhooks]
            async with store.ingesting() as transaction:
                await transaction.add_events(events)
                pairs = zip(webhooks[::-1] if number % 3 else webhooks, events, strict=True)
                skips = [harness.to(webhook, event, **skip) for webhook, event in pairs]
                await transaction.add_deliveries(skips, None, DELAY)

    await asyncio.gather(*map(work, range(4)))
    for webhook in webhooks:
        assert await _total(harness, webhook) == _skipped(40)


async def test_each_attempt_has_the_name_of_its_process(harness: Harness) -> None:
    webhook = await harness.webhook()
    named: list[str | None] = ["b", None, "a" * 200]
    await harness.publish(webhook, 3)
    for claimed, name in zip((await harness.claim()).deliveries, named, strict=True):
        result = harness.result(claimed)
        result = evolve(result, attempt=evolve(result.attempt, instance=name))
        await harness.storage.deliveries.finish([result], DELAY)
    assert {attempt.instance for attempt in await harness.log(webhook)} == {*named}


async def test_a_webhook_of_which_nothing_was_counted_has_no_buckets(harness: Harness) -> None:
    read = harness.storage.statistics.read
    assert not await read(harness.environment_id, UUID(int=7), _period(harness))
