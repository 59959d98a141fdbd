"""What every storage promises of operational events on their way to webhooks."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress

import pytest

from notification_adapters.event_formats.catalogue import operational_catalogue
from notification_adapters.event_formats.data_schemas import DataSchemas
from notification_adapters.event_formats.filter_compiler import JsonSchemaFilterCompiler
from notification_adapters.null_objects import NoTracer
from notification_core.ingest.event_filters import EventFilters
from notification_core.ingest.ingest import Ingest, JoinedPublish
from notification_core.ingest.operational_events import OperationalEventPublisher
from notification_core.ingest.plan import IngestPlanner
from notification_core.model.circuit_breaker import BreakerPolicy, CircuitBreaker
from notification_core.model.delivery import Failed, Retry
from notification_core.model.event import Event, Source
from notification_core.model.outbox_message import OperationalEventType
from notification_core.model.signing_key import new_signing_key
from notification_core.model.webhook import DisabledReason, Webhook
from notification_core.ports.deliveries import IngestTransaction
from notification_core.ports.storage import Storage
from tests.contracts.harness import DELAY, LEASE, OPERATIONAL, Harness, ids_of
from tests.support.observers import RecordingObserver

ALL = tuple(OperationalEventType)


async def taken(harness: Harness, limit: int = 1000) -> Sequence[Event]:
    """Take operational events, and keep them."""
    async with harness.storage.deliveries.ingesting() as transaction:
        return await transaction.take_operational_events(OPERATIONAL, limit)


async def fail(harness: Harness, webhook: Webhook) -> None:
    await harness.finish(await harness.begin(webhook), Failed())


def publisher(
    harness: Harness,
    storage: Storage,
    observer: RecordingObserver,
    kind: type[Ingest] = Ingest,
) -> OperationalEventPublisher:
    planner = IngestPlanner(
        *(harness.clock, harness.ids, EventFilters(JsonSchemaFilterCompiler(), harness.clock)),
        *(frozenset(), False),
    )
    return OperationalEventPublisher(
        environment_id=OPERATIONAL,
        deliveries=storage.deliveries,
        ingest=kind(
            *(storage.deliveries, planner, observer, None, storage.notifier),
            source=Source.OPERATIONAL,
            tracer=NoTracer(),
        ),
        clock=harness.clock,
        observer=observer,
        poll_interval=DELAY,
    )


async def everything_happens(harness: Harness) -> Webhook:
    """Have one operational event of each kind happen; return the webhook that they are about."""
    webhook = await harness.webhook()
    breaker = CircuitBreaker(BreakerPolicy(failures=1), lambda *_: None, lambda _: None)
    claimed = await harness.begin(webhook)
    result = harness.result(claimed, Retry(DELAY))
    assert not await harness.storage.deliveries.finish([result], DELAY, breaker)
    await harness.storage.webhook_health.clear()
    await harness.clock.advance(DELAY.total_seconds())
    (again,) = (await harness.claim()).deliveries
    await harness.finish(again, Failed(disables=DisabledReason.GONE))
    now = harness.clock.now()
    keys = [new_signing_key(harness.environment_id, now, bytes([n] * 32), n, now) for n in (1, 2)]
    await harness.storage.signing_keys.add_first(keys[0])
    await harness.storage.signing_keys.rotate(keys[1], now)
    return webhook


async def test_each_waits_for_webhooks_with_the_id_of_its_message_to_the_topic(
    harness: Harness,
) -> None:
    assert not await harness.storage.deliveries.has_operational_events()
    webhook = await everything_happens(harness)
    assert await harness.storage.deliveries.has_operational_events()
    messages = await harness.storage.outbox.acquire(harness.worker, LEASE, 1000, 2**30)
    envelopes = {str(one.message_id): json.loads(one.value or b"") for one in messages}
    events = await taken(harness)
    assert [event.event_id for event in events] == sorted(envelopes)
    assert {event.type for event in events} == {*ALL}
    assert {event.environment_id for event in events} == {OPERATIONAL}
    schemas = DataSchemas(operational_catalogue())
    for event in events:
        data: Mapping[str, object] = json.loads(event.data)
        message = envelopes[event.event_id]
        assert data == {"environment_id": str(harness.environment_id), **message["data"]}
        about = str(webhook.webhook_id) if "webhook_id" in data else str(harness.environment_id)
        assert event.ordering_key == about
        assert schemas.fits(event), schemas.errors(event, 10)
    assert not await harness.storage.deliveries.has_operational_events()


async def test_the_oldest_are_taken_once(harness: Harness) -> None:
    webhook = await harness.webhook()
    for _ in range(5):
        await fail(harness, webhook)
    first, second, third = [await taken(harness, limit) for limit in (2, 10, 10)]
    assert (len(first), len(second), len(third)) == (2, 3, 0)
    ids = [event.event_id for event in (*first, *second)]
    assert ids == sorted(ids)


async def test_those_of_a_transaction_that_is_rolled_back_wait_on(harness: Harness) -> None:
    await fail(harness, await harness.webhook())
    with suppress(ZeroDivisionError):
        async with harness.storage.deliveries.ingesting() as transaction:
            assert await transaction.take_operational_events(OPERATIONAL, 10)
            raise ZeroDivisionError
    assert len(await taken(harness)) == 1


@pytest.mark.parametrize("count", [1, 3])
async def test_what_happens_to_the_webhooks_that_are_sent_them_is_not_among_them(
    harness: Harness, count: int
) -> None:
    webhook = await harness.webhook(OPERATIONAL)
    for _ in range(count):
        await fail(harness, webhook)
    assert not await harness.storage.deliveries.has_operational_events()
    messages = await harness.storage.outbox.acquire(harness.worker, LEASE, 1000, 2**30)
    assert len(messages) == count, "a topic cannot be part of a loop"
    now = harness.clock.now()
    keys = [new_signing_key(OPERATIONAL, now, bytes([n] * 32), n, now) for n in (1, 2)]
    await harness.storage.signing_keys.add_first(keys[0])
    await harness.storage.signing_keys.rotate(keys[1], now)
    (rotated,) = await taken(harness)
    assert rotated.type == OperationalEventType.KEY_ROTATED


async def test_they_are_published_to_the_webhooks_that_subscribe_to_them(harness: Harness) -> None:
    subscribed = await harness.webhook(
        OPERATIONAL, events=frozenset({OperationalEventType.DELIVERY_FAILED.value})
    )
    await harness.webhook(
        OPERATIONAL, events=frozenset({OperationalEventType.WEBHOOK_PAUSED.value})
    )
    failing = await harness.webhook()
    await fail(harness, failing)
    observer = RecordingObserver()
    assert await publisher(harness, harness.storage, observer).publish_batch() == 1
    assert await publisher(harness, harness.storage, observer).publish_batch() == 0
    (claimed,) = (await harness.claim()).deliveries
    assert (claimed.webhook_id, claimed.event_type) == (
        subscribed.webhook_id,
        OperationalEventType.DELIVERY_FAILED,
    )
    body = json.loads(claimed.body)
    assert body.keys() == {"id", "type", "timestamp", "environment_id", "data"}
    assert (body["id"], body["type"]) == (claimed.event_id, claimed.event_type)
    assert body["environment_id"] == str(OPERATIONAL)
    assert body["data"]["environment_id"] == str(harness.environment_id)
    assert body["data"]["webhook_id"] == str(failing.webhook_id)


async def test_of_several_that_publish_at_the_same_time_each_event_is_published_once(
    harness: Harness,
) -> None:
    await harness.webhook(
        OPERATIONAL, events=frozenset({OperationalEventType.DELIVERY_FAILED.value})
    )
    failing = await harness.webhook()
    for _ in range(20):
        await fail(harness, failing)
    observer = RecordingObserver()
    both = [publisher(harness, one, observer) for one in (harness.storage, harness.rival)]

    async def publish_all(one: OperationalEventPublisher) -> int:
        total = 0
        while count := await one.publish_batch():
            total += count
        return total

    totals = await asyncio.gather(*map(publish_all, both))
    assert sum(totals) == 20
    deliveries = ids_of(await harness.claim())
    assert len(deliveries) == 20


async def test_a_kill_before_the_commit_leaves_them_to_the_next_one(harness: Harness) -> None:
    await harness.webhook(
        OPERATIONAL, events=frozenset({OperationalEventType.DELIVERY_FAILED.value})
    )
    await fail(harness, await harness.webhook())

    class KilledError(BaseException):
        pass

    class Killed(Ingest):
        async def join(
            self, transaction: IngestTransaction, events: Sequence[Event]
        ) -> JoinedPublish:
            await super().join(transaction, events)
            raise KilledError

    with pytest.raises(KilledError):
        await publisher(harness, harness.storage, RecordingObserver(), Killed).publish_batch()
    assert not (await harness.claim()).deliveries
    assert await publisher(harness, harness.rival, RecordingObserver()).publish_batch() == 1
    assert len((await harness.claim()).deliveries) == 1
