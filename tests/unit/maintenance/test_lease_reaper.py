"""Leases that nobody holds, deliveries that nobody can send, webhooks that only fail."""

from datetime import timedelta
from uuid import UUID

import attrs
import pytest

from notification_adapters.memory.state import StoredDelivery
from notification_core.errors import StorageUnavailable
from notification_core.maintenance.lease_reaper import LeaseReaper
from notification_core.model.circuit_breaker import ProbeSchedule, WebhookHealth
from notification_core.model.delivery import AttemptOutcome, DeliveryState, EndReason
from notification_core.model.request_records import KEPT_FOR, StoredResponse
from notification_core.model.webhook import FOREVER, DisabledReason, Webhook
from tests.support.assembly import REAPER_RULES, MemoryApp
from tests.support.samples import (
    ENVIRONMENT,
    NOW,
    WORKER,
    a_result,
    a_webhook,
    an_id,
)

HOLD = timedelta(hours=24)
KNOWN = an_id()
WEEK_OF_FAILURES = [AttemptOutcome.FAILED] * 7


@pytest.fixture
async def app() -> MemoryApp:
    """Return a process whose worker holds its lock."""
    app = MemoryApp()
    await app.storage.worker_lock.acquire(WORKER)
    return app


async def leased_delivery(app: MemoryApp, webhook: Webhook, worker: UUID) -> StoredDelivery:
    """Store a delivery that a worker has leased for half a minute."""
    delivery = await app.add_delivery(webhook)
    now = app.clock.now()
    delivery.claim(worker, now, now + timedelta(seconds=30))
    return delivery


async def log_a_week(app: MemoryApp, webhook: Webhook, *outcomes: AttemptOutcome) -> None:
    """Log an attempt a day, one after the other."""
    await app.add_delivery(webhook)
    for outcome in outcomes:
        attempt = attrs.evolve(a_result(webhook).attempt, log_id=app.ids(), outcome=outcome)
        app.storage.state.attempts[attempt.log_id] = attempt
        await app.clock.advance(24 * 3600)
    app.lease_reaper.delivery_failed(ENVIRONMENT, webhook.webhook_id)


async def test_what_a_dead_worker_had_begun_is_logged_as_interrupted_and_due_again(
    app: MemoryApp,
) -> None:
    delivery = await leased_delivery(app, a_webhook(), an_id())
    assert await app.lease_reaper.reap() == 1
    assert delivery.is_waiting
    assert delivery.due_at == NOW + REAPER_RULES.interruption_delay
    (attempt,) = app.storage.state.attempts.values()
    assert attempt.outcome is AttemptOutcome.INTERRUPTED
    assert app.observer.reaped == 1


async def test_what_this_worker_holds_is_left_to_it_until_the_lease_is_over(app: MemoryApp) -> None:
    delivery = await leased_delivery(app, a_webhook(), WORKER)
    assert await app.lease_reaper.reap() == 0
    assert delivery.worker == WORKER
    await app.clock.advance(31)
    assert await app.lease_reaper.reap() == 1


async def test_the_tenth_interruption_in_a_row_ends_a_delivery(app: MemoryApp) -> None:
    delivery = await app.add_delivery(a_webhook())
    for _ in range(10):
        delivery.claim(an_id(), NOW, NOW)
        await app.lease_reaper.reap()
    assert (delivery.state, delivery.reason) == (DeliveryState.FAILED, EndReason.INTERRUPTED)
    assert app.observer.failed == [delivery.delivery_id]


async def test_what_this_worker_owns_and_does_not_hold_is_given_back_as_if_never_begun(
    app: MemoryApp,
) -> None:
    webhook = a_webhook()
    lost, kept = [await leased_delivery(app, webhook, WORKER) for _ in range(2)]
    assert await app.lease_reaper.release_orphaned(WORKER, lambda one: one == kept.delivery_id) == 1
    assert (lost.worker, lost.attempt) == (None, 0)
    assert (kept.worker, kept.attempt) == (WORKER, 1)
    assert app.observer.released == 1


async def test_nothing_is_written_where_all_that_is_owned_is_held(app: MemoryApp) -> None:
    await leased_delivery(app, a_webhook(), WORKER)
    assert await app.lease_reaper.release_orphaned(WORKER, lambda _: True) == 0
    assert not app.faults.calls["release"]


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
    app: MemoryApp, changed: Webhook, end: tuple[DeliveryState, EndReason | None]
) -> None:
    deliveries = [await app.add_delivery(a_webhook(KNOWN)) for _ in range(3)]
    app.storage.state.change(changed)
    await app.lease_reaper.cancel_unsendable()
    assert {(delivery.state, delivery.reason) for delivery in deliveries} == {end}


async def test_what_waits_for_a_webhook_that_its_user_disabled_expires_with_its_event(
    app: MemoryApp,
) -> None:
    webhook = a_webhook()
    old = await app.add_delivery(webhook)
    await app.clock.advance(60)
    young = await app.add_delivery(webhook)
    app.storage.state.change(attrs.evolve(webhook, disabled_until=FOREVER))
    await app.clock.advance(REAPER_RULES.expire_after.total_seconds() - 30)
    await app.lease_reaper.cancel_unsendable()
    assert (old.state, old.reason) == (DeliveryState.CANCELLED, EndReason.EXPIRED)
    assert young.state is DeliveryState.PENDING


async def test_what_waits_for_a_paused_webhook_for_too_long_is_reported_as_failed(
    app: MemoryApp,
) -> None:
    webhook = a_webhook()
    old = [await app.add_delivery(webhook) for _ in range(2)]
    await app.clock.advance(60)
    young = await app.add_delivery(webhook)
    probes = ProbeSchedule(NOW, HOLD, NOW, NOW)
    app.storage.state.health[webhook.webhook_id] = WebhookHealth(10, NOW, an_id(), probes)
    await app.clock.advance(HOLD.total_seconds() - 30)
    rules = attrs.evolve(REAPER_RULES, hold=HOLD)
    reaper = LeaseReaper(app.storage, app.clock, app.observer, rules)
    await reaper.cancel_unsendable()
    assert sorted(app.observer.failed) == sorted(delivery.delivery_id for delivery in old)
    assert young.state is DeliveryState.PENDING
    await reaper.cancel_unsendable()
    assert len(app.observer.failed) == 2


async def test_answers_are_forgotten_once_no_request_is_given_them_any_more(app: MemoryApp) -> None:
    def stored_response(number: int) -> StoredResponse:
        return StoredResponse(ENVIRONMENT, f"request {number}", "asked", b"", app.clock.now())

    for number in range(1200):
        app.storage.state.add_records([stored_response(number)])
    await app.clock.advance(KEPT_FOR.total_seconds() - 1)
    await app.lease_reaper.delete_old_responses()
    assert len(app.storage.state.responses) == 1200
    await app.clock.advance(1)
    app.storage.state.add_records([stored_response(1200)])
    await app.lease_reaper.delete_old_responses()
    assert [request for _, request in app.storage.state.responses] == ["request 1200"]


async def test_a_webhook_that_has_only_failed_for_five_days_is_disabled(app: MemoryApp) -> None:
    webhook = a_webhook()
    await log_a_week(app, webhook, *WEEK_OF_FAILURES)
    assert await app.lease_reaper.disable_failing()
    stored = app.storage.state.webhooks[webhook.webhook_id]
    assert stored.disabled_reason is DisabledReason.FAILING
    assert app.observer.disabled == [(webhook.webhook_id, DisabledReason.FAILING)]
    assert not await app.lease_reaper.disable_failing()


async def test_a_webhook_that_succeeded_once_in_five_days_is_left_alone(app: MemoryApp) -> None:
    webhook = a_webhook()
    await log_a_week(
        app, webhook, *WEEK_OF_FAILURES[:5], AttemptOutcome.SUCCEEDED, AttemptOutcome.FAILED
    )
    assert not await app.lease_reaper.disable_failing()


async def test_a_webhook_that_could_not_be_checked_is_checked_the_next_time(
    app: MemoryApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = a_webhook()
    await log_a_week(app, webhook, *WEEK_OF_FAILURES)

    async def away(*_: object) -> bool:
        raise StorageUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(app.storage.webhooks, "disable_failing", away)
        with pytest.raises(StorageUnavailable):
            await app.lease_reaper.disable_failing()
    assert await app.lease_reaper.disable_failing()
