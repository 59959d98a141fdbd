"""Consuming: what reaches storage, what is acknowledged when, and what holds up whom."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from unittest.mock import AsyncMock, patch

import attrs
import pytest

from notification_adapters.memory import (
    MemorySource,
    MemoryTopics,
)
from notification_adapters.memory.ingest import MemoryIngest
from notification_core.errors import InvalidEvent, StorageUnavailable, StorageUnusable
from notification_core.ingest.consumer import MAX_BYTES_PER_TRANSACTION, EventConsumer
from notification_core.model.delivery import MAX_DELIVERIES_PER_TRANSACTION
from notification_core.model.event import Event, Source
from notification_core.model.message import Message
from notification_core.ports.event_source import EventSource
from tests.support.assembly import MemoryApp
from tests.support.samples import EVENT_TYPES, a_webhook, an_event

TOPIC = "job-events"
FITTING = json.dumps(EVENT_TYPES["pipeline-created"].example).encode()


def read(message: Message) -> Event:
    """Read a message that says what it is: an event by its id, or one of two kinds of poison."""
    match message.value:
        case None | b"poison":
            raise InvalidEvent("It is poison.")
        case b"bomb":
            raise RecursionError
        case value:
            return an_event(value.decode(errors="replace")[:50])


class Watched(EventSource):
    """A source that tells what was stored when something was acknowledged.

    Its next call of a method in ``errors`` raises the error, which its port does not allow.
    """

    def __init__(self, source: MemorySource, stored: Callable[[], int]) -> None:
        self._source = source
        self._stored = stored
        self.acknowledged: list[tuple[int, int]] = []
        self.errors: dict[str, Exception] = {}

    def _check(self, method: str) -> None:
        if error := self.errors.pop(method, None):
            raise error

    async def take(self) -> Sequence[Message]:
        self._check("take")
        return await self._source.take()

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        self._check("acknowledge")
        self.acknowledged.append((len(messages), self._stored()))
        await self._source.acknowledge(messages)

    def stop(self) -> None:
        self._source.stop()


@attrs.define
class Member:
    """A member of a group of consumers, and its topics."""

    app: MemoryApp
    topics: MemoryTopics = attrs.field(factory=MemoryTopics)
    source: Watched = attrs.field(init=False)
    consumer: EventConsumer = attrs.field(init=False)
    mismatched_types: list[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.join()

    def send(self, *values: bytes | None) -> None:
        for value in values:
            self.topics.send(TOPIC, value)

    @property
    def events(self) -> Sequence[str]:
        return [event_id for _, event_id in self.app.storage.state.events]

    @property
    def letters(self) -> Sequence[bytes | None]:
        stored = self.app.storage.state.dead_letters.values()
        return [letter.dead_letter.message.value for letter in stored]

    @property
    def committed(self) -> int:
        return self.topics.committed[TOPIC, 0]

    def join(self, read: Callable[[Message], Event] = read) -> None:
        """Consume as a new member of the group from now on."""
        state = self.app.storage.state
        self.source = Watched(
            self.topics.join(), lambda: len(state.events) + len(state.dead_letters)
        )
        process = self.app.another_process(faults=self.app.faults, source=Source.KAFKA)
        self.mismatched_types = process.mismatched_types
        self.consumer = process.consumer(self.source, read)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Consume for the length of the block."""
        task = asyncio.create_task(self.consumer.run())
        try:
            yield
            self.consumer.stop()
            await task
        finally:
            task.cancel()

    async def until_committed(self, count: int) -> None:
        """Return once so many messages are committed, without letting time pass."""
        await self.app.until(lambda: self.committed == count)

    async def until_it_sleeps(self) -> None:
        await self.app.until(lambda: self.app.clock.sleeping)


@pytest.fixture
def member(app: MemoryApp) -> Member:
    return Member(app)


async def test_events_are_stored_and_only_then_acknowledged(member: Member) -> None:
    member.send(b"1", b"2", b"3")
    async with member.running():
        await member.until_committed(3)
    assert member.events == ["1", "2", "3"]
    assert member.source.acknowledged == [(3, 3)]
    assert (member.app.observer.sources, member.app.observer.new) == ({Source.KAFKA}, 3)


async def test_what_cannot_be_read_becomes_a_dead_letter_and_its_neighbours_are_events(
    member: Member,
) -> None:
    member.send(b"1", b"poison", None, b"2", b"bomb", b"3")
    async with member.running():
        await member.until_committed(6)
    assert member.events == ["1", "2", "3"]
    assert member.letters == [b"poison", None, b"bomb"]
    assert [letter.message.offset for letter in member.app.observer.dead_letters] == [1, 2, 4]
    assert member.app.observer.dead_letters[0].reason == "It is poison."


async def test_other_tasks_run_while_many_large_messages_are_read(member: Member) -> None:
    turns: list[int] = []
    values = [b"%d" % number + b"x" * 300_000 for number in range(4)]

    async def count() -> None:
        while True:
            turns.append(len(reading))
            await asyncio.sleep(0)

    reading: list[Message] = []

    def slow(message: Message) -> Event:
        reading.append(message)
        return read(message)

    member.join(slow)
    member.send(*values)
    counting = asyncio.create_task(count())
    async with member.running():
        await member.until_committed(len(values))
    counting.cancel()
    assert set(turns) >= {1, 2, 3, 4}


async def test_poison_alone_is_acknowledged_too(member: Member) -> None:
    member.send(b"poison")
    async with member.running():
        await member.until_committed(1)
    assert member.letters == [b"poison"]


async def test_a_dead_letter_that_is_read_again_is_not_stored_again(member: Member) -> None:
    member.send(b"poison", b"1")
    async with member.running():
        await member.until_committed(2)
    member.topics.committed.clear()
    member.join()
    async with member.running():
        await member.until_committed(2)
    assert (member.letters, member.events) == ([b"poison"], ["1"])
    assert member.app.observer.doubles == 1


async def test_while_storage_is_unavailable_nothing_is_acknowledged_and_then_all_is_stored(
    member: Member,
) -> None:
    member.app.faults.unreachable = True
    member.send(b"1", b"poison")
    async with member.running():
        await member.until_it_sleeps()
        await member.app.clock.advance(60)
        assert (member.committed, member.source.acknowledged) == (0, [])
        member.app.faults.unreachable = False
        await member.app.clock.advance(1)
        await member.until_committed(2)
    assert (member.events, member.letters) == (["1"], [b"poison"])


async def test_a_storage_that_cannot_be_used_is_retried_like_one_that_is_unavailable(
    member: Member,
) -> None:
    member.app.faults.errors["ingesting"] = StorageUnusable("It is corrupt.")
    member.send(b"1")
    async with member.running():
        await member.until_it_sleeps()
        member.app.faults.errors.clear()
        await member.app.clock.advance(1)
        await member.until_committed(1)
    assert not member.letters


@pytest.mark.parametrize("method", ["take", "acknowledge"])
async def test_an_unexpected_error_is_told_and_consuming_goes_on_without_a_loss(
    member: Member, method: str
) -> None:
    member.source.errors[method] = RuntimeError("a defect")
    member.send(b"1", b"2")
    async with member.running():
        await member.until_it_sleeps()
        assert member.app.observer.errors == [("consume", "RuntimeError")]
        member.send(b"3")
        await member.app.clock.advance(1)
        await member.until_committed(3)
    assert member.events == ["1", "2", "3"]


async def test_an_unexpected_error_between_two_transactions_skips_no_message(
    member: Member,
) -> None:
    half = MAX_BYTES_PER_TRANSACTION // 2 + 1
    member.source.errors["acknowledge"] = RuntimeError("a defect")
    member.send(b"1" * half, b"2" * half)
    async with member.running():
        await member.until_it_sleeps()
        await member.app.clock.advance(1)
        await member.until_committed(2)
    assert len(member.events) == 2


@pytest.mark.parametrize("happened", [True, False])
async def test_after_a_commit_of_unknown_outcome_each_event_is_there_once(
    member: Member,
    happened: bool,  # noqa: FBT001 - a parameter
) -> None:
    await member.app.add_webhook()
    member.app.faults.lost["ingesting"] = happened
    member.send(b"1", b"poison")
    async with member.running():
        await member.until_it_sleeps()
        await member.app.clock.advance(1)
        await member.until_committed(2)
    assert (member.events, member.letters) == (["1"], [b"poison"])
    assert len(member.app.storage.state.deliveries) == 1


async def test_told_to_stop_while_storage_is_unavailable_it_leaves_what_is_in_hand(
    member: Member,
) -> None:
    member.app.faults.unreachable = True
    member.send(b"1")
    task = asyncio.create_task(member.consumer.run())
    await member.until_it_sleeps()
    member.consumer.stop()
    await member.app.clock.advance(1)
    await task
    assert member.committed == 0


async def test_told_to_stop_it_stores_and_acknowledges_what_is_in_hand(member: Member) -> None:
    gate = member.app.faults.gates["ingesting"] = asyncio.Event()
    member.send(b"1")
    task = asyncio.create_task(member.consumer.run())
    await member.app.until(member.app.storage.state.writing.locked)
    member.consumer.stop()
    gate.set()
    await task
    assert (member.events, member.committed) == (["1"], 1)


async def test_a_batch_that_fans_out_too_far_is_cut_where_it_fits(member: Member) -> None:
    webhooks = [a_webhook() for _ in range(MAX_DELIVERIES_PER_TRANSACTION // 3)]
    member.app.storage.state.webhooks.update({one.webhook_id: one for one in webhooks})
    member.send(b"1", b"1", b"poison", b"2", b"3", b"poison", b"4")
    async with member.running():
        await member.until_committed(7)
    assert member.source.acknowledged == [(6, 5), (1, 6)]
    assert len(member.app.storage.state.deliveries) == 4 * len(webhooks)


async def test_an_event_that_alone_fans_out_too_far_holds_nobody_up(member: Member) -> None:
    webhooks = [a_webhook() for _ in range(MAX_DELIVERIES_PER_TRANSACTION + 1)]
    member.app.storage.state.webhooks.update({one.webhook_id: one for one in webhooks})
    member.send(b"poison", b"1", b"poison")
    async with member.running():
        await member.until_committed(3)
    assert member.letters == [b"poison", b"1", b"poison"]
    assert "TooManyDeliveries" in member.app.observer.dead_letters[1].reason


async def test_a_batch_of_many_bytes_goes_into_several_transactions(member: Member) -> None:
    third = MAX_BYTES_PER_TRANSACTION // 3
    member.send(b"1" * third, b"2" * third, b"3" * third, b"4" * MAX_BYTES_PER_TRANSACTION, b"5")
    async with member.running():
        await member.until_committed(5)
    assert [count for count, _ in member.source.acknowledged] == [3, 1, 1]


async def test_what_storage_refuses_permanently_becomes_a_dead_letter_alone(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = MemoryIngest.add_events

    async def refuse(self: MemoryIngest, events: Sequence[object]) -> object:
        if any("evil" in str(one) for one in events):
            raise ZeroDivisionError("It cannot be written.")
        return await add(self, events)  # type: ignore[arg-type]  # the port says what they are

    monkeypatch.setattr(MemoryIngest, "add_events", refuse)
    member.send(b"1", b"2", b"evil", b"3", b"poison", b"4")
    async with member.running():
        await member.until_committed(6)
    assert member.events == ["1", "2", "3", "4"]
    assert member.letters == [b"evil", b"poison"]
    assert "ZeroDivisionError: It cannot be written." in member.app.observer.dead_letters[0].reason


async def test_a_dead_letter_that_cannot_be_written_is_retried(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(MemoryIngest, "add_dead_letters", refuse)
        member.send(b"poison", b"1")
        task = asyncio.create_task(member.consumer.run())
        await member.until_it_sleeps()
    await member.app.clock.advance(1)
    await member.until_committed(2)
    member.consumer.stop()
    await task
    assert (member.letters, member.events) == ([b"poison"], ["1"])


async def test_what_is_refused_as_storage_fails_is_an_event_still_once_storage_is_back(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = MemoryIngest.add_events

    async def fail_once(self: MemoryIngest, events: Sequence[object]) -> object:
        if not member.app.observer.errors:
            member.app.faults.unreachable = True
            raise ZeroDivisionError("It fails in a way that nobody knows.")
        return await add(self, events)  # type: ignore[arg-type]  # the port says what they are

    monkeypatch.setattr(MemoryIngest, "add_events", fail_once)
    member.send(b"1")
    async with member.running():
        await member.until_it_sleeps()
        member.app.faults.unreachable = False
        await member.app.clock.advance(1)
        await member.until_committed(1)
    assert (member.events, member.letters) == (["1"], [])


@pytest.mark.parametrize("value", [b"poison", b"1"])
async def test_told_to_stop_while_storage_refuses_a_dead_letter_it_ends(
    member: Member, monkeypatch: pytest.MonkeyPatch, value: bytes
) -> None:
    async def refuse(*_: object) -> None:
        raise ZeroDivisionError("It cannot be written.")

    monkeypatch.setattr(MemoryIngest, "add_events", refuse)
    monkeypatch.setattr(MemoryIngest, "add_dead_letters", refuse)
    member.send(value)
    task = asyncio.create_task(member.consumer.run())
    await member.until_it_sleeps()
    member.consumer.stop()
    await member.app.clock.advance(1)
    async with asyncio.timeout(5):
        await task
    assert member.committed == 0


# Data that does not fit the schema of its type: that of each event here, since it is empty.


@pytest.fixture
def strict(app: MemoryApp) -> Member:
    return Member(attrs.evolve(app, rejects=True))


async def test_data_that_does_not_fit_is_counted_once_for_each_event(member: Member) -> None:
    member.send(b"1", b"2", b"1")
    async with member.running():
        await member.until_committed(3)
    assert member.events == ["1", "2"]
    assert member.mismatched_types == ["pipeline-created"] * 2


async def test_data_that_does_not_fit_becomes_a_dead_letter_where_it_is_rejected(
    strict: Member,
) -> None:
    def fitting(message: Message) -> Event:
        event = read(message)
        fits = event.event_id.startswith("good")
        return attrs.evolve(event, data=FITTING if fits else b"{}")

    strict.join(fitting)
    strict.send(b"good 1", b"bad", b"poison", b"good 2")
    async with strict.running():
        await strict.until_committed(4)
    assert strict.events == ["good 1", "good 2"]
    assert strict.letters == [b"bad", b"poison"]
    reason = strict.app.observer.dead_letters[0].reason
    assert reason == "invalid_data: data.pipeline_id: This field is missing."
    assert strict.mismatched_types == []


async def test_a_known_event_is_not_rejected_when_it_is_read_again(app: MemoryApp) -> None:
    lenient = Member(app)
    lenient.send(b"1")
    async with lenient.running():
        await lenient.until_committed(1)
    strict = Member(attrs.evolve(app, rejects=True))
    strict.send(b"1", b"2")
    async with strict.running():
        await strict.until_committed(2)
    assert (strict.events, strict.letters) == (["1"], [b"2"])


async def test_while_nobody_can_tell_what_is_known_nothing_is_rejected(strict: Member) -> None:
    history = strict.app.storage.history
    away = AsyncMock(side_effect=StorageUnavailable("It is unavailable."))
    with patch.object(type(history), "known_events", away):
        strict.send(b"1")
        async with strict.running():
            await strict.until_it_sleeps()
            assert (strict.letters, strict.source.acknowledged) == ([], [])
            away.side_effect = None
            away.return_value = []
            await strict.app.clock.advance(1)
            await strict.until_committed(1)
    assert strict.letters == [b"1"]
