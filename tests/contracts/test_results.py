"""What a delivery store promises about results, give-backs and leases."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from uuid import uuid4

import pytest
from attrs import evolve

from notification_adapters.clock import SystemClock
from notification_core.model.delivery import (
    MAX_INTERRUPTIONS,
    Attempt,
    AttemptOutcome,
    ClaimedDelivery,
    DeliveryState,
    EndReason,
    ErrorCode,
    Failed,
    Fence,
    NextStep,
    ReceivedResponse,
    Retry,
    Succeeded,
)
from notification_core.model.webhook import FOREVER, DisabledReason, Webhook
from tests.contracts.harness import DELAY, LEASE, Harness, ids_of
from tests.support.assembly import App
from tests.support.observers import RecordedResults

SECOND = timedelta(seconds=1)
GONE = Failed(disables=DisabledReason.GONE)


async def test_a_success_ends_the_delivery_and_is_logged(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    result = await harness.finish(claimed, Succeeded())
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.state, stored.reason, stored.worker) == (DeliveryState.SUCCEEDED, None, None)
    assert list(await harness.log(webhook)) == [result.attempt]
    assert not await harness.storage.deliveries.leased(harness.worker)


async def test_a_retry_is_due_by_the_storages_clock_and_its_log_says_when(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await harness.clock.advance(7)
    result = await harness.finish(claimed, Retry(5 * SECOND))
    due_at = harness.clock.now() + 5 * SECOND
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.state, stored.due_at, stored.failures) == (DeliveryState.PENDING, due_at, 1)
    assert list(await harness.log(webhook)) == [evolve(result.attempt, next_attempt_at=due_at)]


async def test_a_permanent_failure_keeps_its_reason(harness: Harness) -> None:
    claimed = await harness.begin(await harness.webhook())
    await harness.finish(claimed, Failed(reason=EndReason.WEBHOOK_DELETED))
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.state, stored.reason) == (DeliveryState.FAILED, EndReason.WEBHOOK_DELETED)


async def test_many_results_are_written_at_once(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, 50)
    claimed = await harness.claim()
    next_steps: list[NextStep] = [Succeeded(), Retry(SECOND), Failed()]
    results = [
        harness.result(delivery, next_steps[number % 3])
        for number, delivery in enumerate(claimed.deliveries)
    ]
    assert not await harness.storage.deliveries.finish(results, DELAY)
    states = [(await harness.probe(one.fence.delivery_id)).state for one in results]
    assert states[:3] == [DeliveryState.SUCCEEDED, DeliveryState.PENDING, DeliveryState.FAILED]
    assert len(await harness.log(webhook)) == 50


@pytest.mark.parametrize("next_step", [Succeeded(), Retry(SECOND), Failed()])
async def test_the_same_results_again_change_nothing(
    harness: Harness, next_step: Succeeded | Retry | Failed
) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    result = await harness.finish(claimed, next_step)
    before = await harness.probe(claimed.fence.delivery_id), await harness.log(webhook)
    await harness.clock.advance(0.5)
    assert list(await harness.storage.deliveries.finish([result], DELAY)) == [result.fence]
    assert (await harness.probe(claimed.fence.delivery_id), await harness.log(webhook)) == before


@pytest.mark.parametrize("next_step", [Succeeded(), Retry(SECOND)])
async def test_a_result_that_stands_twice_in_a_batch_counts_once(
    harness: Harness, next_step: Succeeded | Retry
) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    result = harness.result(claimed, next_step)
    fenced = await harness.storage.deliveries.finish([result, result], DELAY)
    assert list(fenced) == [result.fence]
    stored = await harness.probe(claimed.fence.delivery_id)
    assert stored.failures == isinstance(next_step, Retry)
    assert len(await harness.log(webhook)) == 1


async def test_of_successes_in_a_batch_those_are_heard_that_hold_their_fence(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, 10)
    claimed = (await harness.claim()).deliveries
    late = [harness.result(one) for one in claimed[::2]]
    await harness.storage.deliveries.release([one.fence for one in late])
    fenced = await harness.storage.deliveries.finish(
        [harness.result(one) for one in claimed], DELAY
    )
    assert {*fenced} == {one.fence for one in late}
    states = [(await harness.probe(one.fence.delivery_id)).state for one in claimed]
    assert states == [DeliveryState.PENDING, DeliveryState.SUCCEEDED] * 5
    assert len(await harness.log(webhook)) == 5


async def test_only_the_holder_of_the_fence_is_heard(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    right = harness.result(claimed)
    wrong = [evolve(right, fence=fence) for fence in _forgeries(harness, claimed.fence).values()]
    fenced = await harness.storage.deliveries.finish(wrong, DELAY)
    assert list(fenced) == [one.fence for one in wrong]
    assert not await harness.log(webhook)
    assert (await harness.probe(claimed.fence.delivery_id)).worker == harness.worker
    fenced = await harness.storage.deliveries.finish([*wrong, right], DELAY)
    assert right.fence not in fenced
    assert (await harness.probe(claimed.fence.delivery_id)).state is DeliveryState.SUCCEEDED


async def test_a_zombies_result_is_fenced_once_another_worker_has_taken_over(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    zombie = await harness.begin(webhook)
    await _lose(harness, zombie)
    (claimed,) = (await harness.claim(worker=harness.other_worker)).deliveries
    late = harness.result(zombie)
    assert list(await harness.storage.deliveries.finish([late], DELAY)) == [zombie.fence]
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.state, stored.attempt, stored.worker) == (
        DeliveryState.PENDING,
        2,
        harness.other_worker,
    )
    await harness.finish(claimed)
    assert [one.number for one in await harness.log(webhook)] == [2, 1]


async def test_a_cancelled_delivery_stays_cancelled_and_its_attempt_is_logged(
    harness: Harness,
) -> None:
    for next_step in (Succeeded(), Retry(SECOND), Failed()):
        webhook = await harness.webhook()
        claimed = await harness.begin(webhook)
        await _delete(harness, webhook)
        result = await harness.finish(claimed, next_step)
        stored = await harness.probe(claimed.fence.delivery_id)
        assert (stored.state, stored.reason, stored.worker) == (
            DeliveryState.CANCELLED,
            EndReason.WEBHOOK_DELETED,
            None,
        )
        assert list(await harness.log(webhook)) == [result.attempt]
        await harness.clock.advance(2)
        assert not (await harness.claim()).deliveries


async def test_gone_disables_the_webhook_that_was_sent_to(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    before = await harness.storage.webhooks.webhooks_revision()
    await harness.clock.advance(3)
    await harness.finish(claimed, GONE, webhook_version=1)
    disabled = await harness.storage.webhooks.get(harness.environment_id, webhook.webhook_id)
    now = harness.clock.now()
    assert disabled == evolve(
        webhook,
        disabled_until=FOREVER,
        disabled_reason=DisabledReason.GONE,
        disabled_at=now,
        updated_at=now,
        version=2,
    )
    assert await harness.storage.webhooks.webhooks_revision() > before


async def test_gone_leaves_a_webhook_alone_that_has_changed_meanwhile(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    changed = await harness.change(webhook, url="https://new.example.com/")
    before = await harness.storage.webhooks.webhooks_revision()
    await harness.finish(claimed, GONE, webhook_version=1)
    assert await harness.storage.webhooks.get(harness.environment_id, webhook.webhook_id) == changed
    assert await harness.storage.webhooks.webhooks_revision() == before
    assert (await harness.probe(claimed.fence.delivery_id)).state is DeliveryState.FAILED


async def test_gone_is_the_last_word_on_a_webhook_that_was_failing(harness: Harness) -> None:
    webhook = await harness.webhook(disabled_until=FOREVER, disabled_reason=DisabledReason.FAILING)
    sent = await harness.hand_over(webhook)
    before = await harness.storage.webhooks.webhooks_revision()
    await harness.finish(sent, GONE, webhook_version=1)
    stored = await harness.storage.webhooks.get(harness.environment_id, webhook.webhook_id)
    assert (stored.disabled_reason, stored.version) == (DisabledReason.GONE, 2)
    assert await harness.storage.webhooks.webhooks_revision() == before + 1


async def test_a_fenced_result_disables_nothing(harness: Harness) -> None:
    webhook = await harness.webhook()
    zombie = await harness.begin(webhook)
    await _lose(harness, zombie)
    await harness.storage.deliveries.finish([harness.result(zombie, GONE)], DELAY)
    stored = await harness.storage.webhooks.get(harness.environment_id, webhook.webhook_id)
    assert stored == webhook


async def test_many_gones_of_one_batch_disable_once(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, 3)
    claimed = (await harness.claim()).deliveries
    before = await harness.storage.webhooks.webhooks_revision()
    await harness.storage.deliveries.finish([harness.result(one, GONE) for one in claimed], DELAY)
    stored = await harness.storage.webhooks.get(harness.environment_id, webhook.webhook_id)
    assert stored.version == 2
    assert await harness.storage.webhooks.webhooks_revision() == before + 1


async def test_an_interrupted_result_is_repeated_and_uses_up_no_retry(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await harness.finish(claimed, Retry(9 * SECOND), outcome=AttemptOutcome.INTERRUPTED)
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.failures, stored.interruptions) == (0, 1)
    assert stored.due_at == harness.clock.now() + DELAY
    (logged,) = await harness.log(webhook)
    assert (logged.outcome, logged.next_attempt_at) == (AttemptOutcome.INTERRUPTED, stored.due_at)


async def test_ten_interruptions_in_a_row_end_a_delivery(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    for _ in range(MAX_INTERRUPTIONS - 1):
        await harness.finish(claimed, outcome=AttemptOutcome.INTERRUPTED)
        await harness.clock.advance(1)
        (claimed,) = (await harness.claim()).deliveries
    await harness.finish(claimed, outcome=AttemptOutcome.INTERRUPTED)
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.state, stored.reason) == (DeliveryState.FAILED, EndReason.INTERRUPTED)
    assert (await harness.log(webhook))[0].next_attempt_at is None


async def test_interruptions_count_only_in_a_row(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    for number in range(MAX_INTERRUPTIONS + 2):
        outcome = AttemptOutcome.FAILED if number == 5 else AttemptOutcome.INTERRUPTED
        await harness.finish(claimed, Retry(DELAY), outcome=outcome)
        await harness.clock.advance(1)
        (claimed,) = (await harness.claim()).deliveries
    assert claimed.failures == 1


async def test_a_delivery_that_is_given_back_is_due_at_once_with_its_number(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await harness.clock.advance(3)
    await harness.storage.deliveries.release([claimed.fence])
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.attempt, stored.worker, stored.due_at) == (0, None, harness.clock.now())
    (again,) = (await harness.claim(worker=harness.other_worker)).deliveries
    assert again.fence == evolve(claimed.fence, worker=harness.other_worker)
    await harness.finish(again)
    assert [one.number for one in await harness.log(webhook)] == [1]


async def test_a_delivery_that_is_given_back_for_later_is_not_due_before(harness: Harness) -> None:
    claimed = await harness.begin(await harness.webhook())
    await harness.storage.deliveries.release([claimed.fence], DELAY)
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.attempt, stored.worker) == (0, None)
    assert stored.due_at == harness.clock.now() + DELAY
    assert not (await harness.claim()).deliveries
    await harness.clock.advance(DELAY.total_seconds())
    (again,) = (await harness.claim()).deliveries
    assert (again.fence, again.failures) == (claimed.fence, 0)


async def test_giving_back_twice_is_giving_back_once(harness: Harness) -> None:
    claimed = await harness.begin(await harness.webhook())
    await harness.finish(claimed, Retry(DELAY))
    await harness.clock.advance(1)
    (claimed,) = (await harness.claim()).deliveries
    await harness.storage.deliveries.release([claimed.fence])
    await harness.storage.deliveries.release([claimed.fence, claimed.fence])
    assert (await harness.probe(claimed.fence.delivery_id)).attempt == 1


async def test_nobody_gives_back_what_another_holds(harness: Harness) -> None:
    claimed = await harness.begin(await harness.webhook())
    for forged in _forgeries(harness, claimed.fence).values():
        await harness.storage.deliveries.release([forged])
        assert list(await harness.storage.deliveries.leased(harness.worker)) == [claimed.fence]


async def test_a_result_is_not_given_back(harness: Harness) -> None:
    claimed = await harness.begin(await harness.webhook())
    await harness.finish(claimed)
    before = await harness.probe(claimed.fence.delivery_id)
    await harness.storage.deliveries.release([claimed.fence])
    assert await harness.probe(claimed.fence.delivery_id) == before


async def test_what_was_cancelled_before_it_is_given_back_stays_cancelled(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await _delete(harness, webhook)
    await harness.storage.deliveries.release([claimed.fence])
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.state, stored.attempt, stored.worker) == (DeliveryState.CANCELLED, 0, None)
    assert not (await harness.claim()).deliveries


async def test_leased_names_what_each_worker_holds(harness: Harness) -> None:
    webhook = await harness.webhook()
    mine = await harness.begin(webhook)
    theirs = await harness.begin(webhook, worker=harness.other_worker)
    assert list(await harness.storage.deliveries.leased(harness.worker)) == [mine.fence]
    assert list(await harness.storage.deliveries.leased(harness.other_worker)) == [theirs.fence]
    assert not await harness.storage.deliveries.leased(uuid4())


async def test_the_leases_of_the_dead_are_freed_and_their_attempts_logged(harness: Harness) -> None:
    webhook = await harness.webhook()
    began_at = harness.clock.now()
    claimed = await harness.begin(webhook)
    await harness.clock.advance(5)
    assert (await harness.storage.deliveries.reap([harness.worker], DELAY)).count == 1
    assert (await harness.storage.deliveries.reap([harness.worker], DELAY)).count == 0
    stored = await harness.probe(claimed.fence.delivery_id)
    due_at = harness.clock.now() + DELAY
    assert (stored.worker, stored.due_at, stored.interruptions) == (None, due_at, 1)
    (logged,) = await harness.log(webhook)
    assert (logged.outcome, logged.number) == (AttemptOutcome.INTERRUPTED, 1)
    assert logged.error is not None
    assert logged.error.code is ErrorCode.INTERRUPTED
    assert (logged.request, logged.response, logged.duration) == (None, None, None)
    assert (logged.event_id, logged.event_type) == (claimed.event_id, claimed.event_type)
    assert began_at <= logged.started_at < began_at + SECOND
    assert logged.next_attempt_at == due_at


async def test_the_living_keep_their_leases(harness: Harness) -> None:
    claimed = await harness.begin(await harness.webhook())
    await harness.clock.advance(LEASE.total_seconds() - 1)
    assert (await harness.storage.deliveries.reap([harness.other_worker], DELAY)).count == 0
    assert list(await harness.storage.deliveries.leased(harness.worker)) == [claimed.fence]


async def test_a_lease_that_is_over_is_freed_whoever_lives(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await harness.clock.advance(LEASE.total_seconds() + 1)
    await harness.begin(webhook, worker=harness.other_worker)
    assert (await harness.storage.deliveries.reap([], DELAY)).count == 1
    assert not await harness.storage.deliveries.leased(harness.worker)
    assert (await harness.probe(claimed.fence.delivery_id)).state is DeliveryState.PENDING


async def test_reaping_ends_a_delivery_at_the_tenth_interruption(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    failed: list[Attempt] = []
    for _ in range(MAX_INTERRUPTIONS):
        assert not failed
        reaped = await harness.storage.deliveries.reap([harness.worker], DELAY)
        assert reaped.count == 1
        failed += reaped.failed
        await harness.clock.advance(1)
        await harness.claim()
    (last,) = failed
    assert last.log_id == (await harness.log(webhook))[0].log_id
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.state, stored.reason) == (DeliveryState.FAILED, EndReason.INTERRUPTED)
    assert [one.number for one in await harness.log(webhook)] == list(range(10, 0, -1))


async def test_the_dead_workers_attempt_of_a_cancelled_delivery_is_logged_too(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await _delete(harness, webhook)
    assert (await harness.storage.deliveries.reap([harness.worker], DELAY)).count == 1
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.state, stored.worker) == (DeliveryState.CANCELLED, None)
    (logged,) = await harness.log(webhook)
    assert (logged.outcome, logged.next_attempt_at) == (AttemptOutcome.INTERRUPTED, None)


async def test_thousands_of_leases_are_freed_in_batches(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = harness.event()
    deliveries = [harness.to(webhook, event, claimed=True) for _ in range(5000)]
    await harness.ingest([event], deliveries, harness.worker)
    counts = []
    while count := (await harness.storage.deliveries.reap([harness.worker], DELAY)).count:
        counts.append(count)
    assert sum(counts) == 5000
    assert len(counts) > 1
    await harness.clock.advance(1)
    assert len(ids_of(await harness.claim(limit=5000, new_webhook_limit=5000))) == 5000


async def test_a_result_and_the_reaper_at_once_log_one_attempt(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await asyncio.gather(
        harness.rival.deliveries.reap([harness.worker], DELAY),
        harness.storage.deliveries.finish([harness.result(claimed)], DELAY),
    )
    assert len(await harness.log(webhook)) == 1
    stored = await harness.probe(claimed.fence.delivery_id)
    assert (stored.worker, stored.attempt) == (None, 1)


async def test_fences_are_values(harness: Harness) -> None:
    claimed = await harness.begin(await harness.webhook())
    fence = claimed.fence
    same = Fence(fence.delivery_id, fence.environment_id, fence.attempt, fence.worker)
    await harness.storage.deliveries.release([same])
    assert not await harness.storage.deliveries.leased(harness.worker)


def _forgeries(harness: Harness, fence: Fence) -> Mapping[str, Fence]:
    """Return fences that differ from one that holds in one thing each."""
    return {
        "a later attempt": evolve(fence, attempt=fence.attempt + 1),
        "an earlier attempt": evolve(fence, attempt=fence.attempt - 1),
        "another worker": evolve(fence, worker=harness.other_worker),
        "another environment": evolve(fence, environment_id=harness.other_environment_id),
        "another delivery": evolve(fence, delivery_id=uuid4()),
    }


async def _lose(harness: Harness, claimed: ClaimedDelivery) -> None:
    """Let a worker lose what it holds, and the delivery become due again."""
    assert (await harness.storage.deliveries.reap([claimed.fence.worker], DELAY)).count == 1
    await harness.clock.advance(DELAY.total_seconds())


async def _delete(harness: Harness, webhook: Webhook) -> None:
    await harness.storage.webhooks.delete(
        webhook.environment_id, webhook.webhook_id, harness.clock.now()
    )


@pytest.mark.parametrize(
    "text", ["\u2713", "\x00", "\udce2"], ids=["check mark", "NUL", "surrogate"]
)
async def test_a_success_stays_one_whatever_text_its_receiver_sent(
    harness: Harness, text: str
) -> None:
    """What a storage cannot hold is left out, and the delivery is not repeated."""
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    result = harness.result(claimed, Succeeded())
    response = ReceivedResponse(200, (("x-status", text),), b"a body")
    listener = RecordedResults()
    writer = App(storage=harness.storage, clock=SystemClock()).result_writer(listener)
    running = asyncio.create_task(writer.run())
    writer.record(evolve(result, attempt=evolve(result.attempt, response=response)))
    await writer.drain()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(listener.written) == 1
    assert (await harness.probe(claimed.fence.delivery_id)).state is DeliveryState.SUCCEEDED
    (logged,) = await harness.log(webhook)
    assert logged.response
    assert logged.response.http_code == 200
    assert logged.response.headers in {(("x-status", text),), ()}
