"""Statistics as bytes: what is too much for a column of its own.

A sequence of records, so that what is added later is simply written behind: a tag, of which the
upper half is the version and the lower half what is counted; the length of what follows; then pairs
of a number, one byte, and how often it was counted. Lengths and counts are written seven bits a
byte, the lowest first, with the highest bit set in all but the last (LEB128).

A record of an unknown tag, of a later version, is left as it is.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final

from notification_core.model.delivery import Attempt, ErrorCode
from notification_core.model.histogram import bucket_of
from notification_core.model.statistics import Counts

DURATIONS: Final = 0x11
DELIVERY_TIMES: Final = 0x12
ERRORS: Final = 0x13

# Numbers are stored: what has one keeps it.
_NUMBERS: Final = {
    ErrorCode.TIMEOUT: 1,
    ErrorCode.DNS: 2,
    ErrorCode.CONNECT: 3,
    ErrorCode.TLS: 4,
    ErrorCode.DESTINATION_NOT_ALLOWED: 5,
    ErrorCode.REDIRECT_NOT_FOLLOWED: 6,
    ErrorCode.INVALID_RESPONSE: 7,
    ErrorCode.HTTP_STATUS: 8,
    ErrorCode.GONE: 9,
    ErrorCode.INTERRUPTED: 10,
}
_ERRORS: Final = {number: code for code, number in _NUMBERS.items()}
_SIZE: Final = 256
"""How many numbers there are: each is one byte."""

_ONE_PAIR: Final = 2
"""The length of a number and its count, if each is one byte."""

_LENGTH_OF_ONE_PAIR: Final = bytes([_ONE_PAIR])
_SHORT: Final = 2 + _ONE_PAIR
"""The length of a record of one pair, with its tag and its length."""

_MORE: Final = 0x80
"""The bit of a byte that says that a number goes on in the next one."""


def encode(counts: Counts) -> bytes:
    """Return the histograms and the errors of what was counted."""
    errors = Counter({_NUMBERS[code]: count for code, count in counts.errors.items()})
    return b"".join(
        record(tag, numbers)
        for tag, numbers in (
            (DURATIONS, counts.durations),
            (DELIVERY_TIMES, counts.delivery_times),
            (ERRORS, errors),
        )
        if numbers
    )


def encode_attempt(attempt: Attempt) -> bytes:
    """Return the same of one attempt, which is all that was counted."""
    bucket = None if attempt.duration is None else bucket_of(attempt.duration)
    return _encode_attempt(bucket, None if attempt.error is None else attempt.error.code)


@cache
def _encode_attempt(bucket: int | None, code: ErrorCode | None) -> bytes:
    counts = Counts()
    if bucket is not None:
        counts.durations[bucket] = 1
    if code is not None:
        counts.errors[code] = 1
    return encode(counts)


def record(tag: int, numbers: Counter[int]) -> bytes:
    """Return one record."""
    body = bytearray()
    for number in sorted(numbers):
        body.append(number)
        body += _varint(numbers[number])
    return bytes([tag]) + _varint(len(body)) + body


def decode_into(counts: Counts, *encoded: bytes) -> None:
    """Add what is encoded to counts; skip records of later versions."""
    sums, _ = _add_up(encoded)
    for tag, counter in ((DURATIONS, counts.durations), (DELIVERY_TIMES, counts.delivery_times)):
        counter.update({number: count for number, count in enumerate(sums[tag]) if count})
    for number, count in enumerate(sums[ERRORS]):
        # A later version may know more of them.
        if count and number in _ERRORS:
            counts.errors[_ERRORS[number]] += count


def compact(*encoded: bytes) -> bytes:
    """Return the same as one record of each tag; those of later versions follow as they are."""
    sums, foreign = _add_up(encoded)
    records = (
        record(tag, numbers)
        for tag, of_tag in sums.items()
        if (numbers := Counter({number: count for number, count in enumerate(of_tag) if count}))
    )
    return b"".join(records) + foreign


def _add_up(encoded: Sequence[bytes]) -> tuple[Mapping[int, Sequence[int]], bytes]:
    """Return by tag how often each number was counted, and the records of other tags."""
    sums = {tag: [0] * _SIZE for tag in (DURATIONS, DELIVERY_TIMES, ERRORS)}
    foreign, short, long = bytearray(), bytearray(), bytearray()
    for one in encoded:
        (short if _is_of_short_records(one) else long).extend(one)
    # Of a minute of a webhook there are thousands of records, and few that differ.
    for packed, times in Counter(memoryview(short).cast("I")).items():
        tag, _, number, count = packed.to_bytes(_SHORT, sys.byteorder)
        if tag in sums:
            sums[tag][number] += count * times
        else:
            foreign += bytes([tag, _ONE_PAIR, number, count]) * times
    for tag, body in _records(bytes(long)):
        if (sum_of := sums.get(tag)) is None:
            foreign.append(tag)
            foreign += _varint(len(body)) + body
            continue
        # Below 128, as counts of a minute nearly always are, each is one byte.
        pairs = zip(body[::2], body[1::2], strict=True) if body.isascii() else _numbers(body)
        for number, count in pairs:
            sum_of[number] += count
    return sums, bytes(foreign)


def _is_of_short_records(encoded: bytes) -> bool:
    """Tell whether each record has two bytes behind its length, as one that counts one thing."""
    records, rest = divmod(len(encoded), _SHORT)
    return not rest and encoded[1::_SHORT] == _LENGTH_OF_ONE_PAIR * records


def _records(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(encoded):
        tag = encoded[at]
        length, start = _read_varint(encoded, at + 1)
        at = start + length
        yield tag, encoded[start:at]


def _numbers(body: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(body):
        number = body[at]
        count, at = _read_varint(body, at + 1)
        yield number, count


def _varint(number: int) -> bytes:
    written = bytearray()
    while number >= _MORE:
        written.append(number % _MORE | _MORE)
        number >>= 7
    written.append(number)
    return bytes(written)


def _read_varint(encoded: bytes, at: int) -> tuple[int, int]:
    """Return the number that is written at a place, and where the next thing begins."""
    number = shift = 0
    while (byte := encoded[at]) & _MORE:
        number |= byte % _MORE << shift
        shift, at = shift + 7, at + 1
    return number | byte << shift, at + 1
