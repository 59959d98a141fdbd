"""Taking events in: each once, with all its deliveries, and what this process may send at once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import attrs
import pytest

from notification_adapters.memory import ManualClock, MemoryStorage, memory_storage
from notification_adapters.memory.ingest import MemoryIngest
from notification_adapters.memory.state import StoredDelivery
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import StorageUnavailable, TooManyDeliveries, UnknownCommit
from notification_core.ingest.ingest import Ingest, Published
from notification_core.ingest.plan import DirectDispatch
from notification_core.model.delivery import ClaimedDelivery, DeliveryState, EndReason
from notification_core.model.event import Event, body_of
from notification_core.model.webhook import Webhook
from tests.support.faulty_stores import Faults, FaultyDeliveries
from tests.support.observers import RecordingObserver
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
        self.wait = 0

    def reserve(
        self, delivery_id: UUID, webhook: Webhook, webhooks_revision: int, size: int
    ) -> bool:
        del webhook, size
        if len(self.reserved) == self.places:
            return False
        self.reserved[delivery_id] = webhooks_revision
        return True

    def release(self, begun: Sequence[ClaimedDelivery]) -> None:
        self.released += begun

    def hand_over(self, begun: Sequence[ClaimedDelivery], leased_from: float) -> None:
        self.handed_over += [(one, leased_from) for one in begun]

    def wake(self) -> None:
        self.wait += 1


@attrs.define
class World:
    """An ingest on memory stores, and all around it."""

    clock: ManualClock
    storage: MemoryStorage
    trouble: Faults
    notebook: RecordingObserver
    hands: Hands
    ingest: Ingest

    async def webhook(self, webhook: Webhook | None = None) -> Webhook:
        webhook = webhook or a_webhook()
        await self.storage.webhooks.add(webhook, 100_000)
        return webhook

    @property
    def deliveries(self) -> Sequence[StoredDelivery]:
        return list(self.storage.state.deliveries.values())


@pytest.fixture
def world() -> World:
    return a_world(places=2)


def a_world(places: int) -> World:
    clock, trouble, notebook, hands = ManualClock(), Faults(), RecordingObserver(), Hands(places)
    ids = IdGenerator(clock)
    storage = memory_storage(clock, ids)
    deliveries = FaultyDeliveries(storage.deliveries, trouble)
    ingest = Ingest(deliveries, clock, ids, notebook, hands, storage.notifier)
    return World(clock, storage, trouble, notebook, hands, ingest)


async def test_an_event_is_stored_once_with_a_delivery_for_each_webhook_that_wants_it(
    world: World,
) -> None:
    webhooks = [await world.webhook() for _ in range(3)]
    event = an_event(data=b'{"a": 1}')
    assert await world.ingest.publish([event]) == [Published(event.event_id, duplicate=False)]
    assert {one.webhook_id for one in world.deliveries} == {one.webhook_id for one in webhooks}
    (stored,) = world.storage.state.events.values()
    assert stored.body == body_of(event)
    assert world.notebook.new == 1


async def test_an_event_published_again_is_not_sent_again(world: World) -> None:
    await world.webhook()
    event = an_event()
    await world.ingest.publish([event])
    assert await world.ingest.publish([event]) == [Published(event.event_id, duplicate=True)]
    assert len(world.deliveries) == 1
    assert world.notebook.doubles == 1
    assert not world.notebook.conflicts


async def test_the_second_of_two_events_with_one_id_in_a_batch_is_a_double(world: World) -> None:
    await world.webhook()
    first, other = an_event("e", data=b"1"), an_event("e", data=b"2")
    answers = await world.ingest.publish([first, other])
    assert [one.duplicate for one in answers] == [False, True]
    (stored,) = world.storage.state.events.values()
    assert stored.body == body_of(first)
    assert world.notebook.conflicts == ["e"]


async def test_an_event_that_comes_twice_in_a_batch_is_no_conflict(world: World) -> None:
    event = an_event("e", data=b"1")
    await world.ingest.publish([event, event])
    assert not world.notebook.conflicts


async def test_what_the_storage_undid_for_others_is_stored_by_another_try() -> None:
    world = a_world(places=3)
    await world.webhook()
    world.trouble.undone["ingesting"] = 2
    await world.ingest.publish([an_event()])
    (delivery,) = world.deliveries
    assert world.notebook.new == 1
    assert [one.fence.delivery_id for one, _ in world.hands.handed_over] == [delivery.delivery_id]
    assert len(world.hands.released) == 2, "what was planned before is not sent"


async def test_what_the_storage_undoes_again_and_again_is_given_up(world: World) -> None:
    await world.webhook()
    world.trouble.undone["ingesting"] = 5
    with pytest.raises(StorageUnavailable):
        await world.ingest.publish([an_event()])
    assert not world.deliveries
    assert not world.hands.handed_over


async def test_the_same_id_in_two_environments_is_two_events(world: World) -> None:
    events = [an_event("e", environment_id=an_id()) for _ in range(2)]
    assert [one.duplicate for one in await world.ingest.publish(events)] == [False, False]


async def test_of_an_event_that_comes_again_with_other_data_the_first_stands(world: World) -> None:
    await world.webhook()
    first, other = an_event("e", data=b"1"), an_event("e", data=b"2")
    await world.ingest.publish([first])
    assert await world.ingest.publish([other]) == [Published("e", duplicate=True)]
    (stored,) = world.storage.state.events.values()
    assert stored.body == body_of(first)
    assert world.notebook.conflicts == ["e"]


async def test_an_event_that_nobody_wants_keeps_no_body(world: World) -> None:
    await world.ingest.publish([an_event()])
    (stored,) = world.storage.state.events.values()
    assert stored.body is None
    assert not world.deliveries


async def test_a_disabled_webhook_gets_a_skipped_delivery(world: World) -> None:
    await world.webhook(a_webhook(disabled_until=NOW + timedelta(hours=1)))
    await world.ingest.publish([an_event()])
    (delivery,) = world.deliveries
    assert (delivery.state, delivery.reason) == (DeliveryState.SKIPPED, EndReason.WEBHOOK_DISABLED)
    assert not world.hands.reserved
    assert world.notebook.stored == (0, 0, 1)


async def test_what_the_dispatcher_has_a_place_for_is_begun_and_handed_over(world: World) -> None:
    for _ in range(3):
        await world.webhook()
    await world.clock.advance(5)
    await world.ingest.publish([an_event()])
    begun = [one for one in world.deliveries if one.worker == WORKER]
    assert [one.attempt for one in begun] == [1, 1]
    assert [one.fence for one in begun] == [one.fence for one, _ in world.hands.handed_over]
    assert {at for _, at in world.hands.handed_over} == {5.0}
    assert world.notebook.stored == (2, 1, 0)


async def test_the_dispatcher_is_woken_for_what_it_had_no_place_for_and_only_then(
    world: World,
) -> None:
    await world.webhook()
    await world.ingest.publish([an_event(), an_event()])
    assert world.hands.wait == 0
    await world.ingest.publish([an_event()])
    assert world.hands.wait == 1


async def test_without_a_dispatcher_in_the_process_all_is_stored_due(world: World) -> None:
    ids = IdGenerator(world.clock)
    ingest = Ingest(
        world.storage.deliveries, world.clock, ids, world.notebook, None, world.storage.notifier
    )
    await world.webhook()
    await ingest.publish([an_event()])
    (delivery,) = world.deliveries
    assert delivery.is_waiting


async def test_a_failed_transaction_stores_nothing_and_frees_every_place(world: World) -> None:
    await world.webhook()
    world.trouble.lost["ingesting"] = False
    with pytest.raises(UnknownCommit):
        await world.ingest.publish([an_event()])
    assert not world.deliveries
    assert {one.fence.delivery_id for one in world.hands.released} == set(world.hands.reserved)
    assert not world.hands.handed_over


async def test_while_storage_is_away_nothing_is_acknowledged(world: World) -> None:
    world.trouble.away = True
    with pytest.raises(StorageUnavailable):
        await world.ingest.publish([an_event()])
    world.trouble.away = False
    assert world.notebook.new == 0


async def test_after_a_commit_of_unknown_outcome_publishing_again_sends_nothing_twice(
    world: World,
) -> None:
    await world.webhook()
    world.trouble.lost["ingesting"] = True
    event = an_event()
    with pytest.raises(UnknownCommit):
        await world.ingest.publish([event])
    assert world.hands.released
    assert await world.ingest.publish([event]) == [Published(event.event_id, duplicate=True)]
    assert len(world.deliveries) == 1


async def test_a_cancelled_publish_still_commits_and_hands_over(world: World) -> None:
    await world.webhook()
    gate = world.trouble.gates["ingesting"] = asyncio.Event()
    publishing = asyncio.create_task(world.ingest.publish([an_event()]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    gate.set()
    await world.ingest.drain()
    assert len(world.deliveries) == len(world.hands.handed_over) == 1


async def test_a_webhook_changed_during_the_transaction_is_not_taken_for_the_changed_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the counter says was known must have been read: a change in between shows as newer."""
    webhook = await world.webhook()
    before = await world.storage.webhooks.webhooks_revision()
    read = MemoryIngest.subscriptions
    read_counter = MemoryIngest.webhooks_revision
    reads = 0

    async def between_two_reads() -> None:
        nonlocal reads
        reads += 1
        if reads == 2:
            world.storage.state.change(attrs.evolve(webhook, url="https://new.example.com/"))

    async def subscriptions(self: MemoryIngest, ids: set[UUID]) -> Sequence[Webhook]:
        await between_two_reads()
        return await read(self, ids)

    async def webhooks_revision(self: MemoryIngest) -> int:
        await between_two_reads()
        return await read_counter(self)

    monkeypatch.setattr(MemoryIngest, "subscriptions", subscriptions)
    monkeypatch.setattr(MemoryIngest, "webhooks_revision", webhooks_revision)
    await world.ingest.publish([an_event()])
    assert list(world.hands.reserved.values()) == [before]


async def test_a_batch_with_too_many_deliveries_is_refused_and_told_how_many_events_fit() -> None:
    world = a_world(places=0)
    webhooks = [a_webhook() for _ in range(9_000)]
    world.storage.state.webhooks.update({one.webhook_id: one for one in webhooks})
    with pytest.raises(TooManyDeliveries) as refused:
        await world.ingest.publish([an_event() for _ in range(3)])
    assert refused.value.fits == 2
    assert not world.storage.state.events
    unwanted = [an_event(event_type="job-created") for _ in range(3)]
    assert len(await world.ingest.publish([*unwanted, an_event(event_type=CREATED)])) == 4


async def test_what_comes_for_a_full_queue_is_skipped_until_there_is_room_again(
    world: World,
) -> None:
    webhook = await world.webhook()
    full: set[UUID] = {webhook.webhook_id}
    deliveries = world.storage.deliveries
    ids = IdGenerator(world.clock)
    ingest = Ingest(
        deliveries, world.clock, ids, world.notebook, world.hands, world.storage.notifier, full=full
    )
    await ingest.publish([an_event("first")])
    full.clear()
    await ingest.publish([an_event("second")])
    found = {one.event_id: one for one in world.storage.state.deliveries.values()}
    assert (found["first"].state, found["first"].reason) == (
        DeliveryState.SKIPPED,
        EndReason.QUEUE_FULL,
    )
    assert found["first"].worker is None
    assert found["second"].state is DeliveryState.PENDING
    assert world.storage.state.events[found["first"].event_key].body is not None


async def test_a_webhook_that_was_made_since_gets_the_next_event(world: World) -> None:
    first = await world.webhook()
    await world.ingest.publish([an_event()])
    second = await world.webhook()
    event = an_event()
    await world.ingest.publish([event])
    theirs = [one.webhook_id for one in world.deliveries if one.event_id == event.event_id]
    assert sorted(theirs) == sorted([first.webhook_id, second.webhook_id])


async def test_nothing_is_taken_for_an_environment_that_is_being_erased(world: World) -> None:
    await world.webhook()
    erased = an_id()
    await world.storage.webhooks.add(a_webhook(environment_id=erased), 100)
    await world.storage.erasures.begin(erased, world.clock.now())
    mine, theirs = an_event(), an_event(environment_id=erased)
    assert await world.ingest.publish([theirs, mine, theirs]) == [
        Published(theirs.event_id, duplicate=False, dropped=True),
        Published(mine.event_id, duplicate=False),
        Published(theirs.event_id, duplicate=False, dropped=True),
    ]
    assert [one.event_id for one in world.deliveries] == [mine.event_id]
    assert (world.notebook.new, world.notebook.doubles) == (1, 0)
    assert await world.ingest.publish([theirs]) == [
        Published(theirs.event_id, duplicate=False, dropped=True)
    ]
    while not (await world.storage.erasures.advance(erased, 10)).is_last:
        pass
    assert await world.ingest.publish([theirs]) == [Published(theirs.event_id, duplicate=False)]


class TestPublishingAtTheSameTime:
    """What comes while a transaction is under way shares the next one."""

    @staticmethod
    async def published(
        world: World, *requests: Sequence[Event]
    ) -> list[Sequence[Published] | BaseException]:
        """Publish an event of another environment first, and these while it is being stored."""
        gate = world.trouble.gates["ingesting"] = asyncio.Event()
        before = asyncio.create_task(world.ingest.publish([an_event(environment_id=an_id())]))
        await asyncio.sleep(0)
        tasks = [asyncio.create_task(world.ingest.publish(each)) for each in requests]
        await asyncio.sleep(0)
        gate.set()
        await before
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def test_they_share_a_transaction_and_each_gets_its_own_answer(
        self, world: World
    ) -> None:
        await world.webhook()
        events = [an_event() for _ in range(6)]
        answers = await self.published(world, events[:2], events[2:3], events[3:])
        assert world.trouble.calls["ingesting"] == 2
        ids = [[one.event_id for one in each] for each in (events[:2], events[2:3], events[3:])]
        assert answers == [[Published(one, duplicate=False) for one in each] for each in ids]
        assert len(world.deliveries) == 6
        assert world.notebook.new == 7

    async def test_the_same_event_is_a_double_for_the_second_one(self, world: World) -> None:
        event = an_event()
        answers = await self.published(world, [event], [event])
        assert answers == [
            [Published(event.event_id, duplicate=False)],
            [Published(event.event_id, duplicate=True)],
        ]
        assert (world.notebook.new, world.notebook.doubles) == (2, 1)

    async def test_one_that_is_too_large_is_refused_alone(self) -> None:
        world = a_world(places=0)
        webhooks = [a_webhook() for _ in range(9_000)]
        world.storage.state.webhooks.update({one.webhook_id: one for one in webhooks})
        events = [an_event() for _ in range(5)]
        first, second, third = await self.published(world, events[:1], events[1:4], events[4:])
        assert isinstance(second, TooManyDeliveries)
        assert second.fits == 2
        assert first == [Published(events[0].event_id, duplicate=False)]
        assert third == [Published(events[4].event_id, duplicate=False)]
        assert world.trouble.calls["ingesting"] == 2

    async def test_what_one_transaction_has_no_room_for_is_stored_by_the_next(self) -> None:
        world = a_world(places=0)
        webhooks = [a_webhook() for _ in range(9_000)]
        world.storage.state.webhooks.update({one.webhook_id: one for one in webhooks})
        events = [an_event() for _ in range(3)]
        answers = await self.published(world, *([event] for event in events))
        assert answers == [[Published(event.event_id, duplicate=False)] for event in events]
        assert world.trouble.calls["ingesting"] == 3
        assert len(world.deliveries) == 27_000

    async def test_a_storage_that_is_away_is_away_for_all(self, world: World) -> None:
        gate = world.trouble.gates["ingesting"] = asyncio.Event()
        before = asyncio.create_task(world.ingest.publish([an_event()]))
        await asyncio.sleep(0)
        tasks = [asyncio.create_task(world.ingest.publish([an_event()])) for _ in range(3)]
        await asyncio.sleep(0)
        world.trouble.away = True
        gate.set()
        await before
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [StorageUnavailable] * 3
