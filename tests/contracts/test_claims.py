"""What a delivery store promises about claims."""

import asyncio
from datetime import timedelta
from uuid import UUID

from notification_core.model.delivery import Failed, Fence, Retry, Succeeded
from notification_core.model.webhook import FOREVER, DisabledReason
from notification_core.ports.storage import Storage
from tests.contracts.world import LEASE, World, ids_of

SECOND = timedelta(seconds=1)


async def test_a_claim_begins_the_next_attempt_for_its_worker(world: World) -> None:
    webhook = await world.webhook()
    (delivery_id,) = await world.publish(webhook, data=b'{"n":1}')
    (begun,) = (await world.claim()).deliveries
    assert begun.fence == Fence(delivery_id, world.environment_id, 1, world.worker)
    assert begun.webhook_id == webhook.webhook_id
    assert begun.body.endswith(b'"data":{"n":1}}')
    assert list(await world.storage.deliveries.leased(world.worker)) == [begun.fence]


async def test_what_is_claimed_cannot_be_claimed_again(world: World) -> None:
    webhook = await world.webhook()
    await world.publish(webhook, 3)
    assert len((await world.claim()).deliveries) == 3
    assert not (await world.claim(worker=world.other_worker)).deliveries


async def test_a_claim_comes_with_the_webhooks_as_they_are_now(world: World) -> None:
    webhook = await world.webhook(custom_headers={"x-one": "1"})
    await world.publish(webhook)
    assert (await world.claim()).webhooks == {webhook.webhook_id: webhook}
    await world.publish(webhook)
    changed = await world.change(webhook, url="https://other.example.com/", custom_headers={})
    claimed = await world.claim()
    assert claimed.webhooks == {webhook.webhook_id: changed}
    assert claimed.webhooks_revision == await world.storage.webhooks.webhooks_revision()


async def test_a_claim_of_nothing_tells_the_change_counter_as_well(world: World) -> None:
    await world.change(await world.webhook())
    claimed = await world.claim()
    assert (claimed.deliveries, claimed.webhooks) == ((), {})
    assert claimed.webhooks_revision == await world.storage.webhooks.webhooks_revision()


async def test_what_is_not_due_yet_waits_and_tells_how_long(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    await world.finish(begun, Retry(timedelta(seconds=10)))
    await world.clock.advance(4)
    claimed = await world.claim()
    assert (claimed.deliveries, claimed.next_due) == ((), timedelta(seconds=6))
    await world.clock.advance(6)
    assert ids_of(await world.claim()) == [begun.fence.delivery_id]


async def test_a_claim_tells_when_the_next_is_due_beside_what_it_took(world: World) -> None:
    webhook = await world.webhook()
    await world.finish(await world.begin(webhook), Retry(timedelta(seconds=10)))
    await world.publish(webhook)
    claimed = await world.claim()
    assert len(claimed.deliveries) == 1
    assert claimed.next_due is not None
    assert 9 * SECOND < claimed.next_due < 10 * SECOND


async def test_nothing_is_due_where_nothing_waits(world: World) -> None:
    assert (await world.claim()).next_due is None
    await world.begin(await world.webhook())
    assert (await world.claim()).next_due is None


async def test_a_delivery_that_has_ended_is_not_claimed(world: World) -> None:
    webhook = await world.webhook()
    await world.finish(await world.begin(webhook), Succeeded())
    await world.finish(await world.begin(webhook), Failed())
    assert not (await world.claim()).deliveries


async def test_a_webhook_that_is_disabled_is_passed_over_until_it_is_not(world: World) -> None:
    webhook = await world.webhook()
    other = await world.webhook()
    ids = await world.publish(webhook)
    others = await world.publish(other)
    until = world.clock.now() + 60 * SECOND
    await world.change(webhook, disabled_until=until)
    assert ids_of(await world.claim()) == others
    await world.clock.advance(60)
    assert ids_of(await world.claim()) == ids


async def test_a_webhook_that_the_system_disabled_is_passed_over(world: World) -> None:
    webhook = await world.webhook()
    await world.publish(webhook)
    await world.change(webhook, disabled_until=FOREVER, disabled_reason=DisabledReason.GONE)
    assert not (await world.claim()).deliveries


async def test_a_webhook_that_is_deleted_is_passed_over(world: World) -> None:
    webhook = await world.webhook()
    await world.publish(webhook, 2)
    await world.storage.webhooks.delete(
        webhook.environment_id, webhook.webhook_id, world.clock.now()
    )
    assert not (await world.claim()).deliveries


async def test_a_webhook_is_given_no_more_than_it_has_room_for(world: World) -> None:
    full, tight, roomy = [await world.webhook() for _ in range(3)]
    ids = {one.webhook_id: await world.publish(one, 5) for one in (full, tight, roomy)}
    webhook_limits = {full.webhook_id: 0, tight.webhook_id: 2}
    claimed = await world.claim(webhook_limits=webhook_limits, new_webhook_limit=3)
    taken: dict[UUID, list[UUID]] = {}
    for one in claimed.deliveries:
        taken.setdefault(one.webhook_id, []).append(one.fence.delivery_id)
    assert taken == {
        tight.webhook_id: ids[tight.webhook_id][:2],
        roomy.webhook_id: ids[roomy.webhook_id][:3],
    }


async def test_a_claim_takes_no_more_than_its_limit_and_spreads_it(world: World) -> None:
    webhooks = [await world.webhook() for _ in range(3)]
    for webhook in webhooks:
        await world.publish(webhook, 10)
    claimed = await world.claim(limit=7)
    counts = [
        sum(one.webhook_id == webhook.webhook_id for one in claimed.deliveries)
        for webhook in webhooks
    ]
    assert counts == [3, 2, 2]
    assert claimed.next_due == timedelta()


async def test_the_oldest_deliveries_of_a_webhook_are_taken_first(world: World) -> None:
    webhook = await world.webhook()
    ids = await world.publish(webhook, 5)
    assert ids_of(await world.claim(limit=3)) == ids[:3]


async def test_many_webhooks_are_served_in_turn(world: World) -> None:
    webhooks = sorted([(await world.webhook()).webhook_id for _ in range(9)])
    for webhook_id in webhooks:
        webhook = await world.storage.webhooks.get(world.environment_id, webhook_id)
        await world.publish(webhook, 2)
    served: list[UUID] = []
    after: UUID | None = None
    for _ in range(3):
        claimed = await world.claim(limit=4, after=after)
        served += [one.webhook_id for one in claimed.deliveries]
        after = claimed.after
    assert served[:9] == webhooks, "each once before any twice"


async def test_a_round_looks_at_so_many_webhooks_and_goes_on_after_them(world: World) -> None:
    webhooks = sorted([await world.webhook() for _ in range(5)], key=lambda one: one.webhook_id)
    for webhook in webhooks:
        await world.publish(webhook)
    first = await world.claim(max_webhooks=2)
    assert [one.webhook_id for one in first.deliveries] == [one.webhook_id for one in webhooks[:2]]
    assert first.after == webhooks[1].webhook_id
    second = await world.claim(max_webhooks=2, after=first.after)
    last = await world.claim(max_webhooks=2, after=second.after)
    assert [one.webhook_id for one in last.deliveries] == [webhooks[4].webhook_id]
    assert last.after is None


async def test_a_round_goes_on_past_webhooks_that_are_passed_over(world: World) -> None:
    webhooks = sorted([await world.webhook() for _ in range(3)], key=lambda one: one.webhook_id)
    for webhook in webhooks:
        await world.publish(webhook)
    webhook_limits = {one.webhook_id: 0 for one in webhooks[:2]}
    first = await world.claim(max_webhooks=2, webhook_limits=webhook_limits)
    assert (first.deliveries, first.after) == ((), webhooks[1].webhook_id)
    second = await world.claim(max_webhooks=2, webhook_limits=webhook_limits, after=first.after)
    assert [one.webhook_id for one in second.deliveries] == [webhooks[2].webhook_id]


async def test_a_claim_takes_no_more_bytes_than_it_may_but_always_one(world: World) -> None:
    webhook = await world.webhook()
    ids = await world.publish(webhook, 5, data=b'"%s"' % (b"x" * 1000))
    size = len((await world.claim(limit=1)).deliveries[0].body)
    assert ids_of(await world.claim(limit_bytes=1)) == ids[1:2]
    claimed = await world.claim(limit_bytes=2 * size + 1)
    assert ids_of(claimed) == ids[2:4]
    assert claimed.next_due == timedelta()
    assert ids_of(await world.claim(limit_bytes=2 * size)) == ids[4:]


async def test_what_was_left_for_bytes_is_served_next(world: World) -> None:
    webhooks = sorted([await world.webhook() for _ in range(3)], key=lambda one: one.webhook_id)
    for webhook in webhooks:
        await world.publish(webhook, 2)
    first = await world.claim(limit_bytes=1)
    second = await world.claim(limit_bytes=1, after=first.after)
    served = [*first.deliveries, *second.deliveries]
    assert [one.webhook_id for one in served] == [one.webhook_id for one in webhooks[:2]]


async def test_two_workers_never_take_the_same_delivery(world: World) -> None:
    webhooks = [await world.webhook() for _ in range(5)]
    events = [world.event() for _ in range(100)]
    deliveries = [world.to(webhook, event) for webhook in webhooks for event in events]
    await world.ingest(events, deliveries)

    async def drain(storage: Storage, worker: UUID) -> list[UUID]:
        taken: list[UUID] = []
        while claimed := ids_of(await world.claim(storage, worker=worker, limit=20)):
            taken += claimed
        return taken

    mine, theirs = await asyncio.gather(
        drain(world.storage, world.worker), drain(world.rival, world.other_worker)
    )
    assert sorted(mine + theirs) == sorted(one.delivery_id for one in deliveries)
    assert len(await world.storage.deliveries.leased(world.worker)) == len(mine)


async def test_a_claim_reaches_every_environment(world: World) -> None:
    mine = await world.webhook()
    theirs = await world.webhook(environment_id=world.other_environment_id)
    await world.publish(mine)
    await world.publish(theirs)
    claimed = await world.claim()
    assert {one.fence.environment_id for one in claimed.deliveries} == {
        world.environment_id,
        world.other_environment_id,
    }


async def test_failures_are_counted_for_the_retry_policy(world: World) -> None:
    webhook = await world.webhook()
    begun = await world.begin(webhook)
    for failures in (1, 2):
        await world.finish(begun, Retry(SECOND))
        await world.clock.advance(1)
        (begun,) = (await world.claim()).deliveries
        assert (begun.failures, begun.fence.attempt) == (failures, failures + 1)


async def test_a_lease_lasts_as_long_as_the_claim_says(world: World) -> None:
    await world.publish(await world.webhook())
    await world.claim(lease=LEASE)
    await world.clock.advance(LEASE.total_seconds())
    assert await world.storage.deliveries.reap([], SECOND) == 0
    await world.clock.advance(0.001)
    assert await world.storage.deliveries.reap([], SECOND) == 1
