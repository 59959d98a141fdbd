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
from tests.contracts.harness import DELAY, LEASE, TOPICS, Harness

LETTER = DeadLetter(
    Message("job-events", 3, 41, 0, b"\x00{", b"key", (("h", b"\xff"), ("n", None))), "No event."
)


async def waiting(harness: Harness, worker: UUID | None = None) -> Sequence[OutgoingMessage]:
    """Return all that is in the outbox."""
    return await harness.storage.outbox.acquire(worker or harness.worker, LEASE, 1000, 2**30)


async def operational_events(harness: Harness) -> Sequence[Mapping[str, object]]:
    """Return the operational events in the outbox."""
    found = await waiting(harness)
    assert {one.topic for one in found} <= {TOPICS.operational_events}
    return [json.loads(one.value or b"") for one in found]


async def store(harness: Harness, *letters: DeadLetter) -> None:
    async with harness.storage.deliveries.ingesting() as transaction:
        await transaction.add_dead_letters(letters)


def letters(count: int, value: bytes = b"{") -> list[DeadLetter]:
    return [
        DeadLetter(evolve(LETTER.message, offset=number, value=value), "No event.")
        for number in range(count)
    ]


def offsets(messages: Sequence[OutgoingMessage]) -> list[int]:
    return [int(dict(one.headers)["dead-letter-offset"] or b"") for one in messages]


# Facts.


async def test_a_webhook_that_the_system_disables_is_told_of_with_the_reason(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await harness.finish(claimed, Failed(disables=DisabledReason.GONE))
    told = {str(one["event"]): one for one in await operational_events(harness)}
    assert told.keys() == {"webhook-disabled", "webhook-delivery-failed"}
    disabled = told["webhook-disabled"]
    assert disabled["environment_id"] == str(harness.environment_id)
    assert disabled["occurred_at"] == timestamp_of(harness.clock.now())
    assert disabled["data"] == {"webhook_id": str(webhook.webhook_id), "reason": "gone"}


async def test_facts_of_an_environment_have_its_key_and_an_id_of_their_own(
    harness: Harness,
) -> None:
    for _ in range(2):
        await harness.finish(await harness.begin(await harness.webhook()), Failed())
    found = await waiting(harness)
    assert {one.key for one in found} == {str(harness.environment_id).encode()}
    ids = [json.loads(one.value or b"")["event_id"] for one in found]
    assert ids == [str(one.message_id) for one in found]
    assert len(set(ids)) == 2


async def test_a_webhook_that_was_changed_meanwhile_is_not_disabled_nor_told_of(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await harness.change(webhook, name="another")
    await harness.finish(claimed, Failed(disables=DisabledReason.GONE))
    assert [one["event"] for one in await operational_events(harness)] == [
        "webhook-delivery-failed"
    ]


async def test_a_webhook_that_only_fails_is_told_of_once_it_is_disabled(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.finish(await harness.begin(webhook), Retry(DELAY))
    await harness.clock.advance(600)
    since = harness.clock.now()
    await harness.finish(await harness.begin(webhook), Retry(DELAY))
    store = harness.storage.webhooks
    for _ in range(2):
        await store.disable_failing(
            webhook.environment_id, webhook.webhook_id, since, harness.clock.now()
        )
    (told,) = await operational_events(harness)
    assert told["data"] == {"webhook_id": str(webhook.webhook_id), "reason": "failing"}


async def test_a_delivery_that_has_failed_permanently_is_published_with_its_last_error(
    harness: Harness,
) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    await harness.finish(claimed, Failed())
    (told,) = await operational_events(harness)
    assert told["event"] == "webhook-delivery-failed"
    assert told["data"] == {
        "webhook_id": str(webhook.webhook_id),
        "delivery_id": str(claimed.fence.delivery_id),
        "event_id": claimed.event_id,
        "event": claimed.event_type,
        "attempts": 1,
        "error": {"code": "http_status", "message": "It returned 500."},
    }


async def test_nothing_is_told_of_what_succeeds_or_is_retried(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.finish(await harness.begin(webhook))
    await harness.finish(await harness.begin(webhook), Retry(DELAY))
    await harness.finish(
        await harness.begin(webhook), Retry(DELAY), outcome=AttemptOutcome.INTERRUPTED
    )
    assert await operational_events(harness) == []


async def test_a_result_that_does_not_count_tells_nothing(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    result = await harness.finish(claimed, Failed())
    await harness.storage.deliveries.finish([result], DELAY)
    cancelled = await harness.begin(webhook)
    await harness.storage.webhooks.delete(
        webhook.environment_id, webhook.webhook_id, harness.clock.now()
    )
    await harness.finish(cancelled, Failed())
    assert len(await operational_events(harness)) == 1


async def test_a_delivery_that_is_interrupted_too_often_is_told_of(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook)
    for _ in range(MAX_INTERRUPTIONS):
        assert (await harness.claim()).deliveries
        await harness.clock.advance(LEASE.total_seconds() + 1)
        assert (await harness.storage.deliveries.reap([], DELAY)).count == 1
        await harness.clock.advance(DELAY.total_seconds())
    (told,) = await operational_events(harness)
    data = told["data"]
    assert isinstance(data, dict)
    assert (data["attempts"], data["error"]["code"]) == (MAX_INTERRUPTIONS, "interrupted")


async def test_a_rotated_key_is_told_of(harness: Harness) -> None:
    now = harness.clock.now()
    first = new_signing_key(harness.environment_id, now, b"1" * 32, 1, now)
    second = new_signing_key(harness.environment_id, now, b"2" * 32, 2, now + timedelta(hours=1))
    await harness.storage.signing_keys.add_first(first)
    until = now + timedelta(hours=25)
    await harness.storage.signing_keys.rotate(second, until)
    (told,) = await operational_events(harness)
    assert (told["event"], told["environment_id"]) == (
        "verification-key-rotated",
        str(harness.environment_id),
    )
    assert told["data"] == {
        "key_id": second.key_id,
        "not_before": timestamp_of(now + timedelta(hours=1)),
        "others_expire_at": timestamp_of(until),
    }


# Dead letters.


async def test_a_dead_letter_is_passed_on_as_it_came_with_why_and_where_from(
    harness: Harness,
) -> None:
    await store(harness, LETTER)
    (message,) = await waiting(harness)
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


async def test_a_dead_letter_that_is_read_again_is_passed_on_once(harness: Harness) -> None:
    await store(harness, *letters(2))
    await store(harness, *letters(3))
    assert offsets(await waiting(harness)) == [0, 1, 2]


async def test_nothing_is_passed_on_where_nothing_was_stored(harness: Harness) -> None:
    with suppress(ZeroDivisionError):
        async with harness.storage.deliveries.ingesting() as transaction:
            await transaction.add_dead_letters([LETTER])
            raise ZeroDivisionError
    assert not await waiting(harness)


# Who gets what.


async def test_messages_come_in_their_order_until_they_are_removed(harness: Harness) -> None:
    await store(harness, *letters(5))
    outbox = harness.storage.outbox
    first = await outbox.acquire(harness.worker, LEASE, 2, 2**30)
    assert offsets(first) == [0, 1]
    assert await outbox.acquire(harness.worker, LEASE, 2, 2**30) == first
    await outbox.remove([one.message_id for one in first])
    await outbox.remove([one.message_id for one in first])
    assert offsets(await waiting(harness)) == [2, 3, 4]


async def test_no_more_bytes_come_than_asked_for_but_for_one_message(harness: Harness) -> None:
    await store(harness, *letters(5, value=b"x" * 100))
    outbox = harness.storage.outbox
    assert len(await outbox.acquire(harness.worker, LEASE, 10, 350)) == 3
    assert len(await outbox.acquire(harness.worker, LEASE, 10, 300)) == 3
    assert len(await outbox.acquire(harness.worker, LEASE, 10, 50)) == 1


async def test_one_worker_has_the_outbox_until_its_lease_is_over(harness: Harness) -> None:
    await store(harness, *letters(1))
    assert await waiting(harness, harness.worker)
    assert not await waiting(harness, harness.other_worker)
    await harness.clock.advance(LEASE.total_seconds() - 1)
    assert await waiting(harness, harness.worker)
    await harness.clock.advance(LEASE.total_seconds() - 1)
    assert not await waiting(harness, harness.other_worker)
    await harness.clock.advance(2)
    assert await waiting(harness, harness.other_worker)
    assert not await waiting(harness, harness.worker)


async def test_a_worker_that_takes_long_keeps_the_outbox(harness: Harness) -> None:
    await store(harness, *letters(1))
    assert await waiting(harness, harness.worker)
    for _ in range(3):
        await harness.clock.advance(LEASE.total_seconds() - 1)
        await harness.storage.outbox.renew(harness.worker, LEASE)
        await harness.storage.outbox.renew(harness.other_worker, LEASE)
        assert not await waiting(harness, harness.other_worker)


async def test_a_worker_that_stops_leaves_the_outbox_to_others_at_once(harness: Harness) -> None:
    await store(harness, *letters(1))
    assert await waiting(harness, harness.worker)
    await harness.storage.outbox.release(harness.other_worker)
    assert not await waiting(harness, harness.other_worker)
    await harness.storage.outbox.release(harness.worker)
    assert await waiting(harness, harness.other_worker)


async def test_an_empty_outbox_is_nobodys(harness: Harness) -> None:
    assert not await waiting(harness, harness.worker)
    await store(harness, *letters(1))
    assert await waiting(harness, harness.other_worker)
