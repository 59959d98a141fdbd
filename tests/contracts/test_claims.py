"""What a delivery store promises about claims."""

import asyncio
from datetime import timedelta
from uuid import UUID

from notification_core.model.delivery import Failed, Fence, Retry, Succeeded
from notification_core.model.webhook import FOREVER, DisabledReason
from notification_core.ports.storage import Storage
from tests.contracts.harness import LEASE, Harness, ids_of

SECOND = timedelta(seconds=1)


async def test_a_claim_begins_the_next_attempt_for_its_worker(harness: Harness) -> None:
    webhook = await harness.webhook()
    (delivery_id,) = await harness.publish(webhook, data=b'{"n":1}')
    (claimed,) = (await harness.claim()).deliveries
    assert claimed.fence == Fence(delivery_id, harness.environment_id, 1, harness.worker)
    assert claimed.webhook_id == webhook.webhook_id
    assert claimed.body.endswith(b'"data":{"n":1}}')
    assert list(await harness.storage.deliveries.leased(harness.worker)) == [claimed.fence]


async def test_what_is_claimed_cannot_be_claimed_again(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, 3)
    assert len((await harness.claim()).deliveries) == 3
    assert not (await harness.claim(worker=harness.other_worker)).deliveries


async def test_a_claim_comes_with_the_webhooks_as_they_are_now(harness: Harness) -> None:
    webhook = await harness.webhook(custom_headers={"x-one": "1"})
    await harness.publish(webhook)
    assert (await harness.claim()).webhooks == {webhook.webhook_id: webhook}
    await harness.publish(webhook)
    changed = await harness.change(webhook, url="https://other.example.com/", custom_headers={})
    claimed = await harness.claim()
    assert claimed.webhooks == {webhook.webhook_id: changed}
    assert claimed.webhooks_revision == await harness.storage.webhooks.webhooks_revision()


async def test_a_claim_of_nothing_tells_the_change_counter_as_well(harness: Harness) -> None:
    await harness.change(await harness.webhook())
    claimed = await harness.claim()
    assert (claimed.deliveries, claimed.webhooks) == ((), {})
    assert claimed.webhooks_revision == await harness.storage.webhooks.webhooks_revision()


async def test_what_is_not_due_yet_waits_and_tells_how_long(harness: Harness) -> None:
    webhook = await harness.webhook()
    delivery = await harness.begin(webhook)
    await harness.finish(delivery, Retry(timedelta(seconds=10)))
    await harness.clock.advance(4)
    claimed = await harness.claim()
    assert (claimed.deliveries, claimed.next_due) == ((), timedelta(seconds=6))
    await harness.clock.advance(6)
    assert ids_of(await harness.claim()) == [delivery.fence.delivery_id]


async def test_a_claim_tells_when_the_next_is_due_beside_what_it_took(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.finish(await harness.begin(webhook), Retry(timedelta(seconds=10)))
    await harness.publish(webhook)
    claimed = await harness.claim()
    assert len(claimed.deliveries) == 1
    assert claimed.next_due is not None
    assert 9 * SECOND < claimed.next_due < 10 * SECOND


async def test_nothing_is_due_where_nothing_waits(harness: Harness) -> None:
    assert (await harness.claim()).next_due is None
    await harness.begin(await harness.webhook())
    assert (await harness.claim()).next_due is None


async def test_a_delivery_that_has_ended_is_not_claimed(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.finish(await harness.begin(webhook), Succeeded())
    await harness.finish(await harness.begin(webhook), Failed())
    assert not (await harness.claim()).deliveries


async def test_a_webhook_that_is_disabled_is_skipped_until_it_is_not(harness: Harness) -> None:
    webhook = await harness.webhook()
    other = await harness.webhook()
    ids = await harness.publish(webhook)
    others = await harness.publish(other)
    until = harness.clock.now() + 60 * SECOND
    await harness.change(webhook, disabled_until=until)
    assert ids_of(await harness.claim()) == others
    await harness.clock.advance(60)
    assert ids_of(await harness.claim()) == ids


async def test_a_webhook_that_the_system_disabled_is_skipped(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook)
    await harness.change(webhook, disabled_until=FOREVER, disabled_reason=DisabledReason.GONE)
    assert not (await harness.claim()).deliveries


async def test_a_webhook_that_is_deleted_is_skipped(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.publish(webhook, 2)
    await harness.storage.webhooks.delete(
        webhook.environment_id, webhook.webhook_id, harness.clock.now()
    )
    assert not (await harness.claim()).deliveries


async def test_a_webhook_is_given_no_more_than_it_has_room_for(harness: Harness) -> None:
    full, tight, roomy = [await harness.webhook() for _ in range(3)]
    ids = {one.webhook_id: await harness.publish(one, 5) for one in (full, tight, roomy)}
    webhook_limits = {full.webhook_id: 0, tight.webhook_id: 2}
    claimed = await harness.claim(webhook_limits=webhook_limits, new_webhook_limit=3)
    taken: dict[UUID, list[UUID]] = {}
    for one in claimed.deliveries:
        taken.setdefault(one.webhook_id, []).append(one.fence.delivery_id)
    assert taken == {
        tight.webhook_id: ids[tight.webhook_id][:2],
        roomy.webhook_id: ids[roomy.webhook_id][:3],
    }


async def test_a_claim_takes_no_more_than_its_limit_and_spreads_it(harness: Harness) -> None:
    webhooks = [await harness.webhook() for _ in range(3)]
    for webhook in webhooks:
        await harness.publish(webhook, 10)
    claimed = await harness.claim(limit=7)
    counts = [
        sum(one.webhook_id == webhook.webhook_id for one in claimed.deliveries)
        for webhook in webhooks
    ]
    assert counts == [3, 2, 2]
    assert claimed.next_due == timedelta()


async def test_the_oldest_deliveries_of_a_webhook_are_taken_first(harness: Harness) -> None:
    webhook = await harness.webhook()
    ids = await harness.publish(webhook, 5)
    assert ids_of(await harness.claim(limit=3)) == ids[:3]


async def test_many_webhooks_are_served_in_turn(harness: Harness) -> None:
    webhooks = sorted([(await harness.webhook()).webhook_id for _ in range(9)])
    for webhook_id in webhooks:
        webhook = await harness.storage.webhooks.get(harness.environment_id, webhook_id)
        await harness.publish(webhook, 2)
    served: list[UUID] = []
    after: UUID | None = None
    for _ in range(3):
        claimed = await harness.claim(limit=4, after=after)
        served += [one.webhook_id for one in claimed.deliveries]
        after = claimed.after
    assert served[:9] == webhooks, "each once before any twice"


async def test_a_round_looks_at_so_many_webhooks_and_goes_on_after_them(harness: Harness) -> None:
    webhooks = sorted([await harness.webhook() for _ in range(5)], key=lambda one: one.webhook_id)
    for webhook in webhooks:
        await harness.publish(webhook)
    first = await harness.claim(max_webhooks=2)
    assert [one.webhook_id for one in first.deliveries] == [one.webhook_id for one in webhooks[:2]]
    assert first.after == webhooks[1].webhook_id
    second = await harness.claim(max_webhooks=2, after=first.after)
    last = await harness.claim(max_webhooks=2, after=second.after)
    assert [one.webhook_id for one in last.deliveries] == [webhooks[4].webhook_id]
    assert last.after is None


async def test_a_round_goes_on_past_webhooks_that_are_skipped(harness: Harness) -> None:
    webhooks = sorted([await harness.webhook() for _ in range(3)], key=lambda one: one.webhook_id)
    for webhook in webhooks:
        await harness.publish(webhook)
    webhook_limits = {one.webhook_id: 0 for one in webhooks[:2]}
    first = await harness.claim(max_webhooks=2, webhook_limits=webhook_limits)
    assert (first.deliveries, first.after) == ((), webhooks[1].webhook_id)
    second = await harness.claim(max_webhooks=2, webhook_limits=webhook_limits, after=first.after)
    assert [one.webhook_id for one in second.deliveries] == [webhooks[2].webhook_id]


async def test_a_claim_takes_no_more_bytes_than_it_may_but_always_one(harness: Harness) -> None:
    webhook = await harness.webhook()
    ids = await harness.publish(webhook, 5, data=b'"%s"' % (b"x" * 1000))
    size = len((await harness.claim(limit=1)).deliveries[0].body)
    assert ids_of(await harness.claim(limit_bytes=1)) == ids[1:2]
    claimed = await harness.claim(limit_bytes=2 * size + 1)
    assert ids_of(claimed) == ids[2:4]
    assert claimed.next_due == timedelta()
    assert ids_of(await harness.claim(limit_bytes=2 * size)) == ids[4:]


async def test_what_was_left_for_bytes_is_served_next(harness: Harness) -> None:
    webhooks = sorted([await harness.webhook() for _ in range(3)], key=lambda one: one.webhook_id)
    for webhook in webhooks:
        await harness.publish(webhook, 2)
    first = await harness.claim(limit_bytes=1)
    second = await harness.claim(limit_bytes=1, after=first.after)
    served = [*first.deliveries, *second.deliveries]
    assert [one.webhook_id for one in served] == [one.webhook_id for one in webhooks[:2]]


async def test_two_workers_never_take_the_same_delivery(harness: Harness) -> None:
    webhooks = [await harness.webhook() for _ in range(5)]
    events = [harness.event() for _ in range(100)]
    deliveries = [harness.to(webhook, event) for webhook in webhooks for event in events]
    await harness.ingest(events, deliveries)

    async def drain(storage: Storage, worker: UUID) -> list[UUID]:
        taken: list[UUID] = []
        while claimed := ids_of(await harness.claim(storage, worker=worker, limit=20)):
            taken += claimed
        return taken

    mine, theirs = await asyncio.gather(
        drain(harness.storage, harness.worker), drain(harness.rival, harness.other_worker)
    )
    assert sorted(mine + theirs) == sorted(one.delivery_id for one in deliveries)
    assert len(await harness.storage.deliveries.leased(harness.worker)) == len(mine)


async def test_a_claim_reaches_every_environment(harness: Harness) -> None:
    mine = await harness.webhook()
    theirs = await harness.webhook(environment_id=harness.other_environment_id)
    await harness.publish(mine)
    await harness.publish(theirs)
    claimed = await harness.claim()
    assert {one.fence.environment_id for one in claimed.deliveries} == {
        harness.environment_id,
        harness.other_environment_id,
    }


async def test_failures_are_counted_for_the_retry_policy(harness: Harness) -> None:
    webhook = await harness.webhook()
    claimed = await harness.begin(webhook)
    for failures in (1, 2):
        await harness.finish(claimed, Retry(SECOND))
        await harness.clock.advance(1)
        (claimed,) = (await harness.claim()).deliveries
        assert (claimed.failures, claimed.fence.attempt) == (failures, failures + 1)


async def test_a_lease_lasts_as_long_as_the_claim_says(harness: Harness) -> None:
    await harness.publish(await harness.webhook())
    await harness.claim(lease=LEASE)
    await harness.clock.advance(LEASE.total_seconds())
    assert (await harness.storage.deliveries.reap([], SECOND)).count == 0
    await harness.clock.advance(0.001)
    assert (await harness.storage.deliveries.reap([], SECOND)).count == 1
