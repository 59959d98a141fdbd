"""What a delivery store promises about webhooks with a rate limit."""

import asyncio
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

from attrs import evolve

from notification_core.model.circuit_breaker import BreakerPolicy, CircuitBreaker
from notification_core.model.delivery import (
    AttemptError,
    ClaimedDelivery,
    ErrorCode,
    NextStep,
    Retry,
)
from notification_core.model.rate_limit import LEAD
from notification_core.model.webhook import Webhook
from tests.contracts.harness import DELAY, Harness, ids_of

SECOND = timedelta(seconds=1)
PAUSE = SECOND / 10
"""After which a paused webhook is probed again: sooner than the limits of these tests allow."""


async def test_a_claim_takes_a_quarter_of_a_second_and_says_when_each_may_be_sent(
    harness: Harness,
) -> None:
    webhook = await harness.webhook(rate_limit=20)
    ids = await harness.publish(webhook, 12)
    claimed = await harness.claim()
    assert ids_of(claimed) == ids[:5]
    granted = claimed.grants[webhook.webhook_id]
    assert [granted.delay_of(number) for number in range(granted.count)] == [
        timedelta(milliseconds=50 * number) for number in range(5)
    ]
    assert claimed.next_due == SECOND / 4 - LEAD


async def test_a_webhook_at_its_rate_is_skipped_until_it_may_be_sent_to(
    harness: Harness,
) -> None:
    webhook = await harness.webhook(rate_limit=1)
    other = await harness.webhook()
    first, second = await harness.publish(webhook, 2)
    assert ids_of(await harness.claim()) == [first]
    others = await harness.publish(other, 2)
    claimed = await harness.claim(worker=harness.other_worker)
    assert ids_of(claimed) == others
    assert claimed.next_due is not None
    assert SECOND - LEAD - SECOND / 100 < claimed.next_due < SECOND - LEAD
    harness.clock.jump(claimed.next_due)
    claimed = await harness.claim(worker=harness.other_worker)
    assert ids_of(claimed) == [second]
    assert claimed.grants[webhook.webhook_id].delay_of(0) == LEAD


async def test_only_what_a_claim_takes_counts(harness: Harness) -> None:
    webhook = await harness.webhook(rate_limit=20)
    ids = await harness.publish(webhook, 12)
    assert ids_of(await harness.claim(webhook_limits={webhook.webhook_id: 2})) == ids[:2]
    harness.clock.jump(SECOND / 10)
    claimed = await harness.claim(limit=4)
    assert ids_of(claimed) == ids[2:6]
    assert claimed.next_due == timedelta()
    assert claimed.grants[webhook.webhook_id].delay_of(0) < SECOND / 1000


async def test_retries_count(harness: Harness) -> None:
    webhook = await harness.webhook(rate_limit=1)
    delivery = await harness.begin(webhook)
    await harness.finish(delivery, Retry(timedelta()))
    assert not (await harness.claim()).deliveries
    harness.clock.jump(SECOND)
    assert ids_of(await harness.claim()) == [delivery.fence.delivery_id]


async def test_two_claims_at_once_share_the_rate(harness: Harness) -> None:
    webhook = await harness.webhook(rate_limit=40)
    await harness.publish(webhook, 200)
    for _ in range(5):
        first, second = await asyncio.gather(
            harness.claim(), harness.claim(harness.rival, worker=harness.other_worker)
        )
        assert len(first.deliveries) + len(second.deliveries) == 10
        harness.clock.jump(SECOND / 4)


async def test_a_limit_that_is_changed_or_removed_applies_to_the_next_claim(
    harness: Harness,
) -> None:
    webhook = await harness.webhook(rate_limit=1)
    ids = await harness.publish(webhook, 200)
    assert ids_of(await harness.claim()) == ids[:1]
    webhook = await harness.change(webhook, rate_limit=100)
    harness.clock.jump(SECOND)
    assert ids_of(await harness.claim()) == ids[1:26]
    await harness.change(webhook, rate_limit=None)
    claimed = await harness.claim()
    assert (ids_of(claimed), claimed.grants) == (ids[26:], {})


async def test_a_webhook_is_stored_with_its_limit(harness: Harness) -> None:
    webhook = await harness.webhook(rate_limit=7)
    key = webhook.environment_id, webhook.webhook_id
    assert (await harness.storage.webhooks.get(*key)).rate_limit == 7


async def _write(
    harness: Harness,
    claimed: ClaimedDelivery,
    next_step: NextStep | None = None,
    pause: timedelta = PAUSE,
) -> None:
    result = harness.result(claimed, next_step)
    if next_step:
        refused = AttemptError(ErrorCode.CONNECT, "Nobody listens there.")
        result = evolve(result, attempt=evolve(result.attempt, error=refused, response=None))
    breaker = CircuitBreaker(BreakerPolicy(failures=1, pause=pause, max_pause=pause))
    assert not await harness.storage.deliveries.finish([result], DELAY, breaker)


async def _paused(
    harness: Harness, rate_limit: int, pause: timedelta = PAUSE
) -> tuple[Webhook, list[UUID]]:
    """Return a paused webhook that has used its rate just now, and 20 deliveries that wait."""
    webhook = await harness.webhook(rate_limit=rate_limit)
    ids = await harness.publish(webhook, 20)
    (first,) = (await harness.claim()).deliveries
    await _write(harness, first, Retry(timedelta()), pause)
    return webhook, ids


async def test_probes_of_a_paused_webhook_stay_within_its_rate(harness: Harness) -> None:
    await _paused(harness, rate_limit=1)
    sent_at = []
    began = harness.clock.now()
    while harness.clock.now() < began + 5 * SECOND:
        claimed = await harness.claim()
        for probe in claimed.deliveries:
            sent_at.append(harness.clock.now() + claimed.grants[probe.webhook_id].delay_of(0))
            await _write(harness, probe, Retry(timedelta()))
        harness.clock.jump(PAUSE)
    assert [round((at - began) / SECOND, 1) for at in sent_at] == [1, 2, 3, 4, 5]


async def test_a_new_delivery_of_a_paused_webhook_waits_for_its_rate(harness: Harness) -> None:
    webhook, _ = await _paused(harness, rate_limit=1, pause=60 * SECOND)
    harness.clock.jump(SECOND / 10)
    (new,) = await harness.publish(webhook)
    assert ids_of(await harness.claim()) == []
    harness.clock.jump(SECOND)
    assert ids_of(await harness.claim()) == [new]


async def test_what_waits_for_a_paused_webhook_is_sent_at_its_rate_once_it_is_resumed(
    harness: Harness,
) -> None:
    _, ids = await _paused(harness, rate_limit=4)
    harness.clock.jump(SECOND)
    (probe,) = (await harness.claim()).deliveries
    await _write(harness, probe)
    sent_at = [harness.clock.now()]
    while len(sent_at) < len(ids):
        claimed = await harness.claim()
        for number, one in enumerate(claimed.deliveries):
            delay = claimed.grants[one.webhook_id].delay_of(number)
            sent_at.append(harness.clock.now() + delay)
            await _write(harness, one)
        harness.clock.jump(SECOND / 20)
    assert min(later - earlier for earlier, later in pairwise(sent_at)) >= SECOND / 4
