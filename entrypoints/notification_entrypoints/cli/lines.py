"""Events as JSON lines: read one by one, given an id where they have none, cut into batches."""

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

import msgspec
from attrs import frozen

from notification_core.errors import InvalidEvent, TooLarge
from notification_core.model.event import MAX_EVENT_BYTES

MAX_BATCH_EVENTS = 500
MAX_BATCH_BYTES = 8 * 1024 * 1024

_WHITESPACE = b" \t\r\n"


@frozen
class Line:
    """One event of a file, and where it ends in it: the line's number and the bytes up to there."""

    number: int
    message: bytes
    end: int


@frozen
class Batch:
    """Lines that are published together."""

    lines: Sequence[Line]

    @property
    def body(self) -> bytes:
        """The events as one JSON array."""
        return b"[" + b",".join(line.message for line in self.lines) + b"]"

    def halves(self) -> tuple["Batch", "Batch"]:
        """Return the batch in two parts, in its order."""
        middle = len(self.lines) // 2
        return Batch(self.lines[:middle]), Batch(self.lines[middle:])


class _Identified(msgspec.Struct):
    event_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_IDENTIFIED = msgspec.json.Decoder(_Identified)


def read_lines(file: BinaryIO, name: str, make_event_id: Callable[[], str]) -> Iterator[Line]:
    """Read the events of a file; empty lines are passed over.

    Raises :class:`InvalidEvent` and :class:`TooLarge`, which name the file and the line.
    """
    number = end = 0
    # One byte more than may be tells the line that is too long, and no line fills the memory.
    while line := file.readline(MAX_EVENT_BYTES + len(b"\r\n") + 1):
        number, end = number + 1, end + len(line)
        if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise InvalidEvent(f"{name} is UTF-16, as its byte order mark says: save it as UTF-8.")
        message = line.removeprefix(codecs.BOM_UTF8).strip(_WHITESPACE)
        if len(message) > MAX_EVENT_BYTES:
            raise TooLarge(f"Line {number} of {name} has more than {MAX_EVENT_BYTES:,} bytes.")
        if message:
            try:
                yield Line(number, identified(message, make_event_id), end)
            except InvalidEvent as error:
                raise InvalidEvent(f"Line {number} of {name}: {error}") from error


def identified(message: bytes, make_event_id: Callable[[], str]) -> bytes:
    """Return an event with an id in it, so that publishing it twice is publishing it once.

    All else stays as it is. Raises :class:`InvalidEvent` for what is no JSON object.
    """
    try:
        if _IDENTIFIED.decode(message).event_id is not msgspec.UNSET:
            return message
    except (ValueError, RecursionError) as error:
        raise InvalidEvent(f"This is not an event as JSON: {error}.") from error
    comma = b"" if message[1:].lstrip(_WHITESPACE).startswith(b"}") else b","
    return b'{"event_id":"%b"%b' % (make_event_id().encode(), comma) + message[1:]


def batches(lines: Iterable[Line]) -> Iterator[Batch]:
    """Cut lines into batches of at most 500 events and 8 MiB."""
    waiting: list[Line] = []
    size = 0
    for line in lines:
        if len(waiting) == MAX_BATCH_EVENTS or size + len(line.message) + 2 > MAX_BATCH_BYTES:
            yield Batch(waiting)
            waiting, size = [], 0
        waiting.append(line)
        size += len(line.message) + 1
    if waiting:
        yield Batch(waiting)
