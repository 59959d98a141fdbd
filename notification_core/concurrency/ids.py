"""Identifiers: UUIDv7 (RFC 9562, section 5.7) that never go backwards within a process."""

from collections.abc import Callable
from datetime import datetime
from random import Random
from uuid import UUID

from notification_core.ports.clock import Clock

SHARD = 0
"""The shard whose ids are made here: there is one."""

_COUNTER_BITS = 62
_STEP_BITS = 32
_BELOW = (1 << _COUNTER_BITS) - 1
_VERSION_7 = 0x7 << 76
_VARIANT_RFC = 0b10 << 62


class IdGenerator:
    """Makes UUIDv7s in strictly growing order, even when the wall clock is set back.

    The millisecond stands in the upper 48 bits, the number of the shard in the 12 bits of
    ``rand_a``: whoever has an id knows where it is stored. Within one millisecond, and while the
    clock is behind what was already given out, the 62 bits below count on from a random start; if
    they are used up, the next millisecond begins. To be made in the process that uses it: a forked
    copy would give out the same ones.
    """

    def __init__(
        self,
        clock: Clock,
        random_bits: Callable[[int], int] | None = None,
        shard: int = SHARD,
    ) -> None:
        self._clock = clock
        # Identifiers must be unique, not secret: asking the system for each one would let go of
        # the interpreter's lock every time, which costs a busy process some percent.
        self._random_bits = random_bits or Random().getrandbits  # noqa: S311 - see above
        self._fixed = _VERSION_7 | shard << 64 | _VARIANT_RFC
        self._latest = 0

    def __call__(self, now: datetime | None = None) -> UUID:
        """Return the next identifier; whoever knows the time already may give it."""
        fresh = int((now or self._clock.now()).timestamp() * 1000) << _COUNTER_BITS
        if fresh > self._latest | _BELOW:
            # The top bit stays clear, so that there is room to count on.
            self._latest = fresh | self._random_bits(_COUNTER_BITS - 1)
        else:
            self._latest += 1 + self._random_bits(_STEP_BITS)
        latest = self._latest
        return UUID(int=latest >> _COUNTER_BITS << 80 | self._fixed | latest & _BELOW)


def milliseconds_of(identifier: UUID) -> int:
    """Return when a UUIDv7 was made, in milliseconds of Unix time."""
    return identifier.int >> 80


def earliest_id(at: datetime) -> UUID:
    """Return the smallest UUIDv7 of an instant, of 1970 for one before: a bound for queries."""
    milliseconds = max(0, int(at.timestamp() * 1000))
    return UUID(int=milliseconds << 80 | _VERSION_7 | _VARIANT_RFC)
