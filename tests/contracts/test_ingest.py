"""What a delivery store promises about taking events in."""

import asyncio
from contextlib import suppress

import pytest
from attrs import evolve

from notification_core.model.delivery import DeliveryState, EndReason, Fence
from notification_core.model.event import Arrival, EventToStore
from tests.contracts.harness import LEASE, Harness, ids_of


class Interrupted(Exception):
    """What a test breaks a transaction off with."""


async def test_a_new_event_is_new_and_again_a_duplicate(harness: Harness) -> None:
    event = harness.event("e-1")
    key = (harness.environment_id, "e-1")
    assert await harness.ingest([event]) == {key: Arrival.NEW}
    assert await harness.ingest([event]) == {key: Arrival.DUPLICATE}


async def test_a_duplicate_may_have_another_time(harness: Harness) -> None:
    await harness.ingest([harness.event("e-1")])
    await harness.clock.advance(60)
    arrivals = await harness.ingest([harness.event("e-1")])
    assert set(arrivals.values()) == {Arrival.DUPLICATE}


@pytest.mark.parametrize("change", [{"data": b'{"other":1}'}, {"type": "job-created"}])
async def test_other_data_under_a_known_id_conflicts_and_the_first_stands(
    harness: Harness, change: dict[str, object]
) -> None:
    webhook = await harness.webhook()
    first = harness.event("e-1", data=b'{"n":1}')
    await harness.ingest([first], [harness.to(webhook, first)])
    second = harness.event("e-1", **{"data": b'{"n":1}', **change})  # type: ignore[arg-type]  # two kinds of change
    arrivals = await harness.ingest([second])
    assert set(arrivals.values()) == {Arrival.CONFLICT}
    (claimed,) = (await harness.claim()).deliveries
    assert claimed.body == first.body


async def test_an_event_that_nobody_wanted_is_known_again_by_its_type(harness: Harness) -> None:
    unwanted = evolve(harness.event("e-1"), body=None)
    await harness.ingest([unwanted])
    again = await harness.ingest([harness.event("e-1")])
    other = await harness.ingest([harness.event("e-1", type="job-created")])
    assert [*again.values(), *other.values()] == [Arrival.DUPLICATE, Arrival.CONFLICT]


async def test_a_batch_tells_of_each_event(harness: Harness) -> None:
    await harness.ingest([harness.event("b"), harness.event("d", data=b"[1]")])
    arrivals = await harness.ingest([harness.event(one) for one in ("d", "c", "b", "a")])
    told = {event_id: arrival for (_, event_id), arrival in arrivals.items()}
    assert told == {
        "a": Arrival.NEW,
        "b": Arrival.DUPLICATE,
        "c": Arrival.NEW,
        "d": Arrival.CONFLICT,
    }


async def test_environments_do_not_share_event_ids(harness: Harness) -> None:
    other = harness.event("e-1", environment_id=harness.other_environment_id)
    await harness.ingest([harness.event("e-1")])
    arrivals = await harness.ingest([harness.event("e-1"), other])
    assert arrivals == {
        (harness.environment_id, "e-1"): Arrival.DUPLICATE,
        (harness.other_environment_id, "e-1"): Arrival.NEW,
    }


async def test_an_awkward_event_id_is_kept_as_it_is(harness: Harness) -> None:
    awkward = "“é\" ' \\ \n 😀 %s ?1 :x"
    webhook = await harness.webhook()
    event = harness.event(awkward)
    await harness.ingest([event], [harness.to(webhook, event)])
    assert set((await harness.ingest([event])).values()) == {Arrival.DUPLICATE}
    (claimed,) = (await harness.claim()).deliveries
    assert claimed.event_id == awkward


async def test_a_body_comes_back_byte_for_byte(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = EventToStore(harness.event("e-1").event, b'\x00\xff{"a": 1e400}' * 1000)
    await harness.ingest([event], [harness.to(webhook, event)])
    (claimed,) = (await harness.claim()).deliveries
    assert claimed.body == event.body
    assert (claimed.event_type, claimed.failures) == (event.event.type, 0)


async def test_nothing_is_stored_where_the_block_raises(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = harness.event("e-1")
    with suppress(Interrupted):
        async with harness.storage.deliveries.ingesting() as transaction:
            await transaction.add_events([event])
            await transaction.add_deliveries([harness.to(webhook, event)], None, LEASE)
            raise Interrupted
    assert not (await harness.claim()).deliveries
    assert set((await harness.ingest([event])).values()) == {Arrival.NEW}


async def test_a_cancelled_ingest_stores_nothing_and_holds_nobody_up(harness: Harness) -> None:
    inside = asyncio.Event()

    async def ingest() -> None:
        async with harness.storage.deliveries.ingesting() as transaction:
            await transaction.add_events([harness.event("e-1")])
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(ingest())
    await inside.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert set((await harness.ingest([harness.event("e-1")])).values()) == {Arrival.NEW}


async def test_subscriptions_are_those_of_the_environments_without_tombstones(
    harness: Harness,
) -> None:
    mine = await harness.webhook(custom_headers={"authorization": "secret"})
    theirs = await harness.webhook(environment_id=harness.other_environment_id)
    deleted = await harness.webhook()
    await harness.storage.webhooks.delete(
        deleted.environment_id, deleted.webhook_id, harness.clock.now()
    )
    async with harness.storage.deliveries.ingesting() as transaction:
        assert list(await transaction.subscriptions({harness.environment_id})) == [mine]
        both = {harness.environment_id, harness.other_environment_id}
        assert list(await transaction.subscriptions(both)) == [mine, theirs]


async def test_subscriptions_are_never_stale(harness: Harness) -> None:
    webhook = await harness.webhook()
    async with harness.storage.deliveries.ingesting() as transaction:
        await transaction.subscriptions({harness.environment_id})
        before = await transaction.webhooks_revision()
    changed = await harness.change(webhook, custom_headers={"x-new": "1"})
    async with harness.storage.deliveries.ingesting() as transaction:
        assert list(await transaction.subscriptions({harness.environment_id})) == [changed]
        assert await transaction.webhooks_revision() > before


async def test_stored_at_once_are_new_events_with_their_deliveries(harness: Harness) -> None:
    webhook = await harness.webhook()
    events = [harness.event(one) for one in ("b", "a", "unwanted")]
    claimed, due = harness.to(webhook, events[0], claimed=True), harness.to(webhook, events[1])
    skipped = evolve(
        due, delivery_id=harness.ids(), state=DeliveryState.SKIPPED, reason=EndReason.QUEUE_FULL
    )
    told = await harness.store(events, [claimed, due, skipped], worker=harness.worker)
    assert told == {(harness.environment_id, one): Arrival.NEW for one in ("a", "b", "unwanted")}
    fence = Fence(claimed.delivery_id, harness.environment_id, 1, harness.worker)
    assert list(await harness.storage.deliveries.leased(harness.worker)) == [fence]
    assert ids_of(await harness.claim(worker=harness.other_worker)) == [due.delivery_id]


async def test_stored_at_once_a_known_event_gets_no_more_deliveries(harness: Harness) -> None:
    webhook = await harness.webhook()
    await harness.ingest([harness.event("same"), harness.event("other", data=b"[1]")])
    events = [harness.event(one) for one in ("same", "new", "other")]
    deliveries = [harness.to(webhook, one) for one in events]
    assert await harness.store(events, deliveries) == {
        (harness.environment_id, "same"): Arrival.DUPLICATE,
        (harness.environment_id, "new"): Arrival.NEW,
        (harness.environment_id, "other"): Arrival.CONFLICT,
    }
    assert ids_of(await harness.claim()) == [deliveries[1].delivery_id]


async def test_planned_before_a_change_nothing_is_stored(harness: Harness) -> None:
    webhook = await harness.webhook()
    before = await harness.storage.webhooks.webhooks_revision()
    await harness.change(webhook, name="changed")
    event = harness.event("e-1")
    assert (
        await harness.store([event], [harness.to(webhook, event)], webhooks_revision=before) is None
    )
    assert not (await harness.claim()).deliveries
    assert await harness.ingest([event]) == {(harness.environment_id, "e-1"): Arrival.NEW}


async def test_of_the_same_event_stored_twice_at_once_one_is_new(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = harness.event("e-1")
    both = [harness.store([event], [harness.to(webhook, event)]) for _ in range(2)]
    told = [list((one or {}).values()) for one in await asyncio.gather(*both)]
    assert sorted(told) == [[Arrival.DUPLICATE], [Arrival.NEW]]
    assert len((await harness.claim()).deliveries) == 1


async def test_claimed_deliveries_belong_to_their_worker(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = harness.event()
    claimed, due = harness.to(webhook, event, claimed=True), harness.to(webhook, event)
    await harness.ingest([event], [claimed, due], worker=harness.worker)
    fence = Fence(claimed.delivery_id, harness.environment_id, 1, harness.worker)
    assert list(await harness.storage.deliveries.leased(harness.worker)) == [fence]
    assert ids_of(await harness.claim(worker=harness.other_worker)) == [due.delivery_id]


async def test_a_claimed_delivery_goes_to_others_when_its_lease_is_over(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = harness.event()
    claimed = harness.to(webhook, event, claimed=True)
    await harness.ingest([event], [claimed], worker=harness.worker)
    await harness.clock.advance(LEASE.total_seconds() + 1)
    assert (await harness.storage.deliveries.reap([], LEASE)).count == 1
    await harness.clock.advance(LEASE.total_seconds())
    (taken,) = (await harness.claim(worker=harness.other_worker)).deliveries
    assert taken.fence == Fence(
        claimed.delivery_id, harness.environment_id, 2, harness.other_worker
    )


async def test_a_skipped_delivery_is_never_claimed(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = harness.event()
    skipped = harness.to(
        webhook, event, state=DeliveryState.SKIPPED, reason=EndReason.WEBHOOK_DISABLED
    )
    await harness.ingest([event], [skipped])
    assert not (await harness.claim()).deliveries
    stored = await harness.probe(skipped.delivery_id)
    assert (stored.state, stored.reason) == (DeliveryState.SKIPPED, EndReason.WEBHOOK_DISABLED)


async def test_batches_that_overlap_at_the_same_time_store_each_event_once(
    harness: Harness,
) -> None:
    events = [harness.event(f"e-{number}") for number in range(20)]
    told = await asyncio.gather(
        harness.ingest(events[:15]), harness.ingest(events[5:][::-1]), harness.ingest(events)
    )
    new = [key for arrivals in told for key, one in arrivals.items() if one is Arrival.NEW]
    assert sorted(new) == sorted((harness.environment_id, one.event.event_id) for one in events)


async def test_a_full_transaction_is_taken(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = harness.event()
    await harness.ingest([event], [harness.to(webhook, event) for _ in range(20_000)])
    assert len((await harness.claim(limit=20_000, new_webhook_limit=20_000)).deliveries) == 20_000
