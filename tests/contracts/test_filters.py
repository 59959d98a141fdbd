"""What happens to events that a webhook's filter does not match, on every storage."""

from collections.abc import Mapping

import pytest

from notification_core.model.delivery import DeliveryState, EndReason, Failed
from notification_core.model.event import Event
from notification_core.model.request_records import StoredResponse
from notification_core.model.webhook import FOREVER, Webhook
from notification_core.replays.replays import ReplayDraft
from tests.contracts.harness import TYPE, Harness
from tests.support.assembly import App
from tests.support.samples import an_event

FAILED = (
    '{"properties":{"data":{"properties":{"status":{"const":"failed"}},"required":["status"]}}}'
)
SKIPPED = (DeliveryState.SKIPPED, EndReason.FILTER_NOT_MATCHED)
PENDING = (DeliveryState.PENDING, None)

Became = Mapping[str, tuple[DeliveryState, EndReason | None]]


@pytest.fixture
def app(harness: Harness) -> App:
    return App(storage=harness.storage, clock=harness.clock)


def event(harness: Harness, event_id: str, status: str) -> Event:
    data = b'{"status":"%b"}' % status.encode()
    return an_event(event_id, environment_id=harness.environment_id, type=TYPE, data=data)


async def became(harness: Harness, webhook: Webhook) -> Became:
    page = await harness.storage.history.of_webhook(harness.environment_id, webhook.webhook_id, 50)
    return {row.event_id: (row.state, row.reason) for row in page.rows}


async def test_an_event_that_does_not_match_is_stored_as_skipped_with_the_reason(
    harness: Harness, app: App
) -> None:
    filtered, plain = await harness.webhook(filter=FAILED), await harness.webhook()
    events = [event(harness, "good", "done"), event(harness, "bad", "failed")]
    await app.ingest.publish(events)
    assert await became(harness, filtered) == {"good": SKIPPED, "bad": PENDING}
    assert await became(harness, plain) == {"good": PENDING, "bad": PENDING}
    # By what is cached of webhooks, too, as of a duplicate and one more.
    await app.ingest.publish([event(harness, "good", "done"), event(harness, "fine", "done")])
    assert await became(harness, filtered) == {"good": SKIPPED, "bad": PENDING, "fine": SKIPPED}
    claimed = (await harness.claim()).deliveries
    assert {(row.webhook_id, row.event_id) for row in claimed} == {
        (filtered.webhook_id, "bad"),
        *((plain.webhook_id, name) for name in ("good", "bad", "fine")),
    }


async def test_with_an_idempotent_request_and_in_a_hosts_transaction_as_well(
    harness: Harness, app: App
) -> None:
    filtered = await harness.webhook(filter=FAILED)
    stored = StoredResponse(harness.environment_id, "r", "f", b"answer", harness.clock.now())
    await app.ingest.publish([event(harness, "one", "done")], lambda _: [stored])
    async with harness.storage.deliveries.ingesting() as transaction:
        await app.ingest.join(transaction, [event(harness, "two", "done")])
    await app.ingest.take_in([event(harness, "three", "done")], ())
    assert await became(harness, filtered) == dict.fromkeys(("one", "two", "three"), SKIPPED)


async def test_a_changed_filter_applies_to_what_is_published_after_it(
    harness: Harness, app: App
) -> None:
    webhook = await harness.webhook(filter=FAILED)
    await app.ingest.publish([event(harness, "one", "done")])
    webhook = await harness.change(webhook, filter=f'{{"not":{FAILED}}}')
    await app.ingest.publish([event(harness, "two", "done"), event(harness, "three", "failed")])
    await harness.change(webhook, filter=None)
    await app.ingest.publish([event(harness, "four", "failed")])
    assert await became(harness, webhook) == {
        "one": SKIPPED,
        "two": PENDING,
        "three": SKIPPED,
        "four": PENDING,
    }


async def test_what_does_not_match_is_skipped_for_that_even_if_the_webhook_is_disabled(
    harness: Harness, app: App
) -> None:
    webhook = await harness.webhook(filter=FAILED, disabled_until=FOREVER)
    await app.ingest.publish([event(harness, "one", "done"), event(harness, "two", "failed")])
    assert await became(harness, webhook) == {
        "one": SKIPPED,
        "two": (DeliveryState.SKIPPED, EndReason.WEBHOOK_DISABLED),
    }


async def test_what_was_skipped_can_be_redelivered_and_is_not_filtered_then(
    harness: Harness, app: App
) -> None:
    webhook = await harness.webhook(filter=FAILED)
    await app.ingest.publish([event(harness, "one", "done"), event(harness, "two", "done")])
    assert not (await harness.claim()).deliveries
    page = await harness.storage.history.of_event(harness.environment_id, "one", 9)
    await harness.storage.replays.retry(page.rows[0], harness.ids())
    (claimed,) = (await harness.claim()).deliveries
    assert (claimed.webhook_id, claimed.event_id) == (webhook.webhook_id, "one")
    assert b'"status":"done"' in claimed.body


async def test_a_replay_leaves_what_was_kept_back_unless_skips_are_asked_for(
    harness: Harness, app: App
) -> None:
    webhook = await harness.webhook(filter=FAILED)
    key, since = (harness.environment_id, webhook.webhook_id), harness.clock.now()
    await app.ingest.publish([event(harness, "kept back", "done")])
    paused = await harness.change(webhook, disabled_until=FOREVER)
    await harness.clock.advance(1)
    await app.ingest.publish([event(harness, "paused", "failed")])
    await harness.change(paused, disabled_until=None)
    await harness.clock.advance(1)

    async def replayed(draft: ReplayDraft) -> list[str]:
        count = await app.replays.count(*key, draft)
        replay = await app.replays.start(*key, draft)
        await app.replay_runner.advance_all()
        stored = await app.replays.get(*key, replay.replay_id)
        assert stored.selection == replay.selection
        claimed = (await harness.claim()).deliveries
        assert len(claimed) == count.count
        for delivery in claimed:
            await harness.finish(delivery, Failed())
        await harness.clock.advance(1)
        return [delivery.event_id for delivery in claimed]

    assert await replayed(ReplayDraft(since)) == ["paused"]
    skipped = ReplayDraft(since, states=[DeliveryState.SKIPPED])
    assert await replayed(skipped) == ["kept back", "paused"]


@pytest.mark.parametrize("data", [b"1e300", b'{"status":"failed","n":' + b"9" * 50 + b"}"])
async def test_data_that_cannot_be_represented_do_not_match_and_are_kept_as_they_came(
    harness: Harness, app: App, data: bytes
) -> None:
    webhook = await harness.webhook(filter="{}")
    odd = an_event("odd", environment_id=harness.environment_id, type=TYPE, data=data)
    await app.ingest.publish([odd])
    assert await became(harness, webhook) == {"odd": SKIPPED}
    page = await harness.storage.history.of_event(harness.environment_id, "odd", 9)
    await harness.storage.replays.retry(page.rows[0], harness.ids())
    (claimed,) = (await harness.claim()).deliveries
    assert data in claimed.body
