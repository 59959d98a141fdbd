"""Dispatching, from the publish to the log: on memory stores and a clock that does not move."""

import asyncio
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import attrs
import pytest

from notification_adapters.memory.sender import Hang
from notification_core.dispatch.capacity import Bounds
from notification_core.dispatch.delivery_runner import SHORTAGE_SECONDS
from notification_core.errors import (
    Resource,
    ResourceShort,
    StorageUnavailable,
    UndecipherableText,
    UnknownCommit,
)
from notification_core.model.delivery import (
    AttemptOutcome,
    DeliveryOrigin,
    DeliveryState,
    EndReason,
    ErrorCode,
)
from notification_core.model.replay import NOT_ARRIVED, Replay, Selection
from notification_core.model.retry_overrides import RetryOverrides
from notification_core.model.webhook import FOREVER, DisabledReason, Webhook
from notification_core.replays.replay_runner import MAX_WAITING
from tests.support.assembly import DELIVERY_RULES, DISPATCH_RULES, MemoryApp
from tests.support.dispatching import dispatching
from tests.support.samples import ENVIRONMENT, an_event

INTERVAL = DELIVERY_RULES.retries.interval
POLL = DISPATCH_RULES.poll_interval.total_seconds()
BOUNDS = DISPATCH_RULES.bounds


async def change(app: MemoryApp, webhook: Webhook, *, here: bool) -> Webhook:
    """Store a changed webhook, in this process or in another one."""
    changed = attrs.evolve(webhook, version=webhook.version + 1)
    webhooks_revision = await app.storage.webhooks.replace(changed)
    if here:
        app.dispatcher.on_webhooks_changed(webhooks_revision)
    return changed


async def delete(app: MemoryApp, webhook: Webhook, *, here: bool) -> None:
    webhooks_revision = await app.storage.webhooks.delete(
        webhook.environment_id, webhook.webhook_id, app.clock.now()
    )
    if here:
        app.dispatcher.on_webhooks_changed(webhooks_revision)


# The way of a delivery.


async def test_an_event_is_sent_at_once_to_each_webhook_and_logged(app: MemoryApp) -> None:
    webhooks = [await app.add_webhook() for _ in range(3)]
    await app.publish()
    await app.until(lambda: len(app.stored_attempts()) == 3)
    assert {request.url for request in app.sender.requests} == {one.url for one in webhooks}
    assert app.states() == {DeliveryState.SUCCEEDED}
    assert app.faults.calls["acquire"] <= 1


async def test_how_long_a_first_attempt_waited_is_told_once(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, 500, 200)
    await app.clock.advance(1)
    await app.elsewhere.publish()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=20)
    (waited,) = app.observer.first_attempts
    assert 0 <= waited <= POLL


async def test_what_waited_while_its_webhook_was_disabled_is_not_told_of_as_waiting(
    app: MemoryApp,
) -> None:
    webhook = await app.add_webhook()
    app.faults.errors["acquire"] = StorageUnavailable("The database cannot be reached.")
    await app.elsewhere.publish()
    await app.clock.advance(60)
    await change(app, attrs.evolve(webhook, updated_at=app.clock.now()), here=True)
    app.faults.errors.clear()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=5)
    assert app.observer.first_attempts == []


async def test_what_waits_for_its_own_receiver_is_not_told_of_as_waiting(app: MemoryApp) -> None:
    hanging, good = await app.add_webhook(), await app.add_webhook()
    app.sender.respond(hanging.url, Hang.HANG)
    await app.clock.advance(1)
    await app.publish(200)
    await app.until(lambda: app.sender.in_flight == 64)
    await app.clock.advance(5)
    told = len(app.observer.first_attempts)
    app.sender.respond(hanging.url, 200)
    app.sender.release(hanging.url, 200)
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=20)
    assert len(app.sent_to(good)) == 200
    assert len(app.observer.first_attempts) == told, "the others had waited for the 64"
    assert max(app.observer.first_attempts) < 1
    assert not app.dispatcher.holds_back(good.webhook_id, timedelta(seconds=0.1))


async def test_what_is_claimed_and_waits_for_room_counts_as_late_unless_its_webhook_holds_it_back(
    app: MemoryApp,
) -> None:
    hanging = await app.add_webhook()
    app.sender.respond(hanging.url, Hang.HANG)
    await app.publish(200)
    await app.until(lambda: app.sender.in_flight == BOUNDS.per_webhook)
    await app.clock.advance(3)
    assert app.dispatcher.oldest_waiting == timedelta(), "it is at its own limit"
    for _ in range(8):
        app.sender.respond((await app.add_webhook()).url, Hang.HANG)
    await app.publish(BOUNDS.per_webhook)
    await app.until(lambda: app.sender.in_flight == BOUNDS.in_flight // 2)
    await app.clock.advance(5)
    assert timedelta(seconds=5) <= app.dispatcher.oldest_waiting < timedelta(seconds=6)


async def test_an_event_published_in_another_process_is_sent_within_a_poll(app: MemoryApp) -> None:
    await app.add_webhook()
    await app.elsewhere.publish()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=POLL)


async def test_a_failed_delivery_is_retried_as_often_as_it_may_be_at_its_interval(
    app: MemoryApp,
) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, 500)
    await app.publish()
    await app.until(lambda: app.states() == {DeliveryState.FAILED}, within=20)
    await app.clock.advance(60)
    starts = [one.started_at for one in app.stored_attempts()]
    assert len(starts) == 4
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert all(INTERVAL <= gap <= INTERVAL + timedelta(seconds=0.1) for gap in gaps)
    assert [one.next_attempt_at is None for one in app.stored_attempts()] == [False] * 3 + [True]


async def test_a_retry_that_arrives_ends_the_delivery(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, ErrorCode.CONNECT, 503, 200)
    await app.publish()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=20)
    assert [one.outcome for one in app.stored_attempts()] == ["failed", "failed", "succeeded"]


# What this host lacks.


@pytest.mark.parametrize("resource", Resource)
async def test_what_is_not_sent_for_want_of_a_resource_is_no_attempt_and_uses_no_retry(
    app: MemoryApp, resource: Resource
) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, *[ResourceShort(resource)] * 10, 200)
    await app.publish()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=60)
    assert [one.number for one in app.stored_attempts()] == [1]
    assert app.observer.exhausted == [resource] * 10
    assert app.observer.outcomes == [(AttemptOutcome.SUCCEEDED, None)]
    started = app.stored_attempts()[0].started_at
    assert started - app.stored_deliveries()[0].created_at >= 10 * INTERVAL


async def test_while_a_resource_is_short_nothing_is_claimed_and_the_process_is_not_ready(
    app: MemoryApp,
) -> None:
    webhook = await app.add_webhook()
    short = ResourceShort(Resource.DESCRIPTORS)
    app.sender.respond(webhook.url, short)
    await app.publish()
    await app.until(lambda: app.observer.exhausted)
    claims = app.faults.calls["acquire"]
    with pytest.raises(ResourceShort, match="ulimit -n"):
        await app.dispatcher.check()
    await app.publish()
    await app.elsewhere.publish()
    await app.clock.advance(SHORTAGE_SECONDS - 0.1)
    assert app.faults.calls["acquire"] == claims
    assert {one.worker for one in app.stored_deliveries()} == {None}
    assert len(app.observer.exhausted) == 1
    app.sender.respond(webhook.url, 200)
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=10)
    await app.dispatcher.check()


async def test_ports_that_one_receiver_uses_up_do_not_hold_up_others(app: MemoryApp) -> None:
    busy, other = await app.add_webhook(), await app.add_webhook()
    app.sender.respond(busy.url, ResourceShort(Resource.PORTS))
    await app.publish(20)
    await app.until(lambda: len(app.sent_to(other)) == 20)
    await app.dispatcher.check()


@pytest.mark.parametrize("here", [True, False])
async def test_a_failure_is_retried_as_its_webhook_says_by_then(
    app: MemoryApp, *, here: bool
) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)
    await app.publish()
    await app.until(lambda: app.sender.in_flight == 1)
    await change(app, attrs.evolve(webhook, retry=RetryOverrides(max_retries=0)), here=here)
    await app.clock.advance(2 * POLL)
    app.sender.release(webhook.url, 500)
    await app.until(app.stored_attempts)
    assert app.states() == {DeliveryState.FAILED}


async def test_410_disables_the_webhook_and_nothing_more_is_sent_to_it(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, 410)
    await app.publish()
    await app.until(lambda: app.observer.disabled)
    assert app.observer.disabled == [(webhook.webhook_id, DisabledReason.GONE)]
    assert app.states() == {DeliveryState.FAILED}
    await app.publish(3)
    await app.clock.advance(10)
    assert len(app.sent_to(webhook)) == 1
    assert app.states() == {DeliveryState.FAILED, DeliveryState.SKIPPED}


async def test_410_ends_what_waited_for_the_webhook(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)
    await app.publish(200)
    await app.until(lambda: app.sender.in_flight == 64)
    app.sender.release(webhook.url, 410)
    await app.clock.advance(60)
    await app.until(lambda: DeliveryState.PENDING not in app.states(), within=2 * POLL)
    assert len(app.sent_to(webhook)) < 200
    assert {
        one.reason for one in app.stored_deliveries() if one.state is DeliveryState.SKIPPED
    } == {EndReason.WEBHOOK_DISABLED}


async def test_a_request_of_which_nobody_knows_is_logged_as_interrupted_and_repeated(
    app: MemoryApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a bug in a driver")

    await app.add_webhook()
    with monkeypatch.context() as patch:
        patch.setattr(app.sender, "send", broken)
        await app.publish()
        await app.until(app.stored_attempts)
    assert app.stored_attempts()[0].outcome is AttemptOutcome.INTERRUPTED
    assert app.observer.errors == [("send", "RuntimeError")]
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=5)
    assert [one.failures for one in app.stored_deliveries()] == [0]


# Nobody waits for anybody else.


async def publish_and_send(app: MemoryApp, webhook: Webhook) -> None:
    """Publish an event, and return once one more request has gone to a webhook."""
    sent = len(app.sent_to(webhook))
    await app.publish()
    await app.until(lambda: len(app.sent_to(webhook)) > sent, within=POLL)


async def test_a_webhook_that_hangs_does_not_delay_another(app: MemoryApp) -> None:
    hanging, good = await app.add_webhook(), await app.add_webhook()
    app.sender.respond(hanging.url, Hang.HANG)
    await app.publish(1_000)
    await app.until(lambda: len(app.sent_to(good)) == 1_000, within=2 * POLL)


@pytest.mark.parametrize("size", [1, 300_000])
async def test_a_hundred_webhooks_that_hang_do_not_delay_one_that_answers(
    app: MemoryApp, size: int
) -> None:
    good = await app.add_webhook()
    await app.publish()
    await app.until(lambda: app.sent_to(good))
    hanging = [await app.add_webhook() for _ in range(100)]
    for webhook in hanging:
        app.sender.respond(webhook.url, Hang.HANG)
    event = an_event(data=b'"%b"' % (b"x" * size))
    for number in range(30):
        await app.ingest.publish([attrs.evolve(event, event_id=f"bulk-{number}")])
    for number in range(10):
        await publish_and_send(app, good)
        await app.clock.advance(0.5)
        assert len(app.sent_to(good)) >= number + 2
    assert len(app.sent_to(good)) == 41
    assert app.dispatcher.in_flight <= BOUNDS.in_flight
    assert app.dispatcher.waiting <= BOUNDS.waiting


async def test_a_backlog_drains_at_the_speed_of_the_responses_and_not_of_the_polls(
    app: MemoryApp,
) -> None:
    webhooks = [await app.add_webhook() for _ in range(3)]
    await app.elsewhere.publish(800)
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=POLL)
    assert all(len(app.sent_to(one)) == 800 for one in webhooks)


async def test_a_backlog_of_many_webhooks_drains_whole() -> None:
    rules = attrs.evolve(DISPATCH_RULES, bounds=Bounds(in_flight=8, per_webhook=2, waiting=40))
    async with dispatching(MemoryApp(dispatch_rules=rules)) as app:
        for _ in range(120):
            await app.add_webhook()
        await app.elsewhere.publish(5)
        await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=5 * POLL)


async def test_claims_stop_where_a_webhook_is_at_its_bound(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)
    await app.elsewhere.publish(5_000)
    await app.until(lambda: app.sender.in_flight == 64, within=POLL)
    before = app.faults.calls["acquire"]
    await app.clock.advance(8)
    assert app.faults.calls["acquire"] - before <= 10
    assert app.dispatcher.waiting <= 64


# Webhooks that change while deliveries wait.


async def _waiting(app: MemoryApp, number: int = 200) -> Webhook:
    """Let deliveries of a webhook wait behind 64 requests that hang."""
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)
    await app.publish(number)
    await app.until(lambda: app.sender.in_flight == 64)
    return webhook


@pytest.mark.parametrize("here", [True, False])
async def test_nothing_starts_after_a_webhook_was_deleted(
    app: MemoryApp,
    here: bool,  # noqa: FBT001 - a case
) -> None:
    """At once in the process that deleted it, with its next poll in any other."""
    webhook = await _waiting(app)
    await delete(app, webhook, here=here)
    if not here:
        await app.clock.advance(POLL)
    app.sender.release(webhook.url, 200)
    await app.clock.advance(30)
    assert len(app.sent_to(webhook)) == 64
    assert {(one.state, one.reason) for one in app.stored_deliveries()} == {
        (DeliveryState.CANCELLED, EndReason.WEBHOOK_DELETED)
    }
    assert len(app.stored_attempts()) == 64


@pytest.mark.parametrize("here", [True, False])
async def test_what_waits_when_a_webhook_is_disabled_waits_until_that_is_over(
    app: MemoryApp,
    here: bool,  # noqa: FBT001 - a case
) -> None:
    webhook = await _waiting(app)
    until_then = app.clock.now() + timedelta(seconds=60)
    await change(app, attrs.evolve(webhook, disabled_until=until_then), here=here)
    if not here:
        await app.clock.advance(POLL)
    app.sender.respond(webhook.url, 200)
    app.sender.release(webhook.url, 200)
    await app.clock.advance(50)
    assert len(app.sent_to(webhook)) == 64
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=12)


@pytest.mark.parametrize("here", [True, False])
async def test_what_waits_when_a_url_changes_goes_to_the_new_one(
    app: MemoryApp,
    here: bool,  # noqa: FBT001 - a case
) -> None:
    webhook = await _waiting(app)
    moved = await change(app, attrs.evolve(webhook, url="https://new.example.com/"), here=here)
    if not here:
        await app.clock.advance(POLL)
    app.sender.release(webhook.url, 500)
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=10)
    assert len(app.sent_to(webhook)) == 64
    assert len(app.sent_to(moved)) == 200


async def test_a_publish_that_began_before_a_deletion_sends_nothing_after_it(
    app: MemoryApp,
) -> None:
    webhook = await app.add_webhook()
    gate = app.faults.gates["ingesting"] = asyncio.Event()
    publishing = asyncio.create_task(app.publish())
    await app.until(app.storage.state.writing.locked)
    deleting = asyncio.create_task(delete(app, webhook, here=True))
    gate.set()
    await asyncio.gather(publishing, deleting)
    await app.clock.advance(5)
    assert not app.sent_to(webhook)
    assert app.states() == {DeliveryState.CANCELLED}


# Storage that fails.


async def test_results_survive_unavailable_storage(app: MemoryApp) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)
    await app.publish(50)
    await app.until(lambda: app.sender.in_flight == 50)
    app.faults.unreachable = True
    app.sender.release(webhook.url, 200)
    await app.clock.advance(9)
    assert not app.stored_attempts()
    with pytest.raises(StorageUnavailable):
        await app.publish()
    app.faults.unreachable = False
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=2)
    assert len(app.stored_attempts()) == len(app.sender.requests) == 50
    assert max(one.interruptions for one in app.stored_deliveries()) == 0


async def test_while_storage_is_unavailable_nothing_spins(app: MemoryApp) -> None:
    await app.add_webhook()
    await app.clock.advance(1)
    app.faults.unreachable = True
    app.faults.calls.clear()
    await app.clock.advance(10)
    assert max(app.faults.calls.values()) <= 21


async def test_results_whose_commit_is_unknown_make_no_duplicates(app: MemoryApp) -> None:
    await app.add_webhook()
    app.faults.lost["finish"] = True
    await app.publish(5)
    await app.until(lambda: len(app.stored_attempts()) == 5, within=2)
    await app.clock.advance(5)
    assert len(app.sender.requests) == 5
    assert app.states() == {DeliveryState.SUCCEEDED}


@pytest.mark.parametrize("happened", [True, False])
async def test_a_publish_of_unknown_outcome_is_sent_once_if_it_was_stored(
    app: MemoryApp,
    happened: bool,  # noqa: FBT001 - a case
) -> None:
    await app.add_webhook()
    app.faults.lost["ingesting"] = happened
    with pytest.raises(UnknownCommit):
        await app.publish(3)
    assert app.dispatcher.waiting == 0
    await app.clock.advance(2 * POLL)
    assert len(app.sender.requests) == len(app.stored_attempts()) == (3 if happened else 0)
    assert app.observer.reaped == 0


async def test_a_claim_of_unknown_outcome_is_sent_within_two_polls(app: MemoryApp) -> None:
    await app.add_webhook()
    await app.elsewhere.publish(3)
    app.faults.lost["acquire"] = True
    app.dispatcher.runner.wake()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=2 * POLL)
    assert [one.attempt for one in app.stored_deliveries()] == [1, 1, 1]
    assert app.observer.reaped == 0


@pytest.mark.parametrize("happened", [True, False])
async def test_a_release_of_unknown_outcome_makes_no_second_request(
    app: MemoryApp,
    happened: bool,  # noqa: FBT001 - a case
) -> None:
    webhook = await _waiting(app, number=100)
    app.faults.lost["release"] = happened
    until_then = app.clock.now() + timedelta(seconds=3)
    await change(app, attrs.evolve(webhook, disabled_until=until_then), here=True)
    await app.clock.advance(9)
    app.sender.respond(webhook.url, 200)
    app.sender.release(webhook.url)
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=10)
    assert len(app.sender.requests) == 100


async def test_what_is_found_unheld_is_not_given_back_once_it_is_started_again(
    app: MemoryApp,
) -> None:
    """The look for what nobody holds may be older than a give-back and the claim after it."""
    webhook = await _waiting(app, number=100)
    looked = app.faults.late["leased"] = asyncio.Event()
    looks = app.faults.calls["leased"]
    await app.until(lambda: app.faults.calls["leased"] > looks, within=2 * POLL)
    until_then = app.clock.now() + timedelta(seconds=0.5)
    await change(app, attrs.evolve(webhook, disabled_until=until_then), here=True)
    await app.until(lambda: app.observer.released == 36)
    app.sender.release(webhook.url, 200)
    written = app.faults.gates["release"] = asyncio.Event()
    looked.set()
    await app.clock.advance(2)
    written.set()
    await app.clock.advance(2)
    app.sender.respond(webhook.url, 200)
    app.sender.release(webhook.url, 200)
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=5)
    assert len(app.sender.requests) == 100


async def test_keys_that_cannot_be_read_stop_their_environment_and_nothing_spins(
    app: MemoryApp,
) -> None:
    await app.add_webhook()
    app.faults.errors["keys_of"] = UndecipherableText("another secret")
    await app.publish(100)
    await app.clock.advance(5)
    assert not app.sender.requests
    assert app.faults.calls["acquire"] <= 20
    assert app.dispatcher.in_flight == 0
    assert [one.attempt for one in app.stored_deliveries()] == [0] * 100
    app.faults.errors.clear()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=2 * POLL)
    assert app.observer.reaped == 0


async def test_a_delivery_whose_keys_came_too_late_for_its_lease_is_given_back_first(
    app: MemoryApp,
) -> None:
    await app.add_webhook()
    gate = app.faults.gates["keys_of"] = asyncio.Event()
    await app.publish()
    await app.clock.advance(25)
    del app.faults.gates["keys_of"]
    gate.set()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=2 * POLL)
    assert app.observer.released == 1
    assert len(app.sender.requests) == 1


async def test_what_waits_too_long_for_its_lease_is_given_back(app: MemoryApp) -> None:
    webhook = await _waiting(app, number=100)
    await app.clock.advance(21)
    assert app.observer.released == 36
    assert app.dispatcher.waiting == 0
    assert sorted(one.attempt for one in app.stored_deliveries(webhook)) == [0] * 36 + [1] * 64


async def test_no_more_is_sent_than_a_kill_may_repeat(app: MemoryApp) -> None:
    await app.add_webhook()
    gate = app.faults.gates["finish"] = asyncio.Event()
    await app.publish(1_000)
    await app.clock.advance(5)
    assert len(app.sender.requests) == BOUNDS.in_flight
    gate.set()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=POLL)


# The end.


async def test_a_stop_gives_back_what_waits_and_records_what_is_out(app: MemoryApp) -> None:
    webhook = await _waiting(app, number=100)
    stopping = asyncio.create_task(app.dispatcher.stop())
    await app.clock.advance(1)
    claims = app.faults.calls["acquire"]
    await app.clock.advance(3)
    assert app.faults.calls["acquire"] == claims
    assert not stopping.done()
    app.sender.release(webhook.url, 200)
    await app.until(stopping.done)
    assert len(app.stored_attempts()) == 64
    assert {one.worker for one in app.stored_deliveries()} == {None}
    assert sorted(one.attempt for one in app.stored_deliveries()) == [0] * 36 + [1] * 64


async def test_from_when_it_winds_down_nothing_is_begun_and_what_waits_is_free_for_others(
    app: MemoryApp,
) -> None:
    webhook = await _waiting(app, number=100)
    app.dispatcher.wind_down()
    await app.until(lambda: sum(one.worker is not None for one in app.stored_deliveries()) == 64)
    app.sender.release(webhook.url, 200)
    await app.until(lambda: len(app.stored_attempts()) == 64)
    await app.elsewhere.publish(5)
    await app.clock.advance(5 * POLL)
    assert len(app.sender.requests) == 64


async def test_a_stop_during_a_claim_leaves_no_lease_behind(app: MemoryApp) -> None:
    await app.add_webhook()
    await app.elsewhere.publish(10)
    gate = app.faults.late["acquire"] = asyncio.Event()
    app.dispatcher.runner.wake()
    await app.until(lambda: app.stored_deliveries()[0].worker, within=POLL)
    stopping = asyncio.create_task(app.dispatcher.stop())
    await app.clock.advance(0)
    gate.set()
    await app.until(stopping.done)
    assert {one.worker for one in app.stored_deliveries()} == {None}


async def test_what_is_published_while_the_process_stops_is_left_for_the_next(
    app: MemoryApp,
) -> None:
    webhook = await _waiting(app, number=64)
    stopping = asyncio.create_task(app.dispatcher.stop())
    await app.clock.advance(1)
    await app.publish(5)
    app.sender.release(webhook.url, 200)
    await app.until(stopping.done)
    waiting = [one for one in app.stored_deliveries() if one.state is DeliveryState.PENDING]
    assert [(one.worker, one.attempt) for one in waiting] == [(None, 0)] * 5


async def test_a_publish_under_way_when_the_process_stops_is_given_back(app: MemoryApp) -> None:
    webhook = await _waiting(app, number=64)
    gate = app.faults.gates["ingesting"] = asyncio.Event()
    publishing = asyncio.create_task(app.publish(5))
    await app.until(lambda: app.dispatcher.waiting)
    stopping = asyncio.create_task(app.dispatcher.stop())
    await asyncio.sleep(0)
    gate.set()
    await publishing
    app.sender.release(webhook.url, 200)
    await app.until(stopping.done)
    assert {one.worker for one in app.stored_deliveries()} == {None}


async def test_a_stop_that_is_given_up_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    async with dispatching(MemoryApp()) as app:
        await _waiting(app, number=64)
        app.faults.unreachable = True
        stopping = asyncio.create_task(app.dispatcher.stop())
        await app.clock.advance(1)
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        await app.clock.advance(0)
        assert asyncio.all_tasks() == before
        app.sender.requests.clear()


async def test_a_dead_process_left_attempts_that_are_interrupted_and_repeated(
    app: MemoryApp,
) -> None:
    await app.add_webhook()
    await app.elsewhere.publish()
    (delivery,) = app.stored_deliveries()
    now = app.clock.now()
    delivery.claim(UUID(int=7), now, now + timedelta(seconds=30))
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=POLL + 2.5)
    assert [one.outcome for one in app.stored_attempts()] == ["interrupted", "succeeded"]


async def test_a_webhook_disabled_permanently_by_its_user_keeps_what_waits(app: MemoryApp) -> None:
    webhook = await _waiting(app, number=70)
    await change(app, attrs.evolve(webhook, disabled_until=FOREVER), here=True)
    app.sender.release(webhook.url, 200)
    await app.clock.advance(120)
    assert app.states() == {DeliveryState.SUCCEEDED, DeliveryState.PENDING}
    assert len(app.sender.requests) == 64


# Replays.


async def replay(app: MemoryApp, webhook: Webhook) -> Replay:
    """Begin to replay all of a webhook that has not arrived."""
    await app.clock.advance(0.01)
    now = app.clock.now()
    selection = Selection(now - timedelta(days=1), now, frozenset(NOT_ARRIVED))
    begun = Replay(UUID(int=7), webhook.environment_id, webhook.webhook_id, selection, now)
    await app.storage.replays.add(begun)
    return begun


async def skipped(app: MemoryApp, count: int) -> Webhook:
    """Return a webhook that has missed so many events while it was disabled."""
    webhook = await app.add_webhook()
    disabled = attrs.evolve(webhook, version=2, disabled_until=FOREVER)
    await app.storage.webhooks.replace(disabled)
    await app.publish(count)
    assert app.states(webhook) == {DeliveryState.SKIPPED}
    enabled = attrs.evolve(webhook, version=3)
    app.dispatcher.on_webhooks_changed(await app.storage.webhooks.replace(enabled))
    return enabled


async def test_what_was_missed_is_sent_once_a_replay_is_begun(app: MemoryApp) -> None:
    webhook = await skipped(app, 3)
    begun = await replay(app, webhook)
    app.dispatcher.replay()
    await app.until(lambda: len(app.sent_to(webhook)) == 3)
    await app.until(lambda: len(app.stored_attempts()) == 3)
    assert app.storage.state.replays[begun.replay_id].replay.replayed == 3
    assert app.observer.stored[1] == 3


async def test_a_replay_that_another_process_began_is_noticed_by_a_poll(app: MemoryApp) -> None:
    webhook = await skipped(app, 1)
    await replay(app, webhook)
    await app.until(lambda: len(app.sent_to(webhook)) == 1, within=POLL)


async def test_a_replay_of_many_keeps_few_waiting_until_all_are_sent(app: MemoryApp) -> None:
    webhook = await skipped(app, 2 * MAX_WAITING + 10)
    app.sender.respond(webhook.url, Hang.HANG)
    await replay(app, webhook)
    app.dispatcher.replay()
    await app.clock.advance(5)
    made = [one for one in app.stored_deliveries(webhook) if one.origin is DeliveryOrigin.REPLAY]
    assert MAX_WAITING <= len(made) <= MAX_WAITING + BOUNDS.per_webhook
    app.sender.respond(webhook.url, 200)
    app.sender.release(webhook.url)
    await app.until(lambda: len(app.stored_attempts()) == 2 * MAX_WAITING + 10, within=60)


# Erasures.


async def test_an_environment_that_is_erased_here_gets_nothing_more_and_leaves_nothing(
    app: MemoryApp,
) -> None:
    webhook = await app.add_webhook()
    app.sender.respond(webhook.url, Hang.HANG)
    await app.publish(3 * BOUNDS.per_webhook)
    await app.until(lambda: len(app.sent_to(webhook)) == BOUNDS.per_webhook)
    _, webhooks_revision = await app.storage.erasures.begin(ENVIRONMENT, app.clock.now())
    app.dispatcher.on_webhooks_changed(webhooks_revision)
    await app.clock.advance(3)
    assert len(app.sent_to(webhook)) == BOUNDS.per_webhook
    assert len(app.stored_deliveries()) == BOUNDS.per_webhook
    app.sender.release(webhook.url)
    await app.until(lambda: not app.stored_deliveries(), within=5)
    await app.until(lambda: not app.storage.state.erasing(), within=5)
    assert not app.storage.state.events
    assert not app.stored_attempts()
    assert not app.storage.state.keys
    app.sender.requests.clear()


async def test_an_erasure_that_another_process_began_is_noticed_within_a_poll(
    app: MemoryApp,
) -> None:
    await app.add_webhook()
    await app.publish()
    await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED})
    await app.storage.erasures.begin(ENVIRONMENT, app.clock.now())
    await app.until(lambda: not app.storage.state.erasing(), within=2 * POLL)
    assert not app.stored_deliveries()
    app.sender.requests.clear()


async def test_a_result_that_storage_refuses_is_left_to_its_lease_and_waited_for_by_nobody() -> (
    None
):
    async with dispatching(MemoryApp()) as app:
        webhook = await app.add_webhook()
        app.faults.errors["finish"] = ValueError("a value that storage refuses")
        await app.publish()
        sending = app.dispatcher.runner
        await app.until(lambda: app.sent_to(webhook))
        await app.until(lambda: sending.idle, within=5)
        del app.faults.errors["finish"]
        (delivery,) = app.stored_deliveries()
        assert sending.holds(delivery.delivery_id)
        await app.until(lambda: app.states() == {DeliveryState.SUCCEEDED}, within=60)
        assert [one.outcome for one in app.stored_attempts()] == [
            AttemptOutcome.INTERRUPTED,
            AttemptOutcome.SUCCEEDED,
        ]
        assert sending.idle
        assert not sending.holds(delivery.delivery_id)
