"""Taking events in: each once, with all its deliveries, and what this process may send at once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import attrs
import pytest

from notification_adapters.memory.ingest import MemoryIngest
from notification_core.errors import StorageUnavailable, TooManyDeliveries, UnknownCommit
from notification_core.ingest.ingest import Published
from notification_core.ingest.plan import DirectDispatch, Place
from notification_core.model.delivery import ClaimedDelivery, DeliveryState, EndReason
from notification_core.model.event import Event, body_of
from notification_core.model.message import Message, dead_letter
from notification_core.model.request_records import RequestRecords
from notification_core.model.webhook import Webhook
from tests.support.assembly import MemoryApp
from tests.support.samples import CREATED, NOW, WORKER, a_webhook, an_event, an_id


class Hands(DirectDispatch):
    """A dispatcher that takes some deliveries and remembers what it was told."""

    def __init__(self, places: int) -> None:
        self.worker = WORKER
        self.lease = timedelta(seconds=30)
        self.places = places
        self.reserved: dict[UUID, int] = {}
        self.handed_over: list[tuple[ClaimedDelivery, float]] = []
        self.released: list[ClaimedDelivery] = []
        self.woken = 0

    def reserve(
        self, delivery_id: UUID, webhook: Webhook, webhooks_revision: int, size: int
    ) -> Place | None:
        del webhook, size
        if len(self.reserved) == self.places:
            return None
        self.reserved[delivery_id] = webhooks_revision
        return Place.BEGUN if len(self.reserved) == 1 else Place.PREFETCHED

    def release(self, claimed: Sequence[ClaimedDelivery]) -> None:
        self.released += claimed

    def hand_over(self, claimed: Sequence[ClaimedDelivery], leased_from: float) -> None:
        self.handed_over += [(one, leased_from) for one in claimed]

    def wake(self) -> None:
        self.woken += 1


@pytest.fixture
def hands() -> Hands:
    return Hands(places=2)


@pytest.fixture
def app(hands: Hands) -> MemoryApp:
    return MemoryApp(direct_dispatch=hands)


def app_with_many_webhooks() -> MemoryApp:
    """Return a process without a dispatcher, with as many webhooks as two events have room for."""
    app = MemoryApp()
    webhooks = [a_webhook() for _ in range(9_000)]
    app.storage.state.webhooks.update({webhook.webhook_id: webhook for webhook in webhooks})
    return app


async def test_an_event_is_stored_once_with_a_delivery_for_each_webhook_that_wants_it(
    app: MemoryApp,
) -> None:
    webhooks = [await app.add_webhook() for _ in range(3)]
    event = an_event(data=b'{"a": 1}')
    assert await app.ingest.publish([event]) == [Published(event.event_id, duplicate=False)]
    assert {one.webhook_id for one in app.stored_deliveries()} == {
        one.webhook_id for one in webhooks
    }
    (stored,) = app.storage.state.events.values()
    assert stored.body == body_of(event)
    assert app.observer.new == 1


async def test_an_event_published_again_is_not_sent_twice(app: MemoryApp) -> None:
    await app.add_webhook()
    event = an_event()
    await app.ingest.publish([event])
    assert await app.ingest.publish([event]) == [Published(event.event_id, duplicate=True)]
    assert len(app.stored_deliveries()) == 1
    assert app.observer.doubles == 1
    assert not app.observer.conflicts


async def test_the_second_of_two_events_with_one_id_in_a_batch_is_a_duplicate(
    app: MemoryApp,
) -> None:
    await app.add_webhook()
    first, other = an_event("e", data=b"1"), an_event("e", data=b"2")
    responses = await app.ingest.publish([first, other])
    assert [one.duplicate for one in responses] == [False, True]
    (stored,) = app.storage.state.events.values()
    assert stored.body == body_of(first)
    assert app.observer.conflicts == ["e"]


async def test_an_event_that_comes_twice_in_a_batch_is_no_conflict(app: MemoryApp) -> None:
    event = an_event("e", data=b"1")
    await app.ingest.publish([event, event])
    assert not app.observer.conflicts


async def test_what_the_storage_undid_for_others_is_stored_by_another_try() -> None:
    hands = Hands(places=3)
    app = MemoryApp(direct_dispatch=hands)
    await app.add_webhook()
    app.faults.undone["ingesting"] = 2
    await app.publish()
    (delivery,) = app.stored_deliveries()
    assert app.observer.new == 1
    assert [one.fence.delivery_id for one, _ in hands.handed_over] == [delivery.delivery_id]
    assert len(hands.released) == 2, "what was planned before is not sent"


async def test_what_the_storage_undoes_again_and_again_is_given_up(
    app: MemoryApp, hands: Hands
) -> None:
    await app.add_webhook()
    app.faults.undone["ingesting"] = 5
    with pytest.raises(StorageUnavailable):
        await app.publish()
    assert not app.stored_deliveries()
    assert not hands.handed_over


async def test_the_same_id_in_two_environments_is_two_events(app: MemoryApp) -> None:
    events = [an_event("e", environment_id=an_id()) for _ in range(2)]
    assert [one.duplicate for one in await app.ingest.publish(events)] == [False, False]


async def test_of_an_event_that_comes_again_with_other_data_the_first_stands(
    app: MemoryApp,
) -> None:
    await app.add_webhook()
    first, other = an_event("e", data=b"1"), an_event("e", data=b"2")
    await app.ingest.publish([first])
    assert await app.ingest.publish([other]) == [Published("e", duplicate=True)]
    (stored,) = app.storage.state.events.values()
    assert stored.body == body_of(first)
    assert app.observer.conflicts == ["e"]


async def test_an_event_that_nobody_wants_keeps_no_body(app: MemoryApp) -> None:
    await app.publish()
    (stored,) = app.storage.state.events.values()
    assert stored.body is None
    assert not app.stored_deliveries()


async def test_a_disabled_webhook_gets_a_skipped_delivery(app: MemoryApp, hands: Hands) -> None:
    await app.add_webhook(disabled_until=NOW + timedelta(hours=1))
    await app.publish()
    (delivery,) = app.stored_deliveries()
    assert (delivery.state, delivery.reason) == (DeliveryState.SKIPPED, EndReason.WEBHOOK_DISABLED)
    assert not hands.reserved
    assert app.observer.stored == (0, 0, 1)


async def test_what_the_dispatcher_has_a_place_for_is_claimed_and_handed_over(
    app: MemoryApp, hands: Hands
) -> None:
    for _ in range(3):
        await app.add_webhook()
    await app.clock.advance(5)
    await app.publish()
    claimed = [one for one in app.stored_deliveries() if one.worker == WORKER]
    assert [one.attempt for one in claimed] == [1, 1]
    assert [one.fence for one in claimed] == [one.fence for one, _ in hands.handed_over]
    assert {at for _, at in hands.handed_over} == {5.0}
    assert app.observer.stored == (2, 1, 0)


async def test_the_dispatcher_is_woken_for_what_it_had_no_place_for_and_only_then(
    app: MemoryApp,
    hands: Hands,
) -> None:
    await app.add_webhook()
    await app.ingest.publish([an_event(), an_event()])
    assert hands.woken == 0
    await app.publish()
    assert hands.woken == 1


async def test_without_a_dispatcher_in_the_process_all_is_stored_due(app: MemoryApp) -> None:
    await app.add_webhook()
    await app.elsewhere.publish()
    (delivery,) = app.stored_deliveries()
    assert delivery.is_waiting


async def test_a_failed_transaction_stores_nothing_and_frees_every_place(
    app: MemoryApp, hands: Hands
) -> None:
    await app.add_webhook()
    app.faults.lost["ingesting"] = False
    with pytest.raises(UnknownCommit):
        await app.publish()
    assert not app.stored_deliveries()
    assert {one.fence.delivery_id for one in hands.released} == set(hands.reserved)
    assert not hands.handed_over


async def test_while_storage_is_unavailable_nothing_is_acknowledged(app: MemoryApp) -> None:
    app.faults.unreachable = True
    with pytest.raises(StorageUnavailable):
        await app.publish()
    app.faults.unreachable = False
    assert app.observer.new == 0


async def test_after_a_commit_of_unknown_outcome_publishing_again_sends_nothing_twice(
    app: MemoryApp,
    hands: Hands,
) -> None:
    await app.add_webhook()
    app.faults.lost["ingesting"] = True
    event = an_event()
    with pytest.raises(UnknownCommit):
        await app.ingest.publish([event])
    assert hands.released
    assert await app.ingest.publish([event]) == [Published(event.event_id, duplicate=True)]
    assert len(app.stored_deliveries()) == 1


async def test_a_cancelled_publish_still_commits_and_hands_over(
    app: MemoryApp, hands: Hands
) -> None:
    await app.add_webhook()
    gate = app.faults.gates["ingesting"] = asyncio.Event()
    publishing = asyncio.ensure_future(app.ingest.publish([an_event()]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    gate.set()
    await app.ingest.drain()
    assert len(app.stored_deliveries()) == len(hands.handed_over) == 1


async def test_a_webhook_changed_during_the_transaction_is_not_taken_for_the_changed_one(
    app: MemoryApp, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the counter says was known must have been read: a change in between shows as newer."""
    webhook = await app.add_webhook()
    before = await app.storage.webhooks.webhooks_revision()
    read = MemoryIngest.subscriptions
    read_counter = MemoryIngest.webhooks_revision
    reads = 0

    async def between_two_reads() -> None:
        nonlocal reads
        reads += 1
        if reads == 2:
            app.storage.state.change(attrs.evolve(webhook, url="https://new.example.com/"))

    async def subscriptions(self: MemoryIngest, ids: set[UUID]) -> Sequence[Webhook]:
        await between_two_reads()
        return await read(self, ids)

    async def webhooks_revision(self: MemoryIngest) -> int:
        await between_two_reads()
        return await read_counter(self)

    monkeypatch.setattr(MemoryIngest, "subscriptions", subscriptions)
    monkeypatch.setattr(MemoryIngest, "webhooks_revision", webhooks_revision)
    await app.publish()
    assert list(hands.reserved.values()) == [before]


async def test_a_batch_with_too_many_deliveries_is_refused_and_told_how_many_events_fit() -> None:
    app = app_with_many_webhooks()
    with pytest.raises(TooManyDeliveries) as refused:
        await app.ingest.publish([an_event() for _ in range(3)])
    assert refused.value.fits == 2
    assert not app.storage.state.events
    unwanted = [an_event(type="job-created") for _ in range(3)]
    assert len(await app.ingest.publish([*unwanted, an_event(type=CREATED)])) == 4


@pytest.mark.parametrize("is_cached", [False, True])
async def test_nothing_that_goes_with_too_many_deliveries_is_stored_or_told(
    is_cached: bool,  # noqa: FBT001 - a case
) -> None:
    app = app_with_many_webhooks()
    events = [an_event() for _ in range(3)]
    if is_cached:
        await app.ingest.publish(events[:1])
    before = len(app.storage.state.events)
    letter = dead_letter(Message("job-events", 0, 0, 0, b"poison"), "It is poison.")

    def make_records(published: Sequence[Published]) -> RequestRecords:
        raise AssertionError(published)

    with pytest.raises(TooManyDeliveries):
        await app.ingest.take_in(events, [letter])
    with pytest.raises(TooManyDeliveries):
        await app.ingest.publish(events, make_records)
    assert len(app.storage.state.events) == before
    assert not app.storage.state.dead_letters
    assert not app.observer.dead_letters


async def test_what_comes_for_a_full_queue_is_skipped_until_there_is_room_again(
    hands: Hands,
) -> None:
    full = set[UUID]()
    app = MemoryApp(direct_dispatch=hands, full_queues=full)
    full.add((await app.add_webhook()).webhook_id)
    await app.ingest.publish([an_event("first")])
    full.clear()
    await app.ingest.publish([an_event("second")])
    found = {one.event_id: one for one in app.storage.state.deliveries.values()}
    assert (found["first"].state, found["first"].reason) == (
        DeliveryState.SKIPPED,
        EndReason.QUEUE_FULL,
    )
    assert found["first"].worker is None
    assert found["second"].state is DeliveryState.PENDING
    assert app.storage.state.events[found["first"].event_key].body is not None


async def test_a_webhook_that_was_made_since_gets_the_next_event(app: MemoryApp) -> None:
    first = await app.add_webhook()
    await app.publish()
    second = await app.add_webhook()
    event = an_event()
    await app.ingest.publish([event])
    theirs = [one.webhook_id for one in app.stored_deliveries() if one.event_id == event.event_id]
    assert sorted(theirs) == sorted([first.webhook_id, second.webhook_id])


async def test_nothing_is_taken_for_an_environment_that_is_being_erased(app: MemoryApp) -> None:
    await app.add_webhook()
    erased = an_id()
    await app.add_webhook(environment_id=erased)
    await app.storage.erasures.begin(erased, app.clock.now())
    mine, theirs = an_event(), an_event(environment_id=erased)
    assert await app.ingest.publish([theirs, mine, theirs]) == [
        Published(theirs.event_id, duplicate=False, dropped=True),
        Published(mine.event_id, duplicate=False),
        Published(theirs.event_id, duplicate=False, dropped=True),
    ]
    assert [one.event_id for one in app.stored_deliveries()] == [mine.event_id]
    assert (app.observer.new, app.observer.doubles) == (1, 0)
    assert await app.ingest.publish([theirs]) == [
        Published(theirs.event_id, duplicate=False, dropped=True)
    ]
    while not (await app.storage.erasures.advance(erased, 10)).is_last:
        pass
    assert await app.ingest.publish([theirs]) == [Published(theirs.event_id, duplicate=False)]


class TestPublishingAtTheSameTime:
    """What comes while a transaction is under way shares the next one."""

    @staticmethod
    async def published(
        app: MemoryApp, *requests: Sequence[Event]
    ) -> list[Sequence[Published] | BaseException]:
        """Publish an event of another environment first, and these while it is being stored."""
        gate = app.faults.gates["ingesting"] = asyncio.Event()
        before = asyncio.ensure_future(app.ingest.publish([an_event(environment_id=an_id())]))
        await asyncio.sleep(0)
        tasks = [asyncio.ensure_future(app.ingest.publish(each)) for each in requests]
        await asyncio.sleep(0)
        gate.set()
        await before
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def test_they_share_a_transaction_and_each_gets_its_own_response(
        self, app: MemoryApp
    ) -> None:
        await app.add_webhook()
        events = [an_event() for _ in range(6)]
        responses = await self.published(app, events[:2], events[2:3], events[3:])
        assert app.faults.calls["ingesting"] == 2
        ids = [[one.event_id for one in each] for each in (events[:2], events[2:3], events[3:])]
        assert responses == [[Published(one, duplicate=False) for one in each] for each in ids]
        assert len(app.stored_deliveries()) == 6
        assert app.observer.new == 7

    async def test_the_same_event_is_a_duplicate_for_the_second_one(self, app: MemoryApp) -> None:
        event = an_event()
        responses = await self.published(app, [event], [event])
        assert responses == [
            [Published(event.event_id, duplicate=False)],
            [Published(event.event_id, duplicate=True)],
        ]
        assert (app.observer.new, app.observer.doubles) == (2, 1)

    async def test_one_that_is_too_large_is_refused_alone(self) -> None:
        app = app_with_many_webhooks()
        events = [an_event() for _ in range(5)]
        first, second, third = await self.published(app, events[:1], events[1:4], events[4:])
        assert isinstance(second, TooManyDeliveries)
        assert second.fits == 2
        assert first == [Published(events[0].event_id, duplicate=False)]
        assert third == [Published(events[4].event_id, duplicate=False)]
        assert app.faults.calls["ingesting"] == 2

    async def test_an_event_goes_where_its_own_type_is_wanted_if_one_with_its_id_is_refused(
        self,
    ) -> None:
        app = app_with_many_webhooks()
        wanting = await app.add_webhook(events=frozenset({"job-closed"}))
        event = an_event("e", type="job-closed")
        refused = [an_event("e"), an_event(), an_event()]
        first, second = await self.published(app, refused, [event])
        assert isinstance(first, TooManyDeliveries)
        assert second == [Published("e", duplicate=False)]
        assert [one.webhook_id for one in app.stored_deliveries()] == [wanting.webhook_id]

    async def test_what_one_transaction_has_no_room_for_is_stored_by_the_next(self) -> None:
        app = app_with_many_webhooks()
        events = [an_event() for _ in range(3)]
        responses = await self.published(app, *([event] for event in events))
        assert responses == [[Published(event.event_id, duplicate=False)] for event in events]
        assert app.faults.calls["ingesting"] == 3
        assert len(app.stored_deliveries()) == 27_000

    async def test_an_unavailable_storage_is_unavailable_for_all(self, app: MemoryApp) -> None:
        gate = app.faults.gates["ingesting"] = asyncio.Event()
        before = asyncio.ensure_future(app.ingest.publish([an_event()]))
        await asyncio.sleep(0)
        tasks = [asyncio.ensure_future(app.ingest.publish([an_event()])) for _ in range(3)]
        await asyncio.sleep(0)
        app.faults.unreachable = True
        gate.set()
        await before
        responses = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(response) for response in responses] == [StorageUnavailable] * 3
