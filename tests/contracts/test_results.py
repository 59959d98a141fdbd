"""What a delivery store promises about results, give-backs and leases."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from uuid import uuid4

import pytest
from attrs import evolve

from notification_adapters.clock import SystemClock
from notification_core.dispatch.result_writer import ResultWriter
from notification_core.model.delivery import (
    MAX_INTERRUPTIONS,
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
from tests.contracts.world import DELAY, LEASE, World, ids_of
from tests.support.observers import RecordedResults, RecordingObserver

SECOND = timedelta(seconds=1)
GONE = Failed(disables=DisabledReason.GONE)


async def test_a_success_ends_the_delivery_and_is_logged(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    result = await world.finish(begun, Succeeded())
    stored = await world.probe(begun.fence.delivery_id)
    assert (stored.state, stored.reason, stored.worker) == (DeliveryState.SUCCEEDED, None, None)
    assert list(await world.log(webhook)) == [result.attempt]
    assert not await world.storage.deliveries.leased(world.worker)


async def test_a_retry_is_due_by_the_storages_clock_and_its_log_says_when(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await world.clock.advance(7)
    result = await world.finish(begun, Retry(5 * SECOND))
    due_at = world.clock.now() + 5 * SECOND
    stored = await world.probe(begun.fence.delivery_id)
    assert (stored.state, stored.due_at, stored.failures) == (DeliveryState.PENDING, due_at, 1)
    assert list(await world.log(webhook)) == [evolve(result.attempt, next_attempt_at=due_at)]


async def test_a_failure_for_good_keeps_its_reason(world: World) -> None:
    begun = await world.begin(await world.webhook())
    await world.finish(begun, Failed(reason=EndReason.WEBHOOK_DELETED))
    stored = await world.probe(begun.fence.delivery_id)
    assert (stored.state, stored.reason) == (DeliveryState.FAILED, EndReason.WEBHOOK_DELETED)


async def test_many_results_are_written_at_once(world: World) -> None:
    webhook = await world.webhook()
    await world.publish(webhook, 50)
    claimed = await world.claim()
    verdicts: list[NextStep] = [Succeeded(), Retry(SECOND), Failed()]
    results = [
        world.result(begun, verdicts[number % 3]) for number, begun in enumerate(claimed.deliveries)
    ]
    assert not await world.storage.deliveries.finish(results, DELAY)
    states = [(await world.probe(one.fence.delivery_id)).state for one in results]
    assert states[:3] == [DeliveryState.SUCCEEDED, DeliveryState.PENDING, DeliveryState.FAILED]
    assert len(await world.log(webhook)) == 50


@pytest.mark.parametrize("verdict", [Succeeded(), Retry(SECOND), Failed()])
async def test_the_same_results_again_change_nothing(
    world: World, verdict: Succeeded | Retry | Failed
) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    result = await world.finish(begun, verdict)
    before = await world.probe(begun.fence.delivery_id), await world.log(webhook)
    await world.clock.advance(0.5)
    assert list(await world.storage.deliveries.finish([result], DELAY)) == [result.fence]
    assert (await world.probe(begun.fence.delivery_id), await world.log(webhook)) == before


@pytest.mark.parametrize("verdict", [Succeeded(), Retry(SECOND)])
async def test_a_result_that_stands_twice_in_a_batch_counts_once(
    world: World, verdict: Succeeded | Retry
) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    result = world.result(begun, verdict)
    fenced = await world.storage.deliveries.finish([result, result], DELAY)
    assert list(fenced) == [result.fence]
    stored = await world.probe(begun.fence.delivery_id)
    assert stored.failures == isinstance(verdict, Retry)
    assert len(await world.log(webhook)) == 1


async def test_of_successes_in_a_batch_those_are_heard_that_hold_their_fence(world: World) -> None:
    webhook = await world.webhook()
    await world.publish(webhook, 10)
    begun = (await world.claim()).deliveries
    late = [world.result(one) for one in begun[::2]]
    await world.storage.deliveries.release([one.fence for one in late])
    fenced = await world.storage.deliveries.finish([world.result(one) for one in begun], DELAY)
    assert {*fenced} == {one.fence for one in late}
    states = [(await world.probe(one.fence.delivery_id)).state for one in begun]
    assert states == [DeliveryState.PENDING, DeliveryState.SUCCEEDED] * 5
    assert len(await world.log(webhook)) == 5


async def test_only_the_holder_of_the_fence_is_heard(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    right = world.result(begun)
    wrong = [evolve(right, fence=fence) for fence in _forgeries(world, begun.fence).values()]
    fenced = await world.storage.deliveries.finish(wrong, DELAY)
    assert list(fenced) == [one.fence for one in wrong]
    assert not await world.log(webhook)
    assert (await world.probe(begun.fence.delivery_id)).worker == world.worker
    fenced = await world.storage.deliveries.finish([*wrong, right], DELAY)
    assert right.fence not in fenced
    assert (await world.probe(begun.fence.delivery_id)).state is DeliveryState.SUCCEEDED


async def test_a_zombies_result_is_fenced_once_another_worker_has_taken_over(
    world: World,
) -> None:
    webhook = await world.webhook()
    zombie = await world.begin(webhook)
    await _lose(world, zombie)
    (begun,) = (await world.claim(worker=world.other_worker)).deliveries
    late = world.result(zombie)
    assert list(await world.storage.deliveries.finish([late], DELAY)) == [zombie.fence]
    stored = await world.probe(begun.fence.delivery_id)
    assert (stored.state, stored.attempt, stored.worker) == (
        DeliveryState.PENDING,
        2,
        world.other_worker,
    )
    await world.finish(begun)
    assert [one.number for one in await world.log(webhook)] == [2, 1]


async def test_a_cancelled_delivery_stays_cancelled_and_its_attempt_is_logged(
    world: World,
) -> None:
    for verdict in (Succeeded(), Retry(SECOND), Failed()):
        webhook = await world.webhook()
        begun = await world.begin(webhook)
        await _delete(world, webhook)
        result = await world.finish(begun, verdict)
        stored = await world.probe(begun.fence.delivery_id)
        assert (stored.state, stored.reason, stored.worker) == (
            DeliveryState.CANCELLED,
            EndReason.WEBHOOK_DELETED,
            None,
        )
        assert list(await world.log(webhook)) == [result.attempt]
        await world.clock.advance(2)
        assert not (await world.claim()).deliveries


async def test_gone_disables_the_webhook_that_was_sent_to(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    before = await world.storage.webhooks.webhooks_revision()
    await world.clock.advance(3)
    await world.finish(begun, GONE, webhook_version=1)
    disabled = await world.storage.webhooks.get(world.environment_id, webhook.webhook_id)
    now = world.clock.now()
    assert disabled == evolve(
        webhook,
        disabled_until=FOREVER,
        disabled_reason=DisabledReason.GONE,
        disabled_at=now,
        updated_at=now,
        version=2,
    )
    assert await world.storage.webhooks.webhooks_revision() > before


async def test_gone_leaves_a_webhook_alone_that_has_changed_meanwhile(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    changed = await world.change(webhook, url="https://new.example.com/")
    before = await world.storage.webhooks.webhooks_revision()
    await world.finish(begun, GONE, webhook_version=1)
    assert await world.storage.webhooks.get(world.environment_id, webhook.webhook_id) == changed
    assert await world.storage.webhooks.webhooks_revision() == before
    assert (await world.probe(begun.fence.delivery_id)).state is DeliveryState.FAILED


async def test_gone_is_the_last_word_on_a_webhook_that_was_failing(world: World) -> None:
    webhook = await world.webhook(disabled_until=FOREVER, disabled_reason=DisabledReason.FAILING)
    sent = await world.hand_over(webhook)
    before = await world.storage.webhooks.webhooks_revision()
    await world.finish(sent, GONE, webhook_version=1)
    stored = await world.storage.webhooks.get(world.environment_id, webhook.webhook_id)
    assert (stored.disabled_reason, stored.version) == (DisabledReason.GONE, 2)
    assert await world.storage.webhooks.webhooks_revision() == before + 1


async def test_a_fenced_result_disables_nothing(world: World) -> None:
    webhook = await world.webhook()
    zombie = await world.begin(webhook)
    await _lose(world, zombie)
    await world.storage.deliveries.finish([world.result(zombie, GONE)], DELAY)
    stored = await world.storage.webhooks.get(world.environment_id, webhook.webhook_id)
    assert stored == webhook


async def test_many_gones_of_one_batch_disable_once(world: World) -> None:
    webhook = await world.webhook()
    await world.publish(webhook, 3)
    begun = (await world.claim()).deliveries
    before = await world.storage.webhooks.webhooks_revision()
    await world.storage.deliveries.finish([world.result(one, GONE) for one in begun], DELAY)
    stored = await world.storage.webhooks.get(world.environment_id, webhook.webhook_id)
    assert stored.version == 2
    assert await world.storage.webhooks.webhooks_revision() == before + 1


async def test_an_interrupted_result_is_made_again_and_uses_up_no_retry(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await world.finish(begun, Retry(9 * SECOND), outcome=AttemptOutcome.INTERRUPTED)
    stored = await world.probe(begun.fence.delivery_id)
    assert (stored.failures, stored.interruptions) == (0, 1)
    assert stored.due_at == world.clock.now() + DELAY
    (logged,) = await world.log(webhook)
    assert (logged.outcome, logged.next_attempt_at) == (AttemptOutcome.INTERRUPTED, stored.due_at)


async def test_ten_interruptions_in_a_row_end_a_delivery(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    for _ in range(MAX_INTERRUPTIONS - 1):
        await world.finish(begun, outcome=AttemptOutcome.INTERRUPTED)
        await world.clock.advance(1)
        (begun,) = (await world.claim()).deliveries
    await world.finish(begun, outcome=AttemptOutcome.INTERRUPTED)
    stored = await world.probe(begun.fence.delivery_id)
    assert (stored.state, stored.reason) == (DeliveryState.FAILED, EndReason.INTERRUPTED)
    assert (await world.log(webhook))[0].next_attempt_at is None


async def test_interruptions_count_only_in_a_row(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    for number in range(MAX_INTERRUPTIONS + 2):
        outcome = AttemptOutcome.FAILED if number == 5 else AttemptOutcome.INTERRUPTED
        await world.finish(begun, Retry(DELAY), outcome=outcome)
        await world.clock.advance(1)
        (begun,) = (await world.claim()).deliveries
    assert begun.failures == 1


async def test_a_delivery_that_is_given_back_is_due_at_once_with_its_number(
    world: World,
) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await world.clock.advance(3)
    await world.storage.deliveries.release([begun.fence])
    stored = await world.probe(begun.fence.delivery_id)
    assert (stored.attempt, stored.worker, stored.due_at) == (0, None, world.clock.now())
    (again,) = (await world.claim(worker=world.other_worker)).deliveries
    assert again.fence == evolve(begun.fence, worker=world.other_worker)
    await world.finish(again)
    assert [one.number for one in await world.log(webhook)] == [1]


async def test_a_delivery_that_is_given_back_for_later_is_not_due_before(world: World) -> None:
    begun = await world.begin(await world.webhook())
    await world.storage.deliveries.release([begun.fence], DELAY)
    stored = await world.probe(begun.fence.delivery_id)
    assert (stored.attempt, stored.worker) == (0, None)
    assert stored.due_at == world.clock.now() + DELAY
    assert not (await world.claim()).deliveries
    await world.clock.advance(DELAY.total_seconds())
    (again,) = (await world.claim()).deliveries
    assert (again.fence, again.failures) == (begun.fence, 0)


async def test_giving_back_twice_is_giving_back_once(world: World) -> None:
    begun = await world.begin(await world.webhook())
    await world.finish(begun, Retry(DELAY))
    await world.clock.advance(1)
    (begun,) = (await world.claim()).deliveries
    await world.storage.deliveries.release([begun.fence])
    await world.storage.deliveries.release([begun.fence, begun.fence])
    assert (await world.probe(begun.fence.delivery_id)).attempt == 1


async def test_nobody_gives_back_what_another_holds(world: World) -> None:
    begun = await world.begin(await world.webhook())
    for forged in _forgeries(world, begun.fence).values():
        await world.storage.deliveries.release([forged])
        assert list(await world.storage.deliveries.leased(world.worker)) == [begun.fence]


async def test_a_result_is_not_given_back(world: World) -> None:
    begun = await world.begin(await world.webhook())
    await world.finish(begun)
    before = await world.probe(begun.fence.delivery_id)
    await world.storage.deliveries.release([begun.fence])
    assert await world.probe(begun.fence.delivery_id) == before


async def test_what_was_cancelled_before_it_is_given_back_stays_cancelled(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await _delete(world, webhook)
    await world.storage.deliveries.release([begun.fence])
    stored = await world.probe(begun.fence.delivery_id)
    assert (stored.state, stored.attempt, stored.worker) == (DeliveryState.CANCELLED, 0, None)
    assert not (await world.claim()).deliveries


async def test_leased_names_what_each_worker_holds(world: World) -> None:
    webhook = await world.webhook()
    mine = await world.begin(webhook)
    theirs = await world.begin(webhook, worker=world.other_worker)
    assert list(await world.storage.deliveries.leased(world.worker)) == [mine.fence]
    assert list(await world.storage.deliveries.leased(world.other_worker)) == [theirs.fence]
    assert not await world.storage.deliveries.leased(uuid4())


async def test_the_leases_of_the_dead_are_freed_and_their_attempts_logged(world: World) -> None:
    webhook = await world.webhook()
    began_at = world.clock.now()
    begun = await world.begin(webhook)
    await world.clock.advance(5)
    assert await world.storage.deliveries.reap([world.worker], DELAY) == 1
    assert await world.storage.deliveries.reap([world.worker], DELAY) == 0
    stored = await world.probe(begun.fence.delivery_id)
    due_at = world.clock.now() + DELAY
    assert (stored.worker, stored.due_at, stored.interruptions) == (None, due_at, 1)
    (logged,) = await world.log(webhook)
    assert (logged.outcome, logged.number) == (AttemptOutcome.INTERRUPTED, 1)
    assert logged.error is not None
    assert logged.error.code is ErrorCode.INTERRUPTED
    assert (logged.request, logged.response, logged.duration) == (None, None, None)
    assert (logged.event_id, logged.event_type) == (begun.event_id, begun.event_type)
    assert began_at <= logged.started_at < began_at + SECOND
    assert logged.next_attempt_at == due_at


async def test_the_living_keep_their_leases(world: World) -> None:
    begun = await world.begin(await world.webhook())
    await world.clock.advance(LEASE.total_seconds() - 1)
    assert await world.storage.deliveries.reap([world.other_worker], DELAY) == 0
    assert list(await world.storage.deliveries.leased(world.worker)) == [begun.fence]


async def test_a_lease_that_is_over_is_freed_whoever_lives(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await world.clock.advance(LEASE.total_seconds() + 1)
    await world.begin(webhook, worker=world.other_worker)
    assert await world.storage.deliveries.reap([], DELAY) == 1
    assert not await world.storage.deliveries.leased(world.worker)
    assert (await world.probe(begun.fence.delivery_id)).state is DeliveryState.PENDING


async def test_reaping_ends_a_delivery_at_the_tenth_interruption(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    for _ in range(MAX_INTERRUPTIONS):
        assert await world.storage.deliveries.reap([world.worker], DELAY) == 1
        await world.clock.advance(1)
        await world.claim()
    stored = await world.probe(begun.fence.delivery_id)
    assert (stored.state, stored.reason) == (DeliveryState.FAILED, EndReason.INTERRUPTED)
    assert [one.number for one in await world.log(webhook)] == list(range(10, 0, -1))


async def test_the_dead_workers_attempt_of_a_cancelled_delivery_is_logged_too(
    world: World,
) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await _delete(world, webhook)
    assert await world.storage.deliveries.reap([world.worker], DELAY) == 1
    stored = await world.probe(begun.fence.delivery_id)
    assert (stored.state, stored.worker) == (DeliveryState.CANCELLED, None)
    (logged,) = await world.log(webhook)
    assert (logged.outcome, logged.next_attempt_at) == (AttemptOutcome.INTERRUPTED, None)


async def test_thousands_of_leases_are_freed_in_batches(world: World) -> None:
    webhook = await world.webhook()
    event = world.event()
    deliveries = [world.to(webhook, event, claimed=True) for _ in range(5000)]
    await world.ingest([event], deliveries, world.worker)
    counts = []
    while count := await world.storage.deliveries.reap([world.worker], DELAY):
        counts.append(count)
    assert sum(counts) == 5000
    assert len(counts) > 1
    await world.clock.advance(1)
    assert len(ids_of(await world.claim(limit=5000, new_webhook_limit=5000))) == 5000


async def test_a_result_and_the_reaper_at_once_log_one_attempt(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await asyncio.gather(
        world.rival.deliveries.reap([world.worker], DELAY),
        world.storage.deliveries.finish([world.result(begun)], DELAY),
    )
    assert len(await world.log(webhook)) == 1
    stored = await world.probe(begun.fence.delivery_id)
    assert (stored.worker, stored.attempt) == (None, 1)


async def test_fences_are_values(world: World) -> None:
    begun = await world.begin(await world.webhook())
    fence = begun.fence
    same = Fence(fence.delivery_id, fence.environment_id, fence.attempt, fence.worker)
    await world.storage.deliveries.release([same])
    assert not await world.storage.deliveries.leased(world.worker)


def _forgeries(world: World, fence: Fence) -> Mapping[str, Fence]:
    """Return fences that differ from one that holds in one thing each."""
    return {
        "a later attempt": evolve(fence, attempt=fence.attempt + 1),
        "an earlier attempt": evolve(fence, attempt=fence.attempt - 1),
        "another worker": evolve(fence, worker=world.other_worker),
        "another environment": evolve(fence, environment_id=world.other_environment_id),
        "another delivery": evolve(fence, delivery_id=uuid4()),
    }


async def _lose(world: World, begun: ClaimedDelivery) -> None:
    """Let a worker lose what it holds, and the delivery become due again."""
    assert await world.storage.deliveries.reap([begun.fence.worker], DELAY) == 1
    await world.clock.advance(DELAY.total_seconds())


async def _delete(world: World, webhook: Webhook) -> None:
    await world.storage.webhooks.delete(
        webhook.environment_id, webhook.webhook_id, world.clock.now()
    )


@pytest.mark.parametrize(
    "text", ["\u2713", "\x00", "\udce2"], ids=["check mark", "NUL", "surrogate"]
)
async def test_a_success_stays_one_whatever_text_its_receiver_sent(world: World, text: str) -> None:
    """What a storage cannot hold is left out, and the delivery is not made again."""
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    result = world.result(begun, Succeeded())
    response = ReceivedResponse(200, (("x-status", text),), b"a body")
    listener = RecordedResults()
    recorder = ResultWriter(
        store=world.storage.deliveries,
        clock=SystemClock(),
        observer=RecordingObserver(),
        interruption_delay=DELAY,
        listener=listener,
    )
    running = asyncio.create_task(recorder.run())
    recorder.record(evolve(result, attempt=evolve(result.attempt, response=response)))
    await recorder.drained()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(listener.written) == 1
    assert (await world.probe(begun.fence.delivery_id)).state is DeliveryState.SUCCEEDED
    (logged,) = await world.log(webhook)
    assert logged.response
    assert logged.response.http_code == 200
    assert logged.response.headers in {(("x-status", text),), ()}
