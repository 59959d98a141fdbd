"""Dispatching, from the publish to the log: on memory stores and a clock that stands still."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import attrs
import pytest

from notification_adapters.memory import ManualClock, MemoryStorage, memory_storage
from notification_adapters.memory.sender import Hang, ScriptedSender
from notification_adapters.memory.state import StoredDelivery
from notification_core.concurrency.ids import IdGenerator
from notification_core.dispatch.attempt import AttemptMaker, DeliveryRules
from notification_core.dispatch.delivery_runner import SHORTAGE_SECONDS
from notification_core.dispatch.dispatcher import Dispatcher, DispatchRules
from notification_core.dispatch.fair_queue import Bounds
from notification_core.environments.erasures import ErasureRunner
from notification_core.errors import (
    Resource,
    ResourceShort,
    StorageUnavailable,
    UndecipherableText,
    UnknownCommit,
)
from notification_core.ingest.ingest import Ingest
from notification_core.maintenance.lease_reaper import LeaseReaper, UpkeepRules
from notification_core.maintenance.retention_sweeper import RetentionRules, RetentionSweeper
from notification_core.model.delivery import (
    Attempt,
    AttemptOutcome,
    DeliveryOrigin,
    DeliveryState,
    EndReason,
    ErrorCode,
)
from notification_core.model.replay import NOT_ARRIVED, Replay, Selection
from notification_core.model.retry_policy import RetryPolicy
from notification_core.model.webhook import FOREVER, DisabledReason, Webhook
from notification_core.ports.sender import HttpRequest
from notification_core.replays.replay_runner import ROOM, ReplayRunner
from notification_core.signing.key_cache import SigningKeyCache
from notification_core.signing.signatures import (
    CryptographySigner,
    SignatureCache,
    SignatureHeaders,
)
from tests.support.faulty_stores import Faults, FaultyDeliveries, FaultyKeys
from tests.support.observers import RecordingObserver
from tests.support.samples import ENVIRONMENT, a_webhook, an_event
from tests.support.waiting import advance_until

TIMEOUT = timedelta(seconds=10)
INTERVAL = timedelta(seconds=2)
POLL = 1.0
RULES = DispatchRules(Bounds(), lease=3 * TIMEOUT, poll_interval=timedelta(seconds=POLL))
SIGNATURES = SignatureCache(
    SignatureHeaders("X-Signature", "X-Signature-Timestamp"), CryptographySigner()
)
DELIVERY_RULES = DeliveryRules(
    timeout=TIMEOUT,
    retries=RetryPolicy(max_retries=3, interval=INTERVAL),
)
RETENTION = RetentionRules(
    logs=timedelta(days=30), audit=timedelta(days=30), events=timedelta(days=30)
)
UPKEEP_RULES = UpkeepRules(
    interruption_delay=INTERVAL,
    disable_after=timedelta(hours=120),
    expire_after=timedelta(days=30),
)


@attrs.define
class World:
    """One dispatching process, what it works on, and what it is tried with."""

    clock: ManualClock
    storage: MemoryStorage
    trouble: Faults
    sender: ScriptedSender
    notebook: RecordingObserver
    dispatcher: Dispatcher
    ingest: Ingest
    elsewhere: Ingest

    async def webhook(self) -> Webhook:
        webhook = a_webhook()
        await self.storage.webhooks.add(webhook, 100_000)
        return webhook

    async def publish(self, number: int = 1) -> None:
        """Publish events through this process."""
        await self.ingest.publish([an_event() for _ in range(number)])

    async def publish_elsewhere(self, number: int = 1) -> None:
        """Publish events through a process that does not dispatch."""
        await self.elsewhere.publish([an_event() for _ in range(number)])

    async def until(self, condition: object, within: float = 0) -> None:
        assert callable(condition)
        await advance_until(condition, self.clock, within=within)

    async def change(self, webhook: Webhook, *, here: bool) -> Webhook:
        """Store a changed webhook, in this process or in another one."""
        changed = attrs.evolve(webhook, version=webhook.version + 1)
        webhooks_revision = await self.storage.webhooks.replace(changed)
        if here:
            self.dispatcher.on_webhooks_changed(webhooks_revision)
        return changed

    async def delete(self, webhook: Webhook, *, here: bool) -> None:
        webhooks_revision = await self.storage.webhooks.delete(
            webhook.environment_id, webhook.webhook_id, self.clock.now()
        )
        if here:
            self.dispatcher.on_webhooks_changed(webhooks_revision)

    def sent_to(self, webhook: Webhook) -> Sequence[HttpRequest]:
        return self.sender.requests_to(webhook.url)

    def deliveries(self, webhook: Webhook | None = None) -> list[StoredDelivery]:
        found = self.storage.state.deliveries.values()
        return [one for one in found if not webhook or one.webhook_id == webhook.webhook_id]

    def states(self, webhook: Webhook | None = None) -> set[DeliveryState]:
        return {one.state for one in self.deliveries(webhook)}

    def attempts(self) -> list[Attempt]:
        return [one for _, one in sorted(self.storage.state.attempts.items())]

    def check_the_promise(self) -> None:
        """Every request has an attempt row of its own, and attempts count up without gaps."""
        seen = sorted(
            (headers["webhook-delivery"], int(headers["webhook-attempt"]))
            for headers in (dict(request.headers) for request in self.sender.requests)
        )
        assert len(seen) == len(set(seen))
        logged = defaultdict(list)
        for attempt in self.attempts():
            logged[str(attempt.delivery_id)].append(attempt.number)
        assert all(number in logged[delivery_id] for delivery_id, number in seen)
        for numbers in logged.values():
            assert sorted(numbers) == list(range(1, len(numbers) + 1))


@asynccontextmanager
async def a_world(rules: DispatchRules = RULES) -> AsyncIterator[World]:
    clock, trouble, notebook = ManualClock(), Faults(), RecordingObserver()
    ids, sender = IdGenerator(clock), ScriptedSender()
    storage = memory_storage(clock, ids)
    deliveries = FaultyDeliveries(storage.deliveries, trouble)
    worker = ids()
    await storage.worker_lock.acquire(worker)
    key_cache = SigningKeyCache(FaultyKeys(storage.keys, trouble), clock, lambda: b"k" * 32)
    dispatcher = Dispatcher(
        worker=worker,
        deliveries=deliveries,
        webhooks=storage.webhooks,
        deliver=AttemptMaker(sender, SIGNATURES, clock, ids, DELIVERY_RULES, lambda: 0.0),
        key_cache=key_cache,
        replay_runner=ReplayRunner(storage.replays, notebook),
        erasure_runner=ErasureRunner(storage.erasures, key_cache.forget),
        upkeep=LeaseReaper(
            deliveries=deliveries,
            webhooks=storage.webhooks,
            idempotency=storage.idempotency,
            lock=storage.worker_lock,
            clock=clock,
            observer=notebook,
            rules=UPKEEP_RULES,
        ),
        retention_sweeper=RetentionSweeper(storage.retention, clock, RETENTION),
        lock=storage.worker_lock,
        notifier=storage.notifier,
        clock=clock,
        observer=notebook,
        rules=rules,
        new_worker=ids,
    )
    ingest = Ingest(deliveries, clock, ids, notebook, dispatcher.sending, storage.notifier)
    elsewhere = Ingest(storage.deliveries, clock, ids, notebook, None, storage.another_waking())
    await dispatcher.start()
    world = World(clock, storage, trouble, sender, notebook, dispatcher, ingest, elsewhere)
    try:
        yield world
    finally:
        stopping = asyncio.create_task(dispatcher.stop())
        trouble.away = False
        trouble.errors.clear()
        for gate in (*trouble.gates.values(), *trouble.late.values()):
            gate.set()
        for webhook in storage.state.webhooks.values():
            sender.answer(webhook.url, 200)
            sender.release(webhook.url)
        await advance_until(stopping.done, clock, within=5)
        await stopping
    world.check_the_promise()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        yield world


# The way of a delivery.


async def test_an_event_is_sent_at_once_to_each_webhook_and_logged(world: World) -> None:
    webhooks = [await world.webhook() for _ in range(3)]
    await world.publish()
    await world.until(lambda: len(world.attempts()) == 3)
    assert {request.url for request in world.sender.requests} == {one.url for one in webhooks}
    assert world.states() == {DeliveryState.SUCCEEDED}
    assert world.trouble.calls["acquire"] <= 1


async def test_how_long_a_first_attempt_waited_is_told_once(world: World) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, 500, 200)
    await world.clock.advance(1)
    await world.publish_elsewhere()
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=20)
    (waited,) = world.notebook.first_attempts
    assert 0 <= waited <= POLL


async def test_what_waited_while_its_webhook_was_disabled_is_not_told_of_as_waiting(
    world: World,
) -> None:
    webhook = await world.webhook()
    world.trouble.errors["acquire"] = StorageUnavailable("The database cannot be reached.")
    await world.publish_elsewhere()
    await world.clock.advance(60)
    await world.change(attrs.evolve(webhook, updated_at=world.clock.now()), here=True)
    world.trouble.errors.clear()
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=5)
    assert world.notebook.first_attempts == []


async def test_what_waits_for_its_own_receiver_is_not_told_of_as_waiting(world: World) -> None:
    hanging, good = await world.webhook(), await world.webhook()
    world.sender.answer(hanging.url, Hang.HANG)
    await world.clock.advance(1)
    await world.publish(200)
    await world.until(lambda: world.sender.in_flight == 64)
    await world.clock.advance(5)
    told = len(world.notebook.first_attempts)
    world.sender.answer(hanging.url, 200)
    world.sender.release(hanging.url, 200)
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=20)
    assert len(world.sent_to(good)) == 200
    assert len(world.notebook.first_attempts) == told, "the others had waited for the 64"
    assert max(world.notebook.first_attempts) < 1
    assert not world.dispatcher.holds_back(good.webhook_id, timedelta(seconds=0.1))


async def test_an_event_published_in_another_process_is_sent_within_a_poll(world: World) -> None:
    await world.webhook()
    await world.publish_elsewhere()
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=POLL)


async def test_a_failed_delivery_is_retried_as_often_as_it_may_be_at_its_interval(
    world: World,
) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, 500)
    await world.publish()
    await world.until(lambda: world.states() == {DeliveryState.FAILED}, within=20)
    await world.clock.advance(60)
    starts = [one.started_at for one in world.attempts()]
    assert len(starts) == 4
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert all(INTERVAL <= gap <= INTERVAL + timedelta(seconds=0.1) for gap in gaps)
    assert [one.next_attempt_at is None for one in world.attempts()] == [False] * 3 + [True]


async def test_a_retry_that_arrives_ends_the_delivery(world: World) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, ErrorCode.CONNECT, 503, 200)
    await world.publish()
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=20)
    assert [one.outcome for one in world.attempts()] == ["failed", "failed", "succeeded"]


# What this machine lacks.


@pytest.mark.parametrize("resource", Resource)
async def test_what_is_not_sent_for_want_of_a_resource_is_no_attempt_and_uses_no_retry(
    world: World, resource: Resource
) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, *[ResourceShort(resource)] * 10, 200)
    await world.publish()
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=60)
    assert [one.number for one in world.attempts()] == [1]
    assert world.notebook.short == [resource] * 10
    assert world.notebook.outcomes == [(AttemptOutcome.SUCCEEDED, None)]
    started = world.attempts()[0].started_at
    assert started - world.deliveries()[0].created_at >= 10 * INTERVAL


async def test_while_a_resource_is_short_nothing_is_claimed_and_the_process_is_not_ready(
    world: World,
) -> None:
    webhook = await world.webhook()
    short = ResourceShort(Resource.DESCRIPTORS)
    world.sender.answer(webhook.url, short)
    await world.publish()
    await world.until(lambda: world.notebook.short)
    claims = world.trouble.calls["acquire"]
    with pytest.raises(ResourceShort, match="ulimit -n"):
        await world.dispatcher.check()
    await world.publish()
    await world.publish_elsewhere()
    await world.clock.advance(SHORTAGE_SECONDS - 0.1)
    assert world.trouble.calls["acquire"] == claims
    assert {one.worker for one in world.deliveries()} == {None}
    assert len(world.notebook.short) == 1
    world.sender.answer(webhook.url, 200)
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=10)
    await world.dispatcher.check()


async def test_ports_that_one_receiver_uses_up_do_not_hold_up_others(world: World) -> None:
    busy, other = await world.webhook(), await world.webhook()
    world.sender.answer(busy.url, ResourceShort(Resource.PORTS))
    await world.publish(20)
    await world.until(lambda: len(world.sent_to(other)) == 20)
    await world.dispatcher.check()


async def test_410_disables_the_webhook_and_nothing_more_is_sent_to_it(world: World) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, 410)
    await world.publish()
    await world.until(lambda: world.notebook.disabled)
    assert world.notebook.disabled == [(webhook.webhook_id, DisabledReason.GONE)]
    assert world.states() == {DeliveryState.FAILED}
    await world.publish(3)
    await world.clock.advance(10)
    assert len(world.sent_to(webhook)) == 1
    assert world.states() == {DeliveryState.FAILED, DeliveryState.SKIPPED}


async def test_410_ends_what_waited_for_the_webhook(world: World) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, Hang.HANG)
    await world.publish(200)
    await world.until(lambda: world.sender.in_flight == 64)
    world.sender.release(webhook.url, 410)
    await world.clock.advance(60)
    await world.until(lambda: DeliveryState.PENDING not in world.states(), within=2 * POLL)
    assert len(world.sent_to(webhook)) < 200
    assert {one.reason for one in world.deliveries() if one.state is DeliveryState.SKIPPED} == {
        EndReason.WEBHOOK_DISABLED
    }


async def test_a_request_of_which_nobody_knows_is_logged_as_interrupted_and_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a bug in a driver")

    await world.webhook()
    with monkeypatch.context() as patch:
        patch.setattr(world.sender, "send", broken)
        await world.publish()
        await world.until(world.attempts)
    assert world.attempts()[0].outcome is AttemptOutcome.INTERRUPTED
    assert world.notebook.errors == [("send", "RuntimeError")]
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=5)
    assert [one.failures for one in world.deliveries()] == [0]


# Nobody waits for anybody else.


async def test_a_webhook_that_hangs_does_not_delay_another(world: World) -> None:
    hanging, good = await world.webhook(), await world.webhook()
    world.sender.answer(hanging.url, Hang.HANG)
    await world.publish(1_000)
    await world.until(lambda: len(world.sent_to(good)) == 1_000, within=2 * POLL)


@pytest.mark.parametrize("size", [1, 300_000])
async def test_a_hundred_webhooks_that_hang_do_not_delay_one_that_answers(
    world: World, size: int
) -> None:
    good = await world.webhook()
    await world.publish()
    await world.until(lambda: world.sent_to(good))
    hanging = [await world.webhook() for _ in range(100)]
    for webhook in hanging:
        world.sender.answer(webhook.url, Hang.HANG)
    event = an_event(data=b'"%b"' % (b"x" * size))
    for number in range(30):
        await world.ingest.publish([attrs.evolve(event, event_id=f"bulk-{number}")])
    for number in range(10):
        sent = len(world.sent_to(good))
        await world.publish()
        await world.until(lambda sent=sent: len(world.sent_to(good)) > sent, within=POLL)
        await world.clock.advance(0.5)
        assert len(world.sent_to(good)) >= number + 2
    assert len(world.sent_to(good)) == 41
    assert world.dispatcher.in_flight <= RULES.bounds.in_flight
    assert world.dispatcher.waiting <= RULES.bounds.waiting


async def test_a_backlog_drains_at_the_speed_of_the_answers_and_not_of_the_polls(
    world: World,
) -> None:
    webhooks = [await world.webhook() for _ in range(3)]
    await world.publish_elsewhere(800)
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=POLL)
    assert all(len(world.sent_to(one)) == 800 for one in webhooks)


async def test_a_backlog_of_many_webhooks_drains_whole() -> None:
    rules = attrs.evolve(RULES, bounds=Bounds(in_flight=8, per_webhook=2, waiting=40))
    async with a_world(rules) as world:
        for _ in range(120):
            await world.webhook()
        await world.publish_elsewhere(5)
        await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=5 * POLL)


async def test_claims_stop_where_a_webhook_is_at_its_bound(world: World) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, Hang.HANG)
    await world.publish_elsewhere(5_000)
    await world.until(lambda: world.sender.in_flight == 64, within=POLL)
    before = world.trouble.calls["acquire"]
    await world.clock.advance(8)
    assert world.trouble.calls["acquire"] - before <= 10
    assert world.dispatcher.waiting <= 64


# Webhooks that change while deliveries wait.


async def _waiting(world: World, number: int = 200) -> Webhook:
    """Let deliveries of a webhook wait behind 64 requests that hang."""
    webhook = await world.webhook()
    world.sender.answer(webhook.url, Hang.HANG)
    await world.publish(number)
    await world.until(lambda: world.sender.in_flight == 64)
    return webhook


@pytest.mark.parametrize("here", [True, False])
async def test_nothing_starts_after_a_webhook_was_deleted(
    world: World,
    here: bool,  # noqa: FBT001 - a case
) -> None:
    """At once in the process that deleted it, with its next poll in any other."""
    webhook = await _waiting(world)
    await world.delete(webhook, here=here)
    if not here:
        await world.clock.advance(POLL)
    world.sender.release(webhook.url, 200)
    await world.clock.advance(30)
    assert len(world.sent_to(webhook)) == 64
    assert {(one.state, one.reason) for one in world.deliveries()} == {
        (DeliveryState.CANCELLED, EndReason.WEBHOOK_DELETED)
    }
    assert len(world.attempts()) == 64


@pytest.mark.parametrize("here", [True, False])
async def test_what_waits_when_a_webhook_is_disabled_waits_until_that_is_over(
    world: World,
    here: bool,  # noqa: FBT001 - a case
) -> None:
    webhook = await _waiting(world)
    until_then = world.clock.now() + timedelta(seconds=60)
    await world.change(attrs.evolve(webhook, disabled_until=until_then), here=here)
    if not here:
        await world.clock.advance(POLL)
    world.sender.answer(webhook.url, 200)
    world.sender.release(webhook.url, 200)
    await world.clock.advance(50)
    assert len(world.sent_to(webhook)) == 64
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=12)


@pytest.mark.parametrize("here", [True, False])
async def test_what_waits_when_a_url_changes_goes_to_the_new_one(
    world: World,
    here: bool,  # noqa: FBT001 - a case
) -> None:
    webhook = await _waiting(world)
    moved = await world.change(attrs.evolve(webhook, url="https://new.example.com/"), here=here)
    if not here:
        await world.clock.advance(POLL)
    world.sender.release(webhook.url, 500)
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=10)
    assert len(world.sent_to(webhook)) == 64
    assert len(world.sent_to(moved)) == 200


async def test_a_publish_that_began_before_a_deletion_sends_nothing_after_it(world: World) -> None:
    webhook = await world.webhook()
    gate = world.trouble.gates["ingesting"] = asyncio.Event()
    publishing = asyncio.create_task(world.publish())
    await world.until(world.storage.state.writing.locked)
    deleting = asyncio.create_task(world.delete(webhook, here=True))
    gate.set()
    await asyncio.gather(publishing, deleting)
    await world.clock.advance(5)
    assert not world.sent_to(webhook)
    assert world.states() == {DeliveryState.CANCELLED}


# Storage that fails.


async def test_results_survive_storage_being_away(world: World) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, Hang.HANG)
    await world.publish(50)
    await world.until(lambda: world.sender.in_flight == 50)
    world.trouble.away = True
    world.sender.release(webhook.url, 200)
    await world.clock.advance(9)
    assert not world.attempts()
    with pytest.raises(StorageUnavailable):
        await world.publish()
    world.trouble.away = False
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=2)
    assert len(world.attempts()) == len(world.sender.requests) == 50
    assert max(one.interruptions for one in world.deliveries()) == 0


async def test_while_storage_is_away_nothing_spins(world: World) -> None:
    await world.webhook()
    await world.clock.advance(1)
    world.trouble.away = True
    world.trouble.calls.clear()
    await world.clock.advance(10)
    assert max(world.trouble.calls.values()) <= 21


async def test_results_whose_commit_is_unknown_make_no_doubles(world: World) -> None:
    await world.webhook()
    world.trouble.lost["finish"] = True
    await world.publish(5)
    await world.until(lambda: len(world.attempts()) == 5, within=2)
    await world.clock.advance(5)
    assert len(world.sender.requests) == 5
    assert world.states() == {DeliveryState.SUCCEEDED}


@pytest.mark.parametrize("happened", [True, False])
async def test_a_publish_of_unknown_outcome_is_sent_once_if_it_was_stored(
    world: World,
    happened: bool,  # noqa: FBT001 - a case
) -> None:
    await world.webhook()
    world.trouble.lost["ingesting"] = happened
    with pytest.raises(UnknownCommit):
        await world.publish(3)
    assert world.dispatcher.waiting == 0
    await world.clock.advance(2 * POLL)
    assert len(world.sender.requests) == len(world.attempts()) == (3 if happened else 0)
    assert world.notebook.reaped == 0


async def test_a_claim_of_unknown_outcome_is_sent_within_two_polls(world: World) -> None:
    await world.webhook()
    await world.publish_elsewhere(3)
    world.trouble.lost["acquire"] = True
    world.dispatcher.sending.wake()
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=2 * POLL)
    assert [one.attempt for one in world.deliveries()] == [1, 1, 1]
    assert world.notebook.reaped == 0


@pytest.mark.parametrize("happened", [True, False])
async def test_a_release_of_unknown_outcome_makes_no_second_request(
    world: World,
    happened: bool,  # noqa: FBT001 - a case
) -> None:
    webhook = await _waiting(world, number=100)
    world.trouble.lost["release"] = happened
    until_then = world.clock.now() + timedelta(seconds=3)
    await world.change(attrs.evolve(webhook, disabled_until=until_then), here=True)
    await world.clock.advance(9)
    world.sender.answer(webhook.url, 200)
    world.sender.release(webhook.url)
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=10)
    assert len(world.sender.requests) == 100


async def test_what_is_found_unheld_is_not_given_back_once_it_is_begun_anew(world: World) -> None:
    """The look for what nobody holds may be older than a give-back and the claim after it."""
    webhook = await _waiting(world, number=100)
    looked = world.trouble.late["leased"] = asyncio.Event()
    looks = world.trouble.calls["leased"]
    await world.until(lambda: world.trouble.calls["leased"] > looks, within=2 * POLL)
    until_then = world.clock.now() + timedelta(seconds=0.5)
    await world.change(attrs.evolve(webhook, disabled_until=until_then), here=True)
    await world.until(lambda: world.notebook.given_back == 36)
    world.sender.release(webhook.url, 200)
    written = world.trouble.gates["release"] = asyncio.Event()
    looked.set()
    await world.clock.advance(2)
    written.set()
    await world.clock.advance(2)
    world.sender.answer(webhook.url, 200)
    world.sender.release(webhook.url, 200)
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=5)
    assert len(world.sender.requests) == 100


async def test_keys_that_cannot_be_read_stop_their_environment_and_nothing_spins(
    world: World,
) -> None:
    await world.webhook()
    world.trouble.errors["keys_of"] = UndecipherableText("another secret")
    await world.publish(100)
    await world.clock.advance(5)
    assert not world.sender.requests
    assert world.trouble.calls["acquire"] <= 20
    assert world.dispatcher.in_flight == 0
    assert [one.attempt for one in world.deliveries()] == [0] * 100
    world.trouble.errors.clear()
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=2 * POLL)
    assert world.notebook.reaped == 0


async def test_a_delivery_whose_keys_came_too_late_for_its_lease_is_given_back_first(
    world: World,
) -> None:
    await world.webhook()
    gate = world.trouble.gates["keys_of"] = asyncio.Event()
    await world.publish()
    await world.clock.advance(25)
    del world.trouble.gates["keys_of"]
    gate.set()
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=2 * POLL)
    assert world.notebook.given_back == 1
    assert len(world.sender.requests) == 1


async def test_what_waits_too_long_for_its_lease_is_given_back(world: World) -> None:
    webhook = await _waiting(world, number=100)
    await world.clock.advance(21)
    assert world.notebook.given_back == 36
    assert world.dispatcher.waiting == 0
    assert sorted(one.attempt for one in world.deliveries(webhook)) == [0] * 36 + [1] * 64


async def test_no_more_is_sent_than_a_kill_may_repeat(world: World) -> None:
    await world.webhook()
    gate = world.trouble.gates["finish"] = asyncio.Event()
    await world.publish(1_000)
    await world.clock.advance(5)
    assert len(world.sender.requests) == RULES.bounds.in_flight
    gate.set()
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=POLL)


# The end.


async def test_a_stop_gives_back_what_waits_and_records_what_is_out(world: World) -> None:
    webhook = await _waiting(world, number=100)
    stopping = asyncio.create_task(world.dispatcher.stop())
    await world.clock.advance(1)
    claims = world.trouble.calls["acquire"]
    await world.clock.advance(3)
    assert world.trouble.calls["acquire"] == claims
    assert not stopping.done()
    world.sender.release(webhook.url, 200)
    await world.until(stopping.done)
    assert len(world.attempts()) == 64
    assert {one.worker for one in world.deliveries()} == {None}
    assert sorted(one.attempt for one in world.deliveries()) == [0] * 36 + [1] * 64


async def test_from_when_it_winds_down_nothing_is_begun_and_what_waits_is_free_for_others(
    world: World,
) -> None:
    webhook = await _waiting(world, number=100)
    world.dispatcher.wind_down()
    await world.until(lambda: sum(one.worker is not None for one in world.deliveries()) == 64)
    world.sender.release(webhook.url, 200)
    await world.until(lambda: len(world.attempts()) == 64)
    await world.publish_elsewhere(5)
    await world.clock.advance(5 * POLL)
    assert len(world.sender.requests) == 64


async def test_a_stop_during_a_claim_leaves_no_lease_behind(world: World) -> None:
    await world.webhook()
    await world.publish_elsewhere(10)
    gate = world.trouble.late["acquire"] = asyncio.Event()
    world.dispatcher.sending.wake()
    await world.until(lambda: world.deliveries()[0].worker, within=POLL)
    stopping = asyncio.create_task(world.dispatcher.stop())
    await world.clock.advance(0)
    gate.set()
    await world.until(stopping.done)
    assert {one.worker for one in world.deliveries()} == {None}


async def test_what_is_published_while_the_process_stops_is_left_for_the_next(world: World) -> None:
    webhook = await _waiting(world, number=64)
    stopping = asyncio.create_task(world.dispatcher.stop())
    await world.clock.advance(1)
    await world.publish(5)
    world.sender.release(webhook.url, 200)
    await world.until(stopping.done)
    waiting = [one for one in world.deliveries() if one.state is DeliveryState.PENDING]
    assert [(one.worker, one.attempt) for one in waiting] == [(None, 0)] * 5


async def test_a_publish_under_way_when_the_process_stops_is_given_back(world: World) -> None:
    webhook = await _waiting(world, number=64)
    gate = world.trouble.gates["ingesting"] = asyncio.Event()
    publishing = asyncio.create_task(world.publish(5))
    await world.until(lambda: world.dispatcher.waiting)
    stopping = asyncio.create_task(world.dispatcher.stop())
    await asyncio.sleep(0)
    gate.set()
    await publishing
    world.sender.release(webhook.url, 200)
    await world.until(stopping.done)
    assert {one.worker for one in world.deliveries()} == {None}


async def test_a_stop_that_is_given_up_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    async with a_world() as world:
        await _waiting(world, number=64)
        world.trouble.away = True
        stopping = asyncio.create_task(world.dispatcher.stop())
        await world.clock.advance(1)
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        await world.clock.advance(0)
        assert asyncio.all_tasks() == before
        world.sender.requests.clear()


async def test_a_dead_process_left_attempts_that_are_interrupted_and_made_again(
    world: World,
) -> None:
    await world.webhook()
    await world.publish_elsewhere()
    (delivery,) = world.deliveries()
    now = world.clock.now()
    delivery.begin(UUID(int=7), now, now + timedelta(seconds=30))
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=POLL + 2.5)
    assert [one.outcome for one in world.attempts()] == ["interrupted", "succeeded"]


async def test_a_webhook_disabled_for_good_by_its_user_keeps_what_waits(world: World) -> None:
    webhook = await _waiting(world, number=70)
    await world.change(attrs.evolve(webhook, disabled_until=FOREVER), here=True)
    world.sender.release(webhook.url, 200)
    await world.clock.advance(120)
    assert world.states() == {DeliveryState.SUCCEEDED, DeliveryState.PENDING}
    assert len(world.sender.requests) == 64


# Replays.


async def replay(world: World, webhook: Webhook) -> Replay:
    """Begin to replay all of a webhook that has not arrived."""
    await world.clock.advance(0.01)
    now = world.clock.now()
    selection = Selection(now - timedelta(days=1), now, frozenset(NOT_ARRIVED))
    begun = Replay(UUID(int=7), webhook.environment_id, webhook.webhook_id, selection, now)
    await world.storage.replays.add(begun)
    return begun


async def skipped(world: World, count: int) -> Webhook:
    """Return a webhook that has missed so many events while it was disabled."""
    webhook = await world.webhook()
    disabled = attrs.evolve(webhook, version=2, disabled_until=FOREVER)
    await world.storage.webhooks.replace(disabled)
    await world.publish(count)
    assert world.states(webhook) == {DeliveryState.SKIPPED}
    enabled = attrs.evolve(webhook, version=3)
    world.dispatcher.on_webhooks_changed(await world.storage.webhooks.replace(enabled))
    return enabled


async def test_what_was_missed_is_sent_once_a_replay_is_begun(world: World) -> None:
    webhook = await skipped(world, 3)
    begun = await replay(world, webhook)
    world.dispatcher.replay()
    await world.until(lambda: len(world.sent_to(webhook)) == 3)
    await world.until(lambda: len(world.attempts()) == 3)
    assert world.storage.state.replays[begun.replay_id].replay.replayed == 3
    assert world.notebook.stored[1] == 3


async def test_a_replay_that_another_process_began_is_noticed_by_a_poll(world: World) -> None:
    webhook = await skipped(world, 1)
    await replay(world, webhook)
    await world.until(lambda: len(world.sent_to(webhook)) == 1, within=POLL)


async def test_a_replay_of_many_keeps_few_waiting_until_all_are_sent(world: World) -> None:
    webhook = await skipped(world, 2 * ROOM + 10)
    world.sender.answer(webhook.url, Hang.HANG)
    await replay(world, webhook)
    world.dispatcher.replay()
    await world.clock.advance(5)
    made = [one for one in world.deliveries(webhook) if one.origin is DeliveryOrigin.REPLAY]
    assert ROOM <= len(made) <= ROOM + RULES.bounds.per_webhook
    world.sender.answer(webhook.url, 200)
    world.sender.release(webhook.url)
    await world.until(lambda: len(world.attempts()) == 2 * ROOM + 10, within=60)


# Erasures.


async def test_an_environment_that_is_erased_here_gets_nothing_more_and_leaves_nothing(
    world: World,
) -> None:
    webhook = await world.webhook()
    world.sender.answer(webhook.url, Hang.HANG)
    await world.publish(3 * RULES.bounds.per_webhook)
    await world.until(lambda: len(world.sent_to(webhook)) == RULES.bounds.per_webhook)
    _, webhooks_revision = await world.storage.erasures.begin(ENVIRONMENT, world.clock.now())
    world.dispatcher.on_webhooks_changed(webhooks_revision)
    await world.clock.advance(3)
    assert len(world.sent_to(webhook)) == RULES.bounds.per_webhook
    assert len(world.deliveries()) == RULES.bounds.per_webhook
    world.sender.release(webhook.url)
    await world.until(lambda: not world.deliveries(), within=5)
    await world.until(lambda: not world.storage.state.erasing(), within=5)
    assert not world.storage.state.events
    assert not world.attempts()
    assert not world.storage.state.keys
    world.sender.requests.clear()


async def test_an_erasure_that_another_process_began_is_noticed_within_a_poll(world: World) -> None:
    await world.webhook()
    await world.publish()
    await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED})
    await world.storage.erasures.begin(ENVIRONMENT, world.clock.now())
    await world.until(lambda: not world.storage.state.erasing(), within=2 * POLL)
    assert not world.deliveries()
    world.sender.requests.clear()


async def test_a_result_that_storage_refuses_is_left_to_its_lease_and_waited_for_by_nobody() -> (
    None
):
    async with a_world() as world:
        webhook = await world.webhook()
        world.trouble.errors["finish"] = ValueError("a value that storage refuses")
        await world.publish()
        sending = world.dispatcher.sending
        await world.until(lambda: world.sent_to(webhook))
        await world.until(lambda: sending.idle, within=5)
        del world.trouble.errors["finish"]
        (delivery,) = world.deliveries()
        assert sending.holds(delivery.delivery_id)
        await world.until(lambda: world.states() == {DeliveryState.SUCCEEDED}, within=60)
        assert [one.outcome for one in world.attempts()] == [
            AttemptOutcome.INTERRUPTED,
            AttemptOutcome.SUCCEEDED,
        ]
        assert sending.idle
        assert not sending.holds(delivery.delivery_id)
