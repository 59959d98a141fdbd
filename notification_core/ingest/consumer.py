"""Consuming: from a source's messages to stored events, and only then to an acknowledgement.

What cannot be read becomes a dead letter of the same transaction and never holds up what comes
after it. Only a storage that is unavailable does: then the same messages are retried until it is
back, and the source keeps its place.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from notification_core.errors import (
    Detail,
    InvalidInput,
    StorageUnavailable,
    StorageUnusable,
    TooManyDeliveries,
)
from notification_core.ingest.data_validation import DataValidation
from notification_core.ingest.ingest import Ingest
from notification_core.model.event import Event
from notification_core.model.message import DeadLetter, Message, dead_letter
from notification_core.ports.clock import Clock
from notification_core.ports.event_source import EventSource
from notification_core.ports.observer import Observer

Read = Callable[[Message], Event]
"""Makes an event of a message; raises :class:`InvalidInput` where it is none."""

MAX_BYTES_PER_TRANSACTION = 8 * 1024 * 1024
_BYTES_PER_TURN = 256 * 1024
_PAUSE = 0.5


class _ReadMessage(NamedTuple):
    """A message, what was made of it, and what is wrong with the data of its event."""

    message: Message
    read: Event | DeadLetter
    misfit: Sequence[Detail] = ()


class EventConsumer:
    """Takes a source's messages into storage, in transactions of a bounded size."""

    def __init__(  # noqa: PLR0913 - its collaborators, one by one
        self,
        *,
        source: EventSource,
        ingest: Ingest,
        read: Read,
        validation: DataValidation,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._source = source
        self._ingest = ingest
        self._read = read
        self._validation = validation
        self._clock = clock
        self._observer = observer
        self._stopping = False
        self._in_hand: Sequence[_ReadMessage] = ()

    async def run(self) -> None:
        """Consume what comes until told to stop; what is not stored by then is given again.

        After an unexpected error it goes on with the messages in hand: asking the source for others
        would let these be acknowledged without having been stored.
        """
        while True:
            try:
                if not self._in_hand:
                    messages = await self._source.take()
                    if not messages:
                        return
                    self._in_hand = await self._read_in_turns(messages)
                await self._take_in()
            except Exception as error:  # noqa: BLE001 - the loop must survive whatever happens
                await self._wait_after(error)
            if self._stopping and self._in_hand:
                return

    def stop(self) -> None:
        """Take nothing more; what is in hand is stored, unless storage is unavailable."""
        self._stopping = True
        self._source.stop()

    async def _read_in_turns(self, messages: Sequence[Message]) -> Sequence[_ReadMessage]:
        """Read messages; other tasks run in between, since reading many large ones takes long."""
        read_messages: list[_ReadMessage] = []
        size = 0
        for message in messages:
            read_messages.append(self._read_message(message))
            size += message.size
            if size >= _BYTES_PER_TURN:
                size = 0
                await asyncio.sleep(0)
        return read_messages

    def _read_message(self, message: Message) -> _ReadMessage:
        try:
            event = self._read(message)
            return _ReadMessage(message, event, self._validation.misfits([event]).get(0, ()))
        except InvalidInput as error:
            return _ReadMessage(message, dead_letter(message, str(error)))
        except Exception as error:  # noqa: BLE001 - whatever a stranger's bytes do to a parser, they hold up nobody
            self._observer.background_task_failed("read", error)
            return _ReadMessage(message, _unreadable(message, "read", error))

    async def _take_in(self) -> None:
        """Store and acknowledge what is in hand, unless stopped while storage is unavailable."""
        while self._in_hand:
            stored = await self._store(self._in_hand[: _within_bytes(self._in_hand)])
            if stored:
                done, self._in_hand = self._in_hand[:stored], self._in_hand[stored:]
                await self._source.acknowledge([entry.message for entry in done])
            elif self._stopping:
                return

    async def _store(self, part: Sequence[_ReadMessage]) -> int:
        """Store these, or the first of them, in one transaction; return how many.

        If a transaction is refused, fewer are tried; the first message is stored as a dead letter
        if it is refused alone. Returns 0, after a pause, if storage is unavailable or refuses that:
        all is to be retried then, as it was read, since its refusals may have been the outage.
        """
        while True:
            refusal: Exception
            try:
                part = await self._validated(part)
                events = [entry.read for entry in part if isinstance(entry.read, Event)]
                letters = [entry.read for entry in part if isinstance(entry.read, DeadLetter)]
                published = await self._ingest.take_in(events, letters)
            except (StorageUnavailable, StorageUnusable) as error:
                await self._wait_after(error)
                return 0
            except TooManyDeliveries as error:
                refusal, count = error, _end_of(part, error.fits)
            except Exception as error:  # noqa: BLE001 - what storage refuses permanently must not hold up the rest
                self._observer.background_task_failed("consume", error)
                refusal, count = error, len(part) // 2
            else:
                self._validation.count_stored(events, _misfits_among(part), published)
                return len(part)
            message, first, _ = part[0]
            if count:
                part = part[:count]
            elif isinstance(first, Event):
                part = [_ReadMessage(message, _unreadable(message, "stored", refusal))]
            else:
                await self._wait_after(refusal)
                return 0

    async def _validated(self, part: Sequence[_ReadMessage]) -> Sequence[_ReadMessage]:
        """Return the same with dead letters for the events whose data is rejected."""
        misfits = _misfits_among(part)
        if not misfits:
            return part
        places = [place for place, entry in enumerate(part) if isinstance(entry.read, Event)]
        events = [entry.read for entry in part if isinstance(entry.read, Event)]
        validated = [*part]
        for index in await self._validation.rejected(events, misfits):
            message, _, (first, *_) = part[places[index]]
            reason = f"invalid_data: {first.field}: {first.message}"
            validated[places[index]] = _ReadMessage(message, dead_letter(message, reason))
        return validated

    async def _wait_after(self, error: Exception) -> None:
        self._observer.background_task_failed("consume", error)
        await self._clock.sleep(_PAUSE)


def _misfits_among(part: Sequence[_ReadMessage]) -> Collection[int]:
    """Return which of the events do not fit, by their indexes among the events."""
    events = (entry for entry in part if isinstance(entry.read, Event))
    return {index for index, entry in enumerate(events) if entry.misfit}


def _unreadable(message: Message, what: str, error: Exception) -> DeadLetter:
    return dead_letter(message, f"It could not be {what}: {type(error).__name__}: {error}")


def _within_bytes(read_messages: Sequence[_ReadMessage]) -> int:
    """Return how many of the first ones go into a transaction: at least one."""
    total = 0
    for number, entry in enumerate(read_messages):
        total += entry.message.size
        if number and total > MAX_BYTES_PER_TRANSACTION:
            return number
    return len(read_messages)


def _end_of(part: Sequence[_ReadMessage], events: int) -> int:
    """Return where the first so many distinct events end."""
    seen = set()
    for number, entry in enumerate(part):
        if isinstance(entry.read, Event):
            seen.add(entry.read.key)
        if len(seen) > events:
            return number
    return len(part)
