"""What a delivery store promises of webhooks that keep failing."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from attrs import evolve

from notification_core.model.circuit_breaker import BreakerPolicy, CircuitBreaker, HealthState
from notification_core.model.delivery import (
    AttemptError,
    AttemptOutcome,
    AttemptResult,
    ClaimedDelivery,
    DeliveryState,
    ErrorCode,
    Failed,
    ReceivedResponse,
    Retry,
)
from notification_core.model.webhook import Webhook
from tests.contracts.harness import DELAY, LEASE, TYPE, Harness, ids_of

SECOND = timedelta(seconds=1)
POLICY = BreakerPolicy(failures=3, pause=10 * SECOND, max_pause=60 * SECOND)
REFUSED = AttemptError(ErrorCode.CONNECT, "Nobody listens there.")
RETRY = Retry(SECOND)


class Heard:
    """A circuit breaker, and what is heard of it."""

    def __init__(self, policy: BreakerPolicy = POLICY) -> None:
        self.changes: list[tuple[UUID, HealthState]] = []
        self.waiting: list[UUID] = []
        self.breaker = CircuitBreaker(
            policy, lambda *change: self.changes.append(change), self.waiting.append
        )


def _failed(
    harness: Harness, claimed: ClaimedDelivery, step: Any = RETRY, **how: Any
) -> AttemptResult:
    result = harness.result(claimed, step, AttemptOutcome.FAILED, **how)
    return evolve(result, attempt=evolve(result.attempt, error=REFUSED, response=None))


def _answered(harness: Harness, claimed: ClaimedDelivery, code: int) -> AttemptResult:
    result = harness.result(claimed, RETRY, AttemptOutcome.FAILED)
    error = AttemptError(ErrorCode.HTTP_STATUS, f"The receiver responded with {code}.")
    response = ReceivedResponse(code, (), b"")
    return evolve(result, attempt=evolve(result.attempt, error=error, response=response))


async def _write(
    harness: Harness, results: Sequence[AttemptResult], heard: Heard | None = None
) -> None:
    breaker = (heard or Heard()).breaker
    assert not await harness.storage.deliveries.finish(results, DELAY, breaker)


async def _fail(harness: Harness, webhook: Webhook, times: int = 1) -> list[UUID]:
    """Publish as many deliveries and have each one fail once."""
    ids = await harness.publish(webhook, times)
    claimed = (await harness.claim()).deliveries
    assert len(claimed) == times
    for one in claimed:
        await _write(harness, [_failed(harness, one)])
    return ids


async def _paused(harness: Harness) -> tuple[Webhook, list[UUID]]:
    """Return a webhook that is paused, and its three deliveries that wait."""
    webhook = await harness.webhook()
    ids = await _fail(harness, webhook, POLICY.failures)
    await harness.clock.advance(RETRY.after.total_seconds())
    return webhook, ids


async def _shown(harness: Harness, webhook: Webhook) -> Any:
    key = webhook.environment_id, webhook.webhook_id
    (view,) = await harness.storage.logs.webhooks(*key)
    return view.health


async def test_a_webhook_that_fails_too_often_in_a_row_is_skipped(harness: Harness) -> None:
    webhook, other = await harness.webhook(), await harness.webhook()
    revision = await harness.storage.webhooks.webhooks_revision()
    heard = Heard()
    await harness.publish(webhook, POLICY.failures)
    for number, one in enumerate((await harness.claim()).deliveries, 1):
        await _write(harness, [_failed(harness, one)], heard)
        is_last = number == POLICY.failures
        assert heard.changes == [(webhook.webhook_id, HealthState.PAUSED)] * is_last
    assert await harness.storage.webhooks.webhooks_revision() == revision + 1
    await harness.clock.advance(5)
    ids = await harness.publish(other)
    claimed = await harness.claim()
    assert ids_of(claimed) == ids
    snapshot = await harness.storage.webhooks.snapshot([webhook.webhook_id])
    assert snapshot.webhooks[webhook.webhook_id].is_paused
    assert (await harness.storage.backlog.size()).paused == 1


async def test_a_failure_that_does_not_pause_changes_nothing_of_the_webhook(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    revision = await harness.storage.webhooks.webhooks_revision()
    await _fail(harness, webhook, POLICY.failures - 1)
    assert await harness.storage.webhooks.webhooks_revision() == revision
    assert await harness.storage.webhooks.get(webhook.environment_id, webhook.webhook_id) == webhook


async def test_a_success_in_between_restarts_the_count(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, 6)
    good, *bad = (await harness.claim()).deliveries
    heard = Heard()
    for one in bad[:2]:
        await _write(harness, [_failed(harness, one)], heard)
    await _write(harness, [harness.result(good)], heard)
    for one in bad[2:4]:
        await _write(harness, [_failed(harness, one)], heard)
    assert heard.changes == []
    await _write(harness, [_failed(harness, bad[4])], heard)
    assert heard.changes == [(webhook.webhook_id, HealthState.PAUSED)]


async def test_many_successes_at_once_heal_a_webhook_among_others(harness: Harness) -> None:
    failing, healthy = await harness.webhook(), await harness.webhook()
    await _fail(harness, failing, 2)
    await harness.publish(failing, 40)
    await harness.publish(healthy, 40)
    claimed = (await harness.claim()).deliveries
    await _write(harness, [harness.result(one) for one in claimed])
    for one in claimed:
        assert (await harness.probe(one.fence.delivery_id)).state is DeliveryState.SUCCEEDED
    heard = Heard()
    await harness.publish(failing, 2)
    for one in (await harness.claim()).deliveries:
        await _write(harness, [_failed(harness, one)], heard)
    assert heard.changes == []


@pytest.mark.parametrize(
    ("code", "is_paused"), [(500, True), (503, True), (408, True), (429, True), (404, False)]
)
async def test_only_answers_that_speak_against_the_receiver_count(
    harness: Harness,
    code: int,
    is_paused: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, POLICY.failures)
    heard = Heard()
    for one in (await harness.claim()).deliveries:
        await _write(harness, [_answered(harness, one, code)], heard)
    assert heard.changes == [(webhook.webhook_id, HealthState.PAUSED)] * is_paused


async def test_a_breaker_that_is_off_pauses_nothing(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, 20)
    heard = Heard(BreakerPolicy(failures=0))
    for one in (await harness.claim()).deliveries:
        await _write(harness, [_failed(harness, one, Failed())], heard)
    assert heard.changes == []
    assert await _shown(harness, webhook) is None


async def test_failures_of_a_webhook_that_was_changed_since_begin_no_count(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, POLICY.failures)
    claimed = (await harness.claim()).deliveries
    await harness.change(webhook, url="https://other.example.com/")
    heard = Heard()
    for one in claimed:
        await _write(harness, [_failed(harness, one)], heard)
    assert heard.changes == []


async def test_a_delivery_without_retries_left_pauses_its_webhook_and_waits(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    (delivery_id,) = await harness.publish(webhook)
    heard = Heard(evolve(POLICY, failures=100))
    for step in (RETRY, RETRY, Failed()):
        (claimed,) = (await harness.claim()).deliveries
        await _write(harness, [_failed(harness, claimed, step)], heard)
        await harness.clock.advance(1)
    assert heard.changes == [(webhook.webhook_id, HealthState.PAUSED)]
    assert heard.waiting == [delivery_id]
    stored = await harness.probe(delivery_id)
    assert (stored.state, stored.failures, stored.attempt) == (DeliveryState.PENDING, 2, 3)


async def test_a_delivery_fails_if_others_have_succeeded_since_it_began(harness: Harness) -> None:
    webhook = await harness.webhook()
    bad, good = await harness.publish(webhook, 2)
    claimed = {one.fence.delivery_id: one for one in (await harness.claim()).deliveries}
    heard = Heard(evolve(POLICY, failures=100))
    await _write(harness, [_failed(harness, claimed[bad])], heard)
    await _write(harness, [harness.result(claimed[good])], heard)
    await harness.clock.advance(1)
    (again,) = (await harness.claim()).deliveries
    await _write(harness, [_failed(harness, again, Failed())], heard)
    assert heard.changes == heard.waiting == []
    assert (await harness.probe(bad)).state is DeliveryState.FAILED


async def test_one_delivery_at_a_time_is_probed_in_turn(harness: Harness) -> None:
    _, ids = await _paused(harness)
    pauses = [10, 20, 40, 60, 60]
    probed = []
    await harness.clock.advance(10 - 1)
    for pause in pauses[1:]:
        (claimed,) = (await harness.claim()).deliveries
        probed.append(claimed.fence.delivery_id)
        assert (await harness.claim(harness.rival, worker=harness.other_worker)).deliveries == ()
        await _write(harness, [_failed(harness, claimed, Failed())])
        stored = await harness.probe(claimed.fence.delivery_id)
        assert (stored.state, stored.failures) == (DeliveryState.PENDING, claimed.failures)
        await harness.clock.advance(pause - 1)
        nothing = await harness.claim()
        assert (nothing.deliveries, nothing.next_due) == ((), SECOND)
        await harness.clock.advance(1)
    assert sorted(probed[:3]) == sorted(ids)
    assert probed[3] == probed[0]


async def test_a_success_resumes_the_webhook(harness: Harness) -> None:
    webhook, ids = await _paused(harness)
    await harness.clock.advance(10)
    (probe,) = (await harness.claim()).deliveries
    revision = await harness.storage.webhooks.webhooks_revision()
    heard = Heard()
    await _write(harness, [harness.result(probe)], heard)
    assert heard.changes == [(webhook.webhook_id, HealthState.HEALTHY)]
    assert await harness.storage.webhooks.webhooks_revision() == revision + 1
    claimed = await harness.claim()
    assert sorted(ids_of(claimed)) == sorted({*ids} - {probe.fence.delivery_id})
    resumed = claimed.webhooks[webhook.webhook_id]
    assert (resumed.is_paused, resumed.resumed_at) == (False, harness.clock.now())
    assert (resumed.version, resumed.updated_at) == (webhook.version, webhook.updated_at)
    assert await _shown(harness, webhook) is None


async def test_a_new_delivery_is_probed_at_once_and_another_only_after_the_pause(
    harness: Harness,
) -> None:
    webhook, _ = await _paused(harness)
    (new,) = await harness.publish(webhook)
    (probe,) = (await harness.claim()).deliveries
    assert probe.fence.delivery_id == new
    await _write(harness, [_failed(harness, probe)])
    (newer,) = await harness.publish(webhook)
    assert (await harness.claim()).deliveries == ()
    # Its turn comes with that of the others, or once another new one may be probed.
    await harness.clock.advance(9)
    (turn,) = (await harness.claim()).deliveries
    assert turn.fence.delivery_id not in {new, newer}
    await _write(harness, [_failed(harness, turn)])
    await harness.clock.advance(10)
    assert ids_of(await harness.claim()) == [newer]


async def test_what_is_given_back_is_probed_again_at_once(harness: Harness) -> None:
    await _paused(harness)
    await harness.clock.advance(10)
    (probe,) = (await harness.claim()).deliveries
    await harness.storage.deliveries.release([probe.fence])
    assert len((await harness.claim()).deliveries) == 1
    # One that is given back once more leaves the slot to who has it now.
    await harness.storage.deliveries.release([probe.fence])
    assert (await harness.claim()).deliveries == ()


async def test_another_is_probed_once_the_lease_of_a_killed_process_is_over(
    harness: Harness,
) -> None:
    await _paused(harness)
    await harness.clock.advance(10)
    (probe,) = (await harness.claim()).deliveries
    await harness.clock.advance(LEASE.total_seconds() - 1)
    assert (await harness.claim(worker=harness.other_worker)).deliveries == ()
    await harness.clock.advance(2)
    assert (await harness.storage.deliveries.reap((), DELAY)).count == 1
    (other,) = (await harness.claim(worker=harness.other_worker)).deliveries
    assert other.fence.delivery_id != probe.fence.delivery_id


async def test_of_many_that_claim_at_once_one_probes(harness: Harness) -> None:
    await _paused(harness)
    await harness.clock.advance(10)
    stores = [harness.storage, harness.rival] * 4
    claims = await asyncio.gather(*(harness.claim(store, worker=harness.ids()) for store in stores))
    assert sum(len(claimed.deliveries) for claimed in claims) == 1


async def test_results_of_two_processes_at_once_count_each(harness: Harness) -> None:
    webhooks = [await harness.webhook() for _ in range(6)]
    for webhook in webhooks:
        await harness.publish(webhook, 8)
    claimed = (await harness.claim()).deliveries
    never = CircuitBreaker(BreakerPolicy(failures=1000))
    halves = claimed[::2], claimed[1::2][::-1]
    stores = harness.storage.deliveries, harness.rival.deliveries
    async with asyncio.timeout(20):
        refused = await asyncio.gather(
            *(
                store.finish([_failed(harness, one) for one in half[n : n + 6]], DELAY, never)
                for store, half in zip(stores, halves, strict=True)
                for n in range(0, len(half), 6)
            )
        )
    assert not any(refused)
    for webhook in webhooks:
        assert (await _shown(harness, webhook)).failures == 8


async def test_what_is_in_flight_while_the_webhook_is_paused_uses_no_retry(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, POLICY.failures + 2)
    *first, late, good = (await harness.claim()).deliveries
    for one in first:
        await _write(harness, [_failed(harness, one)])
    await _write(harness, [_failed(harness, late, Failed())])
    stored = await harness.probe(late.fence.delivery_id)
    assert (stored.state, stored.failures) == (DeliveryState.PENDING, 0)
    heard = Heard()
    await _write(harness, [harness.result(good)], heard)
    assert heard.changes == [(webhook.webhook_id, HealthState.HEALTHY)]


@pytest.mark.parametrize(
    ("changes", "is_resumed"),
    [({"url": "https://other.example.com/"}, True), ({"name": "another"}, False)],
)
async def test_a_change_that_may_help_resumes_the_webhook(
    harness: Harness,
    changes: dict[str, Any],
    is_resumed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    webhook, ids = await _paused(harness)
    changed = evolve(webhook, version=webhook.version + 1, **changes)
    await harness.storage.webhooks.replace(changed, resets_health=is_resumed)
    assert len((await harness.claim()).deliveries) == len(ids) * is_resumed
    snapshot = await harness.storage.webhooks.snapshot([webhook.webhook_id])
    assert snapshot.webhooks[webhook.webhook_id].is_paused is not is_resumed


async def test_turning_the_breaker_off_resumes_all(harness: Harness) -> None:
    webhook, ids = await _paused(harness)
    assert await harness.storage.webhook_health.clear()
    assert not await harness.storage.webhook_health.clear()
    assert len((await harness.claim()).deliveries) == len(ids)
    assert await _shown(harness, webhook) is None


async def test_the_health_of_a_webhook_is_shown(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, POLICY.failures)
    claimed = (await harness.claim()).deliveries
    since = harness.clock.now()
    for number, one in enumerate(claimed, 1):
        await _write(harness, [_failed(harness, one)], Heard(evolve(POLICY, failures=4)))
        health = await _shown(harness, webhook)
        state = HealthState.HEALTHY if number < 3 else HealthState.FAILING
        assert (health.state, health.failures, health.since) == (state, number, since)
    await _fail(harness, webhook, 1)
    health = await _shown(harness, webhook)
    assert health.state is HealthState.PAUSED
    assert health.probes.paused_at == harness.clock.now()
    assert health.probes.next_at == harness.clock.now() + POLICY.pause


async def test_a_delivery_that_has_waited_for_too_long_has_failed(harness: Harness) -> None:
    webhook, ids = await _paused(harness)
    paused_at = (await _shown(harness, webhook)).probes.paused_at
    await harness.clock.advance(60)
    (young,) = await harness.publish(webhook)
    before = harness.clock.now() - timedelta(days=30)
    cancel = harness.storage.deliveries.cancel_unsendable
    assert not (await cancel(1000, before, paused_at)).count
    ended = [await cancel(limit, before, paused_at + SECOND) for limit in (2, 1000)]
    assert [batch.count for batch in ended] == [2, 1]
    failed = [delivery for batch in ended for delivery in batch.failed]
    assert {delivery.delivery_id for delivery in failed} == set(ids)
    for one in ids:
        stored = await harness.probe(one)
        assert (stored.state, stored.reason) == (DeliveryState.FAILED, "webhook_paused")
    assert (await harness.probe(young)).state is DeliveryState.PENDING


async def test_a_delivery_that_has_waited_for_too_long_is_an_operational_event_of_its_own(
    harness: Harness,
) -> None:
    webhook, ids = await _paused(harness)
    never_sent = await harness.publish(webhook)
    await harness.clock.advance(60)
    held_before = harness.clock.now()
    stored = await harness.storage.outbox.acquire(harness.worker, LEASE, 1000, 2**30)
    assert [json.loads(one.value or b"")["event"] for one in stored] == ["webhook-paused"]
    await harness.storage.deliveries.cancel_unsendable(1000, held_before, held_before)
    _, *messages = await harness.storage.outbox.acquire(harness.worker, LEASE, 1000, 2**30)
    events = [json.loads(one.value or b"") for one in messages]
    assert {event["event"] for event in events} == {"webhook-delivery-failed"}
    assert {event["environment_id"] for event in events} == {str(webhook.environment_id)}
    told = {UUID(event["data"].pop("delivery_id")): event["data"] for event in events}
    assert told.keys() == {*ids, *never_sent}
    for delivery_id, data in told.items():
        assert data.pop("event_id")
        assert data == {
            "webhook_id": str(webhook.webhook_id),
            "event": TYPE,
            "attempts": int(delivery_id in ids),
            "reason": "webhook_paused",
        }


async def test_those_that_have_failed_for_long_are_found_while_they_are_paused(
    harness: Harness,
) -> None:
    webhook, _ = await _paused(harness)
    key = webhook.environment_id, webhook.webhook_id
    health = harness.storage.webhook_health
    began = harness.clock.now() - RETRY.after
    assert list(await health.paused_before(began - SECOND)) == []
    assert list(await health.paused_before(began + SECOND)) == [key]


async def test_a_webhook_that_is_deleted_leaves_no_health(harness: Harness) -> None:
    webhook, _ = await _paused(harness)
    key = webhook.environment_id, webhook.webhook_id
    await harness.storage.webhooks.delete(*key, harness.clock.now())
    assert (await harness.storage.backlog.size()).paused == 0


async def test_a_result_that_is_written_again_counts_once(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    result = _failed(harness, claimed)
    heard = Heard()
    await _write(harness, [result], heard)
    for _ in range(5):
        fenced = await harness.storage.deliveries.finish([result], DELAY, heard.breaker)
        assert list(fenced) == [claimed.fence]
    assert (await _shown(harness, webhook)).failures == 1
    assert heard.changes == []


@pytest.mark.parametrize("is_success", [True, False])
async def test_many_webhooks_take_as_many_statements_as_two(
    harness: Harness,
    is_success: bool,  # noqa: FBT001 - a case
) -> None:
    statements: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement)

    taken = []
    for number in (2, 6):
        webhooks = [await harness.webhook() for _ in range(number)]
        for webhook in webhooks:
            await harness.publish(webhook, POLICY.failures)
        claimed = (await harness.claim()).deliveries
        last = {one.webhook_id: one for one in claimed}
        before = [one for one in claimed if one not in last.values()]
        await _write(harness, [_failed(harness, one) for one in before])
        results = [
            harness.result(one) if is_success else _failed(harness, one) for one in last.values()
        ]
        statements.clear()
        sa.event.listen(sa.Engine, "before_cursor_execute", note)
        try:
            await _write(harness, results)
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", note)
        taken.append(len(statements))
        for webhook in webhooks:
            key = webhook.environment_id, webhook.webhook_id
            await harness.storage.webhooks.delete(*key, harness.clock.now())
    assert taken[0] == taken[1]
