"""What a delivery store promises about taking events in."""

import asyncio
from contextlib import suppress

import pytest
from attrs import evolve

from notification_core.model.delivery import DeliveryState, EndReason, Fence
from notification_core.model.event import Arrival, EventToStore
from tests.contracts.world import LEASE, World, ids_of


class Interrupted(Exception):
    """What a test breaks a transaction off with."""


async def test_a_new_event_is_new_and_again_a_duplicate(world: World) -> None:
    event = world.event("e-1")
    key = (world.environment_id, "e-1")
    assert await world.ingest([event]) == {key: Arrival.NEW}
    assert await world.ingest([event]) == {key: Arrival.DUPLICATE}


async def test_a_duplicate_may_have_another_time(world: World) -> None:
    await world.ingest([world.event("e-1")])
    await world.clock.advance(60)
    arrivals = await world.ingest([world.event("e-1")])
    assert set(arrivals.values()) == {Arrival.DUPLICATE}


@pytest.mark.parametrize("change", [{"data": b'{"other":1}'}, {"type": "job-created"}])
async def test_other_data_under_a_known_id_conflicts_and_the_first_stands(
    world: World, change: dict[str, object]
) -> None:
    webhook = await world.webhook()
    first = world.event("e-1", data=b'{"n":1}')
    await world.ingest([first], [world.to(webhook, first)])
    second = world.event("e-1", **{"data": b'{"n":1}', **change})  # type: ignore[arg-type]  # two kinds of change
    arrivals = await world.ingest([second])
    assert set(arrivals.values()) == {Arrival.CONFLICT}
    (begun,) = (await world.claim()).deliveries
    assert begun.body == first.body


async def test_an_event_that_nobody_wanted_is_known_again_by_its_type(world: World) -> None:
    unwanted = evolve(world.event("e-1"), body=None)
    await world.ingest([unwanted])
    again = await world.ingest([world.event("e-1")])
    other = await world.ingest([world.event("e-1", type="job-created")])
    assert [*again.values(), *other.values()] == [Arrival.DUPLICATE, Arrival.CONFLICT]


async def test_a_batch_tells_of_each_event(world: World) -> None:
    await world.ingest([world.event("b"), world.event("d", data=b"[1]")])
    arrivals = await world.ingest([world.event(one) for one in ("d", "c", "b", "a")])
    told = {event_id: arrival for (_, event_id), arrival in arrivals.items()}
    assert told == {
        "a": Arrival.NEW,
        "b": Arrival.DUPLICATE,
        "c": Arrival.NEW,
        "d": Arrival.CONFLICT,
    }


async def test_environments_do_not_share_event_ids(world: World) -> None:
    other = world.event("e-1", environment_id=world.other_environment_id)
    await world.ingest([world.event("e-1")])
    arrivals = await world.ingest([world.event("e-1"), other])
    assert arrivals == {
        (world.environment_id, "e-1"): Arrival.DUPLICATE,
        (world.other_environment_id, "e-1"): Arrival.NEW,
    }


async def test_an_awkward_event_id_is_kept_as_it_is(world: World) -> None:
    awkward = "“é\" ' \\ \n 😀 %s ?1 :x"
    webhook = await world.webhook()
    event = world.event(awkward)
    await world.ingest([event], [world.to(webhook, event)])
    assert set((await world.ingest([event])).values()) == {Arrival.DUPLICATE}
    (begun,) = (await world.claim()).deliveries
    assert begun.event_id == awkward


async def test_a_body_comes_back_byte_for_byte(world: World) -> None:
    webhook = await world.webhook()
    event = EventToStore(world.event("e-1").event, b'\x00\xff{"a": 1e400}' * 1000)
    await world.ingest([event], [world.to(webhook, event)])
    (begun,) = (await world.claim()).deliveries
    assert begun.body == event.body
    assert (begun.event_type, begun.failures) == (event.event.type, 0)


async def test_nothing_is_stored_where_the_block_raises(world: World) -> None:
    webhook = await world.webhook()
    event = world.event("e-1")
    with suppress(Interrupted):
        async with world.storage.deliveries.ingesting() as transaction:
            await transaction.add_events([event])
            await transaction.add_deliveries([world.to(webhook, event)], None, LEASE)
            raise Interrupted
    assert not (await world.claim()).deliveries
    assert set((await world.ingest([event])).values()) == {Arrival.NEW}


async def test_a_cancelled_ingest_stores_nothing_and_holds_nobody_up(world: World) -> None:
    inside = asyncio.Event()

    async def ingest() -> None:
        async with world.storage.deliveries.ingesting() as transaction:
            await transaction.add_events([world.event("e-1")])
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(ingest())
    await inside.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert set((await world.ingest([world.event("e-1")])).values()) == {Arrival.NEW}


async def test_subscriptions_are_those_of_the_environments_without_tombstones(
    world: World,
) -> None:
    mine = await world.webhook(custom_headers={"authorization": "secret"})
    theirs = await world.webhook(environment_id=world.other_environment_id)
    deleted = await world.webhook()
    await world.storage.webhooks.delete(
        deleted.environment_id, deleted.webhook_id, world.clock.now()
    )
    async with world.storage.deliveries.ingesting() as transaction:
        assert list(await transaction.subscriptions({world.environment_id})) == [mine]
        both = {world.environment_id, world.other_environment_id}
        assert list(await transaction.subscriptions(both)) == [mine, theirs]


async def test_subscriptions_are_never_stale(world: World) -> None:
    webhook = await world.webhook()
    async with world.storage.deliveries.ingesting() as transaction:
        await transaction.subscriptions({world.environment_id})
        before = await transaction.webhooks_revision()
    changed = await world.change(webhook, custom_headers={"x-new": "1"})
    async with world.storage.deliveries.ingesting() as transaction:
        assert list(await transaction.subscriptions({world.environment_id})) == [changed]
        assert await transaction.webhooks_revision() > before


async def test_stored_at_once_are_new_events_with_their_deliveries(world: World) -> None:
    webhook = await world.webhook()
    events = [world.event(one) for one in ("b", "a", "unwanted")]
    begun, due = world.to(webhook, events[0], claimed=True), world.to(webhook, events[1])
    skipped = evolve(
        due, delivery_id=world.ids(), state=DeliveryState.SKIPPED, reason=EndReason.QUEUE_FULL
    )
    told = await world.store(events, [begun, due, skipped], worker=world.worker)
    assert told == {(world.environment_id, one): Arrival.NEW for one in ("a", "b", "unwanted")}
    fence = Fence(begun.delivery_id, world.environment_id, 1, world.worker)
    assert list(await world.storage.deliveries.leased(world.worker)) == [fence]
    assert ids_of(await world.claim(worker=world.other_worker)) == [due.delivery_id]


async def test_stored_at_once_a_known_event_gets_no_more_deliveries(world: World) -> None:
    webhook = await world.webhook()
    await world.ingest([world.event("same"), world.event("other", data=b"[1]")])
    events = [world.event(one) for one in ("same", "new", "other")]
    deliveries = [world.to(webhook, one) for one in events]
    assert await world.store(events, deliveries) == {
        (world.environment_id, "same"): Arrival.DUPLICATE,
        (world.environment_id, "new"): Arrival.NEW,
        (world.environment_id, "other"): Arrival.CONFLICT,
    }
    assert ids_of(await world.claim()) == [deliveries[1].delivery_id]


async def test_planned_before_a_change_nothing_is_stored(world: World) -> None:
    webhook = await world.webhook()
    before = await world.storage.webhooks.webhooks_revision()
    await world.change(webhook, name="changed")
    event = world.event("e-1")
    assert await world.store([event], [world.to(webhook, event)], webhooks_revision=before) is None
    assert not (await world.claim()).deliveries
    assert await world.ingest([event]) == {(world.environment_id, "e-1"): Arrival.NEW}


async def test_of_the_same_event_stored_twice_at_once_one_is_new(world: World) -> None:
    webhook = await world.webhook()
    event = world.event("e-1")
    both = [world.store([event], [world.to(webhook, event)]) for _ in range(2)]
    told = [list((one or {}).values()) for one in await asyncio.gather(*both)]
    assert sorted(told) == [[Arrival.DUPLICATE], [Arrival.NEW]]
    assert len((await world.claim()).deliveries) == 1


async def test_begun_deliveries_belong_to_their_worker(world: World) -> None:
    webhook = await world.webhook()
    event = world.event()
    begun, due = world.to(webhook, event, claimed=True), world.to(webhook, event)
    await world.ingest([event], [begun, due], worker=world.worker)
    fence = Fence(begun.delivery_id, world.environment_id, 1, world.worker)
    assert list(await world.storage.deliveries.leased(world.worker)) == [fence]
    assert ids_of(await world.claim(worker=world.other_worker)) == [due.delivery_id]


async def test_a_begun_delivery_goes_to_others_when_its_lease_is_over(world: World) -> None:
    webhook = await world.webhook()
    event = world.event()
    begun = world.to(webhook, event, claimed=True)
    await world.ingest([event], [begun], worker=world.worker)
    await world.clock.advance(LEASE.total_seconds() + 1)
    assert await world.storage.deliveries.reap([], LEASE) == 1
    await world.clock.advance(LEASE.total_seconds())
    (taken,) = (await world.claim(worker=world.other_worker)).deliveries
    assert taken.fence == Fence(begun.delivery_id, world.environment_id, 2, world.other_worker)


async def test_a_skipped_delivery_is_never_claimed(world: World) -> None:
    webhook = await world.webhook()
    event = world.event()
    skipped = world.to(
        webhook, event, state=DeliveryState.SKIPPED, reason=EndReason.WEBHOOK_DISABLED
    )
    await world.ingest([event], [skipped])
    assert not (await world.claim()).deliveries
    stored = await world.probe(skipped.delivery_id)
    assert (stored.state, stored.reason) == (DeliveryState.SKIPPED, EndReason.WEBHOOK_DISABLED)


async def test_batches_that_overlap_at_the_same_time_store_each_event_once(world: World) -> None:
    events = [world.event(f"e-{number}") for number in range(20)]
    told = await asyncio.gather(
        world.ingest(events[:15]), world.ingest(events[5:][::-1]), world.ingest(events)
    )
    new = [key for arrivals in told for key, one in arrivals.items() if one is Arrival.NEW]
    assert sorted(new) == sorted((world.environment_id, one.event.event_id) for one in events)


async def test_a_full_transaction_is_taken(world: World) -> None:
    webhook = await world.webhook()
    event = world.event()
    await world.ingest([event], [world.to(webhook, event) for _ in range(20_000)])
    assert len((await world.claim(limit=20_000, new_webhook_limit=20_000)).deliveries) == 20_000
