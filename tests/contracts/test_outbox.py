"""What an outbox promises: what is in it, and who gets it."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from attrs import evolve

from notification_core.model.delivery import MAX_INTERRUPTIONS, AttemptOutcome, Failed, Retry
from notification_core.model.event import timestamp_of
from notification_core.model.message import DeadLetter, Message
from notification_core.model.outbox_message import OutgoingMessage
from notification_core.model.signing_key import new_signing_key
from notification_core.model.webhook import DisabledReason
from tests.contracts.world import DELAY, LEASE, TOPICS, World

LETTER = DeadLetter(
    Message("job-events", 3, 41, 0, b"\x00{", b"key", (("h", b"\xff"), ("n", None))), "No event."
)


async def waiting(world: World, worker: UUID | None = None) -> Sequence[OutgoingMessage]:
    """Return all that is in the outbox."""
    return await world.storage.outbox.acquire(worker or world.worker, LEASE, 1000, 2**30)


async def operational_events(world: World) -> Sequence[Mapping[str, object]]:
    """Return the operational events in the outbox."""
    found = await waiting(world)
    assert {one.topic for one in found} <= {TOPICS.operational_events}
    return [json.loads(one.value or b"") for one in found]


async def store(world: World, *letters: DeadLetter) -> None:
    async with world.storage.deliveries.ingesting() as transaction:
        await transaction.add_dead_letters(letters)


def letters(count: int, value: bytes = b"{") -> list[DeadLetter]:
    return [
        DeadLetter(evolve(LETTER.message, offset=number, value=value), "No event.")
        for number in range(count)
    ]


def offsets(messages: Sequence[OutgoingMessage]) -> list[int]:
    return [int(dict(one.headers)["dead-letter-offset"] or b"") for one in messages]


# Facts.


async def test_a_webhook_that_the_system_disables_is_told_of_with_the_reason(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await world.finish(begun, Failed(disables=DisabledReason.GONE))
    told = {str(one["event"]): one for one in await operational_events(world)}
    assert told.keys() == {"webhook-disabled", "webhook-delivery-failed"}
    disabled = told["webhook-disabled"]
    assert disabled["environment_id"] == str(world.environment_id)
    assert disabled["occurred_at"] == timestamp_of(world.clock.now())
    assert disabled["data"] == {"webhook_id": str(webhook.webhook_id), "reason": "gone"}


async def test_facts_of_an_environment_have_its_key_and_an_id_of_their_own(world: World) -> None:
    for _ in range(2):
        await world.finish(await world.begin(await world.webhook()), Failed())
    found = await waiting(world)
    assert {one.key for one in found} == {str(world.environment_id).encode()}
    ids = [json.loads(one.value or b"")["event_id"] for one in found]
    assert ids == [str(one.message_id) for one in found]
    assert len(set(ids)) == 2


async def test_a_webhook_that_was_changed_meanwhile_is_not_disabled_nor_told_of(
    world: World,
) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await world.change(webhook, name="another")
    await world.finish(begun, Failed(disables=DisabledReason.GONE))
    assert [one["event"] for one in await operational_events(world)] == ["webhook-delivery-failed"]


async def test_a_webhook_that_only_fails_is_told_of_once_it_is_disabled(world: World) -> None:
    webhook = await world.webhook()
    await world.finish(await world.begin(webhook), Retry(DELAY))
    await world.clock.advance(600)
    since = world.clock.now()
    await world.finish(await world.begin(webhook), Retry(DELAY))
    store = world.storage.webhooks
    for _ in range(2):
        await store.disable_failing(
            webhook.environment_id, webhook.webhook_id, since, world.clock.now()
        )
    (told,) = await operational_events(world)
    assert told["data"] == {"webhook_id": str(webhook.webhook_id), "reason": "failing"}


async def test_a_delivery_that_has_failed_for_good_is_told_of_with_its_last_error(
    world: World,
) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await world.finish(begun, Failed())
    (told,) = await operational_events(world)
    assert told["event"] == "webhook-delivery-failed"
    assert told["data"] == {
        "webhook_id": str(webhook.webhook_id),
        "delivery_id": str(begun.fence.delivery_id),
        "event_id": begun.event_id,
        "event": begun.event_type,
        "attempts": 1,
        "error": {"code": "http_status", "message": "It answered 500."},
    }


async def test_nothing_is_told_of_what_succeeds_or_is_tried_again(world: World) -> None:
    webhook = await world.webhook()
    await world.finish(await world.begin(webhook))
    await world.finish(await world.begin(webhook), Retry(DELAY))
    await world.finish(await world.begin(webhook), Retry(DELAY), outcome=AttemptOutcome.INTERRUPTED)
    assert await operational_events(world) == []


async def test_a_result_that_does_not_count_tells_nothing(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    result = await world.finish(begun, Failed())
    await world.storage.deliveries.finish([result], DELAY)
    cancelled = await world.begin(webhook)
    await world.storage.webhooks.delete(
        webhook.environment_id, webhook.webhook_id, world.clock.now()
    )
    await world.finish(cancelled, Failed())
    assert len(await operational_events(world)) == 1


async def test_a_delivery_that_is_interrupted_too_often_is_told_of(world: World) -> None:
    webhook = await world.webhook()
    await world.publish(webhook)
    for _ in range(MAX_INTERRUPTIONS):
        assert (await world.claim()).deliveries
        await world.clock.advance(LEASE.total_seconds() + 1)
        assert await world.storage.deliveries.reap([], DELAY) == 1
        await world.clock.advance(DELAY.total_seconds())
    (told,) = await operational_events(world)
    data = told["data"]
    assert isinstance(data, dict)
    assert (data["attempts"], data["error"]["code"]) == (MAX_INTERRUPTIONS, "interrupted")


async def test_a_rotated_key_is_told_of(world: World) -> None:
    now = world.clock.now()
    first = new_signing_key(world.environment_id, now, b"1" * 32, 1, now)
    second = new_signing_key(world.environment_id, now, b"2" * 32, 2, now + timedelta(hours=1))
    await world.storage.signing_keys.add_first(first)
    until = now + timedelta(hours=25)
    await world.storage.signing_keys.rotate(second, until)
    (told,) = await operational_events(world)
    assert (told["event"], told["environment_id"]) == (
        "verification-key-rotated",
        str(world.environment_id),
    )
    assert told["data"] == {
        "key_id": second.key_id,
        "not_before": timestamp_of(now + timedelta(hours=1)),
        "others_expire_at": timestamp_of(until),
    }


# Dead letters.


async def test_a_dead_letter_is_passed_on_as_it_came_with_why_and_where_from(world: World) -> None:
    await store(world, LETTER)
    (message,) = await waiting(world)
    assert (message.topic, message.key, message.value) == (
        TOPICS.dead_letters,
        LETTER.message.key,
        LETTER.message.value,
    )
    assert message.headers == (
        *LETTER.message.headers,
        ("dead-letter-reason", b"No event."),
        ("dead-letter-topic", b"job-events"),
        ("dead-letter-partition", b"3"),
        ("dead-letter-offset", b"41"),
    )


async def test_a_dead_letter_that_is_read_again_is_passed_on_once(world: World) -> None:
    await store(world, *letters(2))
    await store(world, *letters(3))
    assert offsets(await waiting(world)) == [0, 1, 2]


async def test_nothing_is_passed_on_where_nothing_was_stored(world: World) -> None:
    with suppress(ZeroDivisionError):
        async with world.storage.deliveries.ingesting() as transaction:
            await transaction.add_dead_letters([LETTER])
            raise ZeroDivisionError
    assert not await waiting(world)


# Who gets what.


async def test_messages_come_in_their_order_until_they_are_removed(world: World) -> None:
    await store(world, *letters(5))
    outbox = world.storage.outbox
    first = await outbox.acquire(world.worker, LEASE, 2, 2**30)
    assert offsets(first) == [0, 1]
    assert await outbox.acquire(world.worker, LEASE, 2, 2**30) == first
    await outbox.remove([one.message_id for one in first])
    await outbox.remove([one.message_id for one in first])
    assert offsets(await waiting(world)) == [2, 3, 4]


async def test_no_more_bytes_come_than_asked_for_but_for_one_message(world: World) -> None:
    await store(world, *letters(5, value=b"x" * 100))
    outbox = world.storage.outbox
    assert len(await outbox.acquire(world.worker, LEASE, 10, 350)) == 3
    assert len(await outbox.acquire(world.worker, LEASE, 10, 300)) == 3
    assert len(await outbox.acquire(world.worker, LEASE, 10, 50)) == 1


async def test_one_worker_has_the_outbox_until_its_lease_is_over(world: World) -> None:
    await store(world, *letters(1))
    assert await waiting(world, world.worker)
    assert not await waiting(world, world.other_worker)
    await world.clock.advance(LEASE.total_seconds() - 1)
    assert await waiting(world, world.worker)
    await world.clock.advance(LEASE.total_seconds() - 1)
    assert not await waiting(world, world.other_worker)
    await world.clock.advance(2)
    assert await waiting(world, world.other_worker)
    assert not await waiting(world, world.worker)


async def test_a_worker_that_takes_long_keeps_the_outbox(world: World) -> None:
    await store(world, *letters(1))
    assert await waiting(world, world.worker)
    for _ in range(3):
        await world.clock.advance(LEASE.total_seconds() - 1)
        await world.storage.outbox.renew(world.worker, LEASE)
        await world.storage.outbox.renew(world.other_worker, LEASE)
        assert not await waiting(world, world.other_worker)


async def test_a_worker_that_stops_leaves_the_outbox_to_others_at_once(world: World) -> None:
    await store(world, *letters(1))
    assert await waiting(world, world.worker)
    await world.storage.outbox.release(world.other_worker)
    assert not await waiting(world, world.other_worker)
    await world.storage.outbox.release(world.worker)
    assert await waiting(world, world.other_worker)


async def test_an_empty_outbox_is_nobodys(world: World) -> None:
    assert not await waiting(world, world.worker)
    await store(world, *letters(1))
    assert await waiting(world, world.other_worker)
