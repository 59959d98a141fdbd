"""Upkeep: leases that nobody holds, deliveries that nobody can send, webhooks that only fail."""

from datetime import timedelta
from uuid import UUID

import attrs
import pytest

from notification_adapters.memory import ManualClock, MemoryStorage, memory_storage
from notification_adapters.memory.state import StoredDelivery
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import StorageUnavailable
from notification_core.ingest.ingest import Ingest
from notification_core.maintenance.lease_reaper import LeaseReaper, UpkeepRules
from notification_core.model.delivery import Attempt, AttemptOutcome, DeliveryState, EndReason
from notification_core.model.idempotency import KEPT_FOR, KeptAnswer
from notification_core.model.webhook import FOREVER, DisabledReason, Webhook
from tests.support.faulty_stores import Faults, FaultyDeliveries
from tests.support.observers import RecordingObserver
from tests.support.samples import (
    ENVIRONMENT,
    NOW,
    WORKER,
    a_result,
    a_webhook,
    an_event,
    an_id,
)

RULES = UpkeepRules(
    interruption_delay=timedelta(seconds=1),
    disable_after=timedelta(hours=120),
    expire_after=timedelta(days=30),
)
KNOWN = an_id()


@attrs.define
class World:
    """An upkeep on memory stores."""

    clock: ManualClock
    ids: IdGenerator
    storage: MemoryStorage
    trouble: Faults
    notebook: RecordingObserver
    upkeep: LeaseReaper

    async def delivery(self, webhook: Webhook, worker: UUID | None = None) -> StoredDelivery:
        """Store a delivery, leased for half a minute where a worker has it."""
        if webhook.webhook_id not in self.storage.state.webhooks:
            await self.storage.webhooks.add(webhook, 100)
        event = an_event(environment_id=webhook.environment_id)
        ingest = Ingest(
            self.storage.deliveries, self.clock, self.ids, self.notebook, None, self.storage.waking
        )
        await ingest.publish([event])
        (found,) = (
            one for one in self.storage.state.deliveries.values() if one.event_id == event.event_id
        )
        if worker:
            now = self.clock.now()
            found.begin(worker, now, now + timedelta(seconds=30))
        return found

    def log(self, webhook: Webhook, outcome: AttemptOutcome) -> None:
        """Log an attempt that has just ended."""
        attempt: Attempt = attrs.evolve(
            a_result(webhook).attempt, log_id=self.ids(), outcome=outcome
        )
        self.storage.state.attempts[attempt.log_id] = attempt


@pytest.fixture
async def world() -> World:
    clock, trouble, notebook = ManualClock(), Faults(), RecordingObserver()
    ids = IdGenerator(clock)
    storage = memory_storage(clock, ids)
    await storage.worker_lock.acquire(WORKER)
    upkeep = LeaseReaper(
        deliveries=FaultyDeliveries(storage.deliveries, trouble),
        webhooks=storage.webhooks,
        idempotency=storage.idempotency,
        lock=storage.worker_lock,
        clock=clock,
        observer=notebook,
        rules=RULES,
    )
    return World(clock, ids, storage, trouble, notebook, upkeep)


async def test_what_a_dead_worker_had_begun_is_logged_as_interrupted_and_due_again(
    world: World,
) -> None:
    delivery = await world.delivery(a_webhook(), worker=an_id())
    assert await world.upkeep.reap() == 1
    assert delivery.is_waiting
    assert delivery.due_at == NOW + timedelta(seconds=1)
    (attempt,) = world.storage.state.attempts.values()
    assert attempt.outcome is AttemptOutcome.INTERRUPTED
    assert world.notebook.reaped == 1


async def test_what_this_worker_holds_is_left_to_it_until_the_lease_is_over(world: World) -> None:
    delivery = await world.delivery(a_webhook(), worker=WORKER)
    assert await world.upkeep.reap() == 0
    assert delivery.worker == WORKER
    await world.clock.advance(31)
    assert await world.upkeep.reap() == 1


async def test_the_tenth_interruption_in_a_row_ends_a_delivery(world: World) -> None:
    delivery = await world.delivery(a_webhook())
    for _ in range(10):
        delivery.begin(an_id(), NOW, NOW)
        await world.upkeep.reap()
    assert (delivery.state, delivery.reason) == (DeliveryState.FAILED, EndReason.INTERRUPTED)


async def test_what_this_worker_owns_and_does_not_hold_is_given_back_as_if_never_begun(
    world: World,
) -> None:
    webhook = a_webhook()
    lost, kept = [await world.delivery(webhook, worker=WORKER) for _ in range(2)]
    assert await world.upkeep.free_unheld(WORKER, lambda one: one == kept.delivery_id) == 1
    assert (lost.worker, lost.attempt) == (None, 0)
    assert (kept.worker, kept.attempt) == (WORKER, 1)
    assert world.notebook.given_back == 1


async def test_nothing_is_written_where_all_that_is_owned_is_held(world: World) -> None:
    await world.delivery(a_webhook(), worker=WORKER)
    assert await world.upkeep.free_unheld(WORKER, lambda _: True) == 0
    assert not world.trouble.calls["give_back"]


@pytest.mark.parametrize(
    ("changed", "end"),
    [
        (a_webhook(KNOWN, deleted_at=NOW), (DeliveryState.CANCELLED, EndReason.WEBHOOK_DELETED)),
        (
            a_webhook(KNOWN, disabled_until=FOREVER, disabled_reason=DisabledReason.GONE),
            (DeliveryState.SKIPPED, EndReason.WEBHOOK_DISABLED),
        ),
        (a_webhook(KNOWN, disabled_until=FOREVER), (DeliveryState.PENDING, None)),
        (a_webhook(KNOWN), (DeliveryState.PENDING, None)),
    ],
    ids=["deleted", "gone", "disabled by its user", "enabled"],
)
async def test_what_can_never_be_sent_is_ended_and_everything_else_waits(
    world: World, changed: Webhook, end: tuple[DeliveryState, EndReason | None]
) -> None:
    deliveries = [await world.delivery(a_webhook(KNOWN)) for _ in range(3)]
    world.storage.state.change(changed)
    await world.upkeep.settle()
    assert {(one.state, one.reason) for one in deliveries} == {end}


async def test_what_waits_for_a_webhook_that_its_user_disabled_expires_with_its_event(
    world: World,
) -> None:
    webhook = a_webhook()
    old = await world.delivery(webhook)
    await world.clock.advance(60)
    young = await world.delivery(webhook)
    world.storage.state.change(attrs.evolve(webhook, disabled_until=FOREVER))
    await world.clock.advance(RULES.expire_after.total_seconds() - 30)
    await world.upkeep.settle()
    assert (old.state, old.reason) == (DeliveryState.CANCELLED, EndReason.EXPIRED)
    assert young.state is DeliveryState.PENDING


async def test_answers_are_forgotten_once_no_request_is_given_them_any_more(world: World) -> None:
    def answer(number: int) -> KeptAnswer:
        return KeptAnswer(ENVIRONMENT, f"request {number}", "asked", b"", world.clock.now())

    for number in range(1200):
        world.storage.state.keep([answer(number)])
    await world.clock.advance(KEPT_FOR.total_seconds() - 1)
    await world.upkeep.forget_answers()
    assert len(world.storage.state.answers) == 1200
    await world.clock.advance(1)
    world.storage.state.keep([answer(1200)])
    await world.upkeep.forget_answers()
    assert [request for _, request in world.storage.state.answers] == ["request 1200"]


async def test_a_webhook_that_has_only_failed_for_five_days_is_disabled(world: World) -> None:
    webhook = a_webhook()
    await world.delivery(webhook)
    for _ in range(7):
        world.log(webhook, AttemptOutcome.FAILED)
        await world.clock.advance(24 * 3600)
    world.upkeep.delivery_failed(ENVIRONMENT, webhook.webhook_id)
    assert await world.upkeep.disable_failing()
    stored = world.storage.state.webhooks[webhook.webhook_id]
    assert stored.disabled_reason is DisabledReason.FAILING
    assert world.notebook.disabled == [(webhook.webhook_id, DisabledReason.FAILING)]
    assert not await world.upkeep.disable_failing()


async def test_a_webhook_that_succeeded_once_in_five_days_is_left_alone(world: World) -> None:
    webhook = a_webhook()
    await world.delivery(webhook)
    for day in range(7):
        world.log(webhook, AttemptOutcome.SUCCEEDED if day == 5 else AttemptOutcome.FAILED)
        await world.clock.advance(24 * 3600)
    world.upkeep.delivery_failed(ENVIRONMENT, webhook.webhook_id)
    assert not await world.upkeep.disable_failing()


async def test_a_webhook_that_could_not_be_judged_is_judged_the_next_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = a_webhook()
    await world.delivery(webhook)
    for _ in range(7):
        world.log(webhook, AttemptOutcome.FAILED)
        await world.clock.advance(24 * 3600)
    world.upkeep.delivery_failed(ENVIRONMENT, webhook.webhook_id)

    async def away(*_: object) -> bool:
        raise StorageUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(world.storage.webhooks, "disable_failing", away)
        with pytest.raises(StorageUnavailable):
            await world.upkeep.disable_failing()
    assert await world.upkeep.disable_failing()
