"""Every storage does what the rules of the core say, in every state that a delivery can have."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from notification_core.model.delivery import (
    MAX_INTERRUPTIONS,
    AttemptOutcome,
    AttemptResult,
    ClaimedDelivery,
    DeliveryState,
    Failed,
    Retry,
    Succeeded,
)
from notification_core.model.delivery_transitions import (
    UNSENDABLE,
    Transition,
    after_attempt,
    after_interruption,
    reason_to_end,
)
from notification_core.model.webhook import FOREVER, DisabledReason, Webhook
from tests.contracts.harness import DELAY, Harness, Stored, ids_of

HOUR = timedelta(hours=1)
END = (
    (Succeeded(), AttemptOutcome.SUCCEEDED),
    (Retry(3 * HOUR), AttemptOutcome.FAILED),
    (Retry(3 * HOUR), AttemptOutcome.INTERRUPTED),
    (Failed(), AttemptOutcome.FAILED),
)
INTERRUPTED, RETRIED = (
    (Retry(HOUR), AttemptOutcome.INTERRUPTED),
    (Retry(HOUR), AttemptOutcome.FAILED),
)
HISTORIES = [
    *product(END),
    *product([INTERRUPTED, RETRIED], END),
    *((*[INTERRUPTED] * (MAX_INTERRUPTIONS - 1), end) for end in END),
    *((RETRIED, *[INTERRUPTED] * (MAX_INTERRUPTIONS - 1), end) for end in END),
]
"""How the attempts of a delivery end: each state in which the last one can find it."""


def _expected(before: Stored, transition: Transition) -> Stored:
    changed = evolve(
        before,
        failures=transition.failures,
        interruptions=transition.interruptions,
        worker=None,
    )
    if transition.state is None:
        return changed
    return evolve(
        changed,
        state=transition.state,
        reason=transition.reason,
        due_at=transition.due_at or before.due_at,
    )


async def _begin_all(harness: Harness) -> dict[UUID, ClaimedDelivery]:
    await harness.clock.advance(4 * HOUR.total_seconds())
    claimed = await harness.claim(lease=timedelta(days=1))
    return {delivery.fence.delivery_id: delivery for delivery in claimed.deliveries}


async def _attempted(harness: Harness, histories: Sequence[Any]) -> dict[UUID, Any]:
    """Make a delivery for each history, and all of its attempts but the last."""
    ids = await harness.publish(await harness.webhook(), len(histories))
    ends = dict(zip(ids, histories, strict=True))
    for number in range(max(map(len, histories)) - 1):
        claimed = await _begin_all(harness)
        held = {one: ends[one] for one in claimed if number < len(ends[one]) - 1}
        results = [harness.result(claimed[one], *history[number]) for one, history in held.items()]
        assert not await harness.storage.deliveries.finish(results, DELAY)
        await harness.storage.deliveries.release(
            [claimed[one].fence for one in claimed if one not in held]
        )
    return ends


def _all_at_once(results: Sequence[AttemptResult]) -> Sequence[Sequence[AttemptResult]]:
    return [results]


def _one_by_one(results: Sequence[AttemptResult]) -> Sequence[Sequence[AttemptResult]]:
    return [[result] for result in results]


def _by_how_they_end(results: Sequence[AttemptResult]) -> Sequence[Sequence[AttemptResult]]:
    """Successes go by statements of their own where nothing else is among them."""
    outcomes = {result.attempt.outcome for result in results}
    return [[one for one in results if one.attempt.outcome is each] for each in outcomes]


@pytest.mark.parametrize("batched", [_all_at_once, _one_by_one, _by_how_they_end])
@pytest.mark.parametrize("is_cancelled", [False, True], ids=["pending", "cancelled meanwhile"])
async def test_a_result_does_what_the_rule_says(
    harness: Harness,
    batched: Callable[[Sequence[AttemptResult]], Sequence[Sequence[AttemptResult]]],
    is_cancelled: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    ends = await _attempted(harness, HISTORIES)
    claimed = await _begin_all(harness)
    assert claimed.keys() == ends.keys()
    if is_cancelled:
        webhook_id = next(iter(claimed.values())).webhook_id
        await harness.storage.webhooks.delete(
            harness.environment_id, webhook_id, harness.clock.now()
        )
    before = {one: await harness.probe(one) for one in ends}
    results = {one: harness.result(claimed[one], *history[-1]) for one, history in ends.items()}
    for batch in batched(list(results.values())):
        assert not await harness.storage.deliveries.finish(batch, DELAY)
    for one, result in results.items():
        rule = after_attempt(result, before[one], harness.clock.now(), DELAY)
        assert await harness.probe(one) == _expected(before[one], rule), ends[one]


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["pending", "cancelled meanwhile"])
async def test_a_lost_lease_does_what_the_rule_says(
    harness: Harness,
    is_cancelled: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    ends = await _attempted(harness, HISTORIES)
    claimed = await _begin_all(harness)
    if is_cancelled:
        webhook_id = next(iter(claimed.values())).webhook_id
        await harness.storage.webhooks.delete(
            harness.environment_id, webhook_id, harness.clock.now()
        )
    before = {one: await harness.probe(one) for one in ends}
    await harness.clock.advance(timedelta(days=2).total_seconds())
    assert (await harness.storage.deliveries.reap([], DELAY)).count == len(ends)
    for one in ends:
        rule = after_interruption(before[one], harness.clock.now(), DELAY)
        assert await harness.probe(one) == _expected(before[one], rule), ends[one]


async def test_what_can_no_longer_be_sent_ends_as_the_rule_says(harness: Harness) -> None:
    start = harness.clock.now()
    disabled: list[tuple[datetime | None, DisabledReason | None]] = [
        (None, None),
        (start + HOUR, None),
        (FOREVER, None),
        *((FOREVER, reason) for reason in DisabledReason),
    ]
    webhooks: list[Webhook | None] = [await harness.webhook() for _ in disabled]
    old = [await _three(harness, webhook) for webhook in webhooks if webhook]
    await harness.clock.advance(2 * HOUR.total_seconds())
    expired_before = harness.clock.now() - HOUR
    events: dict[UUID, tuple[Webhook | None, datetime]] = {}
    for webhook, ids, how in zip(webhooks, old, disabled, strict=True):
        assert webhook is not None
        young_at = harness.clock.now()
        young = await harness.publish(webhook, 2)
        changed = await harness.change(webhook, disabled_until=how[0], disabled_reason=how[1])
        events |= dict.fromkeys(ids, (changed, start)) | dict.fromkeys(young, (changed, young_at))
    before = {one: await harness.probe(one) for one in events}
    now = harness.clock.now()
    expected = {
        one: reason
        for one, (webhook, stored_at) in events.items()
        if before[one].state is DeliveryState.PENDING
        and (reason := reason_to_end(webhook, stored_at, now, expired_before))
    }
    batch = await harness.storage.deliveries.cancel_unsendable(1000, expired_before)
    assert batch.count == len(expected)
    for one, row in before.items():
        reason = expected.get(one)
        ended = evolve(row, state=UNSENDABLE[reason], reason=reason) if reason else row
        assert await harness.probe(one) == ended


async def _three(harness: Harness, webhook: Webhook) -> list[UUID]:
    """Store three old deliveries: one due, one that has failed once, and one that has ended."""
    ids = await harness.publish(webhook, 3)
    claimed = {one.fence.delivery_id: one for one in (await harness.claim()).deliveries}
    await harness.finish(claimed.pop(ids[1]), Retry(9 * HOUR))
    await harness.finish(claimed.pop(ids[2]), Succeeded())
    await harness.storage.deliveries.release([one.fence for one in claimed.values()])
    return ids


async def test_a_redelivery_of_an_old_event_expires_with_the_event(harness: Harness) -> None:
    webhook = await harness.webhook()
    failed = await harness.begin(webhook)
    await harness.finish(failed, Failed())
    await harness.clock.advance(2 * HOUR.total_seconds())
    old = await harness.storage.history.delivery(harness.environment_id, failed.fence.delivery_id)
    again = harness.ids()
    await harness.storage.replays.retry(old, again)
    (young,) = await harness.publish(webhook)
    await harness.change(webhook, disabled_until=FOREVER)
    ended = await harness.storage.deliveries.cancel_unsendable(1000, harness.clock.now() - HOUR)
    assert ended.count == 1
    expired = await harness.probe(again)
    assert (expired.state, expired.reason) == (DeliveryState.CANCELLED, "expired")
    assert (await harness.probe(young)).state is DeliveryState.PENDING
    assert ids_of(await harness.claim()) == []
