"""Identifiers: UUIDv7 (RFC 9562, section 5.7) that never go backwards within a process."""

from collections.abc import Callable
from datetime import datetime
from random import Random
from uuid import UUID

from notification_core.ports.clock import Clock

_RANDOM_BITS = 74
_STEP_BITS = 32
_VERSION_7 = 0x7 << 76
_VARIANT_RFC = 0b10 << 62


class IdGenerator:
    """Makes UUIDv7s in strictly growing order, even when the wall clock is set back.

    The millisecond stands in the upper 48 bits. Within one millisecond, and while the clock is
    behind what was already given out, the 74 bits below count on from a random start. To be made
    in the process that uses it: a forked copy would give out the same ones.
    """

    def __init__(self, clock: Clock, random_bits: Callable[[int], int] | None = None) -> None:
        self._clock = clock
        # Identifiers must be unique, not secret: asking the system for each one would let go of
        # the interpreter's lock every time, which costs a busy process some percent.
        self._random_bits = random_bits or Random().getrandbits  # noqa: S311 - see above
        self._latest = 0

    def __call__(self, now: datetime | None = None) -> UUID:
        """Return the next identifier; whoever knows the time already may give it."""
        fresh = int((now or self._clock.now()).timestamp() * 1000) << _RANDOM_BITS
        if fresh >> _RANDOM_BITS > self._latest >> _RANDOM_BITS:
            # The top bit stays clear, so that counting on never runs into the next millisecond.
            self._latest = fresh | self._random_bits(_RANDOM_BITS - 1)
        else:
            self._latest += 1 + self._random_bits(_STEP_BITS)
        # The time, and the 74 bits below it around the version and the variant.
        milliseconds = self._latest >> _RANDOM_BITS
        above, below = (self._latest >> 62) & 0xFFF, self._latest & (1 << 62) - 1
        return UUID(int=milliseconds << 80 | _VERSION_7 | above << 64 | _VARIANT_RFC | below)


def milliseconds_of(identifier: UUID) -> int:
    """Return when a UUIDv7 was made, in milliseconds of Unix time."""
    return identifier.int >> 80


def earliest_id(at: datetime) -> UUID:
    """Return the smallest UUIDv7 of an instant, of 1970 for one before: a bound for queries."""
    milliseconds = max(0, int(at.timestamp() * 1000))
    return UUID(int=milliseconds << 80 | _VERSION_7 | _VARIANT_RFC)
