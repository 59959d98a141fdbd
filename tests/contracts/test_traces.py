"""What a delivery store promises about the places of events in traces."""

from attrs import evolve

from notification_core.model.event import Arrival
from tests.contracts.harness import Harness

FIRST = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECOND = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


async def test_an_event_keeps_its_place_in_a_trace_however_it_is_stored(harness: Harness) -> None:
    webhook = await harness.webhook()
    at_once = [harness.event(name, traceparent=of) for name, of in (("a", FIRST), ("b", None))]
    in_steps = harness.event("c", traceparent=SECOND)
    await harness.store(at_once, [harness.to(webhook, event) for event in at_once], traced=True)
    await harness.ingest([in_steps], [harness.to(webhook, in_steps)])
    claimed = (await harness.claim(traced=True)).deliveries
    assert {row.event_id: row.traceparent for row in claimed} == {
        "a": FIRST,
        "b": None,
        "c": SECOND,
    }


async def test_what_is_not_traced_is_not_read(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = harness.event(traceparent=FIRST)
    await harness.ingest([event], [harness.to(webhook, event)])
    (claimed,) = (await harness.claim()).deliveries
    assert claimed.traceparent is None


async def test_the_same_id_in_another_environment_has_a_place_of_its_own(harness: Harness) -> None:
    ours = await harness.webhook()
    theirs = await harness.webhook(harness.other_environment_id)
    first = harness.event("e", traceparent=FIRST)
    second = harness.event("e", traceparent=SECOND, environment_id=harness.other_environment_id)
    await harness.store(
        [first, second], [harness.to(ours, first), harness.to(theirs, second)], traced=True
    )
    claimed = (await harness.claim(traced=True)).deliveries
    assert {row.webhook_id: row.traceparent for row in claimed} == {
        ours.webhook_id: FIRST,
        theirs.webhook_id: SECOND,
    }


async def test_a_duplicate_in_another_trace_leaves_the_first_place(harness: Harness) -> None:
    webhook = await harness.webhook()
    event = harness.event("e", traceparent=FIRST)
    await harness.store([event], [harness.to(webhook, event)], traced=True)
    again = evolve(event, event=evolve(event.event, traceparent=SECOND))
    arrivals = await harness.store([again], traced=True)
    assert arrivals == {event.event.key: Arrival.DUPLICATE}
    (claimed,) = (await harness.claim(traced=True)).deliveries
    assert claimed.traceparent == FIRST


async def test_every_delivery_of_an_event_has_its_place(harness: Harness) -> None:
    webhooks = [await harness.webhook() for _ in range(3)]
    event = harness.event(traceparent=FIRST)
    await harness.store([event], [harness.to(webhook, event) for webhook in webhooks], traced=True)
    claimed = (await harness.claim(traced=True, begin_limit=1)).deliveries
    assert [row.traceparent for row in claimed] == [FIRST] * 3
